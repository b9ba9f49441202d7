/**
 * A project in a store: snapshots of it, and changes, each published by one compare-and-swap of
 * its head. All that a change refers to is durable before the head moves.
 */
import { isPachError, PachError, type ErrorCode } from '../base/errors.ts';
import { BlobMemory, BlobReader, type BlobIndex } from '../cache/blobs.ts';
import type { ExtentCache } from '../cache/extents.ts';
import type { OutsideBytes } from '../cache/outside.ts';
import type { IndexCache } from '../chunks/index-cache.ts';
import { KnownBlobs, type IndexList } from '../chunks/known.ts';
import { mergeIndexes } from '../chunks/merge-indexes.ts';
import type { Deadline } from '../base/deadline.ts';
import type { StoredPack } from '../chunks/pack-writer.ts';
import { headKey, packKey, segmentKey } from '../model/keys.ts';
import { mapFormat } from '../model/map.ts';
import { applyEdits } from '../model/ordered-edit.ts';
import { decodeHead, encodeHead, type Head } from '../model/records/head.ts';
import type { Hash, Place } from '../model/refs.ts';
import type { Store, Token, Versioned } from '../store/store.ts';
import { Change } from './change.ts';
import { Contention } from './contention.ts';
import { HeadWatch, type SeenHead } from './head-watch.ts';
import { missesHead, noHead } from './no-head.ts';
import type { ProjectMemory } from './project-memory.ts';
import { publish, type Deed } from './publish.ts';
import { collectedOr } from './renew.ts';
import { Snapshot } from './snapshot.ts';
import { Upload, type UploadOptions } from './upload.ts';

export interface ProjectOptions {
  readonly store: Store;
  readonly extents: ExtentCache;
  readonly name: string;
  /** Who is written into operations and commits, unless a change says who makes it. */
  readonly author: string;
  /** Reads references; without, there must be none. */
  readonly outside?: OutsideBytes | undefined;
  /** Shared with other projects of the store. */
  readonly memory: ProjectMemory;
}

/** A head, its version in the store, and what its indexes know. */
export interface Base {
  readonly head: Head;
  readonly token: Token;
  readonly known: KnownBlobs;
}

/** A change that has begun: what it began with, who makes it, and where its objects go. Its scope is the upload's. */
export interface Begun extends AsyncDisposable {
  readonly base: Base;
  readonly snapshot: Snapshot;
  readonly author: string;
  readonly upload: Upload;
}

/** That a head is not there, or damaged, is told for so long to all who miss something. */
const failureMs = 1000;

export class Project {
  readonly options: ProjectOptions;
  readonly reader: BlobReader;
  /** Tells of moves of the head, whoever moves it. */
  readonly head: HeadWatch = new HeadWatch((known, deadline) => this.lookAtHead(known, deadline));
  readonly indexes: IndexCache;
  private readonly contention: Contention;
  private known: KnownBlobs;
  /** The last head that was read for something that is missing, when, and until when it counts. */
  private newest: { readonly at: number; readonly base: Promise<Base>; readonly until: number } | undefined;

  constructor(options: ProjectOptions) {
    this.options = options;
    this.indexes = options.memory.indexes;
    this.contention = new Contention(options.name);
    this.known = this.knownOf({ segments: [], fresh: [] });
    this.reader = this.newReader(options.memory.blobs, false);
  }

  /** Reads what nobody waits for yet: what it brings is near for all readers, and is not in the memory of `reader`. */
  idleReader(memoryBytesMax: number): BlobReader {
    return this.newReader(new BlobMemory(memoryBytesMax), true);
  }

  private newReader(memory: BlobMemory, idle: boolean): BlobReader {
    const { extents, outside, name: project } = this.options;
    const known = { find: (...of: Parameters<BlobIndex['find']>) => this.find(...of) };
    return new BlobReader({ extents, project, known, memory, outside, idle });
  }

  /** The project as it is now. Throws `not-found` when there is none of that name. */
  async snapshot(): Promise<Snapshot> {
    return new Snapshot((await this.load()).head, this.reader);
  }

  /** The project as an encoded head says, whatever it is now. */
  snapshotOf(head: Buffer): Snapshot {
    const decoded = decodeHead(head, headKey(this.options.name));
    this.known = this.knownOf(decoded.indexes);
    return new Snapshot(decoded, this.reader);
  }

  /** The head as it is now. Throws `not-found` when there is no project of that name. */
  load(): Promise<Base> {
    return this.onNewest((base) => Promise.resolve(base));
  }

  /** Runs `work` on the newest head; again when a garbage collection has deleted what that head lists. */
  private async onNewest<T>(work: (base: Base) => Promise<T>): Promise<T> {
    for (;;) {
      const base = await this.readHead();
      try {
        return await work(await this.enter(base));
      } catch (error) {
        if (!isPachError(error, 'damaged') || (await this.readHead()).token === base.token) throw error;
      }
    }
  }

  /** The head as it is now; of what it lists nothing is looked at. */
  async readHead(again = false): Promise<Base> {
    const { store, name } = this.options;
    const found = await store.readWithToken(headKey(name));
    if (!found) {
      const isKnown = await missesHead(store, name);
      if (isKnown && !again) return this.readHead(true);
      throw noHead(store, name, isKnown);
    }
    try {
      return this.baseOf(found);
    } catch (error) {
      // Bytes that came wrong may come right the next time.
      if (again || !isPachError(error, 'damaged')) throw error;
      return this.readHead(true);
    }
  }

  private async lookAtHead(known: Token | undefined, deadline: Deadline): Promise<SeenHead | undefined> {
    const { store, name } = this.options;
    const found = await store.readIfChanged(headKey(name), known, deadline);
    if (found === 'unchanged') return undefined;
    if (!found) throw noHead(store, name, false);
    const { head, token } = await this.enter(this.baseOf(found));
    return { token, snapshot: new Snapshot(head, this.reader) };
  }

  private baseOf({ bytes, token }: Versioned): Base {
    const head = decodeHead(Buffer.from(bytes), headKey(this.options.name));
    this.contention.saw(head.operation.id, { token });
    return { head, token, known: this.knownOf(head.indexes) };
  }

  private async enter(base: Base): Promise<Base> {
    const { extents, name } = this.options;
    this.known = base.known;
    if (await extents.enter(name, base.head.epoch, () => liveKeys(name, base.known))) this.reader.clear();
    return base;
  }

  /** Runs `attempt`, which tries to replace the head, until it resolves to something. Throws `conflict` after many attempts. */
  retry<T>(attempt: () => Promise<{ readonly result: T } | undefined>): Promise<T> {
    return this.contention.retry(attempt);
  }

  /** Replaces the head, unless it has moved meanwhile. True when it was replaced. */
  async replace(token: Token | undefined, head: Head): Promise<boolean> {
    const { store, name } = this.options;
    const written = await store.writeIfUnchanged(headKey(name), encodeHead(head), token);
    if (written === undefined) this.contention.lost(token);
    else {
      this.contention.saw(head.operation.id, { isOwn: true });
      this.head.published(token, { token: written, snapshot: new Snapshot(head, this.reader) });
    }
    return written !== undefined;
  }

  /** The project as it is now, and a place to gather the objects of a change of it, for `update`. */
  async begin(author = this.options.author): Promise<Begun> {
    await this.contention.giveWay();
    const base = await this.load();
    base.known.prepare();
    const upload = this.uploadOn(base.known, base.head.epoch);
    const snapshot = new Snapshot(base.head, this.reader);
    return { base, snapshot, author, upload, [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose]() };
  }

  /** A place for objects that another process is to publish (`Upload.handOver`): the head is read, and never moved. */
  async beginPart(): Promise<Upload> {
    const base = await this.load();
    return this.uploadOn(base.known, base.head.epoch, () => Promise.resolve(false));
  }

  /**
   * Publishes what `apply` does to the refs, as one operation. When another writer was first,
   * `apply` runs again on the new state; what was uploaded stays. Nothing is published when
   * it changes nothing. `what` says what is done, by a person unless it says more.
   */
  async update<T>(what: string | Deed, apply: (change: Change) => Promise<T>, begun?: Begun): Promise<T> {
    const { base: first, author, upload: given } = begun ?? (await this.begin());
    const deed = typeof what === 'string' ? { what } : what;
    let upload = given;
    // A long upload has moved the head itself.
    let next: Base | undefined = upload.hasAnnounced ? undefined : first;
    const attempt = async (): Promise<{ result: T } | undefined> => {
      const base = next ?? (await this.load());
      next = undefined;
      if (!begun && base.head.epoch !== upload.epoch) {
        await upload[Symbol.asyncDispose]();
        upload = this.uploadOn(base.known, base.head.epoch);
      }
      try {
        const change = new Change(new Snapshot(base.head, this.reader), { upload, author, known: base.known });
        const result = await apply(change);
        if (change.edits.size === 0) return { result };
        const refs = await change.refs();
        const ends = change.endsHistory;
        return (await publish(this, { deed, author, refs, ends }, { base, upload })) ? { result } : undefined;
      } catch (error) {
        // A garbage collection may have deleted what this was about to read.
        if (!isPachError(error, 'damaged')) throw error;
        if ((await this.load()).token !== base.token) return undefined;
        throw await collectedOr(this, upload, error);
      }
    };
    try {
      return await this.contention.retry(attempt);
    } finally {
      if (!begun) await upload[Symbol.asyncDispose]();
    }
  }

  /** Makes the project. Throws `conflict` when it exists. */
  async create(): Promise<void> {
    await using upload = this.uploadOn(this.known, 0);
    const { ref } = await applyEdits({ source: this.reader, sink: upload.nodes }, mapFormat, undefined, []);
    const { author } = this.options;
    if (!(await publish(this, { deed: { what: 'create project' }, author, refs: ref }, { base: undefined, upload }))) {
      throw new PachError('conflict', { what: `project ${this.options.name}`, why: 'it already exists' });
    }
  }

  /** True when the project exists. */
  async exists(): Promise<boolean> {
    return (await this.options.store.readWithToken(headKey(this.options.name))) !== undefined;
  }

  private uploadOn(
    known: KnownBlobs,
    epoch: number,
    announce: UploadOptions['announce'] = (...of) => this.announce(...of),
  ): Upload {
    const { store, name: project } = this.options;
    const { reader, indexes } = this;
    return new Upload({ store, project, reader, indexes, known, epoch, announce });
  }

  private knownOf(indexes: IndexList): KnownBlobs {
    return new KnownBlobs(this.options.extents, this.options.name, indexes, this.indexes);
  }

  /** Where a blob lies, as the last head says that was seen, or one that was read after `since`. */
  private async find(hash: Hash, since?: number): Promise<Place | undefined> {
    if (since === undefined) return this.known.find(hash).catch(unless('damaged'));
    const { known } = (await this.newestSince(since).catch(unless('not-found'))) ?? {};
    return known?.find(hash).catch((error: unknown) => {
      if (!isPachError(error, 'damaged')) throw error;
      return this.onNewest((base) => base.known.find(hash));
    });
  }

  /** A head that was read after `since`: one for all who miss something. */
  private newestSince(since: number): Promise<Base> {
    const { newest } = this;
    if (newest && newest.at >= since && performance.now() < newest.until) return newest.base;
    const at = performance.now();
    const base = this.onNewest(async (loaded) => {
      await loaded.known.findAll([]);
      return loaded;
    });
    const begun = { at, base, until: Infinity };
    base.catch((error: unknown) => {
      begun.until = performance.now() + (isPachError(error, 'unreachable') ? 0 : failureMs);
    });
    this.newest = begun;
    return base;
  }

  private announce(packs: readonly StoredPack[], epoch: number, signal: AbortSignal): Promise<boolean> {
    const { store, extents, name } = this.options;
    return this.contention.retry(async () => {
      const { head, token } = await this.load();
      if (head.epoch !== epoch || signal.aborted) return { result: false };
      const { segments, fresh } = head.indexes;
      const listed = { segments, fresh: [...fresh, ...packs] };
      const indexes = await mergeIndexes(store, extents, name, listed, { cache: this.indexes });
      return (await this.replace(token, { ...head, indexes })) ? { result: true } : undefined;
    });
  }
}

/** Handles an error of a kind: there is nothing then. */
function unless(code: ErrorCode): (error: unknown) => undefined {
  return (error) => {
    if (!isPachError(error, code)) throw error;
  };
}

/** Keys of all objects that a head's indexes know. */
async function liveKeys(project: string, known: KnownBlobs): Promise<ReadonlySet<string>> {
  const packs = await known.packs();
  return new Set([
    ...[...packs].map(([id, kind]) => packKey(project, kind, id)),
    ...known.indexes.segments.map(({ id }) => segmentKey(project, id)),
  ]);
}
