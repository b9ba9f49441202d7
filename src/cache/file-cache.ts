/**
 * Large files as plain files of this machine: sparse, filled as they are read, named by their
 * content, shared by all processes of this user. Each has a file of checksums beside it, and one
 * that names the packs it was filled from, so that what is purged from a store leaves here too.
 */
import { fstatSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Semaphore } from '../base/async.ts';
import { Listeners } from '../base/listeners.ts';
import { removeOne } from '../base/remove.ts';
import { makeBelow } from '../local/own-folder.ts';
import { projectPrefix } from '../model/keys.ts';
import { OpenFile, type ContentId, type LocalFile } from './local-file.ts';
import { fileName } from './shape.ts';
import type { DiskSpace } from './space.ts';

const filesMaxDefault = 1024;

/** A file that is open, or being opened, by this process. */
interface Entry {
  readonly opening: Promise<OpenFile | undefined>;
  uses: number;
  /** True when it is no longer found under its name. It is closed when its last use ends. */
  isDropped: boolean;
  readonly onGone: Listeners;
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
  /** Set where files are lent to the kernel: then each is sealed as soon as all of its bytes are there. */
  seals = false;
  /** Files are read back one at a time. */
  private readonly sealing = new Semaphore(1);

  constructor(space: DiskSpace, filesMax = filesMaxDefault) {
    this.dir = space.dir;
    this.space = space;
    this.filesMax = filesMax;
    space.onRemove.add((path) => this.drop(path));
    space.onLook.add(() => this.dropRemoved());
  }

  /**
   * The stack depth that a mount asks for, so that the kernel reads these files through it by itself. No
   * more than is needed, as it limits what can be stacked upon the mount (an overlayfs).
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
      const opened: Entry = { opening, uses: 0, isDropped: false, onGone: new Listeners() };
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
      // Without the list nobody knows the packs: it went with an earlier file, or nothing has come yet.
      const packs = await readFile(`${path}.packs`, 'utf8').catch(() => undefined);
      if (packs?.split('\n').every((key) => key === '' || wanted(key))) continue;
      const file = path.slice(this.dir.length + 1);
      this.drop(file);
      for (const suffix of ['', '.sums', '.packs']) await removeOne(this.dir, file + suffix);
    }
  }

  private openFile(name: string, content: ContentId, entry: Entry): OpenFile | undefined {
    try {
      makeBelow(this.dir, dirname(name));
      return new OpenFile(name, content, this.space, {
        sealing: this.sealing,
        seals: () => this.seals,
        hold: () => void (entry.uses += 1),
        release: () => this.release(entry),
        onGone: entry.onGone,
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

  /** Closes a file that nobody uses if too many are open. False when all are in use. */
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
    entry.onGone.tell();
  }

  /** Closes files that other processes have removed. */
  private dropRemoved(): void {
    for (const [name, { opening }] of this.files) {
      void opening.then((file) => {
        if (file && file.bytes.data >= 0 && fstatSync(file.bytes.data).nlink === 0) this.drop(name);
      });
    }
  }

  /** Only for an entry that nobody uses. */
  private close(entry: Entry): void {
    this.count -= 1;
    void entry.opening.then((file) => file?.bytes.close());
  }
}
