/**
 * Files whose bytes lie outside of the store: each is one version of an object in a bucket (FORMAT.md
 * section 5, content 4). A reference names its bytes by the version that the bucket gave them, so its
 * hash is one of names and never that of stored bytes.
 */
import { assert } from '../base/errors.ts';
import { native } from '../base/native.ts';
import { Reader, Writer } from './bytes.ts';
import type { Hash } from './refs.ts';

/** What names one version of an object: its version id, or its ETag (without quotes) where the bucket keeps no versions. */
export interface ObjectVersion {
  readonly by: 'version' | 'etag';
  readonly id: string;
}

/** An object outside of the project. The hash covers all but region and style, which say how it is reached. */
export interface OutsideObject {
  readonly provider: 's3';
  /** Where the address names one; else the reader's own settings count. */
  readonly endpoint: string | undefined;
  readonly bucket: string;
  readonly key: string;
  readonly version: ObjectVersion;
  readonly region: string | undefined;
  readonly style: 'path' | 'virtual';
}

/** Content of a file that is a reference. */
export interface ReferenceContent {
  readonly form: 'reference';
  /** Bytes, at least 1. */
  readonly size: number;
  readonly hash: Hash;
  readonly object: OutsideObject;
}

const providers = ['s3'] as const;
const versionKinds = ['version', 'etag'] as const;
const styles = ['path', 'virtual'] as const;
const hashBytes = 32;

/** The content of a file that is this object, of so many bytes. */
export function referenceOf(object: OutsideObject, size: number): ReferenceContent {
  return { form: 'reference', size, hash: hashOf(size, identityOf(object)), object };
}

/** What follows an entry's times in the leaf of a directory. */
export function writeReference(writer: Writer, { size, hash, object }: ReferenceContent): void {
  assert(size > 0, 'an object without bytes is no reference');
  writer.raw(hash);
  writer.varint(size);
  writer.bytes(identityOf(object));
  const way = new Writer(16);
  way.str(object.region ?? '');
  way.u8(styles.indexOf(object.style));
  writer.bytes(way.finish());
}

/** Calls `reader.fail` for what no writer writes. */
export function readReference(reader: Reader): ReferenceContent {
  const hash = reader.raw(hashBytes) as Hash;
  const size = reader.varint();
  if (size === 0) reader.fail('a reference has no bytes');
  const identity = reader.bytes();
  const way = new Reader(reader.bytes(), 'the way to a reference');
  if (!hash.equals(hashOf(size, identity))) reader.fail('a reference does not match its hash');
  const named = readIdentity(identity, reader);
  const region = way.str();
  const style = styles[way.u8()] ?? reader.fail('the style of a reference is unknown');
  way.done();
  return { form: 'reference', size, hash, object: { ...named, region: region === '' ? undefined : region, style } };
}

/** The address of an object as `put file -f` takes it; holds no secret. */
export function addressOf({ bucket, key, endpoint }: OutsideObject): string {
  const base = `s3://${bucket}/${key.replace(/[%?]/g, encodeURIComponent)}`;
  return endpoint === undefined ? base : `${base}?endpoint=${endpoint}`;
}

function identityOf({ provider, endpoint, bucket, key, version }: OutsideObject): Buffer {
  const writer = new Writer(64 + key.length);
  writer.u8(providers.indexOf(provider) + 1);
  writer.str(endpoint ?? '');
  writer.str(bucket);
  writer.str(key);
  writer.u8(versionKinds.indexOf(version.by) + 1);
  writer.str(version.id);
  return writer.finish();
}

function readIdentity(bytes: Buffer, of: Reader): Omit<OutsideObject, 'region' | 'style'> {
  const reader = new Reader(bytes, 'a reference');
  const provider = providers[reader.u8() - 1] ?? of.fail('the provider of a reference is unknown');
  const endpoint = reader.str();
  const bucket = reader.str();
  const key = reader.str();
  const by = versionKinds[reader.u8() - 1] ?? of.fail('the version of a reference is of an unknown kind');
  const id = reader.str();
  reader.done();
  if (bucket === '' || key === '' || id === '') of.fail('a reference has no name or no version');
  return { provider, endpoint: endpoint === '' ? undefined : endpoint, bucket, key, version: { by, id } };
}

function hashOf(size: number, identity: Buffer): Hash {
  const number = new Writer(8);
  number.varint(size);
  return native().hash('reference', number.finish(), identity) as Hash;
}
