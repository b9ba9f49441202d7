/**
 * The names in the root directory of a mount that follows branches. They show one operation of the
 * project, and from one instant on all of them show a later one (`show`).
 *
 * What a name shows is a directory whose inode goes with the name and the version. Whoever works in it,
 * has it bound elsewhere or reads its list goes on in that commit. Beside the names that the mount lists
 * and any `<repo>@<ref>` there is `<name>=<commit>`: the directory that the name showed at that commit,
 * with the same inode. The kernel gives a directory one name at a time. When that name is looked up, the
 * kernel moves what it knows of the old version there, where it would have dropped it (mount/follower).
 */
import { isPachError, PachError } from '../base/errors.ts';
import { parseAddress, type Address } from '../model/address.ts';
import { nameOfText, textOfName } from '../model/paths.ts';
import type { Directories } from '../versions/directories.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';
import { directoryEntry, ordinalOf, resolveName, type MountSource, type Names, type RootName } from './root-names.ts';
import { nameOnly, rootIno, type AbsentName, type ViewEntry, type ViewRoot } from './view.ts';

/** What is to be listed, as the project is. */
export type SourcesOf = (snapshot: Snapshot) => Promise<readonly MountSource[]>;

/** What the names show at one operation. */
export interface Moment {
  readonly snapshot: Snapshot;
  readonly listed: readonly RootName[];
  /** Names of sources that are not there. */
  readonly missing: readonly string[];
  readonly known: Map<string, Known>;
}

/** What was looked up for a name: undefined where there is none. */
interface Known {
  readonly coming: Promise<RootName | undefined>;
  /** What came; undefined before. */
  readonly found?: { readonly name: RootName | undefined };
}

/** A name of which the kernel may know something that is not so at another moment. */
export interface Changed {
  readonly name: string;
  /** The name under which what it shows now can be found then; absent where it shows nothing. */
  readonly earlier?: string;
}

/** In a name of an earlier version: a repo that had none. */
const noCommit = '0'.repeat(32);
const earlier = /^(.+)=([0-9a-f]{32})$/;
/** For how long the kernel need not ask again, when no move is at hand. */
export const validMs = 1000;
const knownMax = 1024;
/** Versions whose commits are known, for extended attributes. */
const namesMax = 4096;
/** Lists of names that somebody may be in the middle of. */
const listsMax = 256;
/** What a place in a list is told by: the list's number, and this many places in each. */
const placesMax = 2 ** 20;

export class FollowNames implements Names {
  readonly move = true;
  private readonly directories: Directories;
  private readonly sourcesOf: SourcesOf;
  private moment: Moment;
  /** By ordinal, of this moment and earlier ones, the one added last at the end. */
  private readonly names = new Map<number, RootName>();
  /** Names in earlier lists and in this one, by number. */
  private readonly lists = new Map<number, readonly string[]>();
  /** A later server of the same mount begins with a higher number. */
  private list1 = Math.floor(Date.now() / 1000);
  /** Time of the operation since which these names are listed. */
  private listedSince = 0;
  private valid = validMs;
  private absentValid = validMs;
  /** Settles when names may be told again. */
  private held: Promise<void> | undefined;

  private constructor(directories: Directories, sourcesOf: SourcesOf, first: Moment) {
    this.directories = directories;
    this.sourcesOf = sourcesOf;
    this.moment = first;
  }

  /** What is not there is left out; throws what the store does. */
  static async open(snapshot: Snapshot, directories: Directories, sourcesOf: SourcesOf): Promise<FollowNames> {
    const names = new FollowNames(directories, sourcesOf, { snapshot, listed: [], missing: [], known: new Map() });
    names.show(await names.prepare(snapshot));
    return names;
  }

  get snapshot(): Snapshot {
    return this.moment.snapshot;
  }

  get listed(): readonly RootName[] {
    return this.moment.listed;
  }

  /** Names of sources that are not there now. */
  get missing(): readonly string[] {
    return this.moment.missing;
  }

  root(): ViewRoot {
    const entry = directoryEntry(Buffer.alloc(0), 0, this.listedSince, undefined);
    return { ...entry, ino: rootIno, parent: rootIno, top: 0, validMs: this.valid };
  }

  async list(from: number): Promise<readonly ViewEntry[]> {
    await this.held;
    const number = from === 0 ? this.list1 : Math.floor(from / placesMax);
    const list = this.lists.get(number);
    if (!list) throw new PachError('failed', { what: 'list of names', why: 'it was begun too many changes ago' });
    const at = from % placesMax;
    const next = (index: number): number => number * placesMax + at + index + 1;
    if (number !== this.list1) return list.slice(at).map((name, index) => onlyName(name, next(index)));
    return this.listed.slice(at).map(({ entry }, index) => ({ ...entry, validMs: this.valid, next: next(index) }));
  }

  async find(name: string): Promise<RootName | AbsentName> {
    // A name of an earlier version is looked up while a move holds the others.
    if (!earlier.test(name)) await this.held;
    for (;;) {
      const { moment } = this;
      const found = await this.knownIn(moment, name);
      // The project has moved on meanwhile.
      if (moment !== this.moment) continue;
      if (!found) return { kind: 'absent', validMs: this.absentValid };
      return { ...found, entry: { ...found.entry, validMs: this.valid } };
    }
  }

  at(ordinal: number): RootName | undefined {
    return this.names.get(ordinal);
  }

  target(): Buffer {
    throw new Error('none of these names is a symbolic link');
  }

  /** What the names will show at an operation. */
  async prepare(snapshot: Snapshot): Promise<Moment> {
    const moment: Moment = { snapshot, listed: [], missing: [], known: new Map() };
    const listed: RootName[] = [];
    const missing: string[] = [];
    for (const source of await this.sourcesOf(snapshot)) {
      const found = await this.resolve(snapshot, source);
      if (found) listed.push(found);
      else missing.push(source.name);
      moment.known.set(source.name, knownAs(found));
    }
    for (const [name, { found }] of this.moment.known) {
      if (moment.known.has(name) || earlier.test(name) || !found?.name) continue;
      moment.known.set(name, knownAs(await this.unlisted(snapshot, name)));
    }
    return { ...moment, listed, missing };
  }

  /** Names of which the kernel may know something that is not so at another moment. */
  changes(next: Moment): Changed[] {
    return [...this.moment.known].flatMap(([name, { found }]) => {
      if (!found || earlier.test(name)) return [];
      const old = found.name;
      const now = next.known.get(name)?.found?.name;
      // Of names that are not listed and say no version, none comes to be.
      if (old?.entry.ordinal === now?.entry.ordinal && (old || !name.includes('@'))) return [];
      return { name, ...(old && { earlier: `${name}=${old.commit?.id ?? noCommit}` }) };
    });
  }

  /** From now on, until names move, the kernel is to ask each time for names that are absent. */
  doubtAbsent(): void {
    this.absentValid = 0;
  }

  /** The same of all names. */
  doubt(): void {
    this.valid = 0;
  }

  /** No name but those of earlier versions is told until the function returned is called. */
  hold(): () => void {
    let release = (): void => undefined;
    this.held = new Promise((resolve) => (release = resolve));
    return release;
  }

  /** Shows another moment. True when other names are listed. */
  show(moment: Moment): boolean {
    this.moment = moment;
    this.valid = this.absentValid = validMs;
    for (const name of moment.listed) this.remember(name);
    const list = moment.listed.map(({ entry }) => textOfName(entry.name));
    const before = this.lists.get(this.list1);
    if (before?.length === list.length && before.every((name, index) => name === list[index])) return false;
    this.list1 += 1;
    this.lists.set(this.list1, list);
    this.listedSince = Math.max(this.listedSince + 1, moment.snapshot.head.operation.time);
    dropOldest(this.lists, listsMax);
    return true;
  }

  private knownIn({ known, snapshot }: Moment, name: string): Promise<RootName | undefined> {
    const before = known.get(name);
    if (before) return before.coming;
    const coming = this.unlisted(snapshot, name);
    known.set(name, { coming });
    coming.then(
      (found) => known.set(name, { coming, found: { name: found } }),
      // A store that did not answer may do so later.
      () => known.delete(name),
    );
    if (known.size > knownMax) this.forgetOne(known);
    return coming;
  }

  /** Forgets the name that was looked up first of those that are not listed. */
  private forgetOne(known: Moment['known']): void {
    const listed = new Set(this.listed.map(({ entry }) => textOfName(entry.name)));
    const name = [...known.keys()].find((each) => !listed.has(each) && !this.missing.includes(each));
    if (name !== undefined) known.delete(name);
  }

  /** Of names that are not listed, those of the form `<repo>@<ref>` can exist, and those of earlier versions. */
  private async unlisted(snapshot: Snapshot, name: string): Promise<RootName | undefined> {
    const [, now, commit] = earlier.exec(name) ?? [];
    const sources = now === undefined ? [] : await this.sourcesOf(snapshot);
    const address = sources.find((source) => source.name === now)?.address ?? maybeVersion(now ?? name);
    if (now !== undefined && commit === noCommit) return this.resolve(snapshot, { name: now, address: undefined });
    if (!address) return undefined;
    if (now === undefined) return this.resolve(snapshot, { name, address });
    return this.resolve(snapshot, { name: now, address: { ...address, ref: commit, time: undefined, ancestry: [] } });
  }

  private async resolve(snapshot: Snapshot, source: MountSource): Promise<RootName | undefined> {
    try {
      const ordinal = (commit: Commit | undefined): number => ordinalOf(`${source.name}=${versionOf(commit)}`);
      return this.remember(await resolveName(snapshot, this.directories, source, ordinal));
    } catch (error) {
      if (isPachError(error, 'not-found', 'usage')) return undefined;
      throw error;
    }
  }

  private remember(name: RootName): RootName {
    const { ordinal } = name.entry;
    const known = this.names.get(ordinal) ?? name;
    this.names.delete(ordinal);
    this.names.set(ordinal, known);
    dropOldest(this.names, namesMax);
    return known;
  }
}

function knownAs(name: RootName | undefined): Known {
  return { coming: Promise.resolve(name), found: { name } };
}

/** A purge keeps the id of a commit and gives it another tree. */
function versionOf(commit: Commit | undefined): string {
  return commit ? `${commit.id}:${commit.tree.hash.toString('hex')}` : '';
}

/** The version that a name says by itself; undefined for other names. */
function maybeVersion(name: string): Address | undefined {
  if (!name.includes('@')) return undefined;
  try {
    const address = parseAddress(name);
    return address.path === undefined && address.project === undefined ? address : undefined;
  } catch {
    return undefined;
  }
}

/** An entry of an earlier list, of which only the name is still told. */
function onlyName(name: string, next: number): ViewEntry {
  return { ...directoryEntry(nameOfText(name), ordinalOf(name), 0, undefined), validMs: nameOnly, next };
}

function dropOldest<V>(map: Map<number, V>, max: number): void {
  const [oldest] = map.keys();
  if (map.size > max && oldest !== undefined) map.delete(oldest);
}
