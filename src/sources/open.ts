/**
 * Sources as people name them: files and folders of this machine, `-`, addresses of web servers
 * and buckets; each may be an archive to take apart.
 */
import { constants, createReadStream, open as openDescriptor } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { basename, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { promisify } from 'node:util';
import { isPachError, PachError } from '../base/errors.ts';
import { nameOfText, textOfName } from '../model/paths.ts';
import type { Bucket } from '../store/s3/bucket.ts';
import { nameOfUrl, openHttp, parseHttpUrl, shownUrl } from './http.ts';
import { referencedEntries, type ReferenceWatch } from './references.ts';
import { nameOfS3, parseS3Source, s3Entries, s3Entry, type S3Address } from './s3.ts';
import type { EntrySource, SourceEntry, SourceWatch } from './source.ts';
import { untar } from './tar.ts';

export interface SourceRequest {
  /** As they were given, in order. */
  readonly names: readonly string[];
  /** Whether they go into a folder, under names of their own. */
  readonly into: boolean;
  /** Folders and prefixes are wanted with all that lies in them. */
  readonly recursive: boolean;
  /** Each is an archive. */
  readonly untar: boolean;
  /** Objects of buckets are referred to: nothing of them is read. */
  readonly reference?: ReferenceWatch | undefined;
  /** Standard input, asked for once at most. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
  readonly watch: SourceWatch;
}

export type OpenSource =
  | EntrySource
  | { readonly kind: 'path'; readonly path: string; readonly recursive: boolean }
  | { readonly kind: 'stream'; readonly stream: AsyncIterable<Uint8Array> };

/** Entries read at a time from servers, which mostly wait. */
const aheadMax = 32;
const listBytesMax = 64 * 1024 * 1024;

/** The sources of a request, and the connections they share. Reads nothing yet but what local names are. */
export class Sources implements Disposable {
  private readonly request: SourceRequest;
  private readonly buckets = new Map<string, Promise<Bucket>>();
  private sizes: number[] = [];

  constructor(request: SourceRequest) {
    this.request = request;
  }

  /** Neighbours that can be read together are one. Throws `usage` for an address that is none. */
  async open(signal: AbortSignal): Promise<OpenSource[]> {
    const { names } = this.request;
    if (names.filter((name) => name === '-').length > 1) {
      throw new PachError('usage', { what: '-f -', why: 'standard input can be read only once' });
    }
    const sources: OpenSource[] = [];
    let group: EntrySource[] = [];
    for (const name of names) {
      signal.throwIfAborted();
      const source = this.request.untar ? this.archive(name) : await this.source(name, signal);
      if (source.kind !== 'entries') {
        sources.push(...joined(group), source);
        group = [];
      } else group.push(source);
    }
    return [...sources, ...joined(group)];
  }

  [Symbol.dispose](): void {
    for (const bucket of this.buckets.values()) bucket.then((open) => open.close()).catch(() => undefined);
  }

  private async source(name: string, ending: AbortSignal): Promise<OpenSource> {
    const { into, recursive, names, stdin, reference } = this.request;
    if (reference && schemeOf(name) !== 's3') throw noReference(name);
    const file = (path: readonly (Buffer | undefined)[], entry: (path: Buffer[]) => SourceEntry): EntrySource =>
      entriesOf(async function* () {
        yield entry(into ? path.filter((part) => part !== undefined) : []);
      });
    switch (schemeOf(name)) {
      case 'stdin':
        return { kind: 'stream', stream: stdin() };
      case 's3': {
        const address = parseS3Source(name);
        const own = nameOfS3(address);
        if (reference) {
          const path = into && own ? [own] : [];
          return entriesOf((signal) =>
            referencedEntries(() => this.bucket(address), address, { path, recursive, signal, watch: reference }),
          );
        }
        if (!recursive) return file([own], (path) => this.bucketEntry(address, path));
        const path = into && own ? [own] : [];
        const sized = this.sized();
        return entriesOf((signal) =>
          counted(
            s3Entries(() => this.bucket(address), address, { path, signal, sized }),
            this.request.watch,
          ),
        );
      }
      case 'http': {
        const url = parseHttpUrl(name);
        return file(into ? [nameOfUrl(url)] : [], (path) => this.webEntry(url, path));
      }
      case 'local': {
        // A folder, or a single file, is put as a path. Several files are gathered into one source.
        const found = await stat(nameOfText(name)).catch(() => undefined);
        // A FIFO, as a shell makes one for `<(…)`, is a stream.
        if (found?.isFIFO()) return { kind: 'stream', stream: localBytes(name, { signal: ending }) };
        if (names.length === 1 || !found?.isFile()) return { kind: 'path', path: name, recursive };
        const own = nameOfText(basename(resolve(name)));
        return file([own], (path) => ({ kind: 'local', path, shown: name, file: nameOfText(name) }));
      }
    }
  }

  /** An archive's members go right into the target. */
  private archive(name: string): EntrySource {
    const { stdin, watch } = this.request;
    const scheme = schemeOf(name);
    if (scheme === 'stdin' || scheme === 'local') {
      const sized = this.sized();
      const shown = scheme === 'stdin' ? 'standard input' : name;
      return entriesOf((signal) => {
        const bytes = scheme === 'stdin' ? stdin() : arriving(localBytes(name, { signal, sized }), watch);
        return untar(bytes, shown, signal);
      }, 1);
    }
    const entry = scheme === 'http' ? this.webEntry(parseHttpUrl(name), []) : this.bucketEntry(parseS3Source(name), []);
    return entriesOf(async function* (signal) {
      if (entry.kind === 'file') yield* untar((await entry.open(signal)).bytes, entry.shown, signal);
    }, 1);
  }

  private webEntry(url: URL, path: readonly Buffer[]): SourceEntry {
    const sized = this.sized();
    const open = async (signal: AbortSignal) => {
      const file = await openHttp(url, signal, { sized });
      return { ...file, bytes: arriving(file.bytes, this.request.watch) };
    };
    return { kind: 'file', path, shown: shownUrl(url), size: undefined, open };
  }

  private bucketEntry(address: S3Address, path: readonly Buffer[]): SourceEntry {
    return counting(
      s3Entry(() => this.bucket(address), address, path, this.sized()),
      this.request.watch,
    );
  }

  /** All objects of one place share its connections. */
  private bucket({ place }: S3Address): Promise<Bucket> {
    const key = JSON.stringify(place);
    const open = this.buckets.get(key) ?? import('../store/s3/bucket.ts').then((module) => module.Bucket.open(place));
    this.buckets.set(key, open);
    return open;
  }

  /** Tells the total as soon as the sizes of all sources are known. */
  private sized(): (bytes: number) => void {
    return (bytes) => {
      this.sizes.push(bytes);
      if (this.sizes.length < this.request.names.length) return;
      this.request.watch.expected(this.sizes.reduce((sum, size) => sum + size, 0));
    };
  }
}

/**
 * Names of sources, one a line; empty lines and lines that begin with # say nothing. `what` names
 * the list in errors.
 */
export async function readSourceList(stream: AsyncIterable<Uint8Array>, what: string): Promise<string[]> {
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const bytes of stream) {
      parts.push(bytes);
      length += bytes.length;
      if (length > listBytesMax) {
        throw new PachError('usage', { what, why: `the list has more than ${listBytesMax} bytes` });
      }
    }
  } catch (error) {
    throw unreadable(what, error);
  }
  const text = textOfName(Buffer.concat(parts));
  if (text.includes('\0')) {
    throw new PachError('usage', { what, why: 'it has NUL bytes', next: 'write one name a line' });
  }
  const lines = text.split('\n');
  return lines.map((line) => line.replace(/\r$/, '')).filter((line) => line !== '' && !line.startsWith('#'));
}

export interface LocalReading {
  readonly signal?: AbortSignal | undefined;
  /** Told how long the file is, where that is known. */
  readonly sized?: (bytes: number) => void;
}

/**
 * The bytes of a local file, not kept to be one version. Throws `not-found`, `denied` or `failed`
 * naming it, and the reason of the signal when that is aborted.
 */
export async function* localBytes(path: string, { signal, sized }: LocalReading): AsyncGenerator<Uint8Array> {
  try {
    const found = await stat(nameOfText(path));
    if (found.isFile()) sized?.(found.size);
    const stream = found.isFIFO()
      ? await openFifo(path)
      : createReadStream(nameOfText(path), { highWaterMark: 1024 * 1024 });
    yield* (signal ? addAbortSignal(signal, stream) : stream) as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw signal?.aborted ? signal.reason : unreadable(path, error);
  }
}

/**
 * A FIFO whose writer may come late, or never. A plain open(2) would block a thread until then, and
 * this process could not end.
 */
async function openFifo(path: string): Promise<Readable> {
  const fd = await promisify(openDescriptor)(nameOfText(path), constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

function schemeOf(name: string): 'stdin' | 'local' | 'http' | 's3' {
  if (name === '-') return 'stdin';
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(name)?.[1]?.toLowerCase();
  if (scheme === undefined) return 'local';
  if (scheme === 's3') return 's3';
  if (scheme === 'http' || scheme === 'https') return 'http';
  const next = 'use a path, http://, https:// or s3://';
  throw new PachError('usage', { what: `${scheme}://`, why: 'this kind of source is unknown', next });
}

function noReference(name: string): PachError {
  const what = name.replace(/^([a-z][a-z0-9+.-]*:\/\/).*$/is, '$1…');
  return new PachError('usage', {
    what,
    why: '--reference is for objects of a bucket (s3://BUCKET/KEY), whose versions have names',
    next: 'leave --reference out to store a copy',
  });
}

function entriesOf(entries: EntrySource['entries'], ahead = aheadMax): EntrySource {
  return { kind: 'entries', ahead, entries };
}

function joined(group: readonly EntrySource[]): EntrySource[] {
  const [first] = group;
  if (!first || group.length === 1) return [...group];
  return [
    entriesOf(async function* (signal) {
      for (const source of group) yield* source.entries(signal);
    }, first.ahead),
  ];
}

async function* counted(entries: AsyncIterable<SourceEntry>, watch: SourceWatch): AsyncGenerator<SourceEntry> {
  for await (const entry of entries) yield counting(entry, watch);
}

function counting(entry: SourceEntry, watch: SourceWatch): SourceEntry {
  if (entry.kind !== 'file') return entry;
  const open = async (signal: AbortSignal) => {
    const file = await entry.open(signal);
    return { ...file, bytes: arriving(file.bytes, watch) };
  };
  return { ...entry, open };
}

async function* arriving(stream: AsyncIterable<Uint8Array>, watch: SourceWatch): AsyncGenerator<Uint8Array> {
  for await (const bytes of stream) {
    watch.arrived(bytes.length);
    yield bytes;
  }
}

function unreadable(what: string, cause: unknown): unknown {
  const { code } = cause as NodeJS.ErrnoException;
  if (isPachError(cause) || typeof code !== 'string' || !/^E[A-Z0-9]+$/.test(code)) return cause;
  if (code === 'ENOENT') return new PachError('not-found', { what, why: 'there is no such file', cause });
  if (code === 'EACCES' || code === 'EPERM')
    return new PachError('denied', { what, why: 'you have no permission to read it', cause });
  return new PachError('failed', { what, why: `it can't be read (${code})`, cause });
}
