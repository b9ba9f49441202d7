/**
 * Bytes to content: cuts a stream or file into chunks, stores them and says how a directory
 * refers to them (FORMAT.md section 5). The result depends on the bytes alone.
 */
import { PachError } from '../base/errors.ts';
import type { FileTime } from '../base/file-time.ts';
import { native, type CutPiece } from '../base/native.ts';
import { OpenFile, type Place } from '../base/place.ts';
import type { BlobWriter } from '../chunks/blob-writer.ts';
import { buildList, type ListItem } from '../model/list.ts';
import type { NodeSink } from '../model/node.ts';
import { inlineBytesMax, type Hash } from '../model/refs.ts';
import type { FileContent } from '../model/tree.ts';

/** Where content goes. */
export interface ContentSink {
  readonly data: Pick<BlobWriter, 'add'>;
  readonly nodes: NodeSink;
  /** Told of bytes that a directory's node holds itself. */
  inlined?(bytes: number): void;
}

/** A source file as it was when it was read. */
export interface ReadFile extends FileTime {
  readonly content: FileContent;
  readonly executable: boolean;
}

/** Files up to this size are one chunk whatever they hold, and are read and stored in groups. */
export const smallBytesMax = 256 * 1024;
/** What a group of small files holds at most. */
export const groupFilesMax = 512;
export const groupBytesMax = 4 * 1024 * 1024;

const readBytes = 8 * 1024 * 1024;

/** Stores a stream of bytes. */
export async function storeStream(sink: ContentSink, stream: AsyncIterable<Uint8Array>): Promise<FileContent> {
  return storePieces(sink, cutStream(stream));
}

/** The pieces of a stream, in batches. */
export async function* cutStream(stream: AsyncIterable<Uint8Array>): AsyncGenerator<CutPiece[]> {
  const cutter = native().createCutter();
  for await (const bytes of stream) yield await cutter.push(bytes);
  yield await cutter.end();
}

/**
 * Stores a regular file; holes in it cost nothing. Throws `failed` when it changes while it is
 * read: half of one state and half of another must not become a version.
 */
export async function storeFile(
  sink: ContentSink,
  place: Place,
  shown: string,
  progress: (bytes: number) => void,
): Promise<ReadFile> {
  await using file = await OpenFile.at(place);
  const before = await file.stat();
  if (!before.isFile()) throw new PachError('failed', { what: shown, why: 'it is no longer a regular file' });
  const size = Number(before.size);
  const cutter = native().createCutter();
  async function* pieces(): AsyncGenerator<CutPiece[]> {
    // One read is always under way while the pieces of the one before are stored.
    let next = cutter.pushFile(file.fd, 0, readBytes);
    for (let offset = 0; ;) {
      const { consumed, pieces: found } = await next;
      offset += consumed;
      progress(consumed);
      const done = consumed < readBytes || offset > size;
      if (!done) {
        next = cutter.pushFile(file.fd, offset, readBytes);
        next.catch(() => undefined);
      }
      yield found;
      if (done) break;
    }
    yield await cutter.end();
  }
  const content = await storePieces(sink, pieces());
  const after = await file.stat();
  if (after.size !== before.size || after.mtimeNs !== before.mtimeNs) {
    throw new PachError('failed', {
      what: shown,
      why: 'it changed while it was read, so nothing was committed',
      next: 'put it again when no program writes to it',
    });
  }
  const billion = 1_000_000_000n;
  const nanoseconds = ((before.mtimeNs % billion) + billion) % billion;
  return {
    content,
    executable: (before.mode & 0o111n) !== 0n,
    mtimeSeconds: Number((before.mtimeNs - nanoseconds) / billion),
    mtimeNanoseconds: Number(nanoseconds),
  };
}

async function storePieces(sink: ContentSink, batches: AsyncIterable<CutPiece[]>): Promise<FileContent> {
  const iterator = batches[Symbol.asyncIterator]();
  const head: CutPiece[] = [];
  while (head.length < 2) {
    const batch = await iterator.next();
    if (batch.done) return storeShort(sink, head[0]);
    head.push(...batch.value);
  }
  async function* all(): AsyncGenerator<CutPiece[]> {
    yield head;
    for (let batch = await iterator.next(); !batch.done; batch = await iterator.next()) yield batch.value;
  }
  return buildList(sink.nodes, listItems(sink, all()));
}

/** Content of at most one piece. */
async function storeShort(sink: ContentSink, piece: CutPiece | undefined): Promise<FileContent> {
  if (!piece) return { form: 'inline', bytes: Buffer.alloc(0) };
  if (!piece.bytes) return buildList(sink.nodes, [{ length: piece.length }]);
  const [content] = await storeSmall(sink, [{ bytes: piece.bytes, hash: piece.hash as Hash }]);
  return content as FileContent;
}

/** Stores contents of one chunk each, in order. */
export async function storeSmall(
  sink: ContentSink,
  files: readonly { readonly bytes: Buffer; readonly hash: Hash }[],
): Promise<FileContent[]> {
  const chunks = files.filter(({ bytes }) => bytes.length > inlineBytesMax);
  const refs = chunks.length > 0 ? await sink.data.add(chunks) : [];
  let next = 0;
  return files.map(({ bytes }): FileContent => {
    if (bytes.length <= inlineBytesMax) {
      sink.inlined?.(bytes.length);
      return { form: 'inline', bytes: Buffer.from(bytes) };
    }
    const ref = refs[next];
    next += 1;
    if (!ref) throw new Error('a chunk was not stored');
    return { form: 'chunk', size: bytes.length, ref };
  });
}

export async function* listItems(sink: ContentSink, batches: AsyncIterable<CutPiece[]>): AsyncGenerator<ListItem> {
  for await (const pieces of batches) {
    const chunks = pieces.flatMap((piece) => (piece.bytes ? [{ bytes: piece.bytes, hash: piece.hash as Hash }] : []));
    const refs = chunks.length > 0 ? await sink.data.add(chunks) : [];
    let next = 0;
    for (const piece of pieces) {
      if (!piece.bytes) yield { length: piece.length };
      else {
        const ref = refs[next];
        next += 1;
        if (ref) yield { length: piece.length, ref };
      }
    }
  }
}
