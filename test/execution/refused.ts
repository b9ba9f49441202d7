/** The calls that the launcher's filter refuses, made by a real command: `refused.c`. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** Builds the command, which needs no library. */
export function buildRefused(path: string): void {
  const source = join(import.meta.dirname, 'refused.c');
  execFileSync('gcc', ['-D_GNU_SOURCE', '-O1', '-static', '-o', path, source]);
}

export interface Calls {
  readonly asked: number;
  /** Of those that must be refused. */
  readonly notRefused: readonly string[];
  readonly others: readonly string[];
}

/** What the command printed. */
export function readCalls(log: string): Calls {
  const [first = '', second = ''] = log.split('--\n');
  const [refused, others] = [first, second].map((part) => part.split('\n').filter(Boolean)) as [string[], string[]];
  return { asked: refused.length, notRefused: refused.filter((line) => !line.endsWith(' EPERM')), others };
}

const isIntel = process.arch === 'x64';

/** What it must print. */
export const expectedCalls: Calls = {
  asked: isIntel ? 36 : 32,
  notRefused: [],
  others: [
    ...(isIntel ? ['x32 getpid ENOSYS', '32-bit getpid done'] : []),
    'socket to the host EAFNOSUPPORT',
    'socket done',
    'fork done',
    'user namespace done',
    'mount EPERM',
    'traced yes',
  ],
};
