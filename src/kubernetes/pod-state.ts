/**
 * What Kubernetes says of a pod, as the engine of a job needs it: whether it runs, why it does not
 * yet, how it ended.
 */
import type { KubeObject } from './client/objects.ts';

/** Why nothing runs yet, in Kubernetes' own words. */
export interface Reason {
  /**
   * `place`: no node has room, a quota or a policy refuses. `image`: it can't be pulled. `setup`: a
   * secret, a volume or the container itself is wrong. `worker`: our sidecar does not come up.
   */
  readonly kind: 'place' | 'image' | 'setup' | 'worker';
  readonly text: string;
}

interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: { readonly startedAt?: string };
  readonly terminated?: { readonly reason?: string; readonly exitCode?: number; readonly message?: string };
}

interface ContainerStatus {
  readonly name: string;
  readonly image?: string;
  readonly started?: boolean;
  readonly state?: ContainerState;
  readonly lastState?: ContainerState;
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

interface PodStatus {
  readonly phase?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly conditions?: readonly Condition[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
  readonly containerStatuses?: readonly ContainerStatus[];
}

const pullReasons = new Set([
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'ImageInspectError',
  'RegistryUnavailable',
  'SignatureValidationFailed',
]);
const startingReasons = new Set(['PodInitializing', 'ContainerCreating']);

function statusOf({ status }: KubeObject): PodStatus {
  return status ?? {};
}

function containersOf({ initContainerStatuses = [], containerStatuses = [] }: PodStatus): ContainerStatus[] {
  return [...initContainerStatuses, ...containerStatuses];
}

function conditionOf({ conditions = [] }: PodStatus, type: string): Condition | undefined {
  return conditions.find((each) => each.type === type);
}

/** True once nothing of it runs any more. */
export function hasEnded(pod: KubeObject): boolean {
  return ['Succeeded', 'Failed'].includes(statusOf(pod).phase ?? '');
}

/** True for one that counts as done, so that its Job makes no other one. */
export function isDone(pod: KubeObject): boolean {
  return statusOf(pod).phase === 'Succeeded';
}

/** True while the container of the commands is there. */
export function isRunning(pod: KubeObject): boolean {
  const user = statusOf(pod).containerStatuses?.find(({ name }) => name === 'user');
  return user?.state?.running !== undefined;
}

/** Why it does not run yet; undefined where nothing is wrong. */
export function reasonOf(pod: KubeObject): Reason | undefined {
  const status = statusOf(pod);
  const placed = conditionOf(status, 'PodScheduled');
  if (placed?.status === 'False') return { kind: 'place', text: `no node takes it: ${schedulerText(placed)}` };
  for (const container of containersOf(status)) {
    const found = containerReason(container);
    if (found) return found;
  }
  return undefined;
}

/** The sidecar was started and is not up, since it ends, or since its probe fails: who is to look at its log. */
export function isWorkerDown(pod: KubeObject): boolean {
  const worker = statusOf(pod).initContainerStatuses?.find(({ name }) => name === 'worker');
  const hasBegun = worker?.state?.running ?? worker?.lastState?.terminated ?? worker?.state?.terminated;
  return hasBegun !== undefined && worker?.started !== true;
}

/** The sidecar has ended before it was up. */
export function hasWorkerCrashed(pod: KubeObject): boolean {
  const worker = statusOf(pod).initContainerStatuses?.find(({ name }) => name === 'worker');
  return worker?.started !== true && (worker?.lastState?.terminated ?? worker?.state?.terminated) !== undefined;
}

/** Why the sidecar is not up, by its last words. */
export function workerText(pod: KubeObject): string {
  const worker = statusOf(pod).initContainerStatuses?.find(({ name }) => name === 'worker');
  const { message = '', exitCode } = worker?.lastState?.terminated ?? worker?.state?.terminated ?? {};
  const lines = message.trim().split('\n');
  const said = lines.find((line) => line.startsWith('pach: '))?.slice('pach: '.length) ?? lines.at(-1);
  if (said?.includes('exec format error')) return `the worker's image ${worker?.image} is for another architecture`;
  const how = said || (exitCode === undefined ? undefined : `it ends with exit code ${exitCode}`);
  return `the worker does not come up${how === undefined ? '' : `: ${how}`}`;
}

/** A pod whose sidecar is an ordinary init container, or is not there: a webhook has changed it. */
export function isStripped({ spec }: KubeObject): boolean {
  const { initContainers = [] } = spec as { initContainers?: readonly { name: string; restartPolicy?: string }[] };
  return initContainers.find(({ name }) => name === 'worker')?.restartPolicy !== 'Always';
}

function containerReason({ name, image, state }: ContainerStatus): Reason | undefined {
  const { reason, message } = state?.waiting ?? {};
  if (reason === undefined || startingReasons.has(reason)) return undefined;
  const what = name === 'worker' ? `the worker's image ${image ?? ''}` : `image ${image ?? ''}`;
  if (pullReasons.has(reason)) return { kind: 'image', text: `${what} can't be had: ${pullText(message ?? reason)}` };
  if (name === 'worker' && reason === 'CrashLoopBackOff') return undefined; // its log says more
  return { kind: 'setup', text: `container ${name}: ${message ?? reason}` };
}

/** The registry's word, without the steps of containerd that led to it; and what helps. */
function pullText(message: string): string {
  const word = message
    .replace(/^Back-off pulling image "[^"]*": /, '')
    .replaceAll(
      /(?:ErrImagePull|rpc error: code = \w+ desc =|failed to (?:pull and unpack|resolve)[^"]*"[^"]*"):? /g,
      '',
    );
  if (!/40[13]|unauthori[sz]ed|denied|authorization failed/i.test(word)) return word;
  return `${word}; transform.image_pull_secrets names the secret for a registry`;
}

/** Without what it says of preemption, which is the same again. */
function schedulerText({ reason, message }: Condition): string {
  return (message ?? reason ?? '').replace(/\.?\s*(?:no new claims to deallocate,? *)?preemption: .*$/s, '');
}

/** How a pod ended. */
export type PodEnd = 'done' | 'disrupted' | 'out-of-memory' | 'failed';

/** Of one that has ended or is gone. */
export function endOf(pod: KubeObject): PodEnd {
  const status = statusOf(pod);
  if (conditionOf(status, 'DisruptionTarget')?.status === 'True') return 'disrupted';
  const user = status.containerStatuses?.find(({ name }) => name === 'user')?.state?.terminated;
  // With exit code 0 the command alone was killed: the launcher has told so, and ended as it should.
  if (user?.reason === 'OOMKilled' && user.exitCode !== 0) return 'out-of-memory';
  return status.phase === 'Failed' ? 'failed' : 'done';
}

/** Why the container with the launcher has gone; undefined while nothing of it is known. */
export function lostBy(pod: KubeObject): 'out-of-memory' | 'disrupted' | 'unknown' | undefined {
  const status = statusOf(pod);
  if (conditionOf(status, 'DisruptionTarget')?.status === 'True') return 'disrupted';
  const { terminated } = status.containerStatuses?.find(({ name }) => name === 'user')?.state ?? {};
  if (!terminated) return hasEnded(pod) ? 'unknown' : undefined;
  return terminated.reason === 'OOMKilled' ? 'out-of-memory' : 'unknown';
}

/** True for one that was ended because it had more on its disk than it may. */
export function isOutOfDisk(pod: KubeObject): boolean {
  const { reason, message = '' } = statusOf(pod);
  return reason === 'Evicted' && /exceeds the (?:total )?limit/.test(message);
}

/** Why a failed pod ended, for people. */
export function endText(pod: KubeObject): string {
  const status = statusOf(pod);
  if (status.message) return status.message.trim();
  const ended = containersOf(status).flatMap(({ name, state }) => {
    const { reason, exitCode, message } = state?.terminated ?? {};
    if (exitCode === undefined || exitCode === 0) return [];
    return [
      `container ${name} ended with exit code ${exitCode}${message ? ` (${message.trim()})` : reason ? ` (${reason})` : ''}`,
    ];
  });
  return ended.join(', ') || status.reason || 'it failed';
}

const refusals = new Set(['FailedCreate']);
const podTroubles = new Set(['FailedMount', 'FailedAttachVolume', 'FailedCreatePodSandBox', 'Evicted']);

/** What an event says of why pods can't be made, or don't start. */
export function reasonOfEvent({ type, reason, message }: KubeObject): Reason | undefined {
  if (type !== 'Warning' || typeof reason !== 'string' || typeof message !== 'string') return undefined;
  if (refusals.has(reason)) return { kind: 'place', text: `the cluster refuses pods: ${refusalText(message)}` };
  if (podTroubles.has(reason)) {
    return { kind: 'setup', text: message.replace(/^MountVolume\.SetUp failed for volume "[^"]*" : /, '') };
  }
  return undefined;
}

/** `Error creating: pods "x-0-abcde" is forbidden: exceeded quota: …`: the pod's name says nothing. */
function refusalText(message: string): string {
  const text = message.replace(/^Error creating: (?:pods? "[^"]*" is )?/i, '');
  const isRoot = text.includes('violates PodSecurity') && /runAsNonRoot|runAsUser=0/.test(text);
  return isRoot ? `${text}; transform.user may be the number of a user who is not root` : text;
}
