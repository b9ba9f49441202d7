/**
 * Brings a part of a version into this machine's cache before anybody reads it.
 */
import { Semaphore } from '../../base/async.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { entrySize, type FileContent } from '../../model/tree.ts';
import type { File, Files } from './files.ts';
import { LocalContent, packedBytesMax, type LocalFiles } from './local-content.ts';
import { chunksOf, wantedPacks, type Chunk } from './packs.ts';
import { readParts } from './read.ts';
import type { Project } from '../project.ts';

export interface WarmWatch {
  /** Called with the bytes and files that were added to the cache. */
  progress(bytes: number, files: number): void;
  readonly signal: AbortSignal;
}

const largeAtOnce = 4;
const stepBytes = 32 * 1024 * 1024;
const batchBytes = 16 * 1024 * 1024;

/** Fetches what lies at a path, all of it. Rejects as reading it would. */
export async function warmFiles(
  project: Project,
  local: LocalFiles,
  files: Files,
  path: string,
  watch: WarmWatch,
): Promise<void> {
  const { reader } = project;
  const came = reader.packsBytesMax > 0 ? await bringPacks(reader, files, path, watch) : new Set();
  const large = new Semaphore(largeAtOnce);
  const underWay = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  let batch: Chunk[] = [];
  let bytes = 0;
  let count = 0;
  // What came in packs is read, too: that verifies it.
  const flush = async (): Promise<void> => {
    const [chunks, many] = [batch, count];
    [batch, bytes, count] = [[], 0, 0];
    reader.prefetch(chunks);
    await Promise.all(chunks.map(({ ref, length }) => reader.chunk(ref, length)));
    const others = chunks.filter(({ ref }) => !came.has(ref.place?.pack));
    watch.progress(sumOf(others), many);
  };
  for await (const { entry } of everything(files, path)) {
    watch.signal.throwIfAborted();
    if (failure) throw failure.error;
    const { content } = entry;
    if (content.form === 'directory') continue;
    const begin = async (fetch: () => Promise<void>, end?: () => void): Promise<void> => {
      const work = large
        .run(fetch)
        .catch((error: unknown) => void (failure ??= { error }))
        .finally(() => {
          end?.();
          underWay.delete(work);
        });
      underWay.add(work);
      if (underWay.size >= largeAtOnce * 2) await Promise.race(underWay);
    };
    if (content.form === 'reference') {
      await begin(() => warmReference(reader, content, watch));
      continue;
    }
    const whole =
      content.form === 'inline' ? undefined : await LocalContent.open(local, reader, project.options.name, content);
    if (whole) {
      await begin(
        () => warmLarge(whole, watch),
        () => whole.close(),
      );
      continue;
    }
    count += 1;
    const chunks = await chunksOf(reader, entry);
    // Inline bytes and holes came with the tree.
    watch.progress(entrySize(entry) - sumOf(chunks), 0);
    for (const chunk of chunks) {
      batch.push(chunk);
      bytes += chunk.length;
      if (bytes >= batchBytes) await flush();
    }
  }
  await flush();
  await Promise.all(underWay);
  if (failure) throw failure.error;
}

/** Brings the packs of which most is wanted, each with one request. Resolves to those that came. */
async function bringPacks(
  reader: BlobReader,
  files: Files,
  path: string,
  watch: WarmWatch,
): Promise<ReadonlySet<unknown>> {
  const limits = { bytesMax: reader.packsBytesMax, fileBytesMax: packedBytesMax };
  const wanted = await wantedPacks(reader, everything(files, path), limits, watch.signal);
  const fetches = wanted.map(async ({ pack, bytes, end }) => {
    const isThere = await reader.fetchPack(pack, end);
    if (isThere) watch.progress(bytes, 0);
    return isThere ? [pack] : [];
  });
  const came = new Set<unknown>();
  for (const fetch of fetches) {
    watch.signal.throwIfAborted();
    for (const pack of await fetch) came.add(pack);
  }
  return came;
}

function sumOf(chunks: readonly Chunk[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}

async function* everything(files: Files, path: string): AsyncGenerator<File> {
  const file = await files.find(path);
  if (file.entry.kind === 'directory') yield* files.list(path, true);
  else yield file;
}

/** What is read of a reference is kept. */
async function warmReference(reader: BlobReader, content: FileContent, watch: WarmWatch): Promise<void> {
  for await (const { bytes } of readParts(reader, content)) {
    watch.signal.throwIfAborted();
    watch.progress(bytes?.length ?? 0, 0);
  }
  watch.progress(0, 1);
}

async function warmLarge(local: LocalContent, watch: WarmWatch): Promise<void> {
  await fetchLarge(local, watch);
  // What was cached before may be damaged. Then it is fetched again.
  if (!(await local.file.seal())) await local.fetch(0, local.file.size);
  await local.file.seal();
  watch.progress(0, 1);
}

async function fetchLarge(local: LocalContent, watch: WarmWatch): Promise<void> {
  const { size } = local.file;
  for (let offset = 0; offset < size; offset += stepBytes) {
    watch.signal.throwIfAborted();
    const length = Math.min(stepBytes, size - offset);
    const fetched = local.fetch(offset, length);
    // The next step begins already. It is fetched to be kept: for a reader it would stay in memory until it is read.
    void local.fetch(offset + length, stepBytes).catch(() => undefined);
    await fetched;
    watch.progress(length, 0);
  }
}
