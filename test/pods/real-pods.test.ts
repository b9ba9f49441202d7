/**
 * Pods that do not run, or did not end well, as a cluster of Kubernetes 1.36 showed them
 * (real-pods.json, without fields that nobody reads): what is told of each.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import {
  endOf,
  endText,
  hasWorkerCrashed,
  isStripped,
  isWorkerDown,
  reasonOf,
  reasonOfEvent,
  workerText,
} from '../../src/kubernetes/pod-state.ts';

interface Seen {
  readonly pods: Readonly<Record<string, { readonly pod: KubeObject; readonly events: readonly KubeObject[] }>>;
  readonly refusals: Readonly<Record<string, KubeObject>>;
}

const seen = JSON.parse(readFileSync(join(import.meta.dirname, 'real-pods.json'), 'utf8')) as Seen;

function podOf(name: string): KubeObject {
  return (seen.pods[name] as { pod: KubeObject }).pod;
}

test.each([
  ['gpu', 'place', 'no node takes it: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu'],
  ['cpu and memory', 'place', 'no node takes it: 0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory'],
  [
    'node selector',
    'place',
    "no node takes it: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector",
  ],
  [
    'registry unreachable',
    'image',
    `image localhost/none:v1 can't be had: failed to do request: Head "http://localhost/v2/none/manifests/v1": dial tcp 127.0.0.1:80: connect: connection refused`,
  ],
  ['image absent', 'image', "image localhost:17997/none:v1 can't be had: localhost:17997/none:v1: not found"],
  [
    'image denied',
    'image',
    "image localhost:17998/private:v1 can't be had: pulling from host localhost:17998 failed with status code [manifests v1]: 401 Unauthorized; transform.image_pull_secrets names the secret for a registry",
  ],
  [
    'image name',
    'image',
    `image localhost:17997/NONE:v1 can't be had: Failed to apply default image tag "localhost:17997/NONE:v1": couldn't parse image name "localhost:17997/NONE:v1": invalid reference format: repository name (NONE) must be lowercase`,
  ],
  [
    'worker image',
    'image',
    `the worker's image localhost/pachmount-none:1 can't be had: failed to do request: Head "http://localhost/v2/pachmount-none/manifests/1": dial tcp 127.0.0.1:80: connect: connection refused`,
  ],
  ['secret absent', 'setup', 'container user: secret "absent" not found'],
  ['key absent', 'setup', "container user: couldn't find key absent in Secret pods/db"],
  ['credentials absent', 'setup', 'container worker: secret "storecreds" not found'],
])('%s', (name, kind, text) => {
  expect(reasonOf(podOf(name))).toEqual({ kind, text });
});

test.each([
  ['secret volume', 'secret "absent" not found'],
  ['secret volume key', 'references non-existent secret key: absent'],
])('%s: the pod itself does not say so', (name, text) => {
  expect(reasonOf(podOf(name))).toBeUndefined();
  expect(seen.pods[name]?.events.map(reasonOfEvent)).toEqual([{ kind: 'setup', text }]);
});

test.each([
  ['sidecar silent', false, 'the worker does not come up'],
  ['sidecar crashed', true, 'the worker does not come up: no store'],
  ['architecture', true, "the worker's image localhost/pods-badexec:v1 is for another architecture"],
  ['no program', true, expect.stringContaining('stat /usr/bin/node: no such file or directory') as string],
])('%s', (name, hasCrashed, text) => {
  const pod = podOf(name);
  expect([isWorkerDown(pod), hasWorkerCrashed(pod), isStripped(pod)]).toEqual([true, hasCrashed, false]);
  expect(workerText(pod)).toEqual(text);
});

test('a sidecar that the cluster has taken out, or made an ordinary init container of', () => {
  expect(['sidecar removed', 'sidecar made ordinary', 'gpu'].map((name) => isStripped(podOf(name)))).toEqual([
    true,
    true,
    false,
  ]);
});

test.each([
  ['out of memory', 'out-of-memory', 'container user ended with exit code 137 (OOMKilled)'],
  ['command out of memory', 'done', 'it failed'],
  ['disk', 'failed', 'Usage of EmptyDir volume "pach" exceeds the limit "1Mi".'],
  ['user exec', 'failed', 'container user ended with exit code 1 (exec /pach-bin/../app: exec format error)'],
  ['evicted', 'disrupted', 'it failed'],
])('%s: how it ended', (name, end, text) => {
  expect([endOf(podOf(name)), endText(podOf(name))]).toEqual([end, text]);
});

test.each([
  ['quota', 'forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0'],
  ['service account', 'forbidden: error looking up service account pods/reader: serviceaccount "reader" not found'],
  ['priority class', 'forbidden: no PriorityClass with name high was found'],
  ['runtime class', 'forbidden: pod rejected: RuntimeClass "gvisor" not found'],
  [
    'limit range',
    'invalid: spec.initContainers[0].resources.requests: Invalid value: "134217728": must be less than or equal to memory limit of 64Mi',
  ],
])('%s: no pod is made', (name, text) => {
  expect(reasonOfEvent(seen.refusals[name] as KubeObject)).toEqual({
    kind: 'place',
    text: `the cluster refuses pods: ${text}`,
  });
});

test('pod security: what is wrong is told, and what helps', () => {
  const reason = reasonOfEvent(seen.refusals['pod security'] as KubeObject);
  expect(reason?.text).toMatch(
    /violates PodSecurity "restricted:latest".*; transform\.user may be the number of a user who is not root$/,
  );
});
