/**
 * Who answers for a container, as a label on it says, and whether they are alive: what a killed
 * engine left is found by that, and nothing else is touched.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { isRunning, processStart } from '../../base/processes.ts';

/** One executor of one process: start of the machine, world of process ids, process, its start, a number. */
export function newOwner(): string {
  return [...machine(), process.pid, processStart(process.pid), randomBytes(4).toString('hex')].join('/');
}

/**
 * False only for an owner that is known to be gone; of another machine's, or one that we can't see,
 * nothing is known. `state` is the container's.
 */
export function mayLive(owner: string, state: string): boolean {
  const [boot, world, pid, start] = owner.split('/');
  const [ourBoot, ourWorld] = machine();
  // What ran when a machine went down is there still, and does not run.
  if (boot !== ourBoot) return state !== 'exited';
  return world !== ourWorld || isRunning(Number(pid), start);
}

function machine(): readonly [boot: string, world: string] {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return [boot, readlinkSync('/proc/self/ns/pid').replaceAll(/\D/g, '')];
}
