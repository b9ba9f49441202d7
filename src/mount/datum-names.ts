/**
 * One datum as its command would see it: a folder for each input with the datum's files at their
 * paths, and `out`, a link to a folder of this machine. Which datum it is stands in a record
 * (local/mounted-datum) that commands replace. It is looked at whenever the kernel asks for a name of
 * the root directory, so what is opened next is of the datum that was recorded last. All below an input
 * is pinned: what is open stays what it is.
 */
import { statSync, type BigIntStats } from 'node:fs';
import { PachError } from '../base/errors.ts';
import { fileTime } from '../base/file-time.ts';
import {
  currentDatum,
  outFolder,
  readMountedDatum,
  type MountedDatum,
  type ShownDatum,
  type ShownFile,
} from '../local/mounted-datum.ts';
import { nameOfText, parsePath, textOfName } from '../model/paths.ts';
import type { CommitId } from '../model/records/commit.ts';
import type { TreeEntry } from '../model/tree.ts';
import type { Directories, Directory } from '../versions/directories.ts';
import { rootOf, type Commit, type Snapshot } from '../versions/snapshot.ts';
import { directoryEntry, entriesFrom, ordinalOf, type Names, type RootName } from './root-names.ts';
import { rootIno, type AbsentName, type ViewEntry, type ViewRoot } from './view.ts';

/** The record may be replaced at any time. */
const validMs = 0;
const absent: AbsentName = { kind: 'absent', validMs };
/** Beyond every `ordinalOf`. The ordinal of `out` is that of its datum beyond this one, and tells where it leads. */
const outOrdinal = 2 ** 42;

/** What is known of a path below an input: what lies there, or what lies below it. */
interface Place {
  entry?: TreeEntry;
  readonly below: Map<string, Place>;
}

export class DatumNames implements Names {
  readonly move = false;
  readonly listed: readonly RootName[] = [];
  readonly snapshot: Snapshot;
  private readonly directories: Directories;
  private readonly record: string;
  private readonly out: string;
  /** By ordinal. */
  private readonly names = new Map<number, RootName>();
  /** The record as it was when it was last looked at. */
  private stamp: BigIntStats;
  /** What the root lists; undefined until it was made of that record. */
  private now: Promise<readonly RootName[]> | undefined;

  private constructor(
    snapshot: Snapshot,
    directories: Directories,
    { record, out, stamp }: { readonly record: string; readonly out: string; readonly stamp: BigIntStats },
  ) {
    this.snapshot = snapshot;
    this.directories = directories;
    this.record = record;
    this.out = out;
    this.stamp = stamp;
  }

  /** `directories` take new ones. `record` is the path of the record. Throws `damaged` and `not-found`. */
  static async open(snapshot: Snapshot, directories: Directories, record: string): Promise<DatumNames> {
    const stamp = statSync(record, { bigint: true });
    const mounted = await readMountedDatum(record);
    const names = new DatumNames(snapshot, directories, { record, out: mounted.out, stamp });
    // Of those before the last one, files may still be open since another server served this mount.
    for (const datum of mounted.shown) names.now = Promise.resolve(await names.resolve(datum));
    return names;
  }

  root(): ViewRoot {
    this.look();
    const entry = { ...directoryEntry(Buffer.alloc(0), 0, 0, undefined), ...timeOf(this.stamp), validMs };
    return { ...entry, ino: rootIno, parent: rootIno, top: 0 };
  }

  async list(from: number): Promise<readonly ViewEntry[]> {
    return entriesFrom(await this.shown(), from);
  }

  private shown(): Promise<readonly RootName[]> {
    this.look();
    this.now ??= this.read();
    // A store that did not answer may do so later.
    this.now.catch(() => (this.now = undefined));
    return this.now;
  }

  async find(name: string): Promise<RootName | AbsentName> {
    return (await this.shown()).find(({ entry }) => textOfName(entry.name) === name) ?? absent;
  }

  at(ordinal: number): RootName | undefined {
    return this.names.get(ordinal);
  }

  target(ordinal: number): Buffer {
    return this.outAt(ordinal - outOrdinal);
  }

  /** Sees whether the record was replaced. One that is gone is that of a mount that ends. */
  private look(): void {
    const stamp = statSync(this.record, { bigint: true, throwIfNoEntry: false });
    if (!stamp || (stamp.ino === this.stamp.ino && stamp.mtimeNs === this.stamp.mtimeNs)) return;
    this.stamp = stamp;
    this.now = undefined;
  }

  private async read(): Promise<readonly RootName[]> {
    const mounted: MountedDatum = await readMountedDatum(this.record);
    if (mounted.out === this.out) return this.resolve(currentDatum(mounted));
    throw new PachError('not-found', { what: this.record, why: 'it is of a later mount at the same place' });
  }

  private async resolve(datum: ShownDatum): Promise<readonly RootName[]> {
    const inputs = new Map<string, { readonly commit: Commit; readonly top: Place }>();
    for (const file of datum.files) {
      const input = inputs.get(file.input) ?? { commit: await this.commitOf(file), top: { below: new Map() } };
      inputs.set(file.input, input);
      await this.add(input.top, input.commit, file);
    }
    const names: RootName[] = [];
    for (const [name, { commit, top }] of inputs) {
      const { ref } = await this.directoryOf(top, commit.finished);
      const ordinal = ordinalOf(name);
      const entry = { ...directoryEntry(nameOfText(name), ordinal, commit.finished, ref), validMs };
      names.push({ entry, shown: undefined, commit });
    }
    names.push({ entry: this.outEntry(datum.index), shown: undefined, commit: undefined });
    for (const name of names) this.names.set(name.entry.ordinal, name);
    return names.sort((a, b) => a.entry.ordinal - b.entry.ordinal);
  }

  private async commitOf({ repo, commit: id }: ShownFile): Promise<Commit> {
    const commit = await this.snapshot.maybeCommit(repo, id as CommitId);
    if (!commit) throw new PachError('not-found', { what: `${repo}@${id}`, why: 'there is no such commit' });
    return commit;
  }

  /** A folder of a group may have other files of it in it: these are there already. */
  private async add(top: Place, commit: Commit, file: ShownFile): Promise<void> {
    const path = parsePath(file.path);
    const entry = await this.directories.find(rootOf(commit), path);
    if (!entry) throw new PachError('not-found', { what: file.path, why: `commit ${commit.id} has no such file` });
    let place = top;
    for (const name of path) {
      if (place.entry) return;
      const text = textOfName(name);
      const next: Place = place.below.get(text) ?? { below: new Map() };
      place.below.set(text, next);
      place = next;
    }
    place.entry = file.empty ? await this.emptied(entry) : entry;
  }

  private async directoryOf(place: Place, time: number): Promise<Directory> {
    if (place.entry?.content.form === 'directory') return place.entry.content;
    const entries: TreeEntry[] = [];
    for (const [text, below] of place.below) {
      const name = nameOfText(text);
      if (below.entry) entries.push({ ...below.entry, name });
      else {
        const content = await this.directoryOf(below, time);
        entries.push({ name, kind: 'directory', executable: false, ...fileTime(time), content });
      }
    }
    return this.directories.apply(
      undefined,
      entries.sort((a, b) => a.name.compare(b.name)),
    );
  }

  /** The same names with files that have no bytes, as a worker makes them of an input with `empty_files`. */
  private async emptied(entry: TreeEntry): Promise<TreeEntry> {
    if (entry.content.form !== 'directory') {
      return { ...entry, kind: 'file', executable: false, content: { form: 'inline', bytes: Buffer.alloc(0) } };
    }
    const below: TreeEntry[] = [];
    for await (const each of this.directories.reader(entry.content).items()) below.push(await this.emptied(each));
    return { ...entry, content: await this.directories.apply(undefined, below) };
  }

  private outEntry(index: number): RootName['entry'] {
    const entry = directoryEntry(Buffer.from('out'), outOrdinal + index, this.snapshot.head.operation.time, undefined);
    return { ...entry, kind: 'symlink', size: this.outAt(index).length, validMs };
  }

  private outAt(index: number): Buffer {
    return Buffer.from(outFolder({ out: this.out }, index));
  }
}

function timeOf({ mtimeNs }: BigIntStats): { mtimeSeconds: number; mtimeNanoseconds: number } {
  return { mtimeSeconds: Number(mtimeNs / 1_000_000_000n), mtimeNanoseconds: Number(mtimeNs % 1_000_000_000n) };
}
