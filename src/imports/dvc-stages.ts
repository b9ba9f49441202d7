/**
 * The stages of a DVC project as it is in one git commit: `dvc.yaml` says which there are, `dvc.lock`
 * what they came to when they ran, with all templates filled in.
 */
import { posix } from 'node:path';
import { isPachError } from '../base/errors.ts';
import { belowOf, fieldsOf, listOf, stagesOf, textOf, yamlOf, type Fields } from './dvc-files.ts';
import { shownPath, type Path } from './git.ts';

export interface Stage {
  /** As `dvc.yaml` has it, with the folder of that below the project's before it. */
  readonly name: string;
  readonly description: string | undefined;
  /** Lines of a shell, run in `folder`. */
  readonly commands: readonly string[];
  readonly folder: Path;
  readonly deps: readonly Path[];
  readonly outs: readonly Path[];
  /** Files of parameters, and the names that are used. */
  readonly params: ReadonlyMap<Path, readonly string[]>;
  /** What of the stage is not as it was, for people. */
  readonly notes: readonly string[];
}

/** A stage, or a file of stages, that was not understood. */
export interface Untold {
  readonly name: string;
  readonly why: string;
}

export interface Stages {
  readonly stages: readonly Stage[];
  readonly untold: readonly Untold[];
}

/** `files`: the texts of `dvc.yaml` and `dvc.lock` of all folders, by path. */
export async function readStages(files: ReadonlyMap<Path, string>): Promise<Stages> {
  const stages: Stage[] = [];
  const untold: Untold[] = [];
  for (const [path, text] of files) {
    if (posix.basename(path) !== 'dvc.yaml') continue;
    const folder = posix.dirname(path);
    const lockText = files.get(posix.join(folder, 'dvc.lock')) ?? '';
    try {
      const given = fieldsOf(fieldsOf(await yamlOf(text, shownPath(path)))?.['stages']) ?? {};
      const lock = stagesOf(fieldsOf(await yamlOf(lockText, shownPath(path))) ?? {});
      for (const [name, value] of Object.entries(given)) {
        const found = stagesNamed(name, fieldsOf(value) ?? {}, { lock, folder });
        stages.push(...found.stages);
        untold.push(...found.untold);
      }
    } catch (error) {
      if (!isPachError(error, 'usage')) throw error;
      untold.push({ name: shownPath(path), why: `it is not valid YAML: ${error.why}` });
    }
  }
  return { stages, untold };
}

interface Around {
  readonly lock: Fields;
  readonly folder: Path;
}

/** The stages that an entry of `dvc.yaml` stands for: one, or those of a `foreach` or `matrix`. */
function stagesNamed(name: string, fields: Fields, { lock, folder }: Around): Stages {
  const shown = folder === '.' ? name : `${shownPath(folder)}/${name}`;
  const isMany = 'foreach' in fields || 'matrix' in fields;
  const own = fieldsOf(fields['do']) ?? fields;
  const ran = Object.keys(lock).filter((each) => (isMany ? each.startsWith(`${name}@`) : each === name));
  if (ran.length > 0) {
    const told = ran.map((each) => stageOf(each, own, fieldsOf(lock[each]), folder));
    return { stages: told, untold: [] };
  }
  if (isMany || JSON.stringify(own).includes('${')) {
    const what = isMany ? 'foreach or matrix' : '${…}';
    const why = `it is made by ${what}, and dvc.lock does not say what of: \`dvc repro\` would`;
    return { stages: [], untold: [{ name: shown, why }] };
  }
  return { stages: [stageOf(name, own, undefined, folder)], untold: [] };
}

function stageOf(name: string, given: Fields, ran: Fields | undefined, folder: Path): Stage {
  const notes: string[] = [];
  const wdir = textOf(given['wdir']) ?? '.';
  // A template in it may have been any folder, but paths of the lock are those of the project.
  const at = wdir.includes('${') ? undefined : posix.normalize(posix.join(folder, latin1Of(wdir)));
  if (at === undefined) notes.push(`its wdir ${wdir} is a template: the commands run in the folder of dvc.yaml here`);
  const within = at === undefined || at.startsWith('..') ? folder : at;
  const paths = (base: Path, values: readonly string[]): Path[] =>
    values.flatMap((value) => {
      const path = /^[a-z][a-z0-9+]*:\/\//i.test(value) ? undefined : belowOf(base, value);
      if (path === undefined) notes.push(`${value} lies outside of the project, and is left out`);
      return path ?? [];
    });
  const lists = (names: readonly string[], from: Fields): string[] =>
    names.flatMap((each) => listOf(from[each]).flatMap((item) => textOf(item) ?? Object.keys(fieldsOf(item) ?? {})));
  const locked = (key: string): string[] =>
    listOf(ran?.[key]).flatMap((item) => textOf(fieldsOf(item)?.['path']) ?? []);
  for (const field of ['frozen', 'always_changed']) {
    if (given[field] === true) notes.push(`it is ${field} in DVC: a pipeline runs when its input changes`);
  }
  const cmd = ran?.['cmd'] ?? given['cmd'];
  return {
    name: folder === '.' ? name : `${shownPath(folder)}/${name}`,
    description: textOf(given['desc']),
    commands: (Array.isArray(cmd) ? cmd : [cmd]).map(String),
    folder: within,
    deps: ran ? paths(folder, locked('deps')) : paths(within, lists(['deps'], given)),
    outs: ran ? paths(folder, locked('outs')) : paths(within, lists(['outs', 'metrics', 'plots'], given)),
    params: ran ? lockedParams(ran, folder) : givenParams(given, within),
    notes,
  };
}

function latin1Of(text: string): Path {
  return Buffer.from(text).toString('latin1');
}

function lockedParams(ran: Fields, folder: Path): Map<Path, readonly string[]> {
  const files = Object.entries(fieldsOf(ran['params']) ?? {});
  return new Map(files.flatMap(([file, values]) => paramsOf(folder, file, Object.keys(fieldsOf(values) ?? {}))));
}

/** Names stand for values of `params.yaml`, where no other file is named. */
function givenParams(given: Fields, folder: Path): Map<Path, readonly string[]> {
  const params = listOf(given['params']);
  const plain = params.flatMap((each) => textOf(each) ?? []);
  const files = params.flatMap((each) => Object.entries(fieldsOf(each) ?? {}));
  const all: [string, string[]][] = files.map(([file, names]) => [file, listOf(names).map(String)]);
  if (plain.length > 0) all.unshift(['params.yaml', plain]);
  return new Map(all.flatMap(([file, names]) => paramsOf(folder, file, names)));
}

function paramsOf(folder: Path, file: string, names: readonly string[]): [Path, readonly string[]][] {
  const path = belowOf(folder, file);
  return path === undefined ? [] : [[path, names]];
}
