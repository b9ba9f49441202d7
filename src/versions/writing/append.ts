/**
 * Bytes added to the end of a file. The result is what storing the whole anew would give, at the
 * cost of what is added: only the last chunks are read and cut again.
 */
import type { BlobReader } from '../../cache/blobs.ts';
import { buildList, continueList, listRange, type ListItem, type ListPiece } from '../../model/list.ts';
import type { Ref } from '../../model/refs.ts';
import type { FileContent } from '../../model/tree.ts';
import { cutStream, listItems, storeStream, type ContentSink } from '../content.ts';
import { readParts } from '../reading/read.ts';

/** Longer than the last chunk together with a run of zeros that is too short for a hole. */
const lookBackBytes = 16 * 1024 * 1024;

/** Stores `before` and `more` behind it as one content. */
export async function appendStream(
  sink: ContentSink,
  reader: BlobReader,
  before: FileContent,
  more: AsyncIterable<Uint8Array>,
): Promise<FileContent> {
  if (before.form !== 'list') {
    return storeStream(sink, joined(bytesFrom(reader, before, 0), more));
  }
  const { ref, size } = before;
  const tail = await tailOf(reader, ref, size);
  const last = tail.at(-1) as ListPiece;
  if (!last.ref) return appendToHole(sink, reader, { ref, size, last }, more);
  const keep = await firstCutAgain(reader, tail);
  if (keep === 0) return storeStream(sink, joined(bytesFrom(reader, before, 0), more));
  const items = listItems(sink, cutStream(joined(bytesFrom(reader, before, keep), more)));
  return continueList({ source: reader, sink: sink.nodes }, ref, keep, items);
}

/** A file that ends in a hole: zeros that follow make the hole longer. */
async function appendToHole(
  sink: ContentSink,
  reader: BlobReader,
  { ref, size, last }: { readonly ref: Ref; readonly size: number; readonly last: ListPiece },
  more: AsyncIterable<Uint8Array>,
): Promise<FileContent> {
  const bytes = more[Symbol.asyncIterator]();
  let zeros = 0;
  let rest: Uint8Array = Buffer.alloc(0);
  for (let next = await bytes.next(); !next.done && rest.length === 0;) {
    const first = next.value.findIndex((byte) => byte !== 0);
    zeros += first < 0 ? next.value.length : first;
    if (first >= 0) rest = next.value.subarray(first);
    else next = await bytes.next();
  }
  async function* items(): AsyncGenerator<ListItem> {
    yield { length: last.length + zeros };
    if (rest.length > 0) yield* listItems(sink, cutStream(joined([rest], { [Symbol.asyncIterator]: () => bytes })));
  }
  const keep = size - last.length;
  const io = { source: reader, sink: sink.nodes };
  return keep > 0 ? continueList(io, ref, keep, items()) : buildList(sink.nodes, items());
}

/**
 * Where cutting must begin again when bytes follow: at the chunk with the last byte that is not
 * zero, since the zeros behind it may become a hole.
 */
async function firstCutAgain(reader: BlobReader, tail: readonly ListPiece[]): Promise<number> {
  for (const { ref, offset, length } of tail.toReversed()) {
    if (!ref) return offset + length;
    if ((await reader.chunk(ref, length)).some((byte) => byte !== 0)) return offset;
  }
  return 0;
}

async function tailOf(reader: BlobReader, list: Ref, size: number): Promise<ListPiece[]> {
  const from = Math.max(0, size - lookBackBytes);
  const pieces: ListPiece[] = [];
  for await (const piece of listRange(reader, list, from, size - from)) pieces.push(piece);
  return pieces;
}

async function* bytesFrom(reader: BlobReader, content: FileContent, offset: number): AsyncGenerator<Buffer> {
  for await (const { bytes, zeros } of readParts(reader, content, offset)) yield bytes ?? Buffer.alloc(zeros);
}

async function* joined(
  ...streams: readonly (AsyncIterable<Uint8Array> | Iterable<Uint8Array>)[]
): AsyncGenerator<Uint8Array> {
  for (const stream of streams) yield* stream;
}
