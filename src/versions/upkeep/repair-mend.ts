/**
 * Mending what a check finds: blobs that can't be read are looked for elsewhere, by hash, and go to
 * new packs; so does all else of a pack of which something was mended. Nothing is changed in place, and
 * nothing counts before the head lists it (repair-publish.ts).
 */
import { mapOrdered } from '../../base/async.ts';
import { BlobMemory, BlobReader } from '../../cache/blobs.ts';
import { BlobTable, type PackName } from '../../chunks/blob-table.ts';
import { KnownBlobs } from '../../chunks/known.ts';
import { encodeStored, PackWriter } from '../../chunks/pack-writer.ts';
import { packKey, type PackKind } from '../../model/keys.ts';
import { encodeNode, type Node } from '../../model/node.ts';
import { hashKey, type Hash, type PackId, type Ref } from '../../model/refs.ts';
import type { Project } from '../project.ts';
import { copiesOf, type Copies } from './copies.ts';
import type { Found, Mender } from './fsck-damage.ts';
import { addOwnIndex, relist } from './repair-list.ts';

/** A node, and whether the places of what it refers to are of this project. */
interface NodeCopy {
  readonly node: Node;
  readonly isOwn: boolean;
}

const readsAhead = 8;
const memoryBytes = 64 * 1024 * 1024;
/** Nodes that were brought are in memory until their pack is stored, up to so many. */
const unstoredMax = 4096;

export class Mending implements Mender {
  private readonly project: Project;
  /** What is left of this project itself. */
  private readonly own: Copies;
  private readonly copies: readonly Copies[];
  private readonly signal: AbortSignal | undefined;
  private readonly reader: BlobReader;
  private readonly packs: KnownBlobs;
  private readonly writers: Readonly<Record<PackKind, PackWriter>>;
  /** For bytes that are damaged: apart from what is good, so that nobody has to copy that again. */
  private readonly keepers: Readonly<Record<PackKind, PackWriter>>;
  private readonly kept = new Map<string, Node>();
  /** Rows of blobs that no index knew, by hash; none where they are nowhere. */
  private readonly brought = new Map<string, Promise<number | undefined>>();
  /** Packs, by number, that are not to be listed any more. */
  private readonly going = new Set<number>();
  private spares: Promise<BlobTable> | undefined;
  private maybeFound: Found | undefined;
  /** Blobs that can be read again, in plain bytes. */
  readonly mended = { blobs: 0, bytes: 0 };

  /** `copies`: where blobs are looked for that are nowhere in this project. */
  constructor(project: Project, copies: readonly Copies[], signal: AbortSignal | undefined) {
    const { store, extents, name } = project.options;
    this.project = project;
    this.signal = signal;
    this.packs = new KnownBlobs(extents, name, { segments: [], fresh: [] });
    const known = { find: (hash: Hash) => this.spare(hash) };
    this.reader = new BlobReader({ extents, project: name, known, memory: new BlobMemory(memoryBytes) });
    this.own = copiesOf(this.reader);
    this.copies = [this.own, ...copies];
    this.writers = { data: new PackWriter(store, name, 'data'), meta: new PackWriter(store, name, 'meta') };
    this.keepers = { data: new PackWriter(store, name, 'data'), meta: new PackWriter(store, name, 'meta') };
  }

  get found(): Found {
    if (!this.maybeFound) throw new Error('the check has not begun');
    return this.maybeFound;
  }

  async begin(found: Found, isShort: boolean): Promise<void> {
    this.maybeFound = found;
    if (isShort) await relist(found, this.packs, this.reader);
  }

  async mend(found: Found): Promise<void> {
    const { table, damage } = found;
    const isDoubtful = (row: number): boolean => damage.flawed.has(table.packAt(row)) || damage.of(row) !== undefined;
    const lost = damage.rowsWhere(isDoubtful);
    const packs = lost.map((row) => table.packAt(row));
    await this.move(lost);
    const mended = packs.filter((pack, n) => table.packAt(lost[n] as number) !== pack);
    const going = new Set([...damage.flawed, ...mended]);
    await this.empty(going);
    await this.store();
  }

  bring(ref: Ref): Promise<number | undefined> {
    const key = hashKey(ref.hash);
    let row = this.brought.get(key);
    // A pack has a blob once, however many ask for it at a time.
    if (!row) this.brought.set(key, (row = this.bringOne(ref)));
    return row;
  }

  private async bringOne(ref: Ref): Promise<number | undefined> {
    const { table } = this.found;
    const hash = Buffer.from(ref.hash) as Hash;
    const kind = ref.type === 'chunk' ? 'data' : 'meta';
    const copy = ref.type === 'node' ? await this.node(ref) : undefined;
    if (copy && copy.node.kind !== 'operation') for (const below of copy.node.refs) await this.found.row(below);
    const node = copy && this.placed(copy);
    const bytes = node ? encodeNode(node).bytes : ref.type === 'chunk' ? await this.chunk(ref) : undefined;
    if (!bytes) return undefined;
    if (node) this.kept.set(hashKey(hash), node);
    const place = await this.writers[kind].add(hash, await storedForm(bytes), bytes.length);
    this.count(bytes.length);
    if (this.kept.size > unstoredMax) await this.store();
    return table.add(hash, table.pack(kind, place.pack), place.offset, place.length, bytes.length);
  }

  unstored({ hash }: Ref): Node | undefined {
    return this.kept.get(hashKey(hash));
  }

  /** Adds a node that is new. */
  async add(node: Node): Promise<Ref> {
    const { table } = this.found;
    const { bytes, hash } = encodeNode(node);
    const place = await this.writers.meta.add(hash, await storedForm(bytes), bytes.length);
    table.add(hash, table.pack('meta', place.pack), place.offset, place.length, bytes.length);
    this.kept.set(hashKey(hash), node);
    return { type: 'node', hash, place };
  }

  /** Takes all that can be read out of these packs, so that they need not be listed. */
  async empty(packs: ReadonlySet<number>): Promise<void> {
    const { table, damage, findings } = this.found;
    const added = [...packs].filter((pack) => !this.going.has(pack));
    if (added.length === 0) return;
    for (const pack of added) {
      this.going.add(pack);
      const name = table.packs[pack] as PackName;
      if (name.kind === 'data' && !damage.packs.has(pack)) await addOwnIndex(this.packs, name, table);
    }
    const good = (row: number): boolean => added.includes(table.packAt(row)) && !damage.of(row);
    await this.move(damage.rowsWhere(good));
    for (const row of damage.rowsWhere(good)) {
      const { offset, length } = table.placeAt(row);
      const why = `its bytes ${offset} to ${offset + length} are damaged`;
      const draft = findings.lost(this.keyOf(row), why, 'blob');
      draft.count(hashKey(this.hashOf(row)), why);
      damage.blobs.set(row, draft);
    }
  }

  /**
   * Ends the repair: all is stored. `dropped`: rows that nothing needs. Of packs that go, bytes that are
   * damaged are kept as they are, as far as there are any: somebody may make sense of them.
   */
  async finish(dropped: ReadonlySet<number>): Promise<void> {
    const { table, damage, findings, objects } = this.found;
    for (const row of dropped) findings.mend(this.keyOf(row), hashKey(this.hashOf(row)));
    const used = new Set<number>();
    for (let row = 0; row < table.size; row += 1) if (!dropped.has(row)) used.add(table.packAt(row));
    for (const pack of [...this.going, ...damage.packs.keys()]) {
      if (used.has(pack)) continue;
      const { kind, id } = table.packs[pack] as PackName;
      findings.replaced(packKey(this.project.options.name, kind, id));
    }
    for (const row of damage.rowsWhere((each) => this.going.has(table.packAt(each)) && !dropped.has(each))) {
      const { offset, length } = table.placeAt(row);
      if (offset + length > (objects.get(this.keyOf(row))?.bytes ?? 0)) continue;
      const kind = this.kindOf(row);
      const bytes = Buffer.from(await this.project.options.store.read(this.keyOf(row), offset, length));
      const plainLength = table.plainLengthAt(row);
      const place = await this.keepers[kind].add(this.hashOf(row), [bytes], plainLength);
      table.move(row, table.pack(kind, place.pack), place.offset, place.length, plainLength);
    }
    await this.store();
  }

  /** Stores what is still open. */
  async store(): Promise<void> {
    for (const { data, meta } of [this.writers, this.keepers]) {
      await data.finish();
      await meta.finish();
    }
    this.kept.clear();
  }

  /** Gives up what is not stored. */
  async stop(): Promise<void> {
    const all = [this.writers, this.keepers].flatMap(({ data, meta }) => [data, meta]);
    await Promise.all(all.map((writer) => writer.stop()));
  }

  /** Gives these rows new places, those of them that can be read somewhere. */
  private async move(rows: readonly number[]): Promise<void> {
    const { table } = this.found;
    const order = (a: number, b: number): number =>
      table.packAt(a) - table.packAt(b) || table.placeAt(a).offset - table.placeAt(b).offset;
    const chunks = rows.filter((row) => this.kindOf(row) === 'data').sort(order);
    const read = mapOrdered(chunks, readsAhead, async (row) => {
      this.signal?.throwIfAborted();
      return { row, bytes: await this.chunk(this.refOf(row)) };
    });
    for await (const { row, bytes } of read) if (bytes) await this.write(row, 'data', bytes);
    const nodes = new Set(rows.filter((row) => this.kindOf(row) === 'meta').sort(order));
    for (const row of nodes) await this.moveNode(row, nodes);
  }

  /** What a node refers to goes before it, so that it can name the new places. */
  private async moveNode(row: number, waiting: Set<number>): Promise<void> {
    if (!waiting.delete(row)) return;
    this.signal?.throwIfAborted();
    const copy = await this.node(this.refOf(row));
    if (!copy) return;
    for (const ref of copy.node.kind === 'operation' ? [] : copy.node.refs) {
      // What an index knows is whole, whether a version needs it or not.
      await this.found.row(ref);
      const below = ref.type === 'node' ? this.found.table.find(ref.hash) : -1;
      if (below >= 0) await this.moveNode(below, waiting);
    }
    await this.write(row, 'meta', encodeNode(this.placed(copy)).bytes);
  }

  private async write(row: number, kind: PackKind, bytes: Buffer): Promise<void> {
    const { table, damage, findings } = this.found;
    const hash = this.hashOf(row);
    const from = this.keyOf(row);
    const wasLost = damage.of(row) !== undefined;
    const place = await this.writers[kind].add(hash, await storedForm(bytes), bytes.length);
    table.move(row, table.pack(kind, place.pack), place.offset, place.length, bytes.length);
    if (!wasLost) return;
    damage.blobs.delete(row);
    findings.mend(from, hashKey(hash));
    this.count(bytes.length);
  }

  private count(bytes: number): void {
    this.mended.blobs += 1;
    this.mended.bytes += bytes;
  }

  private async chunk(ref: Ref): Promise<Buffer | undefined> {
    for (const from of this.copies) {
      const bytes = await from.chunk(ref);
      if (bytes) return bytes;
    }
    return undefined;
  }

  private async node(ref: Ref): Promise<NodeCopy | undefined> {
    for (const from of this.copies) {
      const node = await from.node(ref);
      if (node) return { node, isOwn: from === this.own };
    }
    return undefined;
  }

  /** A node whose references say where things lie in this project. */
  private placed({ node, isOwn }: NodeCopy): Node {
    const { table } = this.found;
    const refs = node.refs.map(({ type, hash, place }): Ref => {
      const row = table.find(hash);
      // A chunk that only its pack's own index lists is found by its place alone.
      return { type, hash, place: row >= 0 ? table.placeAt(row) : isOwn ? place : undefined };
    });
    return { ...node, refs };
  }

  /** Where a blob lies in a pack of this project that no index lists: garbage is good for this. */
  private async spare(hash: Hash): Promise<Ref['place']> {
    const table = await (this.spares ??= this.loadSpares());
    const row = table.find(hash);
    return row < 0 ? undefined : table.placeAt(row);
  }

  private async loadSpares(): Promise<BlobTable> {
    const { table, objects } = this.found;
    const listed = new Set<PackId>(table.packs.map(({ id }) => id));
    const spares = new BlobTable();
    for (const { kind, id } of objects.values()) {
      if ((kind === 'data' || kind === 'meta') && !listed.has(id)) await addOwnIndex(this.packs, { kind, id }, spares);
    }
    return spares;
  }

  private refOf(row: number): Ref {
    const type = this.kindOf(row) === 'data' ? 'chunk' : 'node';
    return { type, hash: this.hashOf(row), place: this.found.table.placeAt(row) };
  }

  /** A copy, that stays when the table grows. */
  private hashOf(row: number): Hash {
    return Buffer.from(this.found.table.hashAt(row)) as Hash;
  }

  /** The key of the pack in which a row lies. */
  private keyOf(row: number): string {
    const { table } = this.found;
    const { kind, id } = table.packs[table.packAt(row)] as PackName;
    return packKey(this.project.options.name, kind, id);
  }

  private kindOf(row: number): PackKind {
    const { table } = this.found;
    return (table.packs[table.packAt(row)] as PackName).kind;
  }
}

async function storedForm(bytes: Buffer): Promise<readonly Buffer[]> {
  const { stored } = await encodeStored([bytes]);
  return stored[0] as readonly Buffer[];
}
