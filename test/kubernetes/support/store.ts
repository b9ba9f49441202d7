/**
 * What pods of tests need: a store that they reach at the same address as this machine, and the
 * worker image.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { s3ForTests, type TestBucket } from '../../support/s3.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../cluster/kubernetes.sh', import.meta.url));
/** This machine, as pods of a cluster of `kubernetes.sh` see it. */
const machine = '10.244.0.1';

/** The folder of our own cluster; undefined in a cluster of somebody else. */
export const ownCluster = process.env['PACH_TEST_CLUSTER'] || undefined;
const endpointOfOthers = process.env['AWS_ENDPOINT_URL'];
/** False in a cluster of which it isn't known how its pods reach a store. */
export const hasStore = ownCluster !== undefined || endpointOfOthers !== undefined;

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
/** The worker image, which `run.sh` has loaded; or one of another name, which nodes have. */
export const workerImage = process.env['PACH_TEST_WORKER_IMAGE'] ?? `localhost/pachmount:${version}`;

/** A prefix of its own in a bucket of this test file, at an address that holds for pods and for this machine. */
export async function storeForPods(): Promise<TestBucket> {
  if (ownCluster === undefined) return storeOfOthers();
  const bucket = await s3ForTests();
  const endpoint = await expose(new URL(bucket.endpoint).port);
  return { ...bucket, endpoint, url: bucket.url.replace(bucket.endpoint, endpoint) };
}

/** The same store by another port of this machine. */
export async function storeAt(store: TestBucket, port: number): Promise<TestBucket> {
  const endpoint = await expose(port);
  return { ...store, endpoint, url: store.url.replace(store.endpoint, endpoint) };
}

/** Lets pods of our own cluster reach a port of this machine; resolves to its address, which holds for both. */
export async function expose(port: string | number): Promise<string> {
  if (ownCluster === undefined) throw new Error('only pods of our own cluster are known to reach this machine');
  await run(script, ['expose', ownCluster, String(port)]);
  return `http://${machine}:${port}`;
}

async function storeOfOthers(): Promise<TestBucket> {
  const endpoint = endpointOfOthers ?? '';
  const name = `pach-test-${randomBytes(6).toString('hex')}`;
  const client = new S3Client({ endpoint, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: name }));
  client.destroy();
  const names = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION'];
  const env = Object.fromEntries(names.map((key) => [key, process.env[key] ?? '']));
  return { url: `s3://${name}/store?endpoint=${endpoint}`, endpoint, bucket: name, env };
}
