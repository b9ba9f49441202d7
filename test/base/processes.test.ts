/**
 * Which process a number means.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isRunning, processStart } from '../../src/base/processes.ts';

test('a process is its number and its start', () => {
  const started = processStart(process.pid);
  expect(started).toMatch(/^\d+$/);
  expect(isRunning(process.pid, started)).toBe(true);
  expect(isRunning(process.pid, `${started}0`)).toBe(false);
  expect(isRunning(process.pid, undefined)).toBe(false);
  expect(isRunning(2 ** 30, started)).toBe(false);
  expect(processStart(2 ** 30)).toBeUndefined();
});

test('one that has ended and is not waited for does not live', async () => {
  // The shell becomes another program, which knows nothing of the child.
  const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line.toString());
    const fields = (): string[] => readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
    await expect.poll(() => fields()[0]).toBe('Z');
    expect(processStart(pid)).toBeUndefined();
    expect(isRunning(pid, fields()[19])).toBe(false);
  } finally {
    parent.kill('SIGKILL');
  }
});
