/**
 * Holds a store against what it promises (FORMAT.md sections 8 and 10), by reading all of it
 * without the help of hints, caches or the collector's own walk.
 */
import assert from 'node:assert/strict';
import { native } from '../../src/base/native.ts';
import { BlobTable } from '../../src/chunks/blob-table.ts';
import { KnownBlobs } from '../../src/chunks/known.ts';
import { condemnedKey, headKey, packKey, segmentKey } from '../../src/model/keys.ts';
import { decodeNode, type Node } from '../../src/model/node.ts';
import { decodeHead, type Head } from '../../src/model/records/head.ts';
import { chunkBytesMax, hashKey, nodeBytesMax, type Hash, type Ref } from '../../src/model/refs.ts';
import type { Store } from '../../src/store/store.ts';
import { Files } from '../../src/versions/reading/files.ts';
import type { Project } from '../../src/versions/project.ts';
import { readCondemned } from '../../src/versions/condemned.ts';
import { rootOf, type Commit } from '../../src/versions/snapshot.ts';

const name = 'default';

/** What a store holds, all of it verified. */
export interface Found {
  readonly head: Head;
  readonly table: BlobTable;
  /** Rows of the blobs that the head's refs need, and of the operations. */
  readonly needed: ReadonlySet<number>;
  /** Keys of all objects of the project but its head. */
  readonly keys: ReadonlySet<string>;
}

/** Reads everything that the project's indexes list. Throws when something is missing or not whole. */
export async function readAll(store: Store): Promise<Found> {
  const object = await store.readWithToken(headKey(name));
  if (!object) throw new Error('there is no head');
  const head = decodeHead(Buffer.from(object.bytes), headKey(name));
  const known = new KnownBlobs(store, name, head.indexes);
  const table = new BlobTable();
  await known.addFresh(table);
  for (const segment of head.indexes.segments) await known.addSegment(segment, table);
  const nodes = new Map<string, Node>();
  for (let row = 0; row < table.size; row += 1) {
    const { kind } = table.packs[table.packAt(row)]!;
    const { pack, offset, length } = table.placeAt(row);
    const hash = table.hashAt(row);
    const bytes = Buffer.from(await store.read(packKey(name, kind, pack), offset, length));
    if (kind === 'data') native().decodeBlobSync(bytes, chunkBytesMax, 'plain', hash);
    else nodes.set(hashKey(hash), decodeNode(native().decodeBlobSync(bytes, nodeBytesMax, 'node', hash), hash));
  }
  for (const { kind, refs } of nodes.values()) {
    if (kind === 'operation') continue;
    for (const ref of refs) await mustKnow(ref, table, known, kind);
  }
  // What is condemned is in no index, or readers would lose it.
  const listed = new Set([...(await known.packs()).keys(), ...head.indexes.segments.map(({ id }) => id)]);
  for (const { id } of await readCondemned(store, head)) {
    if (listed.has(id)) throw new Error(`${id} is condemned, and the index has it`);
  }
  const keys = new Set<string>();
  for await (const { key } of store.list(`projects/${name}/`)) if (key !== headKey(name)) keys.add(key);
  return { head, table, needed: neededOf(head, table, nodes), keys };
}

/** A chunk may also be found by another one of its pack (FORMAT.md section 8). */
async function mustKnow(ref: Ref, table: BlobTable, known: KnownBlobs, kind: string): Promise<void> {
  if (table.find(ref.hash) >= 0) return;
  const pack = ref.place?.pack;
  if (ref.type === 'chunk' && pack && (await known.packs()).has(pack)) {
    const own = new BlobTable();
    await known.addPack({ kind: 'data', id: pack }, own);
    if (own.find(ref.hash) >= 0) return;
  }
  throw new Error(`the index has a ${kind} and not the ${ref.type} ${ref.hash.toString('hex')} below it`);
}

function neededOf(head: Head, table: BlobTable, nodes: ReadonlyMap<string, Node>): Set<number> {
  const needed = new Set<number>();
  const below = [head.refs];
  for (let ref = below.pop(); ref; ref = below.pop()) {
    const row = table.find(ref.hash);
    if (row < 0 && ref.type === 'chunk') continue;
    if (row < 0) throw new Error(`the head needs the node ${ref.hash.toString('hex')}, and no index has it`);
    if (needed.has(row)) continue;
    needed.add(row);
    if (ref.type === 'node') below.push(...nodes.get(hashKey(ref.hash))!.refs);
  }
  if (table.find(head.operationRef.hash) < 0) throw new Error('the newest operation is missing');
  for (let at: Ref | undefined = head.operationRef; at;) {
    const row = table.find(at.hash);
    if (row < 0) break;
    needed.add(row);
    at = nodes.get(hashKey(at.hash))!.refs[1];
  }
  return needed;
}

/** Nothing but what is needed is in the store, in packs that are mostly alive. */
export function expectOnlyNeeded({ head, table, needed, keys }: Found): void {
  const live = new Map<string, number>();
  const all = new Map<string, number>();
  for (let row = 0; row < table.size; row += 1) {
    const { kind, id } = table.packs[table.packAt(row)]!;
    const key = packKey(name, kind, id);
    all.set(key, (all.get(key) ?? 0) + table.storedLengthAt(row));
    if (needed.has(row)) live.set(key, (live.get(key) ?? 0) + table.storedLengthAt(row));
  }
  const wanted = new Set([...live.keys(), ...head.indexes.segments.map(({ id }) => segmentKey(name, id))]);
  if (head.condemned) wanted.add(condemnedKey(name, head.condemned.id));
  assert.deepEqual(
    [...keys].filter((key) => !wanted.has(key)),
    [],
  );
  assert.equal(head.condemned, undefined);
  for (const [key, bytes] of live) assert.ok(bytes >= 0.7 * all.get(key)!, `${key} is mostly dead`);
}

/** All files of a commit, read: path to content. */
export async function contentOf(project: Project, commit: Commit): Promise<Record<string, string>> {
  const files = new Files(project.reader, rootOf(commit), commit.id);
  const content: Record<string, string> = {};
  for await (const { path, entry } of files.list('/', true)) {
    if (entry.kind !== 'file') continue;
    const parts: Buffer[] = [];
    for await (const bytes of files.read(entry)) parts.push(bytes);
    content[path] = Buffer.concat(parts).toString('latin1');
  }
  return content;
}

/** The hash of bytes that a file of one chunk has. */
export const hashOf = (bytes: Uint8Array): Hash => native().hash('plain', bytes) as Hash;
