/**
 * Objects of a bucket as references: what a listing says of them, and nothing else, is asked for.
 */
import { mapOrdered } from '../base/async.ts';
import { PachError } from '../base/errors.ts';
import { fileTime } from '../base/file-time.ts';
import { referenceOf } from '../model/reference.ts';
import type { Bucket, VersionedObject, VersionMarker } from '../store/s3/bucket.ts';
import { Pages } from '../store/s3/pages.ts';
import { persist } from './resume.ts';
import { pagesAhead, placeBelow, type S3Address } from './s3.ts';
import type { SourceEntry } from './source.ts';

export interface ReferenceWatch {
  /** Told of a bucket (`s3://name`) that does not keep the versions of its objects, or does not say (undefined). */
  unversioned(bucket: string, keeps: false | undefined): void;
}

interface Reading {
  /** Names before those of the objects. */
  readonly path: readonly Buffer[];
  /** All below the address is wanted; else the one object that it names. */
  readonly recursive: boolean;
  readonly signal: AbortSignal;
  readonly watch: ReferenceWatch;
}

/** An object, or all below a prefix, and the object of that name when nothing is. Throws `usage` and `not-found`. */
export async function* referencedEntries(
  bucket: () => Promise<Bucket>,
  address: S3Address,
  { path, recursive, signal, watch }: Reading,
): AsyncGenerator<SourceEntry> {
  const { key } = address;
  const from = await bucket();
  const isFolder = key === '' || key.endsWith('/');
  if (!recursive && isFolder) {
    const next = 'repeat the command with -r to refer to everything below it';
    throw new PachError('usage', { what: from.shown(key), why: 'it does not name an object', next });
  }
  const keeps = await persist(signal, () => from.keepsVersions(signal));
  if (keeps !== true) watch.unversioned(`s3://${address.place.bucket}`, keeps);
  const prefix = isFolder ? key : `${key}/`;
  let count = 0;
  if (recursive) {
    const pages = mapOrdered(pagesOf(from, prefix, keeps === true, signal), pagesAhead, (page) =>
      Promise.resolve(page),
    );
    for await (const objects of pages) {
      count += objects.length;
      for (const object of objects) yield entryOf(from, address, object, { prefix, path });
    }
    if (count > 0) return;
    if (isFolder) throw new PachError('not-found', { what: from.shown(prefix), why: 'there is no object below it' });
  }
  const object = await persist(signal, () => from.head(key, signal));
  yield referenceEntry(from, address, object, path);
}

async function* pagesOf(
  bucket: Bucket,
  prefix: string,
  keepsVersions: boolean,
  signal: AbortSignal,
): AsyncGenerator<VersionedObject[]> {
  const listing = new Pages(bucket.shown(prefix));
  if (keepsVersions) {
    for (let next: VersionMarker | undefined, more = true; more; more = next !== undefined) {
      const start = next;
      const page = await persist(signal, () => bucket.listVersions(prefix, start, signal, listing));
      next = page.next;
      yield page.objects;
    }
    return;
  }
  for (let next: string | undefined, more = true; more; more = next !== undefined) {
    const start = next;
    const page = await persist(signal, () => bucket.list(prefix, start, signal, listing));
    next = page.next;
    yield page.objects.map((object) => ({ ...object, version: undefined }));
  }
}

function entryOf(
  bucket: Bucket,
  address: S3Address,
  object: VersionedObject,
  { prefix, path }: { readonly prefix: string; readonly path: readonly Buffer[] },
): SourceEntry {
  const shown = bucket.shown(object.key);
  const place = placeBelow(object, prefix, shown);
  const below = [...path, ...place.path];
  return place.kind === 'directory'
    ? { ...place, kind: 'directory', path: below, shown }
    : referenceEntry(bucket, address, object, below);
}

function referenceEntry(
  bucket: Bucket,
  { place }: S3Address,
  { key, size, etag, modifiedMs, version }: VersionedObject,
  path: readonly Buffer[],
): SourceEntry {
  const shown = bucket.shown(key);
  if (version === undefined && etag === '') {
    throw new PachError('unsupported', { what: shown, why: 'the server gives it no ETag, so its version has no name' });
  }
  const { endpoint, region, style } = place;
  const named = version === undefined ? ({ by: 'etag', id: etag } as const) : ({ by: 'version', id: version } as const);
  const object = { provider: 's3', endpoint, bucket: place.bucket, key, version: named, region, style } as const;
  const content = size === 0 ? ({ form: 'inline', bytes: Buffer.alloc(0) } as const) : referenceOf(object, size);
  return { kind: 'reference', path, shown, content, ...fileTime(modifiedMs) };
}
