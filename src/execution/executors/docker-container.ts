/**
 * The container of a worker: what it sees, what it may, and by which labels it is found again.
 * Neither variables nor secrets are in its configuration, which every user of the engine can read:
 * the launcher is told of them.
 */
import { dirname } from 'node:path/posix';
import type Docker from 'dockerode';
import { PachError } from '../../base/errors.ts';
import type { WorkerOptions } from '../executor.ts';
import type { Helpers } from './docker-helpers.ts';
import type { KnownImage } from './docker-image.ts';

/** Where a container has the launcher, the socket to which it connects, and what was written to its root. */
const helpers = '/pach-bin';
export const changesPath = `${helpers}/changes`;
/** Processes beside the command's: the launcher, and some, so that its own count is what speaks. */
const processesBeside = 16;
/** Of /dev/shm where memory has no limit; Docker's 64 MiB are too few for what shares tensors. */
export const sharedMemoryBytes = 4 * 2 ** 30;
const memoryBytesMin = 6 * 2 ** 20;

/** What root in a container needs to be at home there; not to make devices or to open raw sockets. */
export const containerRights = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'SETGID',
  'SETUID',
];

/** The labels of every container of ours. */
/** What commands see as the name of their host: the same in each container. */
export const workerHost = 'worker';
export const labels = { worker: 'dev.pachmount.worker', owner: 'dev.pachmount.owner' } as const;

export interface ContainerPlan {
  readonly worker: WorkerOptions;
  readonly image: KnownImage;
  /** On this host: the launcher's program, and the folder that is shown as /pach-bin. */
  readonly program: string;
  readonly helpers: Helpers;
  /** Of the engine's machine. */
  readonly processors: number;
  /** Mounts that come below `slot/pfs` later are shown. */
  readonly showsMounts: boolean;
  /** Who answers for the container. */
  readonly owner: string;
}

/** Throws `usage` for options that no container can have. */
export function containerOptions(plan: ContainerPlan): Docker.ContainerCreateOptions {
  const { worker } = plan;
  return {
    Image: plan.image.id,
    Entrypoint: [`${helpers}/launcher`],
    Cmd: ['--socket', `${helpers}/engine`],
    // The launcher, that is; it gives commands the user that they want.
    User: '0:0',
    // Not Docker's random one, which would get into results.
    Hostname: workerHost,
    Labels: { [labels.worker]: worker.name, [labels.owner]: plan.owner },
    Healthcheck: { Test: ['NONE'] },
    StopTimeout: 1,
    HostConfig: {
      Mounts: mounts(plan),
      Tmpfs: tmpfs(worker),
      ...limits(plan),
      ...(worker.network !== 'default' && { NetworkMode: worker.network === 'machine' ? 'host' : 'none' }),
      CapDrop: ['ALL'],
      CapAdd: containerRights,
      SecurityOpt: ['no-new-privileges'],
      // It is read when a launcher does not start; commands speak over its socket.
      LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '1' } },
    },
  };
}

function mounts({ worker, program, helpers: own, showsMounts }: ContainerPlan): Docker.MountConfig {
  const shown = (from: string, to: string, more: Partial<Docker.MountSettings> = {}): Docker.MountSettings => ({
    Type: 'bind',
    Source: from,
    Target: to,
    ReadOnly: true,
    ...more,
  });
  return [
    shown(own.dir, helpers),
    shown(program, `${helpers}/launcher`),
    shown(own.changes, changesPath),
    shown(`${worker.slot}/pfs`, '/pfs', { BindOptions: { Propagation: showsMounts ? 'rslave' : 'rprivate' } }),
    shown(`${worker.slot}/out`, '/pfs/out', { ReadOnly: false }),
    ...worker.code.map(({ from, to }) => shown(from, to)),
  ];
}

function tmpfs(worker: WorkerOptions): Record<string, string> {
  const folders: Record<string, string> = {};
  for (const { path } of worker.secrets) {
    const folder = dirname(path);
    if (!path.startsWith('/') || folder === '/' || `${folder}/`.startsWith('/pfs/')) {
      throw new PachError('usage', {
        what: `the secret at ${path}`,
        why: 'a secret needs a folder of its own, because a folder in memory is mounted there; / and folders in /pfs are not allowed',
        next: 'use another mount_path, such as /run/secrets/name',
      });
    }
    folders[folder] = 'mode=0755,size=64m';
  }
  if (worker.memoryVolume) folders['/scratch'] = 'mode=1777,exec';
  return folders;
}

function limits({ worker, processors }: ContainerPlan): Docker.HostConfig {
  const { memoryBytesMax, cpus, gpus } = worker;
  if (memoryBytesMax !== undefined && memoryBytesMax < memoryBytesMin) {
    throw new PachError('usage', {
      what: worker.name,
      why: `its memory limit of ${memoryBytesMax} bytes is too small for a container, which needs ${memoryBytesMin}`,
    });
  }
  return {
    PidsLimit: worker.processesMax + processesBeside,
    ShmSize: memoryBytesMax ?? sharedMemoryBytes,
    ...(memoryBytesMax !== undefined && { Memory: memoryBytesMax, MemorySwap: memoryBytesMax }),
    // Docker refuses more than there are, where a limit says nothing.
    ...(cpus !== undefined && cpus < processors && { NanoCpus: Math.ceil(Math.max(cpus, 0.01) * 1e9) }),
    ...(gpus !== undefined && gpus > 0 && { DeviceRequests: [{ Driver: '', Count: gpus, Capabilities: [['gpu']] }] }),
  };
}
