/**
 * A project in a store: snapshots of it, and changes, each published by one compare-and-swap of
 * its head. All that a change refers to is durable before the head moves.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PachError } from '../base/errors.ts';
import { BlobReader } from '../cache/blobs.ts';
import type { ExtentCache } from '../cache/extents.ts';
import { KnownBlobs } from '../chunks/known.ts';
import { mergeIndexes } from '../chunks/merge-indexes.ts';
import { headKey } from '../model/keys.ts';
import { mapFormat } from '../model/map.ts';
import { applyEdits } from '../model/ordered-edit.ts';
import { decodeHead, encodeHead, type Head } from '../model/records/head.ts';
import { encodeOperation, type OperationId } from '../model/records/operation.ts';
import type { Ref } from '../model/refs.ts';
import type { Store, Token } from '../store/store.ts';
import { Change } from './change.ts';
import { Snapshot } from './snapshot.ts';
import { Upload } from './upload.ts';

export interface ProjectOptions {
  readonly store: Store;
  readonly extents: ExtentCache;
  readonly name: string;
  /** Who is written into operations and commits. */
  readonly author: string;
  /** Bytes of memory for what is read, at most. */
  readonly memoryBytesMax: number;
}

const attemptsMax = 200;
const backoffMsMax = 200;

export class Project {
  readonly options: ProjectOptions;
  readonly reader: BlobReader;
  private known: KnownBlobs;

  constructor(options: ProjectOptions) {
    this.options = options;
    this.known = new KnownBlobs(options.extents, options.name, { segments: [], fresh: [] });
    const { extents, name: project, memoryBytesMax } = options;
    this.reader = new BlobReader({
      extents,
      project,
      known: { find: (hash) => this.known.find(hash) },
      memoryBytesMax,
    });
  }

  /** The project as it is now. Throws `not-found` when there is none of that name. */
  async snapshot(): Promise<Snapshot> {
    return (await this.load()).snapshot;
  }

  /** The project as an encoded head says, whatever it is now. */
  snapshotOf(head: Buffer): Snapshot {
    return this.pin(decodeHead(head, headKey(this.options.name)));
  }

  /** A place to gather the objects of one change, for `update`. */
  async upload(): Promise<Upload> {
    await this.load();
    return new Upload(this.options.store, this.options.name, this.known, this.reader);
  }

  /**
   * Publishes what `apply` does to the refs, as one operation. When another writer was first,
   * `apply` runs again on the new state; what was uploaded stays. Nothing is published when
   * it changes nothing.
   */
  async update<T>(what: string, upload: Upload, apply: (change: Change) => Promise<T>): Promise<T> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const { snapshot, token } = await this.load();
      const change = new Change(snapshot, upload, this.options.author);
      const result = await apply(change);
      if (change.edits.size === 0) return result;
      const refs = await change.refs();
      if (await this.publish(what, refs, { head: snapshot.head, token }, upload)) return result;
      await sleep(Math.random() * Math.min(backoffMsMax, 2 ** attempt));
    }
    throw new PachError('conflict', {
      what: `project ${this.options.name}`,
      why: `other writers were faster ${attemptsMax} times`,
      next: 'the same command again',
    });
  }

  /** Makes the project. Throws `conflict` when it exists. */
  async create(): Promise<void> {
    const upload = new Upload(this.options.store, this.options.name, this.known, this.reader);
    const { ref } = await applyEdits({ source: this.reader, sink: upload.nodes }, mapFormat, undefined, []);
    if (!(await this.publish('create project', ref, undefined, upload))) {
      throw new PachError('conflict', { what: `project ${this.options.name}`, why: 'it exists already' });
    }
  }

  /** True when the project exists. */
  async exists(): Promise<boolean> {
    return (await this.options.store.readWithToken(headKey(this.options.name))) !== undefined;
  }

  private async load(): Promise<{ snapshot: Snapshot; token: Token }> {
    const { store, name } = this.options;
    const found = await store.readWithToken(headKey(name));
    if (!found) {
      throw new PachError('not-found', {
        what: `project ${name}`,
        why: `there is no such project in ${store.url}`,
        next: `pach create project ${name}`,
      });
    }
    const head = decodeHead(Buffer.from(found.bytes), headKey(name));
    return { snapshot: this.pin(head), token: found.token };
  }

  private pin(head: Head): Snapshot {
    this.known = new KnownBlobs(this.options.extents, this.options.name, head.indexes);
    return new Snapshot(head, this.reader);
  }

  private async publish(
    what: string,
    refs: Ref,
    base: { head: Head; token: Token } | undefined,
    upload: Upload,
  ): Promise<boolean> {
    const { store, extents, name, author } = this.options;
    const operation = {
      id: randomBytes(16).toString('hex') as OperationId,
      time: Math.max(Date.now(), (base?.head.operation.time ?? 0) + 1),
      who: author,
      what,
    };
    const parents = base ? [base.head.operationRef] : [];
    const body = encodeOperation({ ...operation, hasParent: base !== undefined });
    const operationRef = await upload.nodes.add({ kind: 'operation', level: 0, refs: [refs, ...parents], body });
    const packs = await upload.finish();
    const listed = {
      segments: base?.head.indexes.segments ?? [],
      fresh: [...(base?.head.indexes.fresh ?? []), ...packs],
    };
    const indexes = await mergeIndexes(store, extents, name, listed);
    const head: Head = {
      ...base?.head,
      project: name,
      operation: { ...operation, hasParent: base !== undefined },
      operationRef,
      refs,
      indexes,
      epoch: base?.head.epoch ?? 0,
    };
    return (await store.writeIfUnchanged(headKey(name), encodeHead(head), base?.token)) !== undefined;
  }
}
