/**
 * The content of a large file as a file of this machine's cache, which fills as it is read.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlobReader } from '../../cache/blobs.ts';
import type { FileCache } from '../../cache/file-cache.ts';
import type { FileChunk, Filler, Stretch } from '../../cache/filler.ts';
import type { LocalFile } from '../../cache/local-file.ts';
import type { Purpose } from '../../cache/transfers.ts';
import { isPachError, PachError } from '../../base/errors.ts';
import { listRange } from '../../model/list.ts';
import type { Ref } from '../../model/refs.ts';
import type { StoredContent } from '../../model/tree.ts';
import { firstChunk } from './read.ts';

/** The cache of large files, and the filler that fetches into it. */
export interface LocalFiles {
  readonly cache: FileCache;
  readonly filler: Filler;
}

/** Smaller files come with their neighbours, and stay as what was fetched. */
export const localBytesMin = 1024 * 1024;
/** Files up to this size are read from whole packs on this machine, where these are (native/fuse/kept_answers.cc). */
export const packedBytesMax = 8 * 1024 * 1024;
const blockBytes = 4096;
const triesMax = 4;
/** How long a reader waits for a chunk in memory to reach the disk, when it shares its block: the rest of the run may come slowly. */
const writtenMs = 2000;

/** Of chunks in the store. */
export type LargeContent = Exclude<StoredContent, { form: 'inline' }>;

export class LocalContent {
  readonly file: LocalFile;
  private readonly reader: BlobReader;
  private readonly filler: Filler;
  private readonly project: string;
  private readonly content: LargeContent;
  private refused = false;
  private closed = false;
  /** Ends the listening of those who wait for the file to go. */
  private readonly leaves: (() => void)[] = [];

  private constructor(file: LocalFile, reader: BlobReader, filler: Filler, project: string, content: LargeContent) {
    this.file = file;
    this.reader = reader;
    this.filler = filler;
    this.project = project;
    this.content = content;
  }

  /**
   * Keeps its file open until it is closed. Undefined for content that is not kept as a file, or is on this
   * machine in a whole pack, and when the disk refuses.
   */
  static async open(
    { cache, filler }: LocalFiles,
    reader: BlobReader,
    project: string,
    content: LargeContent,
  ): Promise<LocalContent | undefined> {
    if (content.size < localBytesMin || (await isInPack(reader, content))) return undefined;
    const file = await cache.open(project, content.ref.hash, content.size);
    file?.sealSoon(true);
    return file && new LocalContent(file, reader, filler, project, content);
  }

  /** Fetches that have begun go on to their end. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const leave of this.leaves) leave();
    this.file.release();
  }

  /** Calls `gone`, until this is closed, when the cache drops the file. Its space is free only once this is closed. */
  onGone(gone: () => void): void {
    this.leaves.push(this.file.onGone.add(gone));
  }

  /**
   * True once the bytes can be read from the file. False when they never will be: they are a hole, the disk
   * is full, or this is closed. Rejects when the store fails to give them.
   */
  async ensure(offset: number, length: number): Promise<boolean> {
    return !this.closed && this.holding(() => this.bring(offset, length));
  }

  /** True when the bytes are in the file already. */
  has(offset: number, length: number): boolean {
    const [from, to] = this.blocks(offset, length);
    return !this.closed && this.file.bytes.presentUntil(from, to) >= to;
  }

  /** The smallest range of whole blocks around a range. */
  private blocks(offset: number, length: number): [number, number] {
    const to = Math.min(this.file.size, Math.ceil((offset + length) / blockBytes) * blockBytes);
    return [Math.floor(offset / blockBytes) * blockBytes, to];
  }

  private async bring(offset: number, length: number): Promise<boolean> {
    const [from, to] = this.blocks(offset, length);
    for (let tries = 0; this.file.bytes.presentUntil(from, to) < to; tries += 1) {
      if (this.refused || tries === triesMax) return false;
      const stretch = await this.stretch(from, to);
      if (stretch.chunks.slice(stretch.from, stretch.to).some(({ ref }) => !ref)) return false;
      try {
        if (tries === 0) await this.filler.fill(this.reader, this.project, this.file, stretch, 'read');
        // A block that two chunks share can be read when both are on the disk.
        else if (tries === 1) {
          const enough = sleep(writtenMs, undefined, { ref: false });
          await Promise.race([this.filler.written(this.file, stretch), enough]);
        } else await this.filler.mend(this.reader, this.file, stretch, from, to);
      } catch (error) {
        if (isPachError(error)) throw error;
        this.refused = true;
        return false;
      }
    }
    return true;
  }

  /** Fetches what will be read soon, with less urgency than what a reader waits for. */
  async prefetch(offset: number, length: number, purpose: 'ahead' | 'around' = 'ahead'): Promise<void> {
    if (!this.refused && !this.closed) await this.fetch(offset, length, purpose);
  }

  /** Resolves when all chunks of a range are on the disk. Rejects as `ensure` does, and with `no-space`. */
  async fetch(offset: number, length: number, purpose: Purpose = 'keep'): Promise<void> {
    const to = Math.min(this.file.size, offset + length);
    if (to <= offset) return;
    try {
      await this.holding(async () => {
        const stretch = await this.stretch(offset, to);
        await this.filler.fill(this.reader, this.project, this.file, stretch, purpose);
        await this.filler.written(this.file, stretch);
        // What others were fetching may not have reached the disk: then it is fetched again.
        if (purpose === 'keep') await this.filler.fill(this.reader, this.project, this.file, stretch, purpose);
      });
    } catch (error) {
      if (isPachError(error)) throw error;
      this.refused = true;
      throw new PachError('no-space', {
        what: 'the disk cache',
        why: `it can't be written (${(error as NodeJS.ErrnoException).code ?? String(error)})`,
        next: 'pach cache clear',
        cause: error,
      });
    }
  }

  /** Keeps the file open while `work` lasts. */
  private async holding<T>(work: () => Promise<T>): Promise<T> {
    this.file.hold();
    try {
      return await work();
    } finally {
      this.file.release();
    }
  }

  private async stretch(from: number, to: number): Promise<Stretch> {
    const { content, file } = this;
    if (content.form === 'chunk') {
      return { chunks: [{ offset: 0, length: content.size, ref: content.ref }], from: 0, to: 1 };
    }
    const inside = await this.chunks(content.ref, from, to);
    const first = inside[0] as FileChunk;
    const last = inside.at(-1) as FileChunk;
    const begin = Math.max(0, first.offset - 1);
    const chunks = await this.chunks(content.ref, begin, Math.min(file.size, last.offset + last.length + 1));
    const index = first.offset > 0 ? 1 : 0;
    return { chunks, from: index, to: index + inside.length };
  }

  /** The chunks that a range has bytes of. The range is not empty. */
  private async chunks(list: Ref, from: number, to: number): Promise<FileChunk[]> {
    const found: FileChunk[] = [];
    for await (const chunk of listRange(this.reader, list, from, to - from)) found.push(chunk);
    return found;
  }
}

/** True when a file that is not a large one begins in a pack that is on this machine as a whole, or is to be. */
export async function isInPack(reader: BlobReader, content: LargeContent): Promise<boolean> {
  if (content.size > packedBytesMax) return false;
  const chunk = await firstChunk(reader, content);
  return chunk?.place !== undefined && reader.hasPack(chunk.place.pack);
}
