/**
 * Large files as plain files of this machine: sparse, filled as they are read, named by their
 * content, shared by all processes of this user. Each has a file of checksums beside it, and one
 * that names the packs it was filled from, so that what is purged from a store leaves here too.
 */
import { appendFileSync, closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Lru } from '../base/lru.ts';
import { native, nativeFetch, type CacheFile } from '../base/native.ts';
import { projectPrefix } from '../model/keys.ts';
import type { DiskSpace } from './space.ts';

/** Descriptors are not counted in bytes: each open file weighs one. */
const openFilesMax = 512;
const hidden = 0o600;

/** An open file of the cache. */
export interface LocalFile {
  readonly name: string;
  readonly size: number;
  readonly bytes: CacheFile;
  /** Descriptors of the bytes and of their checksums, for native code that serves from them. */
  readonly data: number;
  readonly sums: number;
  /** Tells that bytes of this pack will be in it. */
  from(packKey: string): void;
}

export class FileCache {
  private readonly dir: string;
  private readonly space: DiskSpace;
  private readonly files: Lru<Promise<OpenFile | undefined>>;

  constructor(space: DiskSpace) {
    this.dir = space.dir;
    this.space = space;
    this.files = new Lru(openFilesMax, (dropped) => void close(dropped));
    // Its room is free once nobody has it open.
    space.onRemove = (path) => this.drop(path.slice(this.dir.length + 1));
  }

  /** The file of this content, new when there is none; undefined where the disk can't have one. */
  async open(project: string, hash: Buffer, size: number): Promise<LocalFile | undefined> {
    const name = join(projectPrefix(project), 'files', hash.toString('hex'));
    let file = this.files.get(name);
    if (!file) {
      file = this.openFile(name, size).catch(() => undefined);
      this.files.set(name, file, 1);
    }
    (await file)?.touch();
    return file;
  }

  /** Forgets the files below a prefix that have bytes of packs which `wanted` does not take. */
  async retain(project: string, wanted: (packKey: string) => boolean): Promise<void> {
    const folder = join(this.dir, projectPrefix(project), 'files');
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter((each) => each.endsWith('.packs'))) {
      const packs = await readFile(join(folder, name), 'utf8').catch(() => '');
      if (packs.split('\n').every((key) => key === '' || wanted(key))) continue;
      const path = join(folder, name.slice(0, -'.packs'.length));
      this.drop(path.slice(this.dir.length + 1));
      for (const suffix of ['', '.sums', '.packs']) await rm(path + suffix, { force: true });
    }
  }

  private async openFile(name: string, size: number): Promise<OpenFile> {
    const path = join(this.dir, name);
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
    for (const each of [path, `${path}.sums`]) await (await open(each, 'a', hidden)).close();
    return new OpenFile(name, path, size, this.space);
  }

  private drop(name: string): void {
    const file = this.files.get(name);
    this.files.delete(name);
    if (file) void close(file);
  }
}

async function close(opening: Promise<OpenFile | undefined>): Promise<void> {
  (await opening)?.close();
}

class OpenFile implements LocalFile {
  readonly name: string;
  readonly size: number;
  readonly bytes: CacheFile;
  readonly data: number;
  readonly sums: number;
  private readonly packsPath: string;
  private readonly packs: Set<string>;
  /** Notes that it is used. */
  readonly touch: () => void;

  constructor(name: string, path: string, size: number, space: DiskSpace) {
    this.name = name;
    this.size = size;
    this.packsPath = `${path}.packs`;
    this.data = openSync(path, 'r+');
    try {
      this.sums = openSync(`${path}.sums`, 'r+');
    } catch (error) {
      closeSync(this.data);
      throw error;
    }
    this.bytes = new (nativeFetch().CacheFile)(this.data, this.sums, size, bootId());
    this.packs = new Set(readPacks(this.packsPath));
    this.touch = () => void space.touch(path).catch(() => undefined);
  }

  from(packKey: string): void {
    if (this.packs.has(packKey)) return;
    this.packs.add(packKey);
    appendFileSync(this.packsPath, `${packKey}\n`, { mode: hidden });
  }

  close(): void {
    closeSync(this.data);
    closeSync(this.sums);
  }
}

function readPacks(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch {
    return [];
  }
}

let boot: Buffer | undefined;

/** 16 bytes of this start of the machine; where they are not to be had, of this process. */
export function bootId(): Buffer {
  boot ??= native().hash('plain', Buffer.from(bootText())).subarray(0, 16);
  return boot;
}

function bootText(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  } catch {
    return `${process.pid} ${Date.now()}`;
  }
}
