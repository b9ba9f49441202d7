/**
 * Bytes of references: objects outside of the store. Nothing is known of them but the version that names
 * them, so what a bucket gave for that version is kept under the reference's hash, with checksums of our
 * own, which are compared at every read. It is fetched in pieces that begin at fixed offsets.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Semaphore } from '../base/async.ts';
import { Deadline } from '../base/deadline.ts';
import type { ReferenceContent } from '../model/reference.ts';
import type { FileCache } from './file-cache.ts';
import type { LocalFile } from './local-file.ts';
import type { DiskSpace } from './space.ts';

/** Bytes of a piece, but for the last one of an object. */
export const pieceBytes = 4 * 1024 * 1024;
const fetchesMax = 16;
const pauseMsMax = 100;

/** Reads ranges of objects in the version that a reference names. */
export interface ObjectReader {
  /** Throws `failed` naming the object when it is not there any more, or in another version. */
  read(content: ReferenceContent, range: { offset: number; length: number }, deadline: Deadline): Promise<Buffer>;
  close(): void;
}

export interface OutsideOptions {
  readonly objects: ObjectReader;
  readonly files: FileCache;
  readonly space: DiskSpace;
  /** How long a read waits for a server that does not answer. */
  readonly timeoutMs: number;
}

export class OutsideBytes {
  private readonly options: OutsideOptions;
  private readonly fetches = new Semaphore(fetchesMax);

  constructor(options: OutsideOptions) {
    this.options = options;
  }

  /** The bytes of a piece, of the disk or fetched. */
  async piece(project: string, content: ReferenceContent, index: number): Promise<Buffer> {
    const file = await this.file(project, content);
    const offset = index * pieceBytes;
    const range = { offset, length: Math.min(pieceBytes, content.size - offset) };
    if (!file) return this.fetch(content, range);
    try {
      return (await kept(file, range)) ?? (await this.fetchInto(file, content, range));
    } finally {
      file.release();
    }
  }

  /** A part of a piece, if it is on the disk; undefined where it is not. */
  async part(project: string, content: ReferenceContent, range: Range): Promise<Buffer | undefined> {
    const file = await this.file(project, content);
    try {
      return file && (await kept(file, range));
    } finally {
      file?.release();
    }
  }

  /** The file of the disk cache that has bytes of a reference, in use until it is released. Undefined where there can be none. */
  file(project: string, { hash, size }: ReferenceContent): Promise<LocalFile | undefined> {
    return this.options.files.open(project, hash, size);
  }

  /** Fetches a piece unless another process does so. */
  private async fetchInto(file: LocalFile, content: ReferenceContent, range: Range): Promise<Buffer> {
    const { offset, length } = range;
    const deadline = new Deadline(this.options.timeoutMs);
    for (let pauseMs = 5; !file.bytes.claim(offset, length); pauseMs = Math.min(pauseMsMax, pauseMs * 2)) {
      if (deadline.isOver) return this.fetch(content, range);
      await sleep(pauseMs);
      const bytes = await kept(file, range);
      if (bytes) return bytes;
    }
    try {
      // It may have come between the look and the claim.
      const there = await kept(file, range);
      if (there) return there;
      const bytes = await this.fetch(content, range);
      await this.keep(file, range, bytes);
      return bytes;
    } finally {
      file.bytes.unclaim(offset, length);
    }
  }

  private fetch(content: ReferenceContent, range: Range): Promise<Buffer> {
    // Its time runs from when its turn comes: those before it are bounded, too.
    return this.fetches.run(() => this.options.objects.read(content, range, new Deadline(this.options.timeoutMs)));
  }

  /** A disk that does not take it is done without. */
  private async keep(file: LocalFile, { offset, length }: Range, bytes: Buffer): Promise<void> {
    try {
      await file.bytes.put(offset, bytes, offset === 0, offset + length === file.size);
      this.options.space.wrote(length);
      file.sealSoon(false);
    } catch {
      // Read again from its bucket the next time.
    }
  }
}

interface Range {
  readonly offset: number;
  readonly length: number;
}

async function kept(file: LocalFile, { offset, length }: Range): Promise<Buffer | undefined> {
  return file.bytes.presentUntil(offset, offset + length) >= offset + length
    ? file.bytes.read(offset, length)
    : undefined;
}
