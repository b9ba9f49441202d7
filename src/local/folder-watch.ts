/**
 * Tells that files of this machine may have changed. The kernel's events (inotify, through fs.watch,
 * one watch a folder) are a hint that comes at once; a rescan is the safety net for file systems
 * without events and for folders that go and come back. Whether anything changed, and what, content
 * must tell: a touch is told of too.
 *
 *     quiet --event--> resting --no event for restMs, or longestMs after the first--> tell --> quiet
 *                         └── while git writes the work tree: --no event for gitRestMs, or gitLongestMs--> tell
 *     quiet --every rescan that sees other files--> tell --> quiet
 */
import { existsSync, watch, type FSWatcher } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fingerprintBytes, listFolder } from '../base/listing.ts';
import { native } from '../base/native.ts';
import { fullPath, placeBelow, rootPlace, type Place } from '../base/place.ts';
import { nameOfText, textOfName } from '../model/paths.ts';
import { indexLockOf } from './git-lock.ts';

export interface FolderWatchOptions {
  /** Absolute; folders, or single files. They need not be there. */
  readonly paths: readonly string[];
  /** Which names of a folder are not looked at. */
  leftOut(folder: Place): Promise<(name: Buffer, isFolder: boolean) => boolean>;
  /** Called after each burst of changes. */
  changed(): void;
  /** Told once where the kernel gives no more watches, in a sentence that says what to do. */
  warn(line: string): void;
  /** As `fs.watch`; a test has one that fails. */
  readonly watchFolder?: typeof watch;
}

/** An editor writes a file in several steps within this time. */
const restMs = 50;
/** Whoever writes on and on is answered after this time. */
const longestMs = 500;
/** A switch of branches writes file after file, at the speed of the disk. */
const gitRestMs = 500;
const gitLongestMs = 60_000;
/** Within this time two changes may have the same times. */
const timesSettleMs = 100;
const rescanMs = 2000;
const pollMs = 500;
/** A rescan may take this part of the time at most, so a large tree is looked at less often. */
const rescanShare = 0.005;
const pollShare = 0.05;

const limits: Readonly<Record<string, string>> = {
  ENOSPC: 'fs.inotify.max_user_watches',
  EMFILE: 'fs.inotify.max_user_instances',
};

export class FolderWatch implements AsyncDisposable {
  private readonly options: FolderWatchOptions;
  private readonly watchers = new Map<string, FSWatcher>();
  private readonly seenNow = new Set<string>();
  private digest: Buffer | undefined;
  private hasNewWatches = false;
  private isPolling = false;
  private isClosed = false;
  /** When the first event of a burst came (performance.now); undefined while it is quiet. */
  private firstMs: number | undefined;
  private lastMs = 0;
  /** There while git writes a work tree that is watched. */
  private readonly gitLocks = new Set<string>();
  private rest: NodeJS.Timeout | undefined;
  private next: NodeJS.Timeout | undefined;
  /** One scan after another. */
  private scanning: Promise<unknown> = Promise.resolve();

  private constructor(options: FolderWatchOptions) {
    this.options = options;
  }

  /** Resolves when all that is there is watched: whatever changes from now on is told of. */
  static async open(options: FolderWatchOptions): Promise<FolderWatch> {
    const watching = new FolderWatch(options);
    for (const path of options.paths) {
      const lock = await indexLockOf(path).catch(() => undefined);
      if (lock !== undefined) watching.gitLocks.add(lock);
    }
    await watching.rescan();
    return watching;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.rest);
    clearTimeout(this.next);
    await this.scanning;
    for (const each of this.watchers.values()) each.close();
    this.watchers.clear();
  }

  private hint(): void {
    const now = performance.now();
    this.firstMs ??= now;
    this.lastMs = now;
    this.wait(Math.max(0, Math.min(restMs, this.firstMs + longestMs - now)), this.firstMs);
  }

  private wait(ms: number, firstMs: number): void {
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      const now = performance.now();
      const mayWait = now - this.lastMs < gitRestMs && now - firstMs < gitLongestMs;
      if (mayWait && [...this.gitLocks].some((path) => existsSync(path))) return this.wait(restMs, firstMs);
      this.firstMs = undefined;
      this.tell();
      void this.rescan();
    }, ms);
  }

  private tell(): void {
    if (!this.isClosed) this.options.changed();
  }

  /** Looks at everything once. True when it looks otherwise than the last time. */
  private rescan(): Promise<boolean> {
    const scan = this.scanning.then(() => this.scan());
    this.scanning = scan;
    return scan;
  }

  private async scan(): Promise<boolean> {
    if (this.isClosed) return false;
    const begunMs = performance.now();
    clearTimeout(this.next);
    this.seenNow.clear();
    const parts: Buffer[] = [];
    for (const path of this.options.paths) await this.scanRoot(path, parts);
    for (const [path, each] of this.watchers) {
      if (this.seenNow.has(path)) continue;
      each.close();
      this.watchers.delete(path);
    }
    const digest = native().hash('plain', Buffer.concat(parts));
    const isOther = this.digest !== undefined && !this.digest.equals(digest);
    // What was written into a new folder before it was watched, nobody was told of.
    if (this.digest !== undefined && this.hasNewWatches) this.hint();
    this.hasNewWatches = false;
    this.digest = digest;
    const took = performance.now() - begunMs;
    const wait = this.isPolling ? Math.max(pollMs, took / pollShare) : Math.max(rescanMs, took / rescanShare);
    if (!this.isClosed) {
      this.next = setTimeout(() => void this.rescan().then((isChanged) => isChanged && this.tell()), wait);
      this.next.unref();
    }
    return isOther;
  }

  private async scanRoot(path: string, parts: Buffer[]): Promise<void> {
    // A folder that goes and comes back, and a file that is replaced, are seen from above.
    this.watch(nameOfText(dirname(path)), basename(path));
    const found = await stat(nameOfText(path), { bigint: true }).catch(() => undefined);
    parts.push(Buffer.from(`${path}\0${found ? `${found.ino} ${found.mode}` : 'nothing'}\0`));
    if (found?.isDirectory()) await this.scanFolder(rootPlace(nameOfText(path)), parts);
    else if (found) parts.push(Buffer.from(`${found.size} ${found.mtimeNs} ${found.ctimeNs}\0`));
  }

  private async scanFolder(folder: Place, parts: Buffer[]): Promise<void> {
    this.watch(fullPath(folder));
    // It may be gone by now, or not be readable: then that is what it looks like.
    const listing = await listFolder(folder, Date.now() - timesSettleMs).catch(() => undefined);
    const isLeftOut = listing && (await this.options.leftOut(folder).catch(() => undefined));
    if (!listing || !isLeftOut) return void parts.push(Buffer.from('unreadable\0'));
    const folders: Place[] = [];
    let file = 0;
    for (let n = 0; n < listing.count; n += 1) {
      const { name, kind, error, size, mtimeSeconds, mtimeNanoseconds } = listing.at(n);
      const number = kind === 'file' && error === undefined ? file++ : undefined;
      if (isLeftOut(name, kind === 'directory')) continue;
      const place = placeBelow(folder, name);
      parts.push(name, Buffer.from(`\0${kind}\0`));
      if (number !== undefined) {
        // A file of just now has no fingerprint: once it has one, it is told of again.
        const fingerprint = listing.fingerprints.subarray(number * fingerprintBytes, (number + 1) * fingerprintBytes);
        parts.push(fingerprint, Buffer.from(`${size} ${mtimeSeconds} ${mtimeNanoseconds}\0`));
      }
      if (kind === 'symlink') parts.push(await changeTime(fullPath(place)));
      else if (kind === 'directory') folders.push(place);
    }
    for (const each of folders) await this.scanFolder(each, parts);
  }

  /** Has the kernel tell what changes in a folder; of `only` alone, where that is given. */
  private watch(folder: Buffer, only?: string): void {
    const key = `${textOfName(folder)}${only === undefined ? '' : `\0${only}`}`;
    this.seenNow.add(key);
    if (this.isPolling || this.watchers.has(key)) return;
    const open = this.options.watchFolder ?? watch;
    try {
      const watcher = open(folder, { persistent: false, encoding: 'buffer' }, (_, name) => {
        if (only === undefined || name === null || textOfName(Buffer.from(name)) === only) this.hint();
      });
      watcher.on('error', (error) => this.failed(key, error));
      this.watchers.set(key, watcher);
      this.hasNewWatches = true;
    } catch (error) {
      this.failed(key, error);
    }
  }

  /** A folder that is not there is found by the rescan; without watches, everything is. */
  private failed(key: string, error: unknown): void {
    this.watchers.get(key)?.close();
    this.watchers.delete(key);
    const limit = limits[(error as NodeJS.ErrnoException).code ?? ''];
    if (limit === undefined || this.isPolling) return;
    this.isPolling = true;
    for (const each of this.watchers.values()) each.close();
    this.watchers.clear();
    this.options.warn(
      `the kernel gives no more watches for files, so changes are looked for twice a second: sudo sysctl ${limit}=524288`,
    );
  }
}

async function changeTime(path: Buffer): Promise<Buffer> {
  const found = await lstat(path, { bigint: true }).catch(() => undefined);
  return Buffer.from(`${found?.ctimeNs ?? ''}\0`);
}
