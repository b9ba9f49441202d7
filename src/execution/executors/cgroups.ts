/**
 * Control groups for a worker's commands: limits of memory, processor and processes, where the
 * kernel lets this user set some (versions 1 and 2).
 */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PachError } from '../../base/errors.ts';
import { identityOf, isAlive, isOwn, localText, ownIdentity, parseLocal } from '../../base/processes.ts';

export interface CgroupLimits {
  readonly memoryBytesMax?: number | undefined;
  /** Processor cores, may be a fraction. */
  readonly cpus?: number | undefined;
  /** The launcher's own included. */
  readonly processesMax: number;
}

type Controller = 'memory' | 'cpu' | 'pids';

const root = '/sys/fs/cgroup';
const prefix = 'pachmount-';
const periodUs = 100_000;
/** What has just ended may hold its group for a moment. */
const removeTries = 20;

/** A worker's groups; disposing of them needs their processes to have ended. */
export class Cgroups implements AsyncDisposable {
  /** What the worker's processes join. */
  readonly folders: readonly string[];
  private static made = 0;
  /** Names of those that were made and not disposed of. */
  static readonly inUse = new Set<string>();
  private readonly name: string;

  private constructor(name: string, folders: readonly string[]) {
    this.name = name;
    this.folders = folders;
  }

  /** Groups for as much of the limits as can be set here: `canLimit` tells. */
  static async make(limits: CgroupLimits): Promise<Cgroups> {
    const name = `${prefix}${localText(ownIdentity())}-${++Cgroups.made}`;
    Cgroups.inUse.add(name);
    const wanted = (['memory', 'cpu', 'pids'] as const).filter(
      (controller) => filesFor(controller, limits).length > 0 && canLimit(controller),
    );
    const folders = new Set<string>();
    for (const controller of wanted) {
      const parent = parentOf(controller);
      if (parent === undefined) continue;
      const folder = join(parent, name);
      if (!folders.has(folder)) await makeGroup(parent, folder);
      folders.add(folder);
      await limit(folder, controller, limits);
    }
    return new Cgroups(name, [...folders]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const folder of this.folders) await remove(folder);
    Cgroups.inUse.delete(this.name);
  }
}

/** True when this user may set limits of this kind. */
export function canLimit(controller: Controller): boolean {
  const parent = parentOf(controller);
  if (parent === undefined) return false;
  try {
    accessSync(parent, constants.W_OK);
    if (!isUnified()) return true;
    accessSync(join(parent, 'cgroup.procs'), constants.W_OK);
    return readFileSync(join(parent, 'cgroup.subtree_control'), 'utf8').split(/\s/).includes(controller);
  } catch {
    return false;
  }
}

function isUnified(): boolean {
  return existsSync(join(root, 'cgroup.controllers'));
}

/** Where groups of a controller can be made: below this process's own, or beside it where a group with processes has none below. */
function parentOf(controller: Controller): string | undefined {
  const lines = read('/proc/self/cgroup').split('\n');
  const unified = isUnified();
  const own = lines
    .map((line) => line.split(':'))
    .find(([, names]) => (unified ? names === '' : names?.split(',').includes(controller)))
    ?.slice(2)
    .join(':');
  if (own === undefined) return undefined;
  const top = unified ? root : join(root, controller);
  const parent = join(top, unified ? dirname(own) : own);
  // In a container the path may be one of the machine around it.
  return existsSync(parent) ? parent : existsSync(top) ? top : undefined;
}

/** Files of a group and what to write into them; the second of each may be missing. */
function filesFor(
  controller: Controller,
  limits: CgroupLimits,
): readonly (readonly [string, string, 'needed' | 'if-there'])[] {
  const { memoryBytesMax, cpus, processesMax } = limits;
  const unified = isUnified();
  if (controller === 'pids') return [['pids.max', String(processesMax), 'needed']];
  if (controller === 'memory') {
    if (memoryBytesMax === undefined) return [];
    const bytes = String(memoryBytesMax);
    return unified
      ? [
          ['memory.max', bytes, 'needed'],
          ['memory.swap.max', '0', 'if-there'],
        ]
      : [
          ['memory.limit_in_bytes', bytes, 'needed'],
          ['memory.memsw.limit_in_bytes', bytes, 'if-there'],
        ];
  }
  if (cpus === undefined) return [];
  const quota = String(Math.max(1000, Math.round(cpus * periodUs)));
  return unified
    ? [['cpu.max', `${quota} ${periodUs}`, 'needed']]
    : [
        ['cpu.cfs_period_us', String(periodUs), 'needed'],
        ['cpu.cfs_quota_us', quota, 'needed'],
      ];
}

async function makeGroup(parent: string, folder: string): Promise<void> {
  await removeStale(parent);
  try {
    await mkdir(folder);
  } catch (error) {
    throw new PachError('failed', { what: folder, why: "can't make the control group", cause: error });
  }
}

async function limit(folder: string, controller: Controller, limits: CgroupLimits): Promise<void> {
  for (const [file, value, need] of filesFor(controller, limits)) {
    try {
      await writeFile(join(folder, file), value);
    } catch (error) {
      if (need === 'if-there') continue;
      throw new PachError('failed', { what: join(folder, file), why: "can't set the limit", cause: error });
    }
  }
}

/** Groups of engines that were killed, and those of this process that could not be removed in time. */
async function removeStale(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const engine = /^pachmount-(\d+(?:\.\d+)?)-\d+$/.exec(name)?.[1];
    if (engine === undefined) continue;
    // Older programs did not say when they started.
    const identity = parseLocal(engine) ?? identityOf(Number(engine));
    const isLeft = !identity || (isOwn(identity) ? !Cgroups.inUse.has(name) : isAlive(identity) === false);
    if (isLeft) await rmdir(join(parent, name)).catch(() => undefined);
  }
}

async function remove(folder: string): Promise<void> {
  for (let tries = 0; tries < removeTries; tries++) {
    try {
      await rmdir(folder);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') return;
      await sleep(10);
    }
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
