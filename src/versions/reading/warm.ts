/**
 * Brings a part of a version into this machine's cache before anybody reads it.
 */
import { Semaphore } from '../../base/async.ts';
import type { Ref } from '../../model/refs.ts';
import { entrySize } from '../../model/tree.ts';
import type { File, Files } from './files.ts';
import { LocalContent, type LocalFiles } from './local-content.ts';
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
  const large = new Semaphore(largeAtOnce);
  const underWay = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  let batch: { ref: Ref; length: number }[] = [];
  let bytes = 0;
  let count = 0;
  const flush = async (): Promise<void> => {
    const [chunks, sum, many] = [batch, bytes, count];
    [batch, bytes, count] = [[], 0, 0];
    reader.prefetch(chunks);
    await Promise.all(chunks.map(({ ref, length }) => reader.chunk(ref, length)));
    watch.progress(sum, many);
  };
  for await (const { entry } of everything(files, path)) {
    watch.signal.throwIfAborted();
    if (failure) throw failure.error;
    const { content } = entry;
    if (content.form === 'directory') continue;
    const whole =
      content.form === 'inline' ? undefined : await LocalContent.open(local, reader, project.options.name, content);
    if (whole) {
      const work = large
        .run(() => warmLarge(whole, watch))
        .catch((error: unknown) => void (failure ??= { error }))
        .finally(() => {
          whole.close();
          underWay.delete(work);
        });
      underWay.add(work);
      if (underWay.size >= largeAtOnce * 2) await Promise.race(underWay);
      continue;
    }
    count += 1;
    bytes += entrySize(entry);
    if (content.form === 'chunk') batch.push({ ref: content.ref, length: content.size });
    else if (content.form === 'list') for await (const part of files.read(entry)) void part;
    if (bytes >= batchBytes) await flush();
  }
  await flush();
  await Promise.all(underWay);
  if (failure) throw failure.error;
}

async function* everything(files: Files, path: string): AsyncGenerator<File> {
  const file = await files.find(path);
  if (file.entry.kind === 'directory') yield* files.list(path, true);
  else yield file;
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
