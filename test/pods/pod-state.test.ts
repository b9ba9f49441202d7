/**
 * What pods and events say, as a real API server wrote it, and what is made of it for people.
 */
import { expect, test } from 'vitest';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import {
  endOf,
  endText,
  hasEnded,
  hasWorkerCrashed,
  isRunning,
  isStripped,
  isWorkerDown,
  reasonOf,
  reasonOfEvent,
} from '../../src/kubernetes/pod-state.ts';

function pod(status: object, spec: object = {}): KubeObject {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec, status };
}

const unschedulable = pod({
  phase: 'Pending',
  conditions: [
    {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message:
        '0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.',
    },
  ],
});

const waiting = (name: string, reason: string, message?: string): KubeObject =>
  pod({
    phase: 'Pending',
    [name === 'worker' ? 'initContainerStatuses' : 'containerStatuses']: [
      { name, image: 'r/i:1', state: { waiting: { reason, message } } },
    ],
  });

test('a reason names the resource, the image and its registry’s word, or the secret', () => {
  expect(reasonOf(unschedulable)).toEqual({
    kind: 'place',
    text: 'no node takes it: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu',
  });
  expect(reasonOf(waiting('user', 'ErrImagePull', 'not found'))).toEqual({
    kind: 'image',
    text: "image r/i:1 can't be had: not found",
  });
  expect(reasonOf(waiting('worker', 'ImagePullBackOff'))).toEqual({
    kind: 'image',
    text: "the worker's image r/i:1 can't be had: ImagePullBackOff",
  });
  expect(reasonOf(waiting('user', 'CreateContainerConfigError', 'secret "s" not found'))).toEqual({
    kind: 'setup',
    text: 'container user: secret "s" not found',
  });
  // It is on its way.
  for (const reason of ['PodInitializing', 'ContainerCreating'])
    expect(reasonOf(waiting('user', reason))).toBeUndefined();
});

test('events tell of pods that are not even made', () => {
  const event = (reason: string, message: string, type = 'Warning'): KubeObject => {
    return { apiVersion: 'v1', kind: 'Event', metadata: {}, type, reason, message };
  };
  expect(
    reasonOfEvent(
      event('FailedCreate', 'Error creating: pods "x-0-abcde" is forbidden: exceeded quota: q, requested: pods=1'),
    ),
  ).toEqual({ kind: 'place', text: 'the cluster refuses pods: forbidden: exceeded quota: q, requested: pods=1' });
  expect(reasonOfEvent(event('FailedMount', 'secret "s" not found'))).toEqual({
    kind: 'setup',
    text: 'secret "s" not found',
  });
  expect(reasonOfEvent(event('BackOff', 'whatever'))).toBeUndefined();
  expect(reasonOfEvent(event('SuccessfulCreate', 'whatever', 'Normal'))).toBeUndefined();
});

test('a sidecar that starts, one that does not come up, and one that a webhook has changed', () => {
  const worker = (fields: object): KubeObject => pod({ initContainerStatuses: [{ name: 'worker', ...fields }] });
  const starting = worker({ started: false, state: { running: {} } });
  const crashed = worker({
    started: false,
    state: { waiting: { reason: 'CrashLoopBackOff' } },
    lastState: { terminated: { exitCode: 3 } },
  });
  const up = worker({ started: true, state: { running: {} } });
  const pulled = worker({ started: false, state: { waiting: { reason: 'PodInitializing' } } });
  expect([starting, crashed, up, pulled].map(isWorkerDown)).toEqual([true, true, false, false]);
  expect([starting, crashed, up, pulled].map(hasWorkerCrashed)).toEqual([false, true, false, false]);
  expect(reasonOf(crashed)).toBeUndefined();
  const spec = (restartPolicy?: string): object => ({
    initContainers: [{ name: 'other' }, { name: 'worker', restartPolicy }],
  });
  expect([pod({}, spec('Always')), pod({}, spec())].map(isStripped)).toEqual([false, true]);
});

test('how pods end: done, disrupted, out of memory, or else', () => {
  const ended = (phase: string, more: object = {}): KubeObject => pod({ phase, ...more });
  const user = (exitCode: number, reason?: string): object => ({
    containerStatuses: [{ name: 'user', state: { terminated: { exitCode, reason } } }],
  });
  const disrupted = { conditions: [{ type: 'DisruptionTarget', status: 'True' }] };
  expect(endOf(ended('Succeeded', user(0)))).toBe('done');
  expect(endOf(ended('Failed', { ...user(137, 'Error'), ...disrupted }))).toBe('disrupted');
  expect(endOf(ended('Failed', user(137, 'OOMKilled')))).toBe('out-of-memory');
  expect(endOf(ended('Failed', user(70, 'Error')))).toBe('failed');
  expect(endText(ended('Failed', user(70, 'Error')))).toBe('container user ended with exit code 70 (Error)');
  expect([ended('Running'), ended('Failed')].map(hasEnded)).toEqual([false, true]);
  expect(isRunning(pod({ containerStatuses: [{ name: 'user', state: { running: {} } }] }))).toBe(true);
  expect(isRunning(unschedulable)).toBe(false);
});
