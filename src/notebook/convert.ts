/**
 * A notebook to the files of a pipeline, or of a chain of them. Nothing is run: what can't be told
 * from the text is said, and left to who knows it.
 */
import { visible } from '../base/visible.ts';
import { modulesOf, packageOf } from './imports.ts';
import type { Cell, Notebook } from './notebook.ts';
import { parametersOf } from './parameters.ts';
import { Paths, type SourceRepo } from './paths.ts';
import { literal, tokensOf } from './python.ts';
import { specText, type StageSpec } from './spec-text.ts';
import { groupsOf, parametersTag, stagesOf, type Group, type Stage } from './stages.ts';

export interface ConvertOptions {
  /** Of the pipeline, and the start of the names of a chain. */
  readonly name: string;
  /** The notebook's file, for comments. */
  readonly from: string;
  readonly split: boolean;
  /** Paths stay as the notebook has them. */
  readonly keepPaths: boolean;
  /** Modules that lie beside the notebook, and their texts. */
  readonly local: ReadonlyMap<string, string>;
  /** By module: the package and the version that is installed here. */
  readonly installed: ReadonlyMap<string, { readonly name: string; readonly version: string }>;
}

/** A line of the notebook's code that is another one in the script. */
export interface ChangedLine {
  readonly cell: number;
  readonly before: string;
  readonly after: string;
}

export interface Draft {
  /** Paths below the folder of the pipeline, with slashes. */
  readonly files: ReadonlyMap<string, string>;
  readonly changes: readonly ChangedLine[];
  /** What somebody should look at. */
  readonly notes: readonly string[];
  readonly repos: readonly SourceRepo[];
}

const stateFile = 'state.pickle';

export function convertNotebook(notebook: Notebook, options: ConvertOptions): Draft {
  const groups = groupsOf(notebook, options.split);
  const repoOf = ({ name }: Group): string => (name === '' ? options.name : `${options.name}-${name}`);
  const stageCells = groups.map((group) => ({ repo: repoOf(group), cells: group.cells }));
  const paths = new Paths(notebook, stageCells, options.keepPaths);
  const notes = [...paths.notes];
  const env: Record<string, string> = {};
  const converted = (cell: Cell): Cell => {
    const source = paths.applied(cell);
    if (!cell.tags.includes(parametersTag)) return { ...cell, source };
    const parameters = parametersOf(source);
    Object.assign(env, parameters.env);
    const why = 'is not one plain value, so it stays in the script';
    notes.push(...parameters.left.map((name) => `cell ${cell.number}: the parameter ${name} ${why}`));
    return { ...cell, source: parameters.source };
  };
  const changes = notebook.cells.flatMap((cell) => changedLines(cell.number, cell.source, paths.applied(cell)));
  const stages = stagesOf(groups.map(({ name, cells }) => ({ name, cells: cells.map(converted) })));
  const scripts = stages.map((stage, index): [string, string] => {
    const previous = stages[index - 1];
    const folders = paths.folders(repoOf(stage));
    return [
      scriptName(stage, index),
      scriptOf(stage, { from: options.from, previous: previous && repoOf(previous), folders }),
    ];
  });
  const specs = stages.map((stage, index): StageSpec => {
    const previous = stages[index - 1];
    const repos = new Set([...(previous ? [repoOf(previous)] : []), ...paths.inputs(repoOf(stage))]);
    if (repos.size === 0) {
      repos.add(paths.missing());
      notes.push(
        `no file that ${scriptName(stage, index)} reads was found, so its input is the repo data: change it in the spec`,
      );
    }
    return { name: repoOf(stage), repos: [...repos], script: scriptName(stage, index), env };
  });
  for (const { cell, text } of notebook.magics) {
    if (!pipInstall.test(text)) notes.push(`cell ${cell}: ${text}: only Jupyter knows this, so it is a comment now`);
  }
  const requirements = requirementsOf(notebook, options);
  notes.push(...requirements.notes);
  const spec = specText(specs, {
    from: options.from,
    image: `${options.name.toLowerCase()}:dev`,
    local: [...options.local.keys()],
  });
  const files = new Map([
    [`${options.name}.yaml`, spec],
    ...scripts.map(([name, text]): [string, string] => [`src/${name}`, text]),
    ...[...options.local].map(([module, text]): [string, string] => [`src/${module}.py`, text]),
    ['requirements.txt', requirements.text],
    ['Dockerfile', dockerfile(notebook.pythonVersion)],
    ['.dockerignore', dockerIgnore],
    ['.pachignore', pachIgnore],
  ]);
  return { files, changes, notes: notes.sort(byCell), repos: paths.external };
}

/** Notes on cells in their order, others after them. */
function byCell(a: string, b: string): number {
  const cell = (note: string): number => Number(/^cell (\d+)/.exec(note)?.[1] ?? Infinity);
  return cell(a) === cell(b) ? 0 : cell(a) - cell(b);
}

/** With a number, so that nothing can import it: a heading may be `Statistics`, and so is a module of Python. */
function scriptName({ name }: Group, index: number): string {
  return name === '' ? 'main.py' : `${index + 1}-${name}.py`;
}

function changedLines(cell: number, before: string, after: string): ChangedLine[] {
  if (before === after) return [];
  const [old, now] = [before.split('\n'), after.split('\n')];
  return old.flatMap((line, index) => (line === now[index] ? [] : [{ cell, before: line, after: now[index] ?? '' }]));
}

interface ScriptOptions {
  readonly from: string;
  readonly previous: string | undefined;
  readonly folders: readonly string[];
}

function scriptOf({ name, cells, repeated, loads, keeps }: Stage, { from, previous, folders }: ScriptOptions): string {
  const future = /^from __future__ import .*$/gm;
  const whole = [...repeated, ...cells.map(({ source }) => source)];
  const futures = [...new Set(whole.flatMap((text) => text.match(future) ?? []))];
  const lines = [
    // In a comment on one line: the name of a file may hold anything.
    `# ${name === '' ? 'Made' : `The stage ${name}, made`} from ${visible(from)} by pach init.`,
    ...futures,
    'import os',
  ];
  if (loads.length > 0 || keeps.length > 0) lines.push('import pickle');
  if (usesDisplay(whole)) lines.push('', 'display = print  # only Jupyter has it');
  for (const folder of folders) lines.push(`os.makedirs(${literal(folder)}, exist_ok=True)`);
  if (repeated.length > 0)
    lines.push('', '# Of the stages before', ...repeated.map((text) => text.replace(future, '').trim()));
  if (loads.length > 0 && previous !== undefined) {
    lines.push(
      '',
      `with open(${literal(`/pfs/${previous}/${stateFile}`)}, 'rb') as file:`,
      `    globals().update(pickle.load(file))  # ${loads.join(', ')}`,
    );
  }
  for (const { number, source } of cells) {
    const text = source.replace(future, '').trim();
    if (text !== '') lines.push('', `# %% cell ${number}`, text);
  }
  if (keeps.length > 0) {
    lines.push(
      '',
      '# For the stages after',
      `with open(${literal(`/pfs/out/${stateFile}`)}, 'wb') as file:`,
      `    pickle.dump({name: globals()[name] for name in [${keeps.map(literal).join(', ')}]}, file)`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function usesDisplay(sources: readonly string[]): boolean {
  const tokens = tokensOf(sources.join('\n'));
  const isNamed = (before: string): boolean =>
    tokens.some(({ text, kind }, index) => kind === 'name' && text === 'display' && tokens[index - 1]?.text === before);
  const isCalled = tokens.some(
    ({ text, kind }, index) =>
      kind === 'name' &&
      text === 'display' &&
      tokens[index + 1]?.text === '(' &&
      !['.', 'def'].includes(tokens[index - 1]?.text ?? ''),
  );
  return isCalled && !isNamed('import');
}

const pipInstall = /^[%!]\s*(?:python3? -m )?pip3? install\s+(.+)$/;

function requirementsOf(
  { cells, magics }: Notebook,
  { local, installed }: ConvertOptions,
): { text: string; notes: string[] } {
  const lines = new Map<string, string>();
  const notes: string[] = [];
  for (const module of modulesOf(cells.map(({ source }) => source).join('\n'))) {
    if (local.has(module)) continue;
    const found = installed.get(module);
    const name = found?.name ?? packageOf(module);
    if (found) lines.set(name.toLowerCase(), `${name}==${found.version}`);
    else {
      lines.set(name.toLowerCase(), name);
      notes.push(`requirements.txt: ${module} is not installed here, so ${name} has no version: write one`);
    }
  }
  for (const { text } of magics) {
    const words = pipInstall.exec(text)?.[1]?.replaceAll(/["']/g, '').split(/\s+/) ?? [];
    for (const word of words.filter((each) => /^[A-Za-z0-9]/.test(each))) {
      const name = (/^[A-Za-z0-9._-]+/.exec(word)?.[0] ?? word).toLowerCase();
      if (!lines.get(name)?.includes('==')) lines.set(name, word);
    }
  }
  const text = [...lines.values()]
    .sort((a, b) => a.localeCompare(b))
    .map((line) => `${line}\n`)
    .join('');
  return { text, notes };
}

export function dockerfile(version = '3.12'): string {
  return `# The image that the commands run in. The code is not in it: dev.code of the spec adds that.
FROM python:${version}-slim
COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir -r /tmp/requirements.txt
`;
}

export const dockerIgnore = `# The image is built anew when these change.
*
!requirements.txt
`;

export const pachIgnore = `# What is no part of the pipeline's code, as in .gitignore.
*.pyc
.ipynb_checkpoints/
.venv/
`;
