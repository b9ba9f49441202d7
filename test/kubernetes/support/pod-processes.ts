/** Processes of a pod on this machine's node, for tests that kill them. */
import { readdirSync, readFileSync } from 'node:fs';

/** The process of a pod whose command line has these words. Throws where there is none, or several. */
export function podProcess(uid: string, ...words: readonly string[]): number {
  return onlyProcess(uid, words, () => true);
}

/** The same of those that run Node: not one that keeps such a process running. */
export function podNode(uid: string, ...words: readonly string[]): number {
  return onlyProcess(uid, words, (program) => program.endsWith('/node'));
}

function onlyProcess(uid: string, words: readonly string[], isMeant: (program: string) => boolean): number {
  const found = readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8').replaceAll('_', '-');
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return groups.includes(uid) && isMeant(line[0] ?? '') && words.every((word) => line.includes(word));
    } catch {
      return false; // it has just ended
    }
  });
  if (found.length !== 1) throw new Error(`${found.length} processes of pod ${uid} have ${words.join(' ')}`);
  return Number(found[0]);
}
