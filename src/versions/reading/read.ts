/**
 * The bytes of a file of a version, verified, in order, without holding more than a window.
 */
import type { BlobReader } from '../../cache/blobs.ts';
import { pieceBytes } from '../../cache/outside.ts';
import { listRange } from '../../model/list.ts';
import type { ReferenceContent } from '../../model/reference.ts';
import type { Ref } from '../../model/refs.ts';
import { entrySize, type FileContent } from '../../model/tree.ts';

/** A part of a file: bytes (shared, not to be changed) or so many zeros. */
export type FilePart =
  | { readonly bytes: Buffer; readonly zeros?: undefined }
  | { readonly bytes?: undefined; readonly zeros: number };

/** Content that is not in the directory's node. */
type FarContent = Exclude<FileContent, { form: 'inline' }>;

/** A piece's share of a range: bytes [from, to) of a chunk of `length` bytes, of a piece of a reference, or of a hole. */
interface Span {
  readonly ref?: Ref | undefined;
  readonly piece?: { readonly of: ReferenceContent; readonly index: number };
  readonly length: number;
  readonly from: number;
  readonly to: number;
}

const aheadBytes = 32 * 1024 * 1024;

/** Bytes [offset, offset + length) of a file's content, as far as it goes. */
export async function* readParts(
  reader: BlobReader,
  content: FileContent,
  offset = 0,
  length = Number.MAX_SAFE_INTEGER,
): AsyncGenerator<FilePart> {
  if (content.form === 'inline') {
    const bytes = content.bytes.subarray(offset, Math.min(content.bytes.length, offset + length));
    if (bytes.length > 0) yield { bytes };
    return;
  }
  const window: Span[] = [];
  let windowBytes = 0;
  for await (const span of spans(reader, content, offset, Math.min(length, entrySize({ content }) - offset))) {
    window.push(span);
    windowBytes += span.length;
    if (windowBytes < aheadBytes) continue;
    // Prefetches half a window at a time, so that one request brings neighbours together.
    prefetch(reader, window);
    while (windowBytes > aheadBytes / 2) {
      const next = window.shift() as Span;
      windowBytes -= next.length;
      yield await part(reader, next);
    }
  }
  prefetch(reader, window);
  for (const span of window) yield await part(reader, span);
}

/** The parts of a short range at once. */
export async function readRange(
  reader: BlobReader,
  content: FileContent,
  offset: number,
  length: number,
): Promise<FilePart[]> {
  if (content.form === 'inline') return [{ bytes: content.bytes.subarray(offset, offset + length) }];
  const found: Span[] = [];
  for await (const span of spans(reader, content, offset, length)) found.push(span);
  return Promise.all(found.map((span) => part(reader, span)));
}

/** True once all of a short range lies on this machine, in packs that are being brought there as a whole. */
export async function arrivesInPacks(
  reader: BlobReader,
  content: FileContent,
  offset: number,
  length: number,
): Promise<boolean> {
  if (content.form === 'inline' || content.form === 'reference') return false;
  const found: (Ref | undefined)[] = [];
  for await (const { ref } of spans(reader, content, offset, length)) found.push(ref);
  const arrived = await Promise.all(found.map(async (ref) => ref !== undefined && reader.arrives(ref)));
  return arrived.every(Boolean);
}

/** Begins to fetch the chunks of a range that will be read soon. */
export async function prefetchRange(
  reader: BlobReader,
  content: FileContent,
  offset: number,
  length: number,
): Promise<void> {
  if (content.form === 'inline') return;
  const found: Span[] = [];
  for await (const span of spans(reader, content, offset, length)) found.push(span);
  prefetch(reader, found);
}

/** The chunk that a file begins with; undefined where it begins with a hole. */
export async function firstChunk(reader: BlobReader, content: FarContent): Promise<Ref | undefined> {
  for await (const { ref } of spans(reader, content, 0, 1)) return ref;
  return undefined;
}

function prefetch(reader: BlobReader, window: readonly Span[]): void {
  reader.prefetch(window.flatMap(({ ref, length }) => (ref ? [{ ref, length }] : [])));
  // Who needs it meets the same error.
  for (const { piece } of window) if (piece) reader.piece(piece.of, piece.index).catch(() => undefined);
}

async function* spans(reader: BlobReader, content: FarContent, offset: number, length: number): AsyncGenerator<Span> {
  if (length <= 0 || offset >= content.size) return;
  const end = Math.min(content.size, offset + length);
  if (content.form === 'reference') {
    for (let index = Math.floor(offset / pieceBytes); index * pieceBytes < end; index += 1) {
      const begin = index * pieceBytes;
      const bytes = Math.min(pieceBytes, content.size - begin);
      const [from, to] = [Math.max(0, offset - begin), Math.min(bytes, end - begin)];
      yield { piece: { of: content, index }, length: bytes, from, to };
    }
    return;
  }
  if (content.form === 'chunk') {
    yield { ref: content.ref, length: content.size, from: offset, to: end };
    return;
  }
  for await (const item of listRange(reader, content.ref, offset, end - offset)) {
    const from = Math.max(0, offset - item.offset);
    yield { ref: item.ref, length: item.length, from, to: Math.min(item.length, end - item.offset) };
  }
}

async function part(reader: BlobReader, span: Span): Promise<FilePart> {
  if (span.piece) {
    return { bytes: await reader.partOfPiece(span.piece.of, span.piece.index, span.from, span.to) };
  }
  if (!span.ref) return { zeros: span.to - span.from };
  return { bytes: (await reader.chunk(span.ref, span.length)).subarray(span.from, span.to) };
}
