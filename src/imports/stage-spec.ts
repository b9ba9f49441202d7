/**
 * Stages of DVC to specs of pipelines, for a person to look through. A stage ran in a folder with its
 * inputs beside its outputs: so does the command of the spec, in /pfs/out, with links to its inputs
 * that go when it has ended.
 */
import { posix } from 'node:path';
import { shellWord } from '../base/shell.ts';
import { visible } from '../base/visible.ts';
import { textOfName } from '../model/paths.ts';
import type { Stage } from './dvc-stages.ts';
import { shownPath, type Path } from './git.ts';

export interface StageSpec {
  /** Of the pipeline. */
  readonly name: string;
  /** As DVC calls it. */
  readonly stage: string;
  readonly text: string;
  readonly notes: readonly string[];
}

export interface SpecOptions {
  /** Where data that no stage makes was imported to. */
  readonly repo: string;
  readonly branch: string;
  /** Paths of data that no stage makes. */
  readonly data: readonly Path[];
  /** True for a file or folder that git itself holds. */
  isInGit(path: Path): boolean;
  /** The project's folder, from the folder of the specs. */
  readonly project: string;
}

const nameMax = 51;
const codeFolder = '/app';

/** Something of a repo that is seen as a path of the project. */
interface Input {
  readonly name: string;
  readonly repo: string;
  readonly branch: string;
  readonly path: Path;
}

/** A spec for each stage, in their order. */
export function specsOf(stages: readonly Stage[], options: SpecOptions): StageSpec[] {
  const names = namesOf(stages, options.repo);
  return stages.map((stage, at) => specOf(stage, names[at] as string, { stages, names, options }));
}

/** Names of pipelines, each once, and none that of the repo. */
function namesOf(stages: readonly Stage[], repo: string): string[] {
  const taken = new Set([repo]);
  return stages.map(({ name }) => {
    const slug = nameOf(name) || 'stage';
    let free = slug;
    for (let n = 2; taken.has(free); n++) free = `${slug.slice(0, nameMax - 4)}-${n}`;
    taken.add(free);
    return free;
  });
}

function nameOf(text: string): string {
  return text
    .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, nameMax);
}

interface Graph {
  readonly stages: readonly Stage[];
  readonly names: readonly string[];
  readonly options: SpecOptions;
}

function specOf(stage: Stage, name: string, graph: Graph): StageSpec {
  const { options } = graph;
  const notes = [...stage.notes];
  const inputs: Input[] = [];
  const code = new Set<Path>();
  for (const dep of stage.deps) {
    const found = inputsOf(dep, stage, graph);
    inputs.push(...found);
    if (found.length > 0) {
      const isMixed = options.isInGit(dep) && found.every(({ path }) => path !== dep);
      if (isMixed) notes.push(`of ${shownPath(dep)}, only data is there, not what git holds`);
    } else if (options.isInGit(dep)) code.add(dep);
    else notes.push(`${shownPath(dep)} is neither data of DVC nor in git, and is left out`);
  }
  for (const [file, values] of stage.params) {
    if (!options.isInGit(file)) continue;
    code.add(file);
    notes.push(
      `it depends on ${values.join(', ') || 'all'} of ${shownPath(file)}: here any change of that file runs it again`,
    );
  }
  if (inputs.length === 0) notes.push('it reads no data, and a pipeline needs an input: give it one');
  const named = withNames(inputs);
  const text = [
    `# The stage ${visible(stage.name)} of a DVC project, made by pach import: look through it first.`,
    ...notes.map((note) => `# ${visible(note)}`),
    `pipeline: { name: ${JSON.stringify(name)} }`,
    ...(stage.description === undefined ? [] : [`description: ${JSON.stringify(visible(stage.description))}`]),
    ...inputLines(named),
    'transform:',
    '  image: "python:3.12"    # DVC names none: one with all that the command needs, for --executor docker',
    '  cmd:',
    '    - bash',
    '    - -ec',
    ...scriptLines(scriptOf(stage, named, [...code])),
    ...codeLines([...code], options.project),
  ];
  return { name, stage: stage.name, text: `${text.join('\n')}\n`, notes };
}

/** Where what a stage needs comes from: outputs of others, and data, each at or below or above the path. */
function inputsOf(dep: Path, stage: Stage, { stages, names, options }: Graph): Input[] {
  const meets = (path: Path): Path[] => {
    if (path === dep || dep.startsWith(`${path}/`)) return [dep];
    return path.startsWith(`${dep}/`) ? [path] : [];
  };
  const made = stages.flatMap((other, at) => {
    const repo = names[at] as string;
    if (other === stage) return [];
    return other.outs.flatMap(meets).map((path) => ({ name: '', repo, branch: 'master', path }));
  });
  const { repo, branch } = options;
  return [...made, ...options.data.flatMap(meets).map((path) => ({ name: '', repo, branch, path }))];
}

/** Each once, under a name of its own; what lies below another one comes with that. */
function withNames(inputs: readonly Input[]): Input[] {
  const taken = new Set(['out']);
  const above = inputs.filter(
    (input, at) =>
      !inputs.some(
        ({ repo, path }, other) =>
          repo === input.repo && (input.path.startsWith(`${path}/`) || (path === input.path && other < at)),
      ),
  );
  return above.map((input) => {
    const slug = nameOf(posix.basename(input.path)).replaceAll('-', '_') || 'input';
    let name = slug;
    for (let n = 2; taken.has(name); n++) name = `${slug}_${n}`;
    taken.add(name);
    return { ...input, name };
  });
}

function inputLines(inputs: readonly Input[]): string[] {
  const pfs = ({ name, repo, branch, path }: Input): string => {
    const glob = `/${shownPath(path).replaceAll(/[\\*?[\]{}()!@+|^$]/g, '\\$&')}`;
    const fields = [`name: ${JSON.stringify(name)}`, `repo: ${JSON.stringify(repo)}`, `glob: ${JSON.stringify(glob)}`];
    if (branch !== 'master') fields.push(`branch: ${JSON.stringify(branch)}`);
    return `pfs: { ${fields.join(', ')} }`;
  };
  if (inputs.length === 0) return [];
  if (inputs.length === 1) return ['input:', `  ${pfs(inputs[0] as Input)}`];
  return ['input:', '  cross:', ...inputs.map((input) => `    - ${pfs(input)}`)];
}

/** The script of the command. */
function scriptOf({ commands, folder, outs }: Stage, inputs: readonly Input[], code: readonly Path[]): string[] {
  const word = (path: Path): string => shellWord(shownPath(path.startsWith('-') ? `./${path}` : path));
  const links = [
    ...code.map((path) => [`${codeFolder}/${path}`, path] as const),
    ...inputs.map(({ name, path }) => [`/pfs/${name}/${path}`, path] as const),
  ];
  const folders = [...links.map(([, path]) => path), ...outs].map((path) => posix.dirname(path));
  const made = [...new Set([...folders, folder])].filter((path) => path !== '.');
  return [
    'cd /pfs/out',
    ...(made.length > 0 ? [`mkdir -p ${made.map(word).join(' ')}`] : []),
    ...links.map(([from, path]) => `ln -s ${word(from)} ${word(path)}`),
    ...(folder === '.' ? commands : [`cd ${word(folder)}`, ...commands, 'cd /pfs/out']),
    ...(links.length > 0 ? [`rm ${links.map(([, path]) => word(path)).join(' ')}`] : []),
    ...(made.length > 0 ? ['find . -mindepth 1 -type d -empty -delete'] : []),
  ];
}

/** As a block where YAML can have it so. */
function scriptLines(script: readonly string[]): string[] {
  const text = `${script.join('\n')}\n`;
  // What is no printable character, and what YAML might take for the end of a line.
  if (/[^\t\n\u0020-\u007e\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]/.test(text)) {
    return [`    - ${JSON.stringify(text)}`];
  }
  return [
    '    - |',
    ...text
      .trimEnd()
      .split('\n')
      .map((line) => (line === '' ? '' : `      ${line}`)),
  ];
}

function codeLines(code: readonly Path[], project: string): string[] {
  if (code.length === 0) return [];
  const entry = (path: Path): string => {
    const from = posix.join(project, shownPath(path));
    const given = from.startsWith('.') || from.startsWith('/') ? from : `./${from}`;
    return `    - { from: ${JSON.stringify(given)}, to: ${JSON.stringify(`${codeFolder}/${textOfName(Buffer.from(path, 'latin1'))}`)} }`;
  };
  return [
    'dev:',
    '  code:    # what git holds of what the stage depends on; modules that DVC was not told of are missing',
    ...code.map(entry),
  ];
}
