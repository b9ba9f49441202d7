/**
 * Which process a number means.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { expect, test } from 'vitest';
import {
  identityOf,
  identityText,
  isAlive,
  localText,
  ownIdentity,
  parseIdentity,
  parseLocal,
} from '../../src/base/processes.ts';

const module = join(import.meta.dirname, '../../dist/base/processes.js');
const own = ownIdentity();

/** Runs a program that has the module as `processes`, and gives back what it prints. */
function ask(program: string, before: readonly string[] = []): string {
  const code = `const processes = await import(${JSON.stringify(module)});\n${program}`;
  const [file, ...args] = [...before, process.execPath, '--input-type=module', '-e', code];
  return execFileSync(file, args, { encoding: 'utf8' }).trim();
}

test('a process is its host, its number and its start', () => {
  expect(own.started).toMatch(/^\d+$/);
  expect(identityOf(process.pid)).toEqual(own);
  expect(isAlive(own)).toBe(true);
  expect(isAlive({ ...own, started: `${own.started}0` })).toBe(false);
  expect(isAlive({ ...own, started: '' })).toBe(false);
  expect(isAlive({ ...own, pid: 2 ** 30 })).toBe(false);
  expect(identityOf(2 ** 30)).toBeUndefined();
});

test('of a process of another host nothing is known', () => {
  for (const other of [{ name: 'far' }, { boot: 'before' }, { namespace: '1' }]) {
    expect(isAlive({ ...own, host: { ...own.host, ...other } })).toBeUndefined();
    expect(isAlive({ ...own, pid: 2 ** 30, host: { ...own.host, ...other } })).toBeUndefined();
  }
  // What a stored form leaves out is not compared.
  expect(isAlive({ ...own, host: { namespace: own.host.namespace } })).toBe(true);
});

test('stored forms name the same process', () => {
  const { boot, namespace } = own.host;
  const text = `${boot}/${namespace}/${process.pid}/${own.started}`;
  expect(identityText(own)).toBe(text);
  expect(parseIdentity(text)).toEqual({ ...own, host: { boot, namespace } });
  expect(parseIdentity(`${text}/beef`)).toEqual({ ...own, host: { boot, namespace } });
  for (const none of ['', 'x', `${boot}/${namespace}/x/1`, `${text}0x`]) expect(parseIdentity(none)).toBeUndefined();
  expect(localText(own)).toBe(`${process.pid}.${own.started}`);
  expect(parseLocal(localText(own))).toEqual(own);
  for (const none of ['', '.', '12', '12.x', `${localText(own)}.0`]) expect(parseLocal(none)).toBeUndefined();
});

test('one that has ended and is not waited for does not live', async () => {
  // The shell becomes another program, which knows nothing of the child; that ends once it has, or the shell would wait for it.
  const parent = spawn('sh', ['-c', 'head -c 1 <&3 >/dev/null & echo $!; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
  });
  try {
    const [line] = (await once(parent.stdout as Readable, 'data')) as [Buffer];
    const pid = Number(line.toString());
    const fields = (): string[] => readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
    await expect.poll(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8')).toBe('sleep\n');
    (parent.stdio[3] as Writable).end('x');
    await expect.poll(() => fields()[0]).toBe('Z');
    expect(identityOf(pid)).toBeUndefined();
    expect(isAlive({ ...own, pid, started: fields()[19] ?? '' })).toBe(false);
  } finally {
    parent.kill('SIGKILL');
  }
});

test('a later process of the same number is another one', () => {
  // In a namespace of its own, where the next number can be chosen.
  const unshare = ['unshare', '--user', '--map-root-user', '--pid', '--fork', '--mount-proc'];
  const answer = ask(
    `
    const { spawn } = await import('node:child_process');
    const { writeFileSync } = await import('node:fs');
    const start = () => {
      writeFileSync('/proc/sys/kernel/ns_last_pid', '5000');
      return spawn('sleep', ['1000']);
    };
    const end = (child) => {
      child.kill('SIGKILL');
      return new Promise((ended) => child.on('exit', ended));
    };
    const first = start();
    const before = processes.identityOf(first.pid);
    await end(first);
    const gone = processes.isAlive(before);
    let second = start();
    let after = processes.identityOf(second.pid);
    // A tick of the kernel's lasts for ten milliseconds.
    while (after.started === before.started) {
      await end(second);
      second = start();
      after = processes.identityOf(second.pid);
    }
    console.log(JSON.stringify([before.pid === after.pid, gone, processes.isAlive(before), processes.isAlive(after)]));
    await end(second);
    `,
    unshare,
  );
  expect(JSON.parse(answer)).toEqual([true, false, false, true]);
});

test('a clock that jumps changes nothing', () => {
  for (const ms of [-1e12, 1e12]) {
    const jump = `Date.now = () => ${Date.now() + ms}; performance.now = () => 0;`;
    const answer = ask(`${jump}
      const identity = processes.parseIdentity('${identityText(own)}');
      console.log(processes.isAlive(identity), processes.identityText(processes.identityOf(${process.pid})));`);
    expect(answer).toBe(`true ${identityText(own)}`);
  }
});
