/**
 * Objects of any bucket as files: `s3://bucket/key`, or all below a prefix. Each is read as the one
 * version that was listed.
 */
import { PachError } from '../base/errors.ts';
import { mapOrdered } from '../base/async.ts';
import { fileTime, type FileTime } from '../base/file-time.ts';
import { nameOfText } from '../model/paths.ts';
import { nameProblem } from '../model/tree.ts';
import type { Bucket, BucketObject } from '../store/s3/bucket.ts';
import { Pages } from '../store/s3/pages.ts';
import { parseS3Url, type S3Place } from '../store/s3/url.ts';
import { openResumable, persist } from './resume.ts';
import type { SourceEntry, SourceFile } from './source.ts';

export interface S3Address {
  readonly place: S3Place;
  /** As the server knows it; ends in a slash when only what lies below is meant. */
  readonly key: string;
}

/** Pages are asked for ahead of the reading, so that in most cases the total is known at once. */
export const pagesAhead = 50;

/** Throws `usage`; what stands before the `?` is the key, with %-escapes. */
export function parseS3Source(text: string): S3Address {
  const [address = '', query] = text.split(/\?(.*)/s);
  const [, bucket = '', path = ''] = /^s3:\/\/([^/]*)\/?(.*)$/is.exec(address) ?? [];
  // The rules for the address of a store are the same but for what its prefix may be.
  const place = parseS3Url(`s3://${bucket}${query === undefined ? '' : `?${query}`}`);
  if (Object.keys(place.writes).length > 0) {
    const why = 'sse, key and class say how to write a store, and a source is only read';
    throw new PachError('usage', { what: `s3://${bucket}`, why, next: 'leave them out of the source' });
  }
  try {
    return { place, key: decodeURIComponent(path) };
  } catch {
    throw new PachError('usage', {
      what: `s3://${bucket}`,
      why: 'its key has an invalid % sequence (write % itself as %25)',
    });
  }
}

/** The last name of an address; none where only what lies below is meant. Throws `usage`. */
export function nameOfS3({ place, key }: S3Address): Buffer | undefined {
  if (key === '' || key.endsWith('/')) return undefined;
  return namesOf(key.slice(key.lastIndexOf('/') + 1), `s3://${place.bucket}/${key}`)[0];
}

/** One object. */
export function s3Entry(
  bucket: () => Promise<Bucket>,
  { place, key }: S3Address,
  path: readonly Buffer[],
  sized: (bytes: number) => void,
): SourceEntry {
  const shown = `s3://${place.bucket}/${key}`;
  const open = async (signal: AbortSignal): Promise<SourceFile> => {
    if (key === '' || key.endsWith('/')) {
      const next = 'repeat the command with -r to read everything below it';
      throw new PachError('usage', { what: shown, why: 'it does not name an object', next });
    }
    return openObject(await bucket(), { key, etag: undefined }, signal, sized);
  };
  return { path, shown, kind: 'file', size: undefined, open };
}

/** All below a prefix, or the one object of that name when nothing is. */
export async function* s3Entries(
  bucket: () => Promise<Bucket>,
  address: S3Address,
  options: { readonly path: readonly Buffer[]; readonly signal: AbortSignal; readonly sized: (bytes: number) => void },
): AsyncGenerator<SourceEntry> {
  const { path, signal, sized } = options;
  const { key } = address;
  const prefix = key === '' || key.endsWith('/') ? key : `${key}/`;
  const from = await bucket();
  let [count, bytes] = [0, 0];
  async function* pages(): AsyncGenerator<BucketObject[]> {
    const listing = new Pages(from.shown(prefix));
    for (let next: string | undefined, more = true; more; more = next !== undefined) {
      const start = next;
      const page = await persist(signal, () => from.list(prefix, start, signal, listing));
      next = page.next;
      count += page.objects.length;
      bytes += page.objects.reduce((sum, object) => sum + object.size, 0);
      yield page.objects;
    }
    if (count > 0) sized(bytes);
  }
  for await (const objects of mapOrdered(pages(), pagesAhead, (page) => Promise.resolve(page))) {
    for (const object of objects) yield entryOf(from, object, { prefix, path });
  }
  if (count > 0) return;
  if (prefix === key) {
    throw new PachError('not-found', { what: from.shown(prefix), why: 'there is no object below it' });
  }
  yield s3Entry(bucket, address, path, sized);
}

function entryOf(
  bucket: Bucket,
  object: BucketObject,
  { prefix, path }: { prefix: string; path: readonly Buffer[] },
): SourceEntry {
  const { key, size, etag } = object;
  const shown = bucket.shown(key);
  const place = placeBelow(object, prefix, shown);
  if (place.kind === 'directory') return { ...place, kind: 'directory', path: [...path, ...place.path], shown };
  const open = (signal: AbortSignal): Promise<SourceFile> => openObject(bucket, { key, etag }, signal);
  return { kind: 'file', path: [...path, ...place.path], shown, size, open };
}

/** What an object below a prefix is, and where below it. Throws `failed` naming it when its key can't be a path. */
export function placeBelow(
  { key, size, modifiedMs }: BucketObject,
  prefix: string,
  shown: string,
): { readonly kind: 'directory' | 'file'; readonly path: Buffer[] } & FileTime {
  const below = key.slice(prefix.length);
  const time = fileTime(modifiedMs);
  if (below !== '' && !below.endsWith('/')) return { kind: 'file', path: namesOf(below, shown), ...time };
  // Consoles mark a folder by an empty object of its name and a slash.
  if (size > 0) {
    throw new PachError('failed', { what: shown, why: `it is named like a folder, and holds ${size} bytes` });
  }
  return { kind: 'directory', path: below === '' ? [] : namesOf(below.slice(0, -1), shown), ...time };
}

async function openObject(
  bucket: Bucket,
  { key, etag }: { key: string; etag: string | undefined },
  signal: AbortSignal,
  sized?: (bytes: number) => void,
): Promise<SourceFile> {
  const { size, modifiedMs, body } = await openResumable<BucketObject & { body: AsyncIterable<Uint8Array> }>({
    shown: bucket.shown(key),
    signal,
    open: (offset, first) => bucket.read(key, { offset, etag: first?.etag ?? etag }, signal),
  });
  sized?.(size);
  return { executable: false, ...fileTime(modifiedMs), bytes: body };
}

/** The names on a key. Throws `failed` naming the key when they can't be a path. */
function namesOf(text: string, shown: string): Buffer[] {
  return text.split('/').map((part) => {
    const name = nameOfText(part);
    const problem = nameProblem(name);
    if (problem === undefined) return name;
    const why = `its key is not a valid path: ${part === '' ? 'it has an empty name' : `the name ${JSON.stringify(part)}: ${problem}`}`;
    throw new PachError('failed', { what: shown, why });
  });
}
