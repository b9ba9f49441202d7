/**
 * When pods that do not run, or end one after another, end a job: by a clock of the test's own, with pods as a
 * cluster of Kubernetes 1.36 showed them.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { JobId } from '../../src/model/records/pipelines.ts';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import { SeenPods } from '../../src/kubernetes/seen-pods.ts';
import { planOf } from './plans.ts';

const { pods } = JSON.parse(readFileSync(join(import.meta.dirname, 'real-pods.json'), 'utf8')) as {
  pods: Readonly<Record<string, { readonly pod: KubeObject }>>;
};

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

let made = 0;

/** One of them, as another pod. */
function another(name: string): KubeObject {
  const { pod } = pods[name] as { pod: KubeObject };
  made += 1;
  return { ...pod, metadata: { ...pod.metadata, uid: `uid-${made}`, name: `p-${made}` } };
}

function seeing(): { seen: SeenPods; told: string[]; endsAfter: (seconds: number) => string } {
  const told: string[] = [];
  const job = {
    job: '0'.repeat(32) as JobId,
    spec: planOf({}).pipeline.spec,
    tell: (event: object) => void told.push((event as { line: string }).line),
    open: () => 1,
    shards: () => 1,
    isPlanned: () => true,
    datumBytesMax: () => 0,
  };
  const seen = new SeenPods(job, { pipeline: 'edges', what: 'pods', pendingMs: 600_000 });
  return {
    seen,
    told,
    /** Looks each second; what ended it, and after how many seconds. */
    endsAfter(seconds) {
      for (let second = 0; second <= seconds; second++) {
        try {
          seen.judge();
        } catch (error) {
          return `${second}: ${(error as Error).message}`;
        }
        vi.advanceTimersByTime(1000);
      }
      return 'it goes on';
    },
  };
}

test('a sidecar that does not come up ends the job after a minute, an image after two, all else after ten', () => {
  const sidecar = seeing();
  sidecar.seen.changed(false, another('sidecar silent'));
  expect(sidecar.endsAfter(61)).toBe('60: pods: the worker does not come up');
  const image = seeing();
  image.seen.changed(false, another('image absent'));
  expect(image.endsAfter(121)).toMatch(/^120: pods: image .* can't be had/);
  const place = seeing();
  place.seen.changed(false, another('gpu'));
  expect(place.endsAfter(601)).toMatch(/^600: pods: no node takes it: .*Insufficient nvidia.com\/gpu/);
});

test('while the API server is away nobody judges, and afterwards there is as much time again', () => {
  const { seen, endsAfter } = seeing();
  seen.changed(false, another('sidecar silent'));
  expect(endsAfter(30)).toBe('it goes on');
  seen.isAway = true;
  expect(endsAfter(3600)).toBe('it goes on');
  seen.isAway = false;
  expect(endsAfter(61)).toMatch(/^60: /);
});

test('pods that had too much on their disk are replaced twice; disrupted ones as often as it takes', () => {
  const { seen, told, endsAfter } = seeing();
  expect(endsAfter(1)).toBe('it goes on');
  for (let n = 0; n < 20; n++) seen.changed(false, another('evicted'));
  for (let n = 0; n < 2; n++) seen.changed(false, another('disk'));
  expect(endsAfter(10)).toBe('it goes on');
  seen.changed(false, another('disk'));
  const why =
    'Usage of EmptyDir volume "pach" exceeds the limit "1Mi". resource_limits.disk says how much a datum may have';
  expect(endsAfter(0)).toBe(`0: pods: they fail one after another: ${why}`);
  expect(told).toHaveLength(3);
  expect(told[0]).toMatch(/^pod p-\d+: Usage of EmptyDir/);
});

test('a pod that is being deleted is lost at once, and where its node never says that it has ended nobody counts on it', () => {
  const { seen, endsAfter } = seeing();
  const running = another('evicted');
  const metadata = { ...running.metadata, deletionTimestamp: '2026-01-01T00:00:30Z', deletionGracePeriodSeconds: 30 };
  const leaving = { ...running, metadata };
  seen.changed(false, { ...running, metadata: { ...metadata, deletionTimestamp: undefined } } as unknown as KubeObject);
  expect(seen.losses.due()).toBe(0);
  seen.changed(false, leaving);
  seen.changed(false, leaving);
  expect(seen.losses.due()).toBe(1);
  // It runs for its grace, and then somewhat longer.
  expect(endsAfter(700)).toMatch(/^639: pods: none has started in 600 s/);
  // Where its node comes back, it is not lost again.
  seen.changed(true, leaving);
  expect(seen.losses.due()).toBe(1);
});
