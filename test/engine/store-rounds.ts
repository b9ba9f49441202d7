/**
 * Engines and workers of a store pool, each a process, that are killed at random times and around
 * steps by which they change the store: what must hold at the end.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { numbers, oneOf } from '../support/numbers.ts';
import { expectDone, expectKept, type CrashPlace, type Engine, type Results } from './crash-place.ts';

const workers = 3;
const stepsMax = 40;

interface Killed {
  engines: number;
  workers: number;
}

function momentOf(next: () => number): string {
  return `${1 + Math.floor(next() ** 2 * stepsMax)},${oneOf(next, ['before', 'during', 'after'])}`;
}

/** Keeps workers at it until `done`; so many of them are killed. */
async function keepWorking(place: CrashPlace, next: () => number, kills: number, done: AbortSignal): Promise<number> {
  let killed = 0;
  let left = kills;
  const one = async (): Promise<void> => {
    while (!done.aborted) {
      left -= 1;
      const mayDie = left >= 0;
      const isTimed = next() < 0.5;
      const worker = place.startWorker([], mayDie && !isTimed ? momentOf(next) : undefined);
      const timer = mayDie && isTimed ? setTimeout(() => worker.child.kill('SIGKILL'), 300 + next() * 3000) : undefined;
      const end = (): void => void worker.child.kill('SIGTERM');
      done.addEventListener('abort', end);
      const { code, stderr } = await worker.ended;
      clearTimeout(timer);
      done.removeEventListener('abort', end);
      if (code === undefined) killed += 1;
      else assert.equal(code, 130, stderr);
    }
  };
  await Promise.all(Array.from({ length: workers }, one));
  return killed;
}

/** One job with the seed. Resolves to how many were killed. */
export async function killElsewhere(
  place: CrashPlace,
  seed: number,
  kills: { readonly engines: number; readonly workers: number },
): Promise<Killed> {
  const next = numbers(seed);
  const done = new AbortController();
  const working = keepWorking(place, next, kills.workers, done.signal);
  const killed = { engines: 0, workers: 0 };
  let published: Results = await place.results();
  try {
    for (let left = kills.engines; ; left -= 1) {
      const isTimed = next() < 0.5;
      const engine: Engine = place.start(['--pool', 'store'], left > 0 && !isTimed ? momentOf(next) : undefined);
      const timer =
        left > 0 && isTimed ? setTimeout(() => engine.child.kill('SIGKILL'), 500 + next() * 3000) : undefined;
      const { code, stderr } = await engine.ended;
      clearTimeout(timer);
      const results = await place.results();
      expectKept(published, results);
      published = results;
      if (code !== undefined) {
        assert.equal(code, 0, stderr);
        break;
      }
      killed.engines += 1;
      // What workers are told is no stranger to a check.
      await place.expectWhole();
      await sleep(next() * 500);
    }
  } finally {
    done.abort();
    killed.workers = await working;
  }
  const [job, ...others] = await place.jobs();
  assert.deepEqual(others, []);
  assert.equal(job?.state, 'success');
  assert.equal(job.counts.failed, 0);
  assert.equal(published.size, job.counts.total);
  // Whoever comes next clears away what is left: an engine in the store, who runs a command on this machine.
  await expectDone(place.start(['--pool', 'store']));
  await expectDone(place.start(['--recompute', '1']));
  await expectDone(place.startWorker(['-j', job.id]));
  await place.expectWhole();
  await place.expectNothingLeft();
  return killed;
}
