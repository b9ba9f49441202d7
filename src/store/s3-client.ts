/**
 * The SDK's client, set up so that it works with every S3 server.
 */
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import type { S3Place } from './s3-url.ts';

/** A connection that moves no byte for so long is given up. */
const socketTimeoutMs = 10_000;
const connectionTimeoutMs = 5_000;
const socketsMax = 64;
const regionDefault = 'us-east-1';

/** The library does not print, and so must not let the SDK print. */
const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** Credentials and all that the place does not say come from the environment and profile of AWS. */
export async function createS3Client(place: S3Place): Promise<S3Client> {
  const client = construct(place, place.region);
  try {
    await client.config.region();
    return client;
  } catch {
    // Nothing names a region: most servers do not care, and AWS says where the bucket lies.
    client.destroy();
    return construct(place, regionDefault);
  }
}

function construct(place: S3Place, region: string | undefined): S3Client {
  const config: S3ClientConfig = {
    // Buckets as part of the host name need DNS entries that own servers rarely have.
    forcePathStyle: true,
    followRegionRedirects: true,
    // By default bodies that are streams become chunked uploads, which many servers refuse.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    // Only the retrying decorator tries again.
    maxAttempts: 1,
    logger: silent,
    requestHandler: {
      connectionTimeout: connectionTimeoutMs,
      socketTimeout: socketTimeoutMs,
      httpAgent: { keepAlive: true, maxSockets: socketsMax },
      httpsAgent: { keepAlive: true, maxSockets: socketsMax },
    },
  };
  if (place.endpoint !== undefined) config.endpoint = place.endpoint;
  if (region !== undefined) config.region = region;
  return withoutWarnings(() => new S3Client(config));
}

/** The SDK warns on standard error, in every process, of Node versions that it will drop one day. */
function withoutWarnings<T>(work: () => T): T {
  const emitWarning = Reflect.get(process, 'emitWarning');
  process.emitWarning = () => undefined;
  try {
    return work();
  } finally {
    process.emitWarning = emitWarning;
  }
}
