/**
 * One open file of the cache: its bytes, their checksums and the packs that they came from. A file is
 * sealed once every byte of it was read back from the disk and found right (sealing.ts).
 */
import { appendFileSync, closeSync, constants, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Semaphore } from '../base/async.ts';
import type { Listeners } from '../base/listeners.ts';
import { native, nativeFetch, type CacheFile } from '../base/native.ts';
import { ownIdentity } from '../base/processes.ts';
import { sealBytes } from './sealing.ts';
import type { DiskSpace } from './space.ts';

const hidden = 0o600;
const appending = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
const triesMax = 3;

/** An open file of the cache. */
export interface LocalFile {
  readonly name: string;
  readonly size: number;
  readonly bytes: CacheFile;
  /** Notes that bytes of this pack will be in it. */
  from(packKey: string): void;
  /** Once all bytes are there, reads them back and seals the file. True when it is sealed; never rejects. */
  seal(): Promise<boolean>;
  /** The same in the background, if `FileCache.seals`. `isRead`: somebody is about to read the file. */
  sealSoon(isRead: boolean): void;
  /** Ends a use that `FileCache.open` or `hold` began. Unused files stay open while there is room for them. */
  release(): void;
  /** Begins another use of a file that is in use. */
  hold(): void;
  /** Told when it is removed from the disk. What it takes there is free once nobody uses it. */
  readonly onGone: Listeners;
}

export interface ContentId {
  readonly hash: Buffer;
  /** Bytes. */
  readonly size: number;
}

/** What a file shares with the cache that opened it. */
export interface FileUses extends Pick<LocalFile, 'hold' | 'release' | 'onGone'> {
  /** Files are read back one at a time. */
  readonly sealing: Semaphore;
  seals(): boolean;
}

export class OpenFile implements LocalFile {
  readonly name: string;
  readonly size: number;
  readonly bytes: CacheFile;
  readonly hold: LocalFile['hold'];
  readonly release: LocalFile['release'];
  readonly onGone: LocalFile['onGone'];
  private readonly uses: FileUses;
  private readonly packsPath: string;
  private readonly packs: Set<string>;
  private beingSealed: Promise<boolean> | undefined;
  /** Notes that the file is used, by the times of its checksums. */
  readonly touch: () => void;

  constructor(name: string, content: ContentId, space: DiskSpace, uses: FileUses) {
    const path = join(space.dir, name);
    this.name = name;
    this.size = content.size;
    this.uses = uses;
    this.hold = uses.hold;
    this.release = uses.release;
    this.onGone = uses.onGone;
    this.packsPath = `${path}.packs`;
    this.bytes = openBytes(path, content);
    this.packs = new Set(readPacks(this.packsPath));
    // Not at the file itself: one whose times have changed is no longer sealed.
    this.touch = () => void space.touch(`${path}.sums`).catch(() => undefined);
  }

  seal(past = true): Promise<boolean> {
    if (this.bytes.sealed()) return Promise.resolve(true);
    if (!this.bytes.whole()) return Promise.resolve(false);
    this.beingSealed ??= this.sealHeld(past).finally(() => (this.beingSealed = undefined));
    return this.beingSealed;
  }

  sealSoon(isRead: boolean): void {
    // Through the page cache if somebody is about to read it: then the disk is read once for both.
    if (this.uses.seals()) void this.seal(!isRead);
  }

  private async sealHeld(past: boolean): Promise<boolean> {
    this.hold();
    try {
      // Damaged bytes were dropped, and may have come again meanwhile.
      for (let tries = 0; tries < triesMax && this.bytes.whole(); tries += 1) {
        if (await this.uses.sealing.run(() => sealBytes(this.bytes, past))) return true;
      }
      return false;
    } catch {
      // The disk does not take it, or another process has changed it: it is read with checks.
      return false;
    } finally {
      this.release();
    }
  }

  from(packKey: string): void {
    if (this.packs.has(packKey)) return;
    this.packs.add(packKey);
    const file = openSync(this.packsPath, appending, hidden);
    try {
      appendFileSync(file, `${packKey}\n`);
    } finally {
      closeSync(file);
    }
  }
}

function openBytes(path: string, content: ContentId): CacheFile {
  for (let tries = 1; ; tries += 1) {
    try {
      return openPair(path, content);
    } catch (error) {
      // Another process has removed the bytes and not yet their checksums, or has replaced them.
      // Processes that have the old files open go on with those.
      if ((error as NodeJS.ErrnoException).code !== 'ESTALE' || tries === triesMax) throw error;
      for (const suffix of ['', '.sums']) rmSync(path + suffix, { force: true });
    }
  }
}

/** Opens the bytes and their checksums, and makes those that do not exist. */
function openPair(path: string, { hash, size }: ContentId): CacheFile {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const data = openSync(path, flags, hidden);
  try {
    const sums = openSync(`${path}.sums`, flags, hidden);
    try {
      return new (nativeFetch().CacheFile)(data, sums, size, hash, bootId());
    } finally {
      closeSync(sums);
    }
  } finally {
    closeSync(data);
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
  const { host, pid, started } = ownIdentity();
  // The line's end belongs to it: files of earlier programs say so.
  return host.boot ? `${host.boot}\n` : `${pid} ${started} ${Date.now()}`;
}
