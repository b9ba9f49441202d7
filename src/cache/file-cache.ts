/**
 * Large files as plain files of this machine: sparse, filled as they are read, named by their
 * content, shared by all processes of this user. Each has a file of checksums beside it, and one
 * that names the packs it was filled from, so that what is purged from a store leaves here too.
 */
import { appendFileSync, closeSync, constants, fstatSync, openSync, readFileSync, rmSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Semaphore } from '../base/async.ts';
import { native, nativeFetch, type CacheFile } from '../base/native.ts';
import { ownIdentity } from '../base/processes.ts';
import { removeOne } from '../base/remove.ts';
import { makeBelow } from '../local/own-folder.ts';
import { projectPrefix } from '../model/keys.ts';
import { sealBytes } from './sealing.ts';
import { fileName } from './shape.ts';
import type { DiskSpace } from './space.ts';

const filesMaxDefault = 1024;
const hidden = 0o600;
const appending = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;
const triesMax = 3;

/** An open file of the cache. */
export interface LocalFile {
  readonly name: string;
  readonly size: number;
  readonly bytes: CacheFile;
  /** Tells that bytes of this pack will be in it. */
  from(packKey: string): void;
  /** Once all bytes are there, reads them back and seals the file. True when it is sealed; never rejects. */
  seal(): Promise<boolean>;
  /** The same beside what goes on, where `FileCache.seals`; `isRead`: somebody is about to read it. */
  sealSoon(isRead: boolean): void;
  /** Ends the use that `FileCache.open` began, or `hold`. Unused files stay open while there is room for them. */
  release(): void;
  /** Begins another use of a file that is in use. */
  hold(): void;
  /** Who uses it is told when it leaves the disk: its room is free only once nobody does. */
  readonly watchers: Set<() => void>;
}

/** A file that is open, or being opened. */
interface Entry {
  readonly opening: Promise<OpenFile | undefined>;
  uses: number;
  /** No longer found under its name: closed when its last use ends. */
  isDropped: boolean;
  /** Told of that. */
  readonly watchers: Set<() => void>;
}

export class FileCache {
  /** Files that may be open at a time, each with two descriptors. */
  readonly filesMax: number;
  private readonly dir: string;
  private readonly space: DiskSpace;
  /** By name, those used last at the end. */
  private readonly files = new Map<string, Entry>();
  /** How many are open, also those that were dropped. */
  private count = 0;
  /** Seal files as soon as all of their bytes are there: for who lends them to the kernel. */
  seals = false;
  /** Files are read back one at a time. */
  private readonly sealing = new Semaphore(1);

  constructor(space: DiskSpace, filesMax = filesMaxDefault) {
    this.dir = space.dir;
    this.space = space;
    this.filesMax = filesMax;
    space.onRemove = (path) => this.drop(path);
    space.onLook = () => this.dropRemoved();
  }

  /**
   * The depth to ask for where the kernel is to read these files through a mount: no more than is needed,
   * because it bounds what can be stacked upon the mount (an overlayfs).
   */
  async stackDepth(): Promise<number> {
    return (await this.space.isStacked()) ? 2 : 1;
  }

  /**
   * The file of this content, new when there is none, in use until it is released. Undefined where
   * the disk can't have one, and where as many as may be are in use.
   */
  async open(project: string, hash: Buffer, size: number): Promise<LocalFile | undefined> {
    const name = join(projectPrefix(project), 'files', hash.toString('hex'));
    let entry = this.files.get(name);
    if (!entry) {
      if (!this.makeRoom()) return undefined;
      this.count += 1;
      const opening = Promise.resolve().then(() => this.openFile(name, { hash, size }, opened));
      const opened: Entry = { opening, uses: 0, isDropped: false, watchers: new Set() };
      entry = opened;
    }
    this.files.delete(name);
    this.files.set(name, entry);
    entry.uses += 1;
    const file = await entry.opening;
    file?.touch();
    return file;
  }

  /** Forgets the files below a prefix that have bytes of packs which `wanted` does not take. */
  async retain(project: string, wanted: (packKey: string) => boolean): Promise<void> {
    const folder = join(this.dir, projectPrefix(project), 'files');
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter((each) => fileName.test(each))) {
      const path = join(folder, name);
      // Of one without, nobody knows: they were removed with an earlier file, or nothing came yet.
      const packs = await readFile(`${path}.packs`, 'utf8').catch(() => undefined);
      if (packs?.split('\n').every((key) => key === '' || wanted(key))) continue;
      const file = path.slice(this.dir.length + 1);
      this.drop(file);
      for (const suffix of ['', '.sums', '.packs']) await removeOne(this.dir, file + suffix);
    }
  }

  private openFile(name: string, content: Content, entry: Entry): OpenFile | undefined {
    try {
      makeBelow(this.dir, dirname(name));
      return new OpenFile(name, content, this.space, {
        sealing: this.sealing,
        seals: () => this.seals,
        hold: () => void (entry.uses += 1),
        release: () => this.release(entry),
        watchers: entry.watchers,
      });
    } catch {
      this.count -= 1;
      if (this.files.get(name) === entry) this.files.delete(name);
      return undefined;
    }
  }

  private release(entry: Entry): void {
    entry.uses -= 1;
    if (entry.isDropped && entry.uses === 0) this.close(entry);
  }

  /** False when all that are open are in use. */
  private makeRoom(): boolean {
    if (this.count < this.filesMax) return true;
    const idle = [...this.files].find(([, { uses }]) => uses === 0);
    if (idle) this.drop(idle[0]);
    return this.count < this.filesMax;
  }

  private drop(name: string): void {
    const entry = this.files.get(name);
    if (!entry) return;
    this.files.delete(name);
    entry.isDropped = true;
    if (entry.uses === 0) this.close(entry);
    for (const gone of entry.watchers) gone();
  }

  /** Lets go of what other processes have removed. */
  private dropRemoved(): void {
    for (const [name, { opening }] of this.files) {
      void opening.then((file) => {
        if (file && file.bytes.data >= 0 && fstatSync(file.bytes.data).nlink === 0) this.drop(name);
      });
    }
  }

  /** Of an entry that was open at least once, so its promise is settled. */
  private close(entry: Entry): void {
    this.count -= 1;
    void entry.opening.then((file) => file?.bytes.close());
  }
}

interface Content {
  readonly hash: Buffer;
  /** Bytes. */
  readonly size: number;
}

interface Uses extends Pick<LocalFile, 'hold' | 'release' | 'watchers'> {
  readonly sealing: Semaphore;
  seals(): boolean;
}

class OpenFile implements LocalFile {
  readonly name: string;
  readonly size: number;
  readonly bytes: CacheFile;
  readonly hold: LocalFile['hold'];
  readonly release: LocalFile['release'];
  readonly watchers: LocalFile['watchers'];
  private readonly uses: Uses;
  private readonly packsPath: string;
  private readonly packs: Set<string>;
  private beingSealed: Promise<boolean> | undefined;
  /** Notes that it is used. */
  readonly touch: () => void;

  constructor(name: string, content: Content, space: DiskSpace, uses: Uses) {
    const path = join(space.dir, name);
    this.name = name;
    this.size = content.size;
    this.uses = uses;
    this.hold = uses.hold;
    this.release = uses.release;
    this.watchers = uses.watchers;
    this.packsPath = `${path}.packs`;
    this.bytes = openBytes(path, content);
    this.packs = new Set(readPacks(this.packsPath));
    // A file of which the time changes is no longer sealed.
    this.touch = () => void space.touch(`${path}.sums`).catch(() => undefined);
  }

  seal(past = true): Promise<boolean> {
    if (this.bytes.sealed()) return Promise.resolve(true);
    if (!this.bytes.whole()) return Promise.resolve(false);
    this.beingSealed ??= this.sealHeld(past).finally(() => (this.beingSealed = undefined));
    return this.beingSealed;
  }

  sealSoon(isRead: boolean): void {
    // The disk gives what is read to both at once.
    if (this.uses.seals()) void this.seal(!isRead);
  }

  private async sealHeld(past: boolean): Promise<boolean> {
    this.hold();
    try {
      // What was damaged may have come again meanwhile.
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

function openBytes(path: string, content: Content): CacheFile {
  for (let tries = 1; ; tries += 1) {
    try {
      return openPair(path, content);
    } catch (error) {
      // Somebody has removed the bytes, and not yet their checksums, or put other ones in their
      // place. Whoever has them open goes on with them.
      if ((error as NodeJS.ErrnoException).code !== 'ESTALE' || tries === triesMax) throw error;
      for (const suffix of ['', '.sums']) rmSync(path + suffix, { force: true });
    }
  }
}

/** Both are made where they are not there. */
function openPair(path: string, { hash, size }: Content): CacheFile {
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
