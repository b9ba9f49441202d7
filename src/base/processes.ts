/**
 * Which process a number means: the one that started at a time, and lives. One that has ended and
 * that nobody has waited for (a zombie) does not.
 */
import { readFileSync } from 'node:fs';

/** When a process started, in the kernel's ticks since boot; undefined when none of that number lives. */
export function processStart(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The program's name, in brackets, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return /^[ZXx]/.test(fields[0] ?? '') ? undefined : fields[19];
}

/** True while the process that started then lives. */
export function isRunning(pid: number, started: string | undefined): boolean {
  return started !== undefined && processStart(pid) === started;
}
