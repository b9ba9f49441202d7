/**
 * Addresses of S3 stores: `s3://bucket/prefix?endpoint=http://host:port&region=name`. They are taken
 * apart by hand: a parser of URLs would silently drop tabs and fragments and resolve `..`.
 */
import type { StorageClass } from '@aws-sdk/client-s3';
import { PachError } from '../../base/errors.ts';

/** How objects are written; means nothing for reading, and for what store it is. */
export interface S3Writes {
  readonly ServerSideEncryption?: 'AES256' | 'aws:kms' | 'aws:kms:dsse';
  readonly SSEKMSKeyId?: string;
  readonly StorageClass?: StorageClass;
}

export interface S3Place {
  readonly bucket: string;
  /** Empty, or ends with a slash. */
  readonly prefix: string;
  /** Where it is not AWS; without it the SDK's own settings count (AWS_ENDPOINT_URL, profile). */
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
  /** `virtual`: the bucket is part of the host's name. */
  readonly style: 'path' | 'virtual';
  readonly writes: S3Writes;
}

const form = 's3://bucket/prefix, with ?endpoint=http://host:port for a server that is not AWS';
const parameters = ['endpoint', 'region', 'style', 'sse', 'key', 'class'] as const;
type Parameter = (typeof parameters)[number];
const encryptions = ['AES256', 'aws:kms', 'aws:kms:dsse'] as const;
/** Objects of these classes can't be read at once. */
const archives = /^(?:GLACIER|DEEP_ARCHIVE)$/i;
/** Control characters and halves of characters can't be listed; bytes that are no UTF-8 arrive as U+FFFD. */
const unlistable = /[\p{Cc}\p{Cs}\uFFFD-\uFFFF]/u;

export function isS3(address: string): boolean {
  return /^s3:/i.test(address);
}

/** Throws `usage`; the message never repeats what might be a secret. */
export function parseS3Url(text: string): S3Place {
  const [, bucket, path = '', query = ''] = /^s3:\/\/([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/is.exec(text) ?? [];
  if (bucket === undefined) throw wrong('s3://', 'it is not a valid address');
  if (bucket.includes('@')) {
    throw wrong('s3://', 'an address must not contain credentials', 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  }
  // What stands before a colon may be a key, with a secret behind it.
  if (bucket.includes(':'))
    throw wrong('s3://', 'between s3:// and the first / there must be only the name of a bucket');
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) {
    throw wrong(`s3://${bucket}`, 'it does not name a bucket');
  }
  const given = parametersOf(query, bucket);
  const style = given.get('style') ?? 'path';
  if (style !== 'path' && style !== 'virtual') throw wrong(`s3://${bucket}`, 'its style is neither path nor virtual');
  return {
    bucket,
    prefix: prefixOf(path, bucket),
    endpoint: parseEndpoint(given.get('endpoint'), bucket),
    region: given.get('region'),
    style,
    writes: writesOf(given, bucket),
  };
}

/**
 * The address of a place as messages and identities show it: no credentials, nothing of how it is
 * reached or written, no slash at the end.
 */
export function s3UrlOf({ bucket, prefix, endpoint }: Pick<S3Place, 'bucket' | 'prefix' | 'endpoint'>): string {
  const base = `s3://${bucket}/${prefix.replace(/[%?]/g, encodeURIComponent)}`.replace(/\/$/, '');
  return endpoint === undefined ? base : `${base}?endpoint=${endpoint}`;
}

function parametersOf(query: string, bucket: string): Map<Parameter, string> {
  const found = new Map<Parameter, string>();
  for (const pair of query === '' ? [] : query.split('&')) {
    const [, name = pair, text = ''] = /^([^=]*)=(.*)$/s.exec(pair) ?? [];
    const known = parameters.find((each) => each === name);
    if (known === undefined) {
      throw wrong(`s3://${bucket}`, `unknown parameter ${name}`, `the parameters are ${parameters.join(', ')}`);
    }
    if (found.has(known)) throw wrong(`s3://${bucket}`, `parameter ${known} is given twice`);
    const value = decoded(text);
    if (value === undefined || value === '' || unlistable.test(value)) {
      throw wrong(`s3://${bucket}`, `parameter ${known} has no valid value`);
    }
    found.set(known, value);
  }
  return found;
}

function prefixOf(text: string, bucket: string): string {
  const path = decoded(text)?.replace(/\/$/, '');
  if (path === undefined)
    throw wrong(`s3://${bucket}`, 'its prefix has an invalid % sequence', 'write % itself as %25');
  if (path === '') return '';
  if (path.split('/').some((segment) => ['', '.', '..'].includes(segment))) {
    throw wrong(`s3://${bucket}`, 'its prefix has an empty part, . or ..');
  }
  if (unlistable.test(path)) {
    throw wrong(`s3://${bucket}`, 'its prefix has a control character, or bytes that are not UTF-8');
  }
  if (Buffer.byteLength(path) > 200) throw wrong(`s3://${bucket}`, 'its prefix is longer than 200 bytes');
  return `${path}/`;
}

function writesOf(given: ReadonlyMap<Parameter, string>, bucket: string): S3Writes {
  const what = `s3://${bucket}`;
  const [sse, key, storageClass] = [given.get('sse'), given.get('key'), given.get('class')];
  const encryption = encryptions.find((each) => each === sse);
  if (sse !== undefined && encryption === undefined) {
    throw wrong(what, `parameter sse must be one of ${encryptions.join(', ')}`, 'sse=aws:kms&key=KEY, or sse=AES256');
  }
  if (key !== undefined && (encryption === undefined || encryption === 'AES256')) {
    throw wrong(what, 'parameter key names a KMS key, but parameter sse does not ask for KMS', 'sse=aws:kms&key=KEY');
  }
  if (key !== undefined && !/^[\x21-\x7e]{1,2048}$/.test(key))
    throw wrong(what, 'parameter key is not the name of a KMS key');
  if (storageClass !== undefined && !/^[A-Za-z0-9_.-]{1,64}$/.test(storageClass)) {
    throw wrong(what, 'parameter class is not the name of a storage class', 'class=STANDARD_IA, for example');
  }
  if (archives.test(storageClass ?? '')) {
    const next = 'use a class whose objects can be read at once: class=GLACIER_IR, for example';
    throw wrong(what, `objects of class ${storageClass} must be restored before they can be read`, next);
  }
  return {
    ...(encryption === undefined ? {} : { ServerSideEncryption: encryption }),
    ...(key === undefined ? {} : { SSEKMSKeyId: key }),
    // The SDK lists the classes of AWS; other servers have more.
    ...(storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass }),
  };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function parseEndpoint(text: string | undefined, bucket: string): string | undefined {
  if (text === undefined) return undefined;
  // As it was written: without what a parser would drop or resolve.
  const url = !/[\s\\]|\/\.{1,2}(?:\/|$)/.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:\/\//i.test(text)) {
    throw wrong(`s3://${bucket}`, 'its endpoint is not an http or https address');
  }
  if (url.username || url.password || /[?#@]/.test(text)) {
    throw wrong(`s3://${bucket}`, 'its endpoint may have only a scheme, host, port and path');
  }
  return url.href.replace(/\/$/, '');
}

function wrong(what: string, why: string, next = `write it as ${form}`): PachError {
  return new PachError('usage', { what, why, next });
}
