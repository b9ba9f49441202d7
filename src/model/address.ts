/**
 * Addresses: `[project/]repo[@ref][ancestry][:/path]`, what people call versions and files by.
 */
import { PachError } from '../base/errors.ts';
import { typedPath, writtenPath } from './paths.ts';

/** n steps to the parent, or the n-th commit of the branch (1 is its first). */
export interface AncestryStep {
  readonly kind: 'parent' | 'nth';
  readonly n: number;
}

export interface Address {
  readonly project?: string | undefined;
  readonly repo: string;
  /** A branch, a commit id, the beginning of one, `branch=commit`, or a time; as written. */
  readonly ref?: string | undefined;
  /** The instant that `ref` names if it is no branch: milliseconds since 1970. */
  readonly time?: number | undefined;
  readonly ancestry: readonly AncestryStep[];
  /** Begins with `/`; may be a pattern, so it is not checked here. Bytes that are not UTF-8 are as in `textOfName`. */
  readonly path?: string | undefined;
}

const nameLengthMax = 100;
const stepsMax = 64;
const form = '[project/]repo[@ref][^ or .N][:/path], for instance images@master^:/a.png';

const repoPattern = /^(?:([A-Za-z0-9_-]+)\/)?([A-Za-z0-9_-]+)/;
const timePattern = /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2})(:\d{2})?(Z|[+-]\d{2}:\d{2})?)?(?=[\^~.:]|$)/;
const likeTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d/;
const refPattern = /^[A-Za-z0-9_-]+(?:=[0-9a-f]+)?/;
const stepPattern = /^(?:[\^~](\d*)|\.(\d+))/;

/** Checks the name of a `kind` of thing (repo, branch, …). Throws `usage`. */
export function checkName(kind: string, name: string): void {
  const why = !/^[A-Za-z0-9_-]+$/.test(name)
    ? 'names have only letters, digits, - and _, at least one'
    : name.length > nameLengthMax
      ? `names have at most ${nameLengthMax} characters`
      : undefined;
  if (why) throw new PachError('usage', { what: `${kind} ${JSON.stringify(name)}`, why });
}

/** Checks the name of a new branch. Throws `usage`. */
export function checkBranchName(name: string): void {
  checkName('branch', name);
  if (/^[0-9a-f]{32}$/.test(name)) {
    throw new PachError('usage', { what: `branch ${name}`, why: 'a name may not look like a commit id' });
  }
}

/** Throws `usage` naming the part that is wrong. */
export function parseAddress(text: string): Address {
  const [head, project, repo] = repoPattern.exec(text) ?? [];
  if (!head || !repo) return wrong(text, text === '' ? 'it is empty' : 'it does not begin with the name of a repo');
  if (project) checkName('project', project);
  checkName('repo', repo);
  let rest = text.slice(head.length);
  let ref: string | undefined;
  let time: number | undefined;
  if (rest.startsWith('@')) {
    rest = rest.slice(1);
    const written = timePattern.exec(rest) ?? refPattern.exec(rest);
    if (!written) return wrong(text, 'after @ there is no branch, commit or time');
    if (written.length === 1 && likeTime.test(rest)) return wrong(text, 'its time is not understood');
    [ref] = written;
    if (written.length > 1) time = instant(text, written);
    else for (const name of ref.split('=').slice(0, 1)) checkName('ref', name);
    rest = rest.slice(ref.length);
  }
  const { ancestry, length } = parseAncestry(text, rest);
  rest = rest.slice(length);
  if (rest !== '' && !rest.startsWith(':')) return wrong(text, `${JSON.stringify(rest)} is not understood`);
  if (time !== undefined && /^:[^/]/.test(rest)) return wrong(text, 'after a time, a path begins with /');
  const path = rest === '' ? undefined : typedPath(rest.replace(/^:\/?/, '/'));
  return { project, repo, ref, time, ancestry, path };
}

function parseAncestry(text: string, written: string): { ancestry: AncestryStep[]; length: number } {
  const ancestry: AncestryStep[] = [];
  let length = 0;
  for (let step = stepPattern.exec(written); step; step = stepPattern.exec(written.slice(length))) {
    const [all, parents, nth] = step;
    length += all.length;
    const n = nth !== undefined ? Number(nth) : parents ? Number(parents) : 1;
    if (!Number.isSafeInteger(n) || (nth !== undefined && n === 0)) return wrong(text, `there is no commit ${all}`);
    const last = ancestry.at(-1);
    if (nth !== undefined) ancestry.push({ kind: 'nth', n });
    else if (last?.kind === 'parent') ancestry[ancestry.length - 1] = { kind: 'parent', n: last.n + n };
    else ancestry.push({ kind: 'parent', n });
    if (ancestry.length > stepsMax) return wrong(text, 'it has too many steps');
  }
  return { ancestry, length };
}

function instant(text: string, [, day, clock = '00:00', seconds = ':00', zone = 'Z']: RegExpExecArray): number {
  const time = Date.parse(`${day}T${clock}${seconds}${zone}`);
  // A day like 02-30 is taken for one in March, which nobody meant.
  const back = Number.isNaN(time) ? '' : new Date(Date.parse(`${day}T00:00:00Z`)).toISOString().slice(0, 10);
  return back === day ? time : wrong(text, 'there is no such day or time');
}

function wrong(text: string, why: string): never {
  throw new PachError('usage', { what: `address ${JSON.stringify(text)}`, why, next: `write ${form}` });
}

/** True when an address names a repo, and no version of it. */
export function namesWholeRepo({ ref, ancestry, path }: Address): boolean {
  return ref === undefined && ancestry.length === 0 && path === undefined;
}

/** The address as text; `parseAddress` gives it back. */
export function formatAddress({ project, repo, ref, ancestry, path }: Address): string {
  const steps = ancestry.map(({ kind, n }) => (kind === 'nth' ? `.${n}` : n === 1 ? '^' : `^${n}`));
  return [
    project ? `${project}/` : '',
    repo,
    ref === undefined ? '' : `@${ref}`,
    ...steps,
    path === undefined ? '' : `:${writtenPath(path)}`,
  ].join('');
}
