/**
 * Telling a process of this host from a later one of the same number.
 */
import { readFile } from 'node:fs/promises';

/** When a process started, in the kernel's ticks since boot; undefined when there is none of that number. */
export async function processStart(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The program's name, in brackets, may hold anything; the start time is the 20th field after it.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
