/**
 * The patch that gives a pod of the user's versions of repos, pinned as the objects of plans are.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sidecarPatch, type SidecarPlan } from '../../src/kubernetes/objects/sidecar.ts';

const plan: SidecarPlan = {
  sources: [`images@${'a'.repeat(32)}`, `labels@${'b'.repeat(32)}:/2026`],
  bytes: 1_000_000_000,
  container: 'train',
  command: [],
  put: undefined,
  workerImage: `registry.example/pachmount@sha256:${'b'.repeat(64)}`,
  project: 'default',
  store: { url: 's3://bucket/prefix', id: 'f'.repeat(32), env: { AWS_ENDPOINT_URL: 'http://10.244.0.1:17480' } },
  credentials: { kind: 'secret', name: 'store' },
};

const patches: Readonly<Record<string, SidecarPlan>> = {
  'sidecar-written': plan,
  'sidecar-mounted': {
    ...plan,
    command: ['python', 'train.py'],
    mounts: { kind: 'device', resource: 'example.com/fuse' },
  },
  'sidecar-node-cache': {
    ...plan,
    mounts: { kind: 'privileged' },
    nodeCache: { place: { kind: 'path', path: '/var/cache/pach' }, bytesMax: 50_000_000_000 },
  },
  'sidecar-put': {
    ...plan,
    put: 'models@master:/$(JOB_COMPLETION_INDEX)/',
    credentials: { kind: 'service-account', name: 'trainer', env: { AWS_ROLE_ARN: 'arn:aws:iam::1:role/trainer' } },
  },
};

test.each(Object.entries(patches))('%s', async (name, each) => {
  const text = `${JSON.stringify(sidecarPatch(each), undefined, 2)}\n`;
  await expect(text).toMatchFileSnapshot(join(import.meta.dirname, 'golden', `${name}.json`));
});
