/**
 * `pach put` killed at any moment, again and again, on one folder store: every commit that was
 * acknowledged is there, and every commit that is there is whole.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const rounds = 200;
const filesEach = 30;
const fileBytesMax = 100_000;
const pach = resolve(import.meta.dirname, '../../bin/pach');

/** Mulberry32: the same numbers for the same seed, from 0 to below 1. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function writeSource(dir: string, next: () => number): Promise<void> {
  await mkdir(join(dir, 'sub'), { recursive: true });
  for (let n = 0; n < filesEach; n++) {
    const bytes = new Uint32Array(Math.floor((next() * fileBytesMax) / 4));
    for (let m = 0; m < bytes.length; m++) bytes[m] = next() * 2 ** 32;
    await writeFile(join(dir, n % 2 ? 'sub' : '.', `file-${n}`), bytes);
  }
}

interface Attempt {
  readonly acknowledged: string | undefined;
  readonly seconds: number;
  readonly killed: boolean;
  readonly stderr: string;
}

/** Puts round `n`; killed with all its children after `killAfterMs`, whatever it is doing then. */
function put(place: Place, n: number, killAfterMs: number): Promise<Attempt> {
  const begun = performance.now();
  const env = { ...process.env, PACH_HOME: join(place.dir, 'home/.pachmount'), PACH_STORE: join(place.dir, 'store') };
  const words = ['put', 'file', 'data@master:/', '-r', '-f', `source-${n}/`, '-m', `round ${n}`];
  const child = spawn(pach, words, { cwd: place.dir, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data) => (stdout += data));
  child.stderr.on('data', (data) => (stderr += data));
  const timer = setTimeout(() => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // It has just ended.
    }
  }, killAfterMs);
  return new Promise((done) => {
    child.once('close', (_, signal) => {
      clearTimeout(timer);
      const acknowledged = /^[0-9a-f]{32}$/m.exec(stdout)?.[0];
      done({ acknowledged, seconds: (performance.now() - begun) / 1000, killed: signal !== null, stderr });
    });
  });
}

test(`every acknowledged commit is whole after ${rounds} kills`, async () => {
  const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));
  console.log(`SEED=${seed}`);
  const next = numbers(seed);
  await using place = await Place.make('root', { PACH_STORE: 'store' });
  await place.must('pach create repo data');

  const acknowledged = new Map<string, number>();
  await writeSource(join(place.dir, 'source-0'), next);
  const whole = await put(place, 0, 60_000);
  expect(whole).toMatchObject({ killed: false, stderr: '' });
  acknowledged.set(whole.acknowledged!, 0);

  const failures: string[] = [];
  let killed = 0;
  /** Where an end may still come: follows the machine, so that about one put in six ends unharmed. */
  let reachMs = whole.seconds * 1000;
  let n = 1;
  for (; killed < rounds && n < 3 * rounds; n++) {
    await writeSource(join(place.dir, `source-${n}`), next);
    // Node's own start is of no interest.
    const attempt = await put(place, n, reachMs * (0.5 + 0.5 * next()));
    if (attempt.acknowledged) acknowledged.set(attempt.acknowledged, n);
    if (attempt.killed) {
      killed++;
      if (!attempt.acknowledged) reachMs *= 1.02;
    } else {
      reachMs *= 0.9;
      if (attempt.stderr || !attempt.acknowledged) failures.push(`round ${n}: ${attempt.stderr}`);
    }
  }
  expect(failures).toEqual([]);
  expect(acknowledged.size).toBeGreaterThan(5);
  expect(killed).toBe(rounds);

  const lines = (await place.must('pach list commit data@master -o json')).trim().split('\n');
  const commits = lines.map((line) => JSON.parse(line) as { commit: string; message: string });
  const listed = new Set(commits.map(({ commit }) => commit));
  expect([...acknowledged.keys()].filter((commit) => !listed.has(commit))).toEqual([]);
  const silent = commits.length - acknowledged.size;
  console.log(`${killed} killed, ${acknowledged.size} acknowledged, ${silent} made but killed before they were told`);

  await place.must('pachmount data mnt');
  const compare = commits.map(
    ({ commit, message }) => `diff -r source-${message.replace('round ', '')} mnt/data@${commit} || exit 1`,
  );
  await writeFile(join(place.dir, 'compare.sh'), compare.join('\n'));
  expect(await place.must('sh compare.sh', 300)).toBe('');
  for (const [commit, round] of acknowledged) {
    expect(commits.find((each) => each.commit === commit)?.message).toBe(`round ${round}`);
  }
  await place.must('pach unmount mnt');

  // And it goes on.
  await writeSource(join(place.dir, `source-${n}`), next);
  expect(await put(place, n, 60_000)).toMatchObject({ killed: false, stderr: '' });
  await place.must('pach get file data@master:/sub/file-1 -o last');
  expect(await readFile(join(place.dir, 'last'))).toEqual(await readFile(join(place.dir, `source-${n}/sub/file-1`)));
});
