/**
 * Addresses of S3 stores: `s3://bucket/prefix?endpoint=http://host:port&region=name`.
 */
import { PachError } from '../base/errors.ts';

export interface S3Place {
  readonly bucket: string;
  /** Empty, or ends with a slash. */
  readonly prefix: string;
  /** Where it is not AWS; without it the SDK's own settings count (AWS_ENDPOINT_URL, profile). */
  readonly endpoint: string | undefined;
  readonly region: string | undefined;
}

const form = 's3://bucket/prefix, with ?endpoint=http://host:port for what is not AWS';

export function isS3(address: string): boolean {
  return /^s3:/i.test(address);
}

/** Throws `usage`; the message never repeats what might be a secret. */
export function parseS3Url(text: string): S3Place {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url) throw wrong('s3://', 'it is not a valid address');
  if (url.username || url.password || text.split('?')[0]?.includes('@')) {
    throw wrong(
      's3://',
      'credentials do not belong into an address',
      'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    );
  }
  const bucket = url.hostname;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket) || url.port) {
    throw wrong(`s3://${url.host}`, 'it does not name a bucket');
  }
  for (const name of url.searchParams.keys()) {
    if (name !== 'endpoint' && name !== 'region') throw wrong(`s3://${bucket}`, `unknown parameter ${name}`);
  }
  const path = decoded(url.pathname)?.replace(/^\//, '').replace(/\/$/, '');
  if (path === undefined) throw wrong(`s3://${bucket}`, 'its prefix has a wrong % in it');
  const segments = path.split('/');
  if (path !== '' && segments.some((segment) => ['', '.', '..'].includes(segment))) {
    throw wrong(`s3://${bucket}`, 'its prefix has an empty part, . or ..');
  }
  if (Buffer.byteLength(path) > 200) throw wrong(`s3://${bucket}`, 'its prefix is longer than 200 bytes');
  return {
    bucket,
    prefix: path === '' ? '' : `${path}/`,
    endpoint: parseEndpoint(url.searchParams.get('endpoint'), bucket),
    region: url.searchParams.get('region') ?? undefined,
  };
}

/** The address of a place as messages and identities show it: no credentials, no slash at the end. */
export function s3UrlOf({ bucket, prefix, endpoint }: S3Place): string {
  const base = `s3://${bucket}/${prefix}`.replace(/\/$/, '');
  return endpoint === undefined ? base : `${base}?endpoint=${endpoint}`;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function parseEndpoint(text: string | null, bucket: string): string | undefined {
  if (text === null) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw wrong(`s3://${bucket}`, 'its endpoint is not an http or https address');
  }
  if (url.username || url.password || url.search || url.hash) {
    throw wrong(`s3://${bucket}`, 'its endpoint has more than scheme, host, port and path');
  }
  return url.href.replace(/\/$/, '');
}

function wrong(what: string, why: string, next = `write it as ${form}`): PachError {
  return new PachError('usage', { what, why, next });
}
