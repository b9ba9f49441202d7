/**
 * What commits were made of: what engines have written into the commits themselves, and what people
 * have declared, which lies beside them, since a commit never changes (FORMAT.md section 6).
 */
import { mapOrdered } from '../base/async.ts';
import { PachError } from '../base/errors.ts';
import { formatAddress, type Address } from '../model/address.ts';
import type { CommitProvenance } from '../model/records/commit.ts';
import { decodeDeclared, encodeDeclared, type Declaration, type DeclaredRecord } from '../model/records/declared.ts';
import { parsePath, pathOf } from '../model/paths.ts';
import { entryHash, type TreeEntry } from '../model/tree.ts';
import type { Change } from './change.ts';
import { Directories } from './directories.ts';
import type { Project } from './project.ts';
import { besidePrefixes, declaredKey, declaredPrefix, lastPart, usedKey } from './ref-keys.ts';
import { resolveCommit } from './resolve.ts';
import { rootOf, type Commit, type Snapshot } from './snapshot.ts';

/** What something was made of: all of a commit, or what lies at a path of it. */
export interface MadeOf {
  readonly from: CommitProvenance;
  /** `/` for all of it. */
  readonly fromPath: string;
}

/** That what lies at some paths of a commit was made of others. */
export interface Declares {
  /** Absolute, `/` for all of the commit. */
  readonly paths: readonly string[];
  readonly sources: readonly MadeOf[];
  /** What was done, for people. */
  readonly spec?: string | undefined;
}

/** A record has to fit into an item of a map. */
const recordBytesMax = 30 * 1024;
/** Commits that are read at a time. */
const readsAhead = 20;

/** What an address names, to be declared. Throws `not-found` where there is no such commit or path. */
export async function madeOf(snapshot: Snapshot, address: Address): Promise<MadeOf> {
  const commit = await resolveCommit(snapshot, address);
  const names = await namesAt(snapshot, commit, address);
  const { repo, branch, id } = commit;
  return { from: { repo, branch, commit: id }, fromPath: pathOf(names) };
}

/** What was declared of a commit itself. */
export async function maybeDeclared(
  snapshot: Snapshot,
  commit: Pick<Commit, 'repo' | 'finished' | 'id'>,
): Promise<DeclaredRecord | undefined> {
  const item = await snapshot.item(declaredKey(commit));
  return item && decodeDeclared(item.value);
}

/** All that is known to have been used for a commit: computed first, then what was declared of it; each once. */
export async function allProvenance(snapshot: Snapshot, commit: Commit): Promise<readonly CommitProvenance[]> {
  const declared = (await maybeDeclared(snapshot, commit))?.declarations.map(({ from }) => from) ?? [];
  const all = [...commit.provenance, ...declared];
  return all.filter((from, index) => all.findIndex((each) => isSame(each, from)) === index);
}

/** Declares what a version, or what lies at the path of an address, was made of. */
export async function declareOf(
  project: Project,
  address: Address,
  { sources, spec }: Omit<Declares, 'paths'>,
): Promise<Commit> {
  return project.update(`declare what ${formatAddress(address)} was made of`, async (change) => {
    const commit = await resolveCommit(change.snapshot, address);
    const path = pathOf(await namesAt(change.snapshot, commit, address));
    await declare(change, commit, { paths: [path], sources, spec });
    return commit;
  });
}

/** The names on an address's path. Throws `not-found` where nothing lies there. */
async function namesAt(snapshot: Snapshot, commit: Commit, address: Address): Promise<Buffer[]> {
  const names = parsePath(address.path ?? '/');
  if (await new Directories(snapshot.reader).find(rootOf(commit), names)) return names;
  throw new PachError('not-found', { what: formatAddress(address), why: 'that version has no such path' });
}

/**
 * Declares, as a part of `change`, what a commit was made of, beside what was declared before. Throws
 * `conflict` where that would be a cycle.
 */
export async function declare(change: Change, commit: Commit, { paths, sources, spec }: Declares): Promise<void> {
  const { snapshot } = change;
  const before = await maybeDeclared(snapshot, commit);
  const declarations: Declaration[] = [...(before?.declarations ?? [])];
  for (const { from, fromPath } of sources) {
    await refuseCycle(snapshot, commit, from);
    for (const path of paths) {
      const isKnown = declarations.some((each) => {
        return each.path === path && each.fromPath === fromPath && isSame(each.from, from);
      });
      if (!isKnown) declarations.push({ path, from, fromPath });
    }
    change.setUsed(from, { repo: commit.repo, commit: commit.id });
  }
  const record = { ...before, declarations, spec: spec ?? before?.spec ?? '', who: change.author, time: Date.now() };
  const value = encodeDeclared(record);
  if (value.length > recordBytesMax) {
    const why = `what is declared of it has ${value.length} bytes, more than ${recordBytesMax}`;
    throw new PachError('usage', { what: `${commit.repo}@${commit.id}`, why, next: 'declare folders, not each file' });
  }
  change.set({ key: declaredKey(commit), value, refs: [] });
}

/** Takes away all that is entered of a repo's commits: what they were made of, and what is not in them or was checked. */
export async function forgetProvenance(change: Change, repo: string): Promise<void> {
  const { snapshot } = change;
  const commits = mapOrdered(snapshot.commitItems(repo), readsAhead, async ({ refs: [ref] }) => {
    // What is damaged is deleted all the same.
    const commit = ref && (await snapshot.commitAt(ref).catch(() => undefined));
    return { commit, sources: commit ? await allProvenance(snapshot, commit) : [] };
  });
  for await (const { commit, sources } of commits) {
    for (const from of sources) if (commit) change.delete(usedKey(from, { repo, commit: commit.id }));
  }
  for (const prefix of [declaredPrefix(repo), ...besidePrefixes(repo)]) {
    for await (const { key } of snapshot.items(prefix)) change.delete(key);
  }
}

/** Throws `conflict` where `from` was made of the commit that is to be made of it. */
export async function refuseCycle(
  snapshot: Snapshot,
  commit: Pick<Commit, 'repo' | 'id'>,
  from: CommitProvenance,
): Promise<void> {
  const cycle = new PachError('conflict', {
    what: `${commit.repo}@${commit.id}`,
    why: `${from.repo}@${from.commit} was made of it, so it can't have been made of that`,
    next: `pach lineage ${from.repo}@${from.commit}`,
  });
  const seen = new Set<string>();
  const waiting: Pick<CommitProvenance, 'repo' | 'commit'>[] = [from];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    if (isSame(next, { repo: commit.repo, commit: commit.id })) throw cycle;
    if (seen.has(next.commit)) continue;
    seen.add(next.commit);
    const at = await snapshot.maybeCommit(next.repo, next.commit);
    if (!at) continue;
    waiting.push(...at.provenance);
    for await (const { declaration } of declaredFor(snapshot, at, '/')) waiting.push(declaration.from);
  }
}

export interface Declared {
  readonly declaration: Declaration;
  readonly record: DeclaredRecord;
  /** The commit of which it was declared: the one that was asked for, or one before it. */
  readonly commit: Commit;
}

/**
 * What was declared of a path of a commit, and of what lies above and below it, newest first. What was
 * declared of a commit before holds for as long as the content is the same.
 */
export async function* declaredFor(snapshot: Snapshot, commit: Commit, path: string): AsyncGenerator<Declared> {
  const { repo } = commit;
  const end = declaredKey({ ...commit, finished: commit.finished + 1, id: '' });
  for await (const item of snapshot.itemsBefore(declaredPrefix(repo), end)) {
    const record = decodeDeclared(item.value);
    const touching = record.declarations.filter((each) => covers(each.path, path) || covers(path, each.path));
    if (touching.length === 0) continue;
    const of = await commitBefore(snapshot, commit, lastPart(item.key));
    if (!of) continue;
    for (const declaration of touching) {
      const deeper = covers(path, declaration.path) ? declaration.path : path;
      if (of.id !== commit.id && !(await share(snapshot, of, commit, deeper))) continue;
      yield { declaration, record, commit: of };
    }
  }
}

/** True where what lies at `path` is what lies at `other`, or holds it. Both are absolute, without a slash at the end. */
export function covers(path: string, other: string): boolean {
  return path === '/' || other === path || other.startsWith(`${path}/`);
}

/** The commit of an id, if it is this one or one before it. */
async function commitBefore(snapshot: Snapshot, commit: Commit, id: string): Promise<Commit | undefined> {
  if (id === commit.id) return commit;
  const other = await snapshot.maybeCommit(commit.repo, id as Commit['id']);
  if (!other) return undefined;
  const head = (await snapshot.maybeBranch(commit.repo, commit.branch))?.head;
  if (head && (await snapshot.asOf(head, commit.finished))?.id === commit.id) {
    return (await snapshot.asOf(head, other.finished))?.id === id ? other : undefined;
  }
  for await (const each of snapshot.ancestors(commit)) {
    if (each.id === id) return each;
    if (each.finished < other.finished) return undefined;
  }
  return undefined;
}

/** True where two versions have the same content at a path, or somewhere below it. */
async function share(snapshot: Snapshot, a: Commit, b: Commit, path: string): Promise<boolean> {
  const directories = new Directories(snapshot.reader);
  const names = parsePath(path);
  const [one, other] = await Promise.all([directories.find(rootOf(a), names), directories.find(rootOf(b), names)]);
  return one !== undefined && other !== undefined && shareEntry(directories, one, other);
}

async function shareEntry(directories: Directories, a: TreeEntry, b: TreeEntry): Promise<boolean> {
  if (entryHash(a).equals(entryHash(b))) return true;
  if (a.content.form !== 'directory' || b.content.form !== 'directory') return false;
  const other = directories.reader(b.content);
  for await (const entry of directories.reader(a.content).items()) {
    const found = await other.find(entry.name);
    if (found && (await shareEntry(directories, entry, found))) return true;
  }
  return false;
}

function isSame(a: Pick<CommitProvenance, 'repo' | 'commit'>, b: Pick<CommitProvenance, 'repo' | 'commit'>): boolean {
  return a.repo === b.repo && a.commit === b.commit;
}
