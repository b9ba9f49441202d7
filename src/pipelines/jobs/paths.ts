/**
 * A job's index of paths: which datum wrote a path of its output, and which datums read a path of its
 * inputs, so that a question about one path costs as much as its answer (FORMAT.md section 6). Datums
 * that did not succeed are not in it. Jobs of programs before have none: for these it is worked out
 * when it is asked for.
 */
import type { BlobReader } from '../../cache/blobs.ts';
import { mapFormat } from '../../model/map.ts';
import { OrderedReader } from '../../model/ordered.ts';
import { applyEdits } from '../../model/ordered-edit.ts';
import { bytesOfText, parsePath, pathOf } from '../../model/paths.ts';
import { belowPrefix, datumOfPathKey, pathKey, pathPrefix } from '../../model/path-index.ts';
import { decodeJobEntry } from '../../model/records/job-entry.ts';
import type { Ref } from '../../model/refs.ts';
import { Directories, type Directory } from '../../versions/directories.ts';
import { jobTimeKey } from '../../versions/ref-keys.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import type { Upload } from '../../versions/upload.ts';
import { datumMap, datumsOf, jobDatumOf, readResult, rowsOf, type Job, type JobDatum } from './jobs.ts';

const slash = Buffer.from('/');

/** What changes in an index, from one job to the next. */
export class PathEdits {
  private readonly reader: BlobReader;
  /** Keys as latin1, and whether they are there now. */
  private readonly keys = new Map<string, boolean>();

  constructor(reader: BlobReader) {
    this.reader = reader;
  }

  /** Takes in that a datum is another than before, or new, or gone. */
  async change(old: JobDatum | undefined, now: JobDatum | undefined): Promise<void> {
    for await (const key of keysOf(this.reader, old)) {
      const text = key.toString('latin1');
      if (!this.keys.has(text)) this.keys.set(text, false);
    }
    for await (const key of keysOf(this.reader, now)) this.keys.set(key.toString('latin1'), true);
  }

  /** Stores the index that these edits make of another one. */
  async store(before: Ref | undefined, upload: Upload): Promise<Ref> {
    const edits = [...this.keys.keys()].sort().map((text) => {
      const key = Buffer.from(text, 'latin1');
      return { key, item: this.keys.get(text) ? { key, value: Buffer.alloc(0), refs: [] } : undefined };
    });
    return (await applyEdits({ source: this.reader, sink: upload.nodes }, mapFormat, before, edits)).ref;
  }
}

/** The keys of one datum. */
async function* keysOf(reader: BlobReader, datum: JobDatum | undefined): AsyncGenerator<Buffer> {
  if (datum?.outcome.state !== 'success') return;
  for (const { input, path } of await rowsOf(reader, datum)) yield pathKey({ input }, bytesOfText(path), datum.id);
  for await (const path of writtenPaths(reader, datum)) yield pathKey('written', path, datum.id);
}

/** The files that a datum wrote, and its folders with nothing in them, as absolute paths. */
export async function* writtenPaths(reader: BlobReader, datum: JobDatum): AsyncGenerator<Buffer> {
  if (datum.outcome.state !== 'success') return;
  const { out } = await readResult(reader, datum.result);
  if (out) yield* pathsIn(new Directories(reader), out, Buffer.alloc(0));
}

async function* pathsIn(directories: Directories, directory: Directory, path: Buffer): AsyncGenerator<Buffer> {
  let isEmpty = true;
  for await (const { name, content } of directories.reader(directory).items()) {
    isEmpty = false;
    const at = Buffer.concat([path, slash, name]);
    if (content.form === 'directory') yield* pathsIn(directories, content, at);
    else yield at;
  }
  if (isEmpty && path.length > 0) yield path;
}

/** The index that a job has stored; undefined where there is none of what its datums are now. */
export async function storedPaths(snapshot: Snapshot, job: Job): Promise<Ref | undefined> {
  const item = job.datums && (await snapshot.item(jobTimeKey(job)));
  if (!job.datums || !item || item.value.length === 0) return undefined;
  return decodeJobEntry(item.value).indexed?.equals(job.datums.hash) ? item.refs[0] : undefined;
}

/** Finds datums of a job by paths. */
export class JobPaths {
  private readonly reader: BlobReader;
  private readonly datums: Ref;
  private readonly keys: Keys;

  private constructor(reader: BlobReader, datums: Ref, keys: Keys) {
    this.reader = reader;
    this.datums = datums;
    this.keys = keys;
  }

  /** Undefined for a job that has no datums any more. */
  static async of(snapshot: Snapshot, job: Job): Promise<JobPaths | undefined> {
    const { reader } = snapshot;
    if (!job.datums) return undefined;
    const stored = await storedPaths(snapshot, job);
    return new JobPaths(reader, job.datums, stored ? new StoredKeys(reader, stored) : await scanned(reader, job));
  }

  /** The datums that wrote something at a path or below it; all where it is the root. */
  async *writersOf(path: string): AsyncGenerator<JobDatum> {
    if (path === '/') return yield* datumsOf(this.reader, { datums: this.datums });
    const at = bytesOfText(path);
    yield* this.having([pathPrefix('written', at), belowPrefix('written', at)]);
  }

  /** The datums that read, of some of the job's inputs, a path, something below it, or a folder that it lies in. */
  async *readersOf(inputs: readonly number[], path: string): AsyncGenerator<JobDatum> {
    const names = parsePath(path);
    const ways = names.map((_, length) => pathOf(names.slice(0, length)));
    const prefixes = inputs.flatMap((input) => [
      ...[...ways, path].map((way) => pathPrefix({ input }, bytesOfText(way))),
      belowPrefix({ input }, bytesOfText(path)),
    ]);
    yield* this.having(prefixes);
  }

  /** The datums of the keys that begin so, each once. */
  private async *having(prefixes: readonly Buffer[]): AsyncGenerator<JobDatum> {
    const given = new Set<string>();
    for (const prefix of prefixes) {
      for await (const key of this.keys.from(prefix)) {
        const id = datumOfPathKey(key);
        if (given.has(id)) continue;
        given.add(id);
        const datum = await this.datum(id);
        if (datum) yield datum;
      }
    }
  }

  private async datum(begun: string): Promise<JobDatum | undefined> {
    const found = await datumMap(this.reader, this.datums).seek(Buffer.from(begun, 'hex'));
    const datum = found && jobDatumOf(found.item);
    return datum?.id.startsWith(begun) ? datum : undefined;
  }
}

/** The keys of an index. */
interface Keys {
  /** Those that begin so, in order. */
  from(prefix: Buffer): AsyncIterable<Buffer> | Iterable<Buffer>;
}

class StoredKeys implements Keys {
  private readonly map: OrderedReader<{ readonly key: Buffer }>;

  constructor(reader: BlobReader, index: Ref) {
    this.map = new OrderedReader(reader, mapFormat, index);
  }

  async *from(prefix: Buffer): AsyncGenerator<Buffer> {
    for await (const { key } of this.map.prefix(prefix)) yield key;
  }
}

/** The keys that an index of the job would have. */
async function scanned(reader: BlobReader, job: Job): Promise<Keys> {
  const keys: string[] = [];
  for await (const datum of datumsOf(reader, job)) {
    for await (const key of keysOf(reader, datum)) keys.push(key.toString('latin1'));
  }
  keys.sort();
  return {
    *from(prefix) {
      const text = prefix.toString('latin1');
      let low = 0;
      for (let high = keys.length; low < high;) {
        const middle = (low + high) >> 1;
        if ((keys[middle] as string) < text) low = middle + 1;
        else high = middle;
      }
      const isIn = (key: string | undefined): key is string => key?.startsWith(text) === true;
      for (let key = keys[low]; isIn(key); key = keys[(low += 1)]) yield Buffer.from(key, 'latin1');
    },
  };
}
