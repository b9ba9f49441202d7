/**
 * A store with some history to damage, and ways to do so.
 */
import { createCipheriv, randomBytes } from 'node:crypto';
import { RowBuffer, rowBytes } from '../../src/chunks/blob-table.ts';
import { writeSegments } from '../../src/chunks/merge-indexes.ts';
import { parseAddress } from '../../src/model/address.ts';
import { packKey, type PackKind } from '../../src/model/keys.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { checkProject, type FsckResult } from '../../src/versions/upkeep/fsck.ts';
import type { Finding } from '../../src/versions/upkeep/fsck-findings.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import type { Project } from '../../src/versions/project.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { createBranch } from '../../src/versions/refs.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

export interface Filled {
  readonly project: Project;
  readonly store: Store;
  /** Commits of master, oldest first. */
  readonly commits: readonly string[];
}

/** Bytes as good as random, and always the same. */
export const big = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16)).update(Buffer.alloc(5_000_000));

export async function put(project: Project, target: string, bytes: Uint8Array, branch = 'master'): Promise<string> {
  const sources = [{ kind: 'stream' as const, stream: streamOf(bytes) }];
  return (await putFiles(project, { repo: 'data', branch, message: '', sources, target, watch: silent })).commit;
}

/** `/big`, a list of chunks, and two small files in `/dir`, by three commits; a branch at the second. */
export async function filled(): Promise<Filled> {
  const { project, store } = await makeTestProject(new MemoryStore());
  const commits = [
    await put(project, '/big', big),
    await put(project, '/dir/one', randomBytes(3000)),
    await put(project, '/dir/two', randomBytes(3000)),
  ];
  await createBranch(project, 'data', 'dev', parseAddress('data@master^'));
  return { project, store, commits };
}

/** The same after a collection: all indexes are in one segment. */
export async function collected(): Promise<Filled> {
  const all = await filled();
  await collect(all.project, 0);
  return all;
}

export async function collect(project: Project, grace: number): Promise<void> {
  await collectGarbage(project, { grace, dryRun: false, progress: () => undefined });
}

export function check(store: Store, readShare = 0): Promise<FsckResult> {
  return checkProject(openTestProject(store), { readShare, random: Math.random, progress: () => undefined });
}

/** Errors as `what: why`. */
export function errors({ findings }: FsckResult): string[] {
  return findings.filter(({ severity }) => severity === 'error').map(({ what, why }) => `${what}: ${why}`);
}

export function findingOf({ findings }: FsckResult, what: string): Finding {
  const found = findings.find((finding) => finding.what === what);
  if (!found) throw new Error(`nothing was found of ${what}: ${JSON.stringify(findings)}`);
  return found;
}

/** The keys of all packs of a kind that are in use, the largest first. */
export async function packKeys(project: Project, kind: PackKind): Promise<string[]> {
  const { known } = await project.load();
  const sized = [];
  for (const [id, of] of await known.packs()) {
    const key = packKey('default', of, id);
    if (of === kind) sized.push({ key, size: (await project.options.store.readTail(key, 1)).size });
  }
  return sized.sort((a, b) => b.size - a.size).map(({ key }) => key);
}

export async function bytesAt(store: Store, key: string): Promise<Buffer> {
  const { size } = await store.readTail(key, 1);
  return Buffer.from(await store.read(key, 0, size));
}

export async function replace(store: Store, key: string, bytes: Uint8Array): Promise<void> {
  await store.delete(key);
  await store.writeIfAbsent(key, [bytes]);
}

/** Changes one bit. */
export async function flip(store: Store, key: string, at: number): Promise<void> {
  const bytes = await bytesAt(store, key);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await replace(store, key, bytes);
}

/** A row of an index. */
export interface Row {
  readonly hash: Buffer;
  readonly kind: PackKind;
  readonly offset: number;
  readonly length: number;
  readonly plainLength: number;
}

/** Replaces the indexes by a segment of these rows as `edit` makes them; undefined leaves one out. */
export async function reindex(project: Project, edit: (row: Row) => Row | undefined): Promise<void> {
  const { head, token, known } = await project.load();
  const before = new RowBuffer(10_000);
  await known.addFresh(before);
  for (const segment of head.indexes.segments) await known.addSegment(segment, before);
  const after = new RowBuffer(10_000);
  const rows = before.rows();
  for (let at = 0; at < rows.length; at += rowBytes) {
    const [number, offset, length, plainLength] = [32, 36, 40, 44].map((field) => rows.readUInt32LE(at + field));
    const pack = before.packs[number as number];
    if (!pack) throw new Error('a row has a pack');
    const hash = rows.subarray(at, at + 32);
    const row = edit({
      hash,
      kind: pack.kind,
      offset: offset as number,
      length: length as number,
      plainLength: plainLength as number,
    });
    if (row) after.add(hash, after.pack(pack.kind, pack.id), row.offset, row.length, row.plainLength);
  }
  const segments = await writeSegments(project.options.store, 'default', after);
  await project.replace(token, { ...head, indexes: { segments, fresh: [] } });
}
