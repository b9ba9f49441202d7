/**
 * A real S3 server for tests: one Ceph gateway a run, started when first asked for.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { withoutPreload } from './place.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../tools/ceph-rgw.sh', import.meta.url));

export interface TestBucket {
  /** `s3://bucket/prefix?endpoint=…`, empty and nobody else's. */
  readonly url: string;
  readonly endpoint: string;
  readonly bucket: string;
  /** The credentials, for child processes; this process has them already. */
  readonly env: Readonly<Record<string, string>>;
}

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: test/support/global-setup.ts did not run`);
  return value;
}

let bucket: Promise<TestBucket> | undefined;

async function start(): Promise<TestBucket> {
  const port = Number(setting('PACH_TEST_CEPH_PORT'));
  const env = {
    AWS_ACCESS_KEY_ID: 'testaccesskey',
    AWS_SECRET_ACCESS_KEY: 'testsecretkey',
    AWS_REGION: 'us-east-1',
    // What whoever runs the tests has set up for himself has no say.
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
  };
  await run(script, ['start', setting('PACH_TEST_CEPH_DIR')], {
    env: { ...withoutPreload(process.env), CEPH_RGW_PORT: String(port), CEPH_RGW_MON_PORT: String(port + 1) },
    timeout: 120_000,
  });
  Object.assign(process.env, env);
  for (const name of ['AWS_PROFILE', 'AWS_SESSION_TOKEN', 'AWS_ENDPOINT_URL', 'AWS_ENDPOINT_URL_S3']) {
    delete process.env[name];
  }
  const endpoint = `http://127.0.0.1:${port}`;
  const name = `test-${randomBytes(6).toString('hex')}`;
  const client = new S3Client({ endpoint, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: name }));
  client.destroy();
  return { url: '', endpoint, bucket: name, env };
}

/** A prefix of its own in a bucket of this test file. Fails when there is no Ceph on this machine. */
export async function s3ForTests(): Promise<TestBucket> {
  bucket ??= start();
  const ready = await bucket;
  const prefix = randomBytes(6).toString('hex');
  return { ...ready, url: `s3://${ready.bucket}/${prefix}?endpoint=${ready.endpoint}` };
}

/** Credentials of a user who may not touch what `s3ForTests` gives. */
export async function s3Stranger(): Promise<Record<string, string>> {
  await s3ForTests();
  const name = `stranger-${randomBytes(4).toString('hex')}`;
  await run(script, ['user', setting('PACH_TEST_CEPH_DIR'), name, name, 'secretofstranger'], {
    env: withoutPreload(process.env),
    timeout: 60_000,
  });
  return { AWS_ACCESS_KEY_ID: name, AWS_SECRET_ACCESS_KEY: 'secretofstranger' };
}
