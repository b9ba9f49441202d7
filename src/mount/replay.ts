/**
 * Fetches what the last mount of a repo read first, before anybody asks for it, in small steps and after
 * everybody else. Stops for good when a reader waits for anything else, and at the first error, which
 * it does not report: a reader that needs the same bytes meets the same error.
 */
import type { BlobReader } from '../cache/blobs.ts';
import { clipped, readBytesMax, readsMax, weightOf, type FirstRead } from '../cache/first-reads.ts';
import { listRange } from '../model/list.ts';
import { parsePath } from '../model/paths.ts';
import type { Ref } from '../model/refs.ts';
import type { DirectoryContent, FileContent } from '../model/tree.ts';
import { Directories } from '../versions/directories.ts';
import { LocalContent, localBytesMin, type LargeContent, type LocalFiles } from '../versions/reading/local-content.ts';
import { readParts } from '../versions/reading/read.ts';
import type { Shown } from './root-names.ts';

export interface ReplayOptions {
  /** One whose reads are idle: nobody waits for them (Project.idleReader). */
  readonly reader: BlobReader;
  readonly project: string;
  readonly files: LocalFiles;
  readonly load: (repo: string) => Promise<readonly FirstRead[]>;
}

export interface ReplayCounters {
  /** First reads that are on this machine now (names, listings and ranges), and bytes of the ranges. */
  reads: number;
  bytes: number;
  /** Nothing more will come. */
  ended: boolean;
}

type Found = Pick<DirectoryContent, 'form' | 'ref'> | FileContent;
interface Chunk {
  readonly ref: Ref;
  readonly length: number;
}

/**
 * Reads that are looked up together; fewer at first, as a reader may follow right behind. Small files
 * among them that are neighbours in a pack come with one request.
 */
const groupReads = 16;
const batchBytesMax = 4 * 1024 * 1024;
/** About two requests to the store (cache/filler). */
const stepBytes = 16 * 1024 * 1024;

export class Replay {
  readonly counters: ReplayCounters = { reads: 0, bytes: 0, ended: false };
  private readonly options: ReplayOptions;
  private readonly directories: Directories;
  private stopped = false;
  /** The part of a large file that is being fetched. */
  private bringing: { readonly hash: Buffer; readonly from: number; readonly to: number } | undefined;

  constructor(options: ReplayOptions) {
    this.options = options;
    this.directories = new Directories(options.reader);
  }

  /** Fetches the first reads of these repos, for all together no more than one may have. Never rejects. */
  async run(all: readonly Shown[]): Promise<void> {
    let reads = readsMax;
    let bytes = readBytesMax;
    try {
      for (const shown of all) {
        const known = await this.options.load(shown.repo);
        for (let at = 0, size = 1; at < known.length && reads > 0; at += size, size = Math.min(groupReads, size * 2)) {
          const group = known.slice(at, at + Math.min(size, reads)).map((read) => {
            const part = clipped(read, bytes);
            bytes -= weightOf(part);
            return part;
          });
          reads -= group.length;
          if (this.stopped) return;
          await this.bring(shown, group);
        }
      }
    } catch {
      // Readers meet it themselves, if they come here.
    } finally {
      this.counters.ended = true;
    }
  }

  /** What is under way is still finished. */
  stop(): void {
    this.stopped = true;
  }

  /** Tells that a reader waits for a range of a large file. Stops, unless that is being fetched. */
  waits(hash: Buffer, offset: number, length: number): void {
    const { bringing } = this;
    const comes = bringing?.hash.equals(hash) && bringing.from <= offset && offset + length <= bringing.to;
    if (!comes) this.stop();
  }

  private async bring(shown: Shown, group: readonly FirstRead[]): Promise<void> {
    const found = await Promise.all(group.map(async (read) => ({ read, content: await this.find(shown, read.path) })));
    const small: { read: FirstRead; chunk: Chunk }[] = [];
    const others: (() => Promise<void>)[] = [];
    for (const { read, content } of found) {
      if (!content) continue;
      if (content.form === 'directory') others.push(() => this.list(content.ref, read));
      else if (content.form === 'inline' || read.kind !== 'file') this.count(read);
      else if (content.form === 'chunk' && content.size < localBytesMin) {
        small.push({ read, chunk: { ref: content.ref, length: content.size } });
      } else if (content.form === 'reference') others.push(() => this.bringParts(content, read));
      else others.push(() => this.bringRange(content, read));
    }
    const inTurn = async (): Promise<void> => {
      for (const other of others) if (!this.stopped) await other();
    };
    const absent: Chunk[] = [];
    for (const { chunk } of small) if (!(await this.options.reader.isOnDisk(chunk.ref))) absent.push(chunk);
    await Promise.all([this.bringSmall(absent), inTurn()]);
    for (const { read } of small) this.count(read);
  }

  /** Counts a read that is on this machine now, unless it was broken off. */
  private count(read: FirstRead): void {
    if (this.stopped) return;
    this.counters.reads += 1;
    if (read.kind === 'file') this.counters.bytes += read.to - read.from;
  }

  /** What lies at a path of the repo now, if that is shown. */
  private async find({ tree, path: shown }: Shown, path: string): Promise<Found | undefined> {
    const names = parsePath(path);
    const isShown = shown.every((name, index) => names[index]?.equals(name));
    if (!tree || !isShown || this.stopped) return undefined;
    let found: Found = { form: 'directory', ref: tree };
    for (const name of names.slice(shown.length)) {
      if (found.form !== 'directory') return undefined;
      const entry = await this.directories.readerAt(found.ref).find(name);
      if (!entry) return undefined;
      found = entry.content;
    }
    return found;
  }

  private async list(tree: Ref, read: FirstRead): Promise<void> {
    const to = read.kind === 'list' ? read.to : 0;
    for (let next = 0; next < to && !this.stopped;) {
      const { items } = await this.directories.readerAt(tree).page(next);
      if (items.length === 0) break;
      next += items.length;
    }
    this.count(read);
  }

  private async bringRange(content: LargeContent, read: FirstRead): Promise<void> {
    const { from, to } = read;
    const { files, reader, project } = this.options;
    const local = await LocalContent.open(files, reader, project, content);
    if (!local) return this.bringParts(content, read);
    try {
      const end = Math.min(to, content.size);
      for (let offset = from; offset < end && !this.stopped; offset += stepBytes) {
        const length = Math.min(stepBytes, end - offset);
        this.bringing = { hash: content.ref.hash, from: offset, to: offset + length };
        await local.prefetch(offset, length);
      }
    } finally {
      this.bringing = undefined;
      local.close();
    }
    this.count(read);
  }

  private async bringParts(content: FileContent, read: FirstRead): Promise<void> {
    if (await this.isOnDisk(content, read)) return this.count(read);
    const parts = readParts(this.options.reader, content, read.from, read.to - read.from);
    for await (const part of parts) if (this.stopped) return void part;
    this.count(read);
  }

  /** True when native threads can answer the read from what the disk has. */
  private async isOnDisk(content: FileContent, { from, to }: FirstRead): Promise<boolean> {
    const { reader } = this.options;
    if (content.form === 'chunk') return reader.isOnDisk(content.ref);
    if (content.form !== 'list') return false;
    for await (const { ref } of listRange(reader, content.ref, from, Math.min(to, content.size) - from)) {
      if (ref && !(await reader.isOnDisk(ref))) return false;
    }
    return true;
  }

  private async bringSmall(chunks: readonly Chunk[]): Promise<void> {
    const { reader } = this.options;
    const inOrder = chunks.toSorted((a, b) => compare(a.ref, b.ref));
    let batch: Chunk[] = [];
    let bytes = 0;
    for (const [index, chunk] of inOrder.entries()) {
      batch.push(chunk);
      bytes += chunk.length;
      if (bytes < batchBytesMax && index < inOrder.length - 1) continue;
      if (this.stopped) return;
      reader.prefetch(batch);
      await Promise.all(batch.map(({ ref, length }) => reader.chunk(ref, length)));
      [batch, bytes] = [[], 0];
    }
  }
}

function compare({ place: a }: Ref, { place: b }: Ref): number {
  if (!a || !b) return a ? -1 : b ? 1 : 0;
  return a.pack === b.pack ? a.offset - b.offset : a.pack < b.pack ? -1 : 1;
}
