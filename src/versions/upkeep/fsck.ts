/**
 * Checks a project: that all that versions need is there and is what was stored. Reads from the
 * store itself, past caches, and changes nothing. First the indexes, then packs, then versions,
 * newest first, so that what is lost is told with the paths that need it.
 */
import { mapOrdered } from '../../base/async.ts';
import { PachError } from '../../base/errors.ts';
import { BlobMemory, BlobReader } from '../../cache/blobs.ts';
import { ExtentCache } from '../../cache/extents.ts';
import { BlobTable, type PackName } from '../../chunks/blob-table.ts';
import { KnownBlobs } from '../../chunks/known.ts';
import { packEntry, type PackIndex } from '../../chunks/pack.ts';
import { objectKey, packKey } from '../../model/keys.ts';
import type { Node } from '../../model/node.ts';
import type { Condemned } from '../../model/records/condemned.ts';
import type { Head } from '../../model/records/head.ts';
import { hashKey, type Hash, type PackId, type Ref } from '../../model/refs.ts';
import { readCondemned } from '../condemned.ts';
import { Damage, type Found, type Mender } from './fsck-damage.ts';
import { checkForm, readPack } from './fsck-data.ts';
import { Findings, type Draft, type Finding } from './fsck-findings.ts';
import { IndexCheck } from './fsck-indexes.ts';
import { RefsCheck } from './fsck-refs.ts';
import { TreeCheck, VersionPath, type Blobs } from './fsck-tree.ts';
import { listObjects, type StoredObject } from './objects.ts';
import type { Project } from '../project.ts';

export interface FsckRequest {
  /** Which share of the data packs is read whole, 0 to 1. Metadata always is. */
  readonly readShare: number;
  /** Numbers from 0 to 1, for the choice of packs. */
  random(): number;
  /** Chooses the packs instead, in the order in which they are to be read, and is told of each that was. */
  readonly pass?: ReadingPass | undefined;
  progress(what: string): void;
  readonly signal?: AbortSignal | undefined;
}

/** Chooses data packs. */
export interface ReadingPass {
  choose<Pack extends PackSize>(packs: readonly Pack[]): readonly Pack[];
  wasRead(pack: PackSize): void;
}

export interface PackSize {
  readonly id: PackId;
  readonly size: number;
}

export interface FsckResult {
  readonly findings: readonly Finding[];
  readonly checked: {
    readonly commits: number;
    readonly nodes: number;
    /** Different ones that versions need. */
    readonly chunks: number;
    readonly packs: number;
    /** Bytes of data packs that were read whole. */
    readonly bytesRead: number;
    /** Different objects of other buckets that files refer to, which are not looked at; absent where there are none. */
    readonly references?: number;
  };
  /** Objects that nothing refers to: they wait for a collection. */
  readonly garbage: { readonly objects: number; readonly bytes: number };
}

const mebibyte = 1024 * 1024;
const memoryBytes = 64 * mebibyte;
/** Packs that are in memory at a time. */
const packsAhead = 2;
/** No pack is larger, so that reading one whole is safe. */
const packBytesMax = 64 * mebibyte;

/**
 * Throws `conflict` when things were deleted meanwhile, and `damaged` when the head itself can't be
 * read; what is wrong below it is found, one after another.
 */
export async function checkProject(project: Project, request: FsckRequest): Promise<FsckResult> {
  const { head } = await project.readHead();
  const result = await new Check(project, head, request).run();
  if (result.findings.length > 0 && (await project.readHead()).head.epoch !== head.epoch) {
    throw new PachError('conflict', {
      what: `project ${head.project}`,
      why: 'a garbage collection ran during the check',
      next: 'run the same command again',
    });
  }
  return result;
}

/** One check, which a mender may take part in. */
export class Check implements Blobs, Found {
  private readonly project: Project;
  private readonly head: Head;
  private readonly request: FsckRequest;
  private readonly mender: Mender | undefined;
  readonly findings = new Findings();
  readonly table = new BlobTable();
  readonly damage = new Damage(this.table);
  private readonly reader: BlobReader;
  private readonly packIndexes: KnownBlobs;
  objects: ReadonlyMap<string, StoredObject> = new Map();
  condemned: readonly Condemned[] = [];
  /** Data packs that the indexes know; true when their own index has been looked at too. */
  private readonly dataPacks = new Map<PackId, boolean>();
  private nodes = 0;
  private bytesRead = 0;

  constructor(project: Project, head: Head, request: FsckRequest, mender?: Mender) {
    const { store, name } = project.options;
    this.mender = mender;
    this.project = project;
    this.head = head;
    this.request = request;
    const extents = new ExtentCache(store, { memoryBytesMax: memoryBytes, readAroundBytes: mebibyte });
    // Refs get their places from the indexes, so nothing must be looked up.
    const known = { find: () => Promise.resolve(undefined) };
    this.reader = new BlobReader({ extents, project: name, known, memory: new BlobMemory(memoryBytes) });
    this.packIndexes = new KnownBlobs(store, name, { segments: [], fresh: [] });
  }

  async run(): Promise<FsckResult> {
    const { head, table, findings, request, mender } = this;
    const { store } = this.project.options;
    request.progress('reading indexes');
    await new IndexCheck(store, head.project, table, findings).run(head.indexes);
    this.damage.indexes.push(...findings.begun);
    request.progress('listing objects');
    const isShort = findings.begun.length > 0;
    const garbage = await this.checkObjects();
    await mender?.begin(this, isShort);
    for (const { kind, id } of table.packs) if (kind === 'data') this.dataPacks.set(id, false);
    await this.checkPacks();
    await mender?.mend(this);
    request.progress('checking versions');
    const refs = new RefsCheck(this, findings, request.signal);
    await refs.run(head);
    const trees = new TreeCheck(this, findings, request.signal);
    for (const { repo, id, root } of refs.commits.toSorted((a, b) => b.finished - a.finished)) {
      await trees.directory(root, new VersionPath(repo, id));
    }
    for (const { ref, where } of refs.others) {
      await (ref.type === 'node' ? trees.root(ref, where) : trees.blob(ref, where));
    }
    return {
      findings: findings.all,
      checked: {
        commits: refs.commits.length,
        nodes: this.nodes,
        chunks: trees.chunkCount,
        packs: table.packs.length,
        bytesRead: this.bytesRead,
        ...(trees.referenceCount > 0 && { references: trees.referenceCount }),
      },
      garbage,
    };
  }

  async row(ref: Ref): Promise<number | Draft> {
    let row = this.table.find(ref.hash);
    // Of a data pack that is known, all chunks are (FORMAT.md section 8).
    if (row < 0 && ref.type === 'chunk' && ref.place && this.dataPacks.get(ref.place.pack) === false) {
      const { pack } = ref.place;
      this.dataPacks.set(pack, true);
      await this.packIndexes.addPack({ kind: 'data', id: pack }, this.table).catch((error: unknown) => {
        this.findings.error(error);
      });
      row = this.table.find(ref.hash);
    }
    if (row >= 0) return this.damage.of(row) ?? row;
    const brought = await this.mender?.bring(ref);
    if (brought !== undefined) return brought;
    const name = `${ref.type} ${ref.hash.toString('hex')}`;
    const why = 'versions need it, and no index has it';
    if (!ref.place) return this.findings.wrong(name, why);
    const key = packKey(this.head.project, ref.type === 'chunk' ? 'data' : 'meta', ref.place.pack);
    const draft = this.findings.missed(key, `${name} lies in it: ${why}`);
    draft.count(hashKey(ref.hash));
    return draft;
  }

  knows(hash: Hash): boolean {
    return this.table.find(hash) >= 0;
  }

  plainLengthAt(row: number): number {
    return this.table.plainLengthAt(row);
  }

  async node({ type, hash }: Ref, row: number): Promise<Node> {
    const unstored = this.mender?.unstored({ type, hash });
    return unstored ?? this.reader.node({ type, hash, place: this.table.placeAt(row) });
  }

  /** Compares the indexes with the objects that are there. Resolves to the objects that no index knows. */
  private async checkObjects(): Promise<FsckResult['garbage']> {
    const { head, table, findings } = this;
    const { store } = this.project.options;
    const packs = new Map(table.packs.map(({ id, kind }) => [id, kind]));
    const foreign = (key: string): void => {
      findings
        .warn(`objects below projects/${head.project}`, 'pach did not write them')
        .affects({ address: key, path: key });
    };
    const { signal } = this.request;
    this.objects = await listObjects(store, head.project, packs, { foreign, signal });
    this.condemned = await readCondemned(store, head).catch((error: unknown) => {
      this.damage.indexes.push(findings.error(error));
      return [];
    });
    const listed = new Set<PackId>([...packs.keys(), ...head.indexes.segments.map(({ id }) => id)]);
    for (const { kind, id } of this.condemned) {
      if (listed.has(id)) findings.wrong(objectKey(head.project, kind, id), 'it is condemned, but an index lists it');
    }
    table.packs.forEach((pack, number) => {
      const key = objectKey(head.project, pack.kind, pack.id);
      if (!this.objects.has(key)) this.damage.packs.set(number, findings.lost(key, 'it is missing from the store'));
    });
    if (head.condemned) listed.add(head.condemned.id);
    // A writer may be storing some of these at the moment.
    const garbage = [...this.objects.values()].filter(({ id }) => !listed.has(id));
    return { objects: garbage.length, bytes: garbage.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  /** Reads packs with metadata, and some of those with data, and looks where the indexes say that blobs lie. */
  private async checkPacks(): Promise<void> {
    const { table, request, damage } = this;
    const packs = table.packs.flatMap((pack, number) => {
      const size = this.objects.get(objectKey(this.head.project, pack.kind, pack.id))?.bytes ?? 0;
      return damage.packs.has(number) ? [] : [{ ...pack, number, size, order: request.random() }];
    });
    const sizes = new Map(packs.map(({ number, size }) => [number, size]));
    const rows = new Uint32Array(table.packs.length);
    for (let row = 0; row < table.size; row += 1) {
      const number = table.packAt(row);
      rows[number] = (rows[number] as number) + 1;
      const { offset, length } = table.placeAt(row);
      if (offset + length > (sizes.get(number) ?? Infinity))
        this.lostBlob(row, 'it ends before a blob that the indexes list');
    }
    const data = packs.filter(({ kind }) => kind === 'data').toSorted((a, b) => a.order - b.order);
    const chosen = request.pass?.choose(data) ?? data.slice(0, Math.ceil(data.length * request.readShare));
    const all = [...packs.filter(({ kind }) => kind === 'meta'), ...chosen];
    let done = 0;
    const read = mapOrdered(all, packsAhead, async (pack) => {
      request.signal?.throwIfAborted();
      await this.checkPack(pack, rows[pack.number] as number);
      return pack;
    });
    for await (const pack of read) {
      done += 1;
      request.progress(`reading packs: ${done} of ${all.length}`);
      if (pack.kind !== 'data') continue;
      this.bytesRead += pack.size;
      request.pass?.wasRead(pack);
    }
  }

  private async checkPack(
    pack: PackName & { readonly number: number; readonly size: number },
    rows: number,
  ): Promise<void> {
    const { store, name } = this.project.options;
    const key = packKey(name, pack.kind, pack.id);
    const { table, findings, damage } = this;
    if (pack.size > packBytesMax) {
      this.damage.packs.set(pack.number, findings.lost(key, 'it is larger than any pack'));
      return;
    }
    const read = (): Promise<PackIndex> =>
      readPack(store, name, pack, {
        node: (hash, node) => this.checkNode(pack.number, hash, node),
        damaged: ({ hash, offset, storedLength, plainLength }, newer) => {
          // A node that no index knows is garbage; all chunks of the pack may be referred to (FORMAT.md section 8).
          const isData = pack.kind === 'data';
          const row = isData ? table.add(hash, pack.number, offset, storedLength, plainLength) : table.find(hash);
          const isHere = row >= 0 && table.packAt(row) === pack.number;
          if (!isHere && !isData) return;
          const what = newer === undefined ? 'are damaged' : `can't be read: a node that ${newer}`;
          const why = `its bytes ${offset} to ${offset + storedLength} ${what}`;
          const draft = findings.lost(key, why, 'blob');
          draft.count(hashKey(hash), why);
          if (isHere) damage.blobs.set(row, draft);
          else damage.flawed.add(pack.number);
        },
      });
    const index = await read().catch((error: unknown) => {
      // Without its own index its blobs can be read still, where the segments know them.
      damage.indexes.push(findings.error(error));
      damage.flawed.add(pack.number);
      return undefined;
    });
    if (index) this.comparePlaces(pack.number, index, rows);
  }

  /** A node that is what was stored must be of the form of its kind, and what it refers to must be known. */
  private async checkNode(pack: number, hash: Hash, node: Node): Promise<void> {
    const row = this.table.find(hash);
    // A node that no index knows is garbage.
    if (row < 0 || this.table.packAt(row) !== pack) return;
    this.nodes += 1;
    await checkForm(hash, node).catch((error: unknown) => this.findings.error(error));
    if (node.kind !== 'operation') for (const ref of node.refs) await this.row(ref);
  }

  /** Holds the places that the indexes know against a pack's own index; `rows` of them are in this pack. */
  private comparePlaces(pack: number, index: PackIndex, rows: number): void {
    const { table } = this;
    const inPack = new Set<number>();
    for (let n = 0; n < index.count; n += 1) {
      const { hash, offset, storedLength, plainLength } = packEntry(index, n);
      const row = table.find(hash);
      if (row < 0 || table.packAt(row) !== pack) continue;
      inPack.add(row);
      const place = table.placeAt(row);
      if (place.offset !== offset || place.length !== storedLength || table.plainLengthAt(row) !== plainLength) {
        this.lostBlob(row, 'it has a blob at another place than the indexes say');
      }
    }
    if (inPack.size === rows) return;
    for (let row = 0; row < table.size; row += 1) {
      if (table.packAt(row) === pack && !inPack.has(row)) this.lostBlob(row, 'it lacks a blob that the indexes list');
    }
  }

  private lostBlob(row: number, why: string): void {
    const { kind, id } = this.table.packs[this.table.packAt(row)] as PackName;
    const draft = this.findings.lost(packKey(this.head.project, kind, id), why);
    draft.count(hashKey(this.table.hashAt(row)));
    this.damage.blobs.set(row, draft);
  }
}
