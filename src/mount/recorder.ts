/**
 * Notes what readers of a mount ask for first, and keeps it for the next mount of the same repo. Hears
 * only of requests that native threads did not answer: for what was neither here nor fetched ahead.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FirstRead } from '../cache/first-reads.ts';
import type { NodeSource } from '../model/node.ts';
import { pathOf } from '../model/paths.ts';
import type { Ref } from '../model/refs.ts';
import { Directories } from '../versions/directories.ts';
import type { Shown } from './root-names.ts';
import { ReadList } from './read-list.ts';
import { rootIno, type NodeOf, type ViewNode } from './view.ts';

/** What a reader asked for: a range as in FirstRead, of a node or of the entry of that name in it. */
export interface Asked extends Omit<FirstRead, 'path'> {
  readonly node: ViewNode;
  readonly name?: Buffer;
}

export interface RecorderOptions {
  /** For names of directories that were just read. */
  readonly reader: NodeSource;
  /** What the name with this ordinal in the root directory shows. */
  readonly shown: (ordinal: number) => Shown | undefined;
  readonly load: (repo: string) => Promise<readonly FirstRead[]>;
  readonly save: (repo: string, reads: readonly FirstRead[]) => Promise<void>;
}

/** Repos of one mount of which something is noted. */
const reposMax = 16;
/** Requests whose paths are not known yet. */
const waitingMax = 64;
/** After this time without a new read, the reads are saved. */
const calmMs = 5000;
/** A mount that ends waits no longer than this for names that are still to come from the store. */
const endMsMax = 1000;

export class Recorder {
  private readonly options: RecorderOptions;
  private readonly directories: Directories;
  private readonly lists = new Map<string, ReadList>();
  /** Paths are found one after another, so that the reads stay in order. */
  private naming: Promise<void> = Promise.resolve();
  /** Lists are saved one after another. `end` waits, as a process that ends meanwhile leaves a temporary file. */
  private keeping: Promise<void> = Promise.resolve();
  private waiting = 0;
  private hasNew = false;
  /** True when every list is full: later reads are no first reads. */
  private isOver = false;
  private calm: NodeJS.Timeout | undefined;

  constructor(options: RecorderOptions) {
    this.options = options;
    this.directories = new Directories(options.reader);
  }

  /** Calls `nodeOf` only before it returns: later the kernel may have forgotten nodes. */
  note(asked: Asked, nodeOf: NodeOf): void {
    if (this.isOver || this.waiting >= waitingMax) return;
    const { node, kind, from, to } = asked;
    const steps: { directory: Ref; ordinal: number }[] = [];
    let top = node;
    while (top.ino !== rootIno && top.parent !== rootIno) {
      const parent = nodeOf(top.parent);
      if (parent.ref) steps.unshift({ directory: parent.ref, ordinal: top.ordinal });
      top = parent;
    }
    const shown = top.ino === rootIno ? undefined : this.options.shown(top.ordinal);
    const list = shown && this.listOf(shown.repo);
    if (!list || list.isFull) return;
    this.waiting += 1;
    this.naming = this.naming
      .then(async () => {
        const names = [...shown.path];
        for (const { directory, ordinal } of steps) {
          const entry = await this.directories.readerAt(directory).at(ordinal);
          if (!entry) return;
          names.push(entry.name);
        }
        if (asked.name) names.push(asked.name);
        const path = pathOf(names);
        if (list.add({ kind, path, from, to })) this.hear();
      })
      .catch(() => undefined)
      .finally(() => (this.waiting -= 1));
  }

  /** Keeps what was noted. */
  async end(): Promise<void> {
    clearTimeout(this.calm);
    await Promise.race([this.naming, sleep(endMsMax)]);
    await this.keep();
  }

  private listOf(repo: string): ReadList | undefined {
    let list = this.lists.get(repo);
    if (!list && this.lists.size < reposMax) this.lists.set(repo, (list = new ReadList()));
    return list;
  }

  private hear(): void {
    this.hasNew = true;
    this.isOver = [...this.lists.values()].every(({ isFull }) => isFull);
    clearTimeout(this.calm);
    this.calm = setTimeout(() => void this.keep(), calmMs).unref();
  }

  private keep(): Promise<void> {
    return (this.keeping = this.keeping.then(() => this.keepNew()));
  }

  /**
   * Keeps the reads of earlier mounts, too, after the new ones and while there is room. Some of them were
   * fetched ahead this time, so they were not noted, and mounts of one repo differ in their work.
   */
  private async keepNew(): Promise<void> {
    if (!this.hasNew) return;
    this.hasNew = false;
    for (const [repo, noted] of this.lists) {
      const list = new ReadList();
      for (const read of [...noted.reads, ...(await this.options.load(repo))]) list.add(read);
      if (noted.reads.length > 0) await this.options.save(repo, list.reads);
    }
  }
}
