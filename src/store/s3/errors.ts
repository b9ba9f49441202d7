/**
 * What an S3 server or the way to it can answer, as operating errors. Messages name bucket, key
 * and endpoint, never credentials.
 */
import { errorWith, PachError, type Meaning } from '../../base/errors.ts';
import { ProxyRefusal, type ThroughProxy } from '../network.ts';
import type { S3Place } from './url.ts';

const denied = (why: string, next: string): Meaning => ({ code: 'denied', why, next });
const usage = (why: string, next?: string): Meaning => ({ code: 'usage', why, next });

const wrongKeys = denied(
  'the server does not accept the credentials',
  'check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in use',
);
const expired = denied(
  'the credentials have expired',
  'log in again (aws sso login), or replace the old credentials with new ones',
);
const otherRegion = usage('the bucket is in another region', 'add ?region=NAME to the address, or set AWS_REGION');
const full: Meaning = { code: 'no-space', why: 'the store is full, or its quota is used up' };
const noClass = usage(
  'the server does not know the storage class that ?class= asks for',
  'leave ?class= out, or name a class of this server',
);
const noKmsKey = denied(
  "the server can't use the KMS key",
  'check ?key= and your rights to that key (kms:GenerateDataKey and kms:Decrypt)',
);
const proxyPassword = denied(
  'the proxy needs a name and a password',
  'write them into HTTPS_PROXY (or HTTP_PROXY) as http://NAME:PASSWORD@HOST:PORT',
);
const clock = denied(
  'the clocks of this machine and of the server differ too much',
  'set the clock (timedatectl set-ntp true)',
);
const notSupported: Meaning = { code: 'unsupported', why: 'the server does not support this kind of request' };

const byName: ReadonlyMap<string, Meaning> = new Map([
  ['InvalidAccessKeyId', wrongKeys],
  ['SignatureDoesNotMatch', wrongKeys],
  ['InvalidToken', wrongKeys],
  ['InvalidClientTokenId', wrongKeys],
  ['UnrecognizedClientException', wrongKeys],
  ['ExpiredToken', expired],
  ['ExpiredTokenException', expired],
  ['TokenRefreshRequired', expired],
  ['RequestTimeTooSkewed', clock],
  ['PermanentRedirect', otherRegion],
  ['AuthorizationHeaderMalformed', otherRegion],
  ['QuotaExceeded', full],
  ['XMinioStorageFull', full],
  ['InvalidStorageClass', noClass],
  ['NotImplemented', notSupported],
  ['InvalidBucketName', usage('the server does not accept this bucket name')],
]);

/** Errors of TLS do not pass by waiting. */
const untrusted = /^(?:ERR_TLS_|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|EPROTO|ERR_SSL_)/;
const network =
  /^(?:ECONN(?:REFUSED|RESET|ABORTED)|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|E(?:HOST|NET)(?:UNREACH|DOWN)|EPIPE|ERR_STREAM_PREMATURE_CLOSE)$/;

/** The HTTP status of an error of the SDK; undefined when no answer came. */
export function statusOf(error: unknown): number | undefined {
  const { $metadata: metadata } = error as { $metadata?: { httpStatusCode?: number } };
  return metadata?.httpStatusCode;
}

/** Whether the server does not accept the credentials. An answer without a body (HEAD) does not say why it refuses. */
export function refusesCredentials(error: unknown): boolean {
  const { name = '' } = error as { name?: string };
  const meaning = byName.get(name);
  if (meaning) return meaning === wrongKeys || meaning === expired;
  const status = statusOf(error);
  return (status === 401 || status === 403) && name === 'Unknown';
}

/** Whether the server refuses the time of a request. The SDK knows the server's time from then on. */
export function isOfClock(error: unknown): boolean {
  const { $metadata: metadata } = error as { $metadata?: { clockSkewCorrected?: boolean } };
  const status = statusOf(error);
  return metadata?.clockSkewCorrected === true && (status === 403 || status === 401);
}

/** Whether no server answered, which may pass. */
export function isOfNetwork(error: unknown): boolean {
  const { name, code, message } = error as { name?: string; code?: string; message?: string };
  return name === 'TimeoutError' || (code !== undefined && network.test(code)) || message === 'aborted';
}

/** Whether what came is not HTTP: another kind of server, or something on the way that breaks. */
function isNoHttp(error: unknown): boolean {
  return (error as { code?: string }).code?.startsWith('HPE_') === true;
}

/** What a gateway answers in the server's place when it got no answer from it. */
const gatewayStatuses: ReadonlySet<number> = new Set([502, 504]);

/** Whether a request that failed so may have been carried out: the server itself did not answer. */
export function mayHaveHappened(error: PachError): boolean {
  const status = error.cause === undefined ? undefined : statusOf(error.cause);
  return status === undefined || gatewayStatuses.has(status);
}

/** An error of the SDK as an operating error. `key` is relative to the place, if one was meant. */
export function fromS3(error: unknown, place: S3Place, key: string | undefined): PachError {
  if (error instanceof PachError) return error;
  const { name, code, message } = error as { name?: string; code?: string; message?: string };
  const bucket = `s3://${place.bucket}`;
  const object = `${bucket}/${place.prefix}${key ?? ''}`;
  const build = (what: string, meaning: Meaning): PachError => errorWith(what, meaning, error);

  const status = statusOf(error);
  if (status === 407) return build(bucket, proxyPassword);
  if (error instanceof ProxyRefusal) return build(bucket, refusedByProxy(error));
  // Ceph gives these the name of another error.
  if (name?.startsWith('KMS.') || (status !== undefined && /kms-?key/i.test(message ?? ''))) {
    return build(bucket, noKmsKey);
  }
  const known = byName.get(name ?? '');
  if (known) return build(bucket, known);
  if (name === 'NoSuchBucket') {
    const endpoint = place.endpoint === undefined ? '' : ` --endpoint-url ${place.endpoint}`;
    const next = `aws s3 mb ${bucket}${endpoint}`;
    return build(bucket, { code: 'not-found', why: `bucket ${place.bucket} does not exist`, next });
  }
  if (status === 403 || status === 401 || name === 'AccessDenied') {
    const why = `access to bucket ${place.bucket} is denied`;
    const next = 'the credentials need s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject there';
    return build(object, { code: 'denied', why, next });
  }
  if (status !== undefined && status >= 300 && status < 400) {
    const why = `the server redirects requests to another address (status ${status})`;
    const next = 'use that address: add ?endpoint=URL and ?region=NAME to the address of the store';
    return build(bucket, { code: 'usage', why, next });
  }
  if (status === 404) return build(object, { code: 'not-found', why: 'there is no such object' });
  if (status === 507) return build(bucket, full);
  if (status === 501) return build(object, notSupported);
  // 409: two conditional writes met, and this one was not carried out.
  if (status === 409 || status === 429 || name === 'RequestTimeout' || (status !== undefined && status >= 500)) {
    return build(bucket, { code: 'unreachable', why: `the server answered ${status} (${name})` });
  }
  if (code !== undefined && untrusted.test(code)) {
    const next =
      'check that the endpoint uses https; to trust another certificate authority, set AWS_CA_BUNDLE to its file';
    return build(bucket, { code: 'failed', why: `no trusted connection to ${whereOf(error, place)} (${code})`, next });
  }
  if (isOfNetwork(error) || isNoHttp(error)) {
    const why = `${whereOf(error, place)} does not answer${isNoHttp(error) ? ' in HTTP' : ''} (${code ?? 'timeout'})`;
    const next = 'check the endpoint (AWS_ENDPOINT_URL, ?endpoint=) and the network';
    return build(bucket, { code: 'unreachable', why, next });
  }
  // The SDK had no error of the server to read.
  if (status !== undefined && status < 300) {
    const why = 'the answer is not one that an S3 server gives';
    return build(bucket, { code: 'unsupported', why, next: `check that ${whereOf(error, place)} is an S3 server` });
  }
  return build(object, { code: 'failed', why: `${name ?? 'error'}: ${message ?? 'no message'}` });
}

function refusedByProxy({ status, message }: ProxyRefusal): Meaning {
  if (status === 407) return proxyPassword;
  const next = 'check HTTPS_PROXY; NO_PROXY names servers that are reached without it';
  return { code: status >= 500 ? 'unreachable' : 'denied', why: message, next };
}

/** The server that was asked, as well as it is known. */
function whereOf(error: unknown, place: S3Place): string {
  const { proxy } = error as ThroughProxy;
  return proxy === undefined ? serverOf(error, place) : `${serverOf(error, place)} (through the proxy ${proxy})`;
}

function serverOf(error: unknown, place: S3Place): string {
  if (place.endpoint !== undefined) return place.endpoint;
  const { errors } = error as { errors?: unknown[] };
  const { hostname, address, port } = (errors?.[0] ?? error) as { hostname?: string; address?: string; port?: number };
  const host = hostname ?? address;
  if (host === undefined) return 'the server';
  return port === undefined ? host : `${host}:${port}`;
}
