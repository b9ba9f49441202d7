/**
 * Names and paths in specs.
 */
import { posix } from 'node:path';
import { Fault, type Path } from './fault.ts';

const nameLengthMax = 100;

/** Paths that the command's environment has a use for itself. */
const reserved = ['/pfs', '/proc', '/sys', '/dev'];

/** Checks the name of a pipeline, repo, branch or input. */
export function checkName(name: string, path: Path): void {
  if (!/^[A-Za-z0-9_-]+$/.test(name)) {
    throw new Fault(
      path,
      `name (${JSON.stringify(name.slice(0, nameLengthMax)).slice(1, -1)}) invalid: only alphanumeric characters, underscores, and dashes are allowed`,
    );
  }
  if (name.length > nameLengthMax) throw new Fault(path, `names have at most ${nameLengthMax} characters`);
}

/** Checks the name of an input that reads a repo. */
export function checkInputName(name: string, repo: string, path: Path): void {
  if (name === 'out' && repo === 'out') {
    throw new Fault(
      path,
      'inputs based on repos named "out" must have \'name\' set, as /pfs/out is where the results go',
    );
  }
  if (name === 'out') throw new Fault([...path, 'name'], 'input cannot be named out: results go to /pfs/out');
  checkName(name, [...path, 'name']);
}

/** Checks the project of an input's repo, where one is named. */
export function checkProject(project: string | undefined, path: Path, own: { readonly project: string }): void {
  if (project === undefined || project === '' || project === own.project) return;
  throw new Fault([...path, 'project'], `only repos of the project ${own.project} can be read`, {
    code: 'unsupported',
  });
}

/** A path, as the command sees it, where something can be mounted. */
export function placeOf(text: string, path: Path): string {
  if (!text.startsWith('/')) throw new Fault(path, 'it must be an absolute path', { next: `/${text}` });
  if (text.split('/').includes('..')) throw new Fault(path, '.. is not allowed here');
  const place = posix.normalize(text).replace(/(?<=.)\/$/, '');
  if (place === '/') throw new Fault(path, "it can't be /");
  const holder = reserved.find((each) => isWithin(place, each));
  if (holder !== undefined) throw new Fault(path, `it can't be ${holder} or lie below it`);
  return place;
}

/** A place of this machine that a command is not to see. */
export function hiddenPlaceOf(text: string, path: Path): string {
  if (!/^(\/|~\/|~$)/.test(text)) throw new Fault(path, 'it must be an absolute path, or begin with ~/');
  if (text.split('/').includes('..')) throw new Fault(path, '.. is not allowed here');
  const place = posix.normalize(text).replace(/(?<=.)\/$/, '');
  if (place === '/') throw new Fault(path, "it can't be /, because everything would be hidden");
  const holder = ['/pfs', '/proc', '/dev'].find((each) => isWithin(place, each));
  if (holder !== undefined) throw new Fault(path, `a command has its own ${holder}, which can't be hidden`);
  return place;
}

/** Whether a path is `folder` or lies below it. Both absolute and plain. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
