/**
 * Ending a command together with what it has started.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { identityOf, isAlive, type ProcessIdentity } from '../base/processes.ts';

/** Time that a command has to end by itself. */
const endMsMax = 5000;

/** Asks a command and what it has started to end, and ends them when they do not. */
export async function stopTree(pid: number | undefined, ended: Promise<unknown>): Promise<void> {
  if (pid === undefined) return;
  const tree = treeOf(pid);
  send(tree, 'SIGTERM');
  await Promise.race([ended.catch(() => undefined), sleep(endMsMax, undefined, { ref: false })]);
  send(tree, 'SIGKILL');
}

/** Ends a command that was started in a process group of its own, and all that it has started. */
export function killTree(pid: number): void {
  const tree = treeOf(pid);
  try {
    // Also what was left by a parent that has ended.
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of them have ended.
  }
  send(tree, 'SIGKILL');
}

function treeOf(pid: number): ProcessIdentity[] {
  return [pid, ...descendantsOf(pid)].flatMap((each) => identityOf(each) ?? []);
}

/** Another process may have got the number of one that has ended. */
function send(tree: readonly ProcessIdentity[], name: NodeJS.Signals): void {
  for (const each of tree) {
    try {
      if (isAlive(each)) process.kill(each.pid, name);
    } catch {
      // It has ended.
    }
  }
}

function descendantsOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    return children.flatMap((child) => [child, ...descendantsOf(child)]);
  } catch {
    return []; // it has ended, or the kernel does not tell
  }
}
