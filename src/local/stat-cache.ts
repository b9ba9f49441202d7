/**
 * What files of a folder of this machine looked like when they were last put, so that those that
 * look the same need not be read again. One file for each source and target; it holds, for each
 * folder, a fingerprint (listing.ts) and the start of the content hash for each regular file.
 *
 * Layout: for each folder fingerprints[16·n] hashes[16·n]; then for each folder pathHash[16]
 * tree[32] u48 offset u32 n; then u48 offset of that table, its hash[16], "PACHSC".
 */
import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fingerprintBytes } from '../base/listing.ts';
import { native } from '../base/native.ts';

export const contentBytes = 16;

const rowBytes = fingerprintBytes + contentBytes;
const entryBytes = 58;
const tailBytes = 28;
const magic = Buffer.from('PACHSC');
const writeBytes = 1024 * 1024;
/** Beyond this many, the least recently used files are removed. */
const filesMax = 64;

/** What is known of one folder's regular files, in the order of their names. */
export interface SeenFolder {
  /** Hash of the directory that was made of it. */
  readonly tree: Buffer;
  readonly fingerprints: Buffer;
  /** The first bytes of each file's content hash. */
  readonly contents: Buffer;
}

interface Entry {
  readonly offset: number;
  readonly count: number;
  readonly tree: Buffer;
}

export class StatCache implements AsyncDisposable {
  private readonly path: string;
  private readonly old: FileHandle | undefined;
  private readonly entries: ReadonlyMap<string, Entry>;
  private readonly table: Buffer[] = [];
  private pending: Buffer[] = [];
  private pendingBytes = 0;
  private offset = 0;
  private fresh: FileHandle | undefined;
  private readonly freshPath: string;

  private constructor(path: string, old: FileHandle | undefined, entries: ReadonlyMap<string, Entry>) {
    this.path = path;
    this.old = old;
    this.entries = entries;
    this.freshPath = `${path}.${randomBytes(6).toString('hex')}`;
  }

  /** Opens what was kept under `name` in a folder; empty when there is none or it is damaged. */
  static async open(folder: string, name: string): Promise<StatCache> {
    const path = join(folder, native().hash('plain', Buffer.from(name)).toString('hex', 0, 16));
    const file = await open(path, 'r').catch(() => undefined);
    const entries = file && (await readTable(file).catch(() => undefined));
    if (file && !entries) await file.close();
    return new StatCache(path, entries ? file : undefined, entries ?? new Map());
  }

  /** What was kept of a folder, or undefined. */
  async find(folder: Buffer): Promise<SeenFolder | undefined> {
    const entry = this.entries.get(keyOf(folder));
    if (!entry || !this.old) return undefined;
    const bytes = Buffer.alloc(entry.count * rowBytes);
    const { bytesRead } = await this.old.read(bytes, 0, bytes.length, entry.offset);
    if (bytesRead < bytes.length) return undefined;
    const split = entry.count * fingerprintBytes;
    return { tree: entry.tree, fingerprints: bytes.subarray(0, split), contents: bytes.subarray(split) };
  }

  /** Keeps what a folder looks like now; lasting when `commit` resolves. */
  async keep(folder: Buffer, { tree, fingerprints, contents }: SeenFolder): Promise<void> {
    const entry = Buffer.alloc(entryBytes);
    entry.write(keyOf(folder), 'latin1');
    entry.set(tree, 16);
    entry.writeUIntLE(this.offset, 48, 6);
    entry.writeUInt32LE(fingerprints.length / fingerprintBytes, 54);
    this.table.push(entry);
    await this.append(fingerprints, contents);
  }

  /** Replaces what was kept by what has been given since. A folder that can't be written is no error. */
  async commit(): Promise<void> {
    try {
      const table = Buffer.concat(this.table);
      const tail = Buffer.alloc(6);
      tail.writeUIntLE(this.offset, 0, 6);
      await this.append(table, tail, native().hash('plain', table).subarray(0, 16), magic);
      await this.flush();
      await rename(this.freshPath, this.path);
      await dropOldest(dirname(this.path));
    } catch {
      await rm(this.freshPath, { force: true }).catch(() => undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.old?.close();
    await this.fresh?.close();
    await rm(this.freshPath, { force: true }).catch(() => undefined);
  }

  private async append(...parts: readonly Buffer[]): Promise<void> {
    for (const part of parts) {
      this.pending.push(part);
      this.pendingBytes += part.length;
      this.offset += part.length;
    }
    if (this.pendingBytes >= writeBytes) await this.flush();
  }

  private async flush(): Promise<void> {
    const bytes = Buffer.concat(this.pending);
    this.pending = [];
    this.pendingBytes = 0;
    if (!this.fresh) {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
      this.fresh = await open(this.freshPath, 'wx', 0o600);
    }
    await this.fresh.writeFile(bytes);
  }
}

async function readTable(file: FileHandle): Promise<Map<string, Entry> | undefined> {
  const { size } = await file.stat();
  const tail = Buffer.alloc(tailBytes);
  await file.read(tail, 0, tailBytes, size - tailBytes);
  const start = tail.readUIntLE(0, 6);
  const length = size - tailBytes - start;
  if (!tail.subarray(22).equals(magic) || length < 0 || length % entryBytes !== 0) return undefined;
  const table = Buffer.alloc(length);
  await file.read(table, 0, length, start);
  if (!native().hash('plain', table).subarray(0, 16).equals(tail.subarray(6, 22))) return undefined;
  const entries = new Map<string, Entry>();
  for (let at = 0; at < length; at += entryBytes) {
    entries.set(table.toString('latin1', at, at + 16), {
      tree: table.subarray(at + 16, at + 48),
      offset: table.readUIntLE(at + 48, 6),
      count: table.readUInt32LE(at + 54),
    });
  }
  return entries;
}

function keyOf(folder: Buffer): string {
  return native().hash('plain', folder).toString('latin1', 0, 16);
}

async function dropOldest(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /^[0-9a-f]{32}(?:\.[0-9a-f]{12})?$/.test(name));
  if (names.length <= filesMax) return;
  const files = await Promise.all(
    names.map(async (name) => ({ name, used: (await lstat(join(folder, name))).mtimeMs })),
  );
  files.sort((a, b) => b.used - a.used);
  for (const { name } of files.slice(filesMax)) await rm(join(folder, name), { force: true });
}
