/**
 * Entries of a source to files of a version: several are read at a time, small ones are stored in
 * groups, and each directory is written once for many of its entries.
 */
import { setMaxListeners } from 'node:events';
import { mapOrdered, Semaphore } from '../../base/async.ts';
import { PachError } from '../../base/errors.ts';
import type { FileTime } from '../../base/file-time.ts';
import { native } from '../../base/native.ts';
import { rootPlace } from '../../base/place.ts';
import { pathOf } from '../../model/paths.ts';
import { inlineBytesMax, type Hash } from '../../model/refs.ts';
import type { FileContent, TreeEntry } from '../../model/tree.ts';
import type { EntrySource, SourceEntry, SourceFile } from '../../sources/source.ts';
import { groupBytesMax, groupFilesMax, smallBytesMax, storeSmall, storeStream } from '../content.ts';
import type { Directory } from '../directories.ts';
import { maybeFile, type IngestOptions } from './ingest.ts';
import { PendingTree } from './pending-tree.ts';

export interface PutEntriesOptions extends IngestOptions {
  /** Makes what was stored so far readable from the store. */
  finish(): Promise<unknown>;
  /** Entries held in memory before they are applied. Default 20,000. */
  readonly pendingMax?: number;
  /** The time of folders that are made, in milliseconds since 1970; by default now. */
  readonly folderTime?: number;
  /** Asked what to do when a file's bytes can't be had; undefined: the error is thrown, as it is without this. */
  failed?(entry: SourceEntry, error: unknown): 'again' | 'leave out' | undefined;
}

/** Files above `smallBytesMax`, or of unknown size, that are read at a time. */
const largeMax = 6;
/** What one call of the cutter is fed. */
const pieceBytes = 1024 * 1024;

/** An entry that was read: with content that is stored, or small enough to be stored with others. */
interface ReadEntry {
  readonly entry: SourceEntry;
  readonly file?: FileTime & { readonly executable: boolean };
  readonly small?: Buffer;
  readonly content?: FileContent;
}

/**
 * The version `root` with a source's entries at the folder `at`. What is there and not in the
 * source stays. Throws the source's error when it breaks, `conflict` where a file and a directory
 * meet or a way leads through a symlink.
 */
export async function putEntries(
  options: PutEntriesOptions,
  root: Directory | undefined,
  at: readonly Buffer[],
  source: EntrySource,
): Promise<Directory | undefined> {
  const failure = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failure.signal]) : failure.signal;
  setMaxListeners(0, signal);
  const placer = new EntryPlacer(options, root, at);
  /** A failure aborts everything that runs beside it. */
  const guard = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  };
  const entries = source.entries(signal)[Symbol.asyncIterator]();
  const guarded = { next: () => guard(() => entries.next()), return: async () => (await entries.return?.()) as never };
  const large = new Semaphore(largeMax);
  const readOne = (entry: SourceEntry): Promise<ReadEntry | undefined> =>
    guard(() => readEntry(options, entry, { signal, large }));
  try {
    for await (const read of mapOrdered({ [Symbol.asyncIterator]: () => guarded }, source.ahead, readOne)) {
      signal.throwIfAborted();
      if (read) await guard(() => placer.add(read));
    }
    return await placer.finish();
  } catch (error) {
    throw failure.signal.aborted ? failure.signal.reason : error;
  }
}

interface Reading {
  readonly signal: AbortSignal;
  readonly large: Semaphore;
}

/** Undefined for what is left out. */
async function readEntry(
  options: PutEntriesOptions,
  entry: SourceEntry,
  { signal, large }: Reading,
): Promise<ReadEntry | undefined> {
  if (options.unreadable?.counts && entry.kind !== 'local') return undefined;
  switch (entry.kind) {
    case 'file': {
      const read = async (): Promise<ReadEntry | undefined> => {
        try {
          const file = await entry.open(signal);
          return { entry, file, ...(await readContent(options, file)) };
        } catch (error) {
          const todo = options.failed?.(entry, error);
          if (todo === undefined) throw error;
          return todo === 'again' ? read() : undefined;
        }
      };
      const isSmall = entry.size !== undefined && entry.size <= smallBytesMax;
      return isSmall ? read() : large.run(read);
    }
    case 'local':
      return large.run(async () => {
        const read = await maybeFile(options, rootPlace(entry.file));
        return read && { entry, file: read, content: read.content };
      });
    case 'symlink': {
      options.progress(0, 1);
      const { target } = entry;
      if (target.length <= inlineBytesMax) return { entry, content: { form: 'inline', bytes: Buffer.from(target) } };
      const bytes = async function* (): AsyncGenerator<Buffer> {
        yield target;
      };
      return { entry, content: await storeStream(options.sink, bytes()) };
    }
    case 'reference':
      options.progress(0, 1);
      return { entry, file: { ...timeOf(entry), executable: false }, content: entry.content };
    case 'directory':
    case 'link':
      return { entry };
  }
}

/** The content of a file when it is large, its bytes when it is small. */
async function readContent(
  options: IngestOptions,
  { bytes }: SourceFile,
): Promise<{ content: FileContent } | { small: Buffer }> {
  const pieces = gathered(options, bytes);
  try {
    const first = (await pieces.next()).value ?? Buffer.alloc(0);
    if (first.length <= smallBytesMax) {
      // Shorter than a piece: there are no more bytes. Reading on shows whether the source broke.
      await pieces.next();
      return { small: first };
    }
    async function* all(): AsyncGenerator<Buffer> {
      yield first;
      yield* pieces;
    }
    return { content: await storeStream(options.sink, all()) };
  } finally {
    await pieces.return(undefined);
    options.progress(0, 1);
  }
}

/** The same bytes in pieces that are worth a call of the cutter: only the last one is shorter. */
async function* gathered(
  options: IngestOptions,
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<Buffer, undefined, undefined> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const bytes of stream) {
    options.signal?.throwIfAborted();
    options.progress(bytes.length, 0);
    parts.push(bytes);
    length += bytes.length;
    if (length < pieceBytes) continue;
    yield Buffer.concat(parts);
    parts = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(parts);
  return undefined;
}

/** Puts what was read where it belongs, in order. */
class EntryPlacer {
  private readonly options: PutEntriesOptions;
  private readonly at: readonly Buffer[];
  private root: Directory | undefined;
  private tree = new PendingTree();
  private group: ReadEntry[] = [];
  private groupBytes = 0;

  constructor(options: PutEntriesOptions, root: Directory | undefined, at: readonly Buffer[]) {
    this.options = options;
    this.root = root;
    this.at = at;
  }

  async add(read: ReadEntry): Promise<void> {
    this.group.push(read);
    this.groupBytes += read.small?.length ?? 0;
    if (this.group.length < groupFilesMax && this.groupBytes < groupBytesMax) return;
    await this.place();
    if (this.tree.count < (this.options.pendingMax ?? 20_000)) return;
    await this.apply();
    // The next round reads what this one has written, which may have left memory by then.
    await this.options.finish();
  }

  async finish(): Promise<Directory | undefined> {
    await this.place();
    if (this.tree.count > 0) await this.apply();
    return this.root;
  }

  private async apply(): Promise<void> {
    const { directories, folderTime = Date.now() } = this.options;
    this.root = await this.tree.apply(directories, this.root, folderTime);
    this.tree = new PendingTree();
  }

  private async place(): Promise<void> {
    const { group } = this;
    this.group = [];
    this.groupBytes = 0;
    const plain = group.flatMap((read) => (read.small ? [read.small] : []));
    const small = plain.map(async (bytes) => ({ bytes, hash: (await native().hashAsync('plain', bytes)) as Hash }));
    const stored = (await storeSmall(this.options.sink, await Promise.all(small))).values();
    for (const read of group) {
      const content = read.small ? (stored.next().value as FileContent) : read.content;
      await this.set(read, content);
    }
  }

  private async set({ entry, file }: ReadEntry, content: FileContent | undefined): Promise<void> {
    const { shown } = entry;
    const path = [...this.at, ...entry.path];
    const name = path.at(-1);
    if (!name) {
      if (entry.kind === 'directory') return; // the root has no time
      throw new PachError('usage', { what: shown, why: 'the target gives no name for it' });
    }
    switch (entry.kind) {
      case 'directory':
        return this.tree.setDirectory(path, timeOf(entry), shown);
      case 'link': {
        const before = await this.find([...this.at, ...entry.target]);
        if (!before || before.kind === 'directory') {
          const to = pathOf(entry.target).slice(1);
          throw new PachError('failed', { what: shown, why: `it is a hard link to ${to}, and there is no such file` });
        }
        this.options.progress(0, 1);
        return this.tree.set(path, { ...before, name }, shown);
      }
      case 'symlink':
        return this.tree.set(path, made(name, 'symlink', { ...timeOf(entry), executable: false }, content), shown);
      case 'file':
      case 'local':
      case 'reference':
        return this.tree.set(path, made(name, 'file', file, content), shown);
    }
  }

  private async find(path: readonly Buffer[]): Promise<TreeEntry | undefined> {
    return this.tree.get(path) ?? (this.root && (await this.options.directories.find(this.root, path)));
  }
}

function timeOf({ mtimeSeconds, mtimeNanoseconds }: FileTime): FileTime {
  return { mtimeSeconds, mtimeNanoseconds };
}

function made(
  name: Buffer,
  kind: 'file' | 'symlink',
  file: ReadEntry['file'],
  content: FileContent | undefined,
): TreeEntry {
  if (!file || !content) throw new Error('a file that was read has its content');
  return { name, kind, executable: file.executable, ...timeOf(file), content };
}
