/** Whose a claim is, and how long it counts, by a clock of the test's own. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Claims } from '../../src/execution/store/claims.ts';
import { timesFor, workTimes } from '../../src/execution/store/times.ts';
import { WorkObjects } from '../../src/execution/store/work-objects.ts';
import type { JobId } from '../../src/model/records/pipelines.ts';
import { PachError } from '../../src/base/errors.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { RetryingStore } from '../../src/store/retry.ts';
import { openTestProject } from '../versions/project.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

/** Looks each second for so long; resolves to when, in seconds, a claim was nobody's. */
async function lapsesAfter(claims: Claims, seconds: number, count = 1): Promise<number | undefined> {
  const all = new Map(Array.from({ length: count }, (_, n) => [`${n}`, 'unchanged']));
  for (let second = 1; second <= seconds; second++) {
    vi.advanceTimersByTime(1000);
    if ((await claims.lapsed(all)).length > 0) return second;
  }
  return undefined;
}

test('a claim that does not change is nobody’s after its time; time in which nobody looked hardly counts', async () => {
  const objects = new WorkObjects(openTestProject(new MemoryStore()), '0'.repeat(32) as JobId);
  const make = (): Claims => new Claims(objects, workTimes, () => false);
  expect(await lapsesAfter(make(), 70)).toBe(61);
  const away = make();
  expect(await lapsesAfter(away, 20)).toBeUndefined();
  // The store is away, or this machine sleeps: the worker can't have been seen to renew it.
  vi.advanceTimersByTime(600_000);
  expect(await lapsesAfter(away, 30)).toBeUndefined();
  expect(await lapsesAfter(away, 30)).toBeDefined();
});

test('many workers renew their claims less often, and the engine waits longer for that; not where there were many', async () => {
  const objects = new WorkObjects(openTestProject(new MemoryStore()), '0'.repeat(32) as JobId);
  const make = (): Claims => new Claims(objects, workTimes, () => false);
  expect(await lapsesAfter(make(), 200, 300)).toBe(61);
  expect(await lapsesAfter(make(), 200, 2000)).toBe(181);
  // A worker that was told of many goes by that until it asks again.
  const fewer = make();
  await lapsesAfter(fewer, 1, 2000);
  expect(await lapsesAfter(fewer, 200)).toBe(180);
  for (const workers of [1, 300, 500, 1000, 5000]) {
    const { beatMs } = timesFor(workTimes, workers);
    expect(timesFor(workTimes, workers).claimMs).toBe(3 * beatMs);
    expect(timesFor(workTimes, workers * 2).claimMs).toBeGreaterThanOrEqual(3 * beatMs);
  }
});

test('a claim whose answer was lost, and that another worker has by then, is that worker’s', async () => {
  const inner = new MemoryStore();
  const job = '0'.repeat(32) as JobId;
  const datum = '1'.repeat(64);
  const claimOf = (worker: string) => ({ job, datum, worker, since: 1, beat: 1 });
  const other = new WorkObjects(openTestProject(inner), job);
  let hasLost = false;
  const losing = new Proxy(inner, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== 'writeIfUnchanged') return typeof value === 'function' ? value.bind(target) : value;
      return async (...args: Parameters<MemoryStore['writeIfUnchanged']>) => {
        if (hasLost) return target.writeIfUnchanged(...args);
        hasLost = true;
        await other.writeClaim(claimOf('other'), undefined);
        throw new PachError('unreachable', { what: 'the store', why: 'no answer came' });
      };
    },
  });
  const objects = new WorkObjects(openTestProject(new RetryingStore(losing, { delayMs: 1 })), job);
  expect(await objects.writeClaim(claimOf('own'), undefined)).toBeUndefined();
  expect(await other.readClaim(datum)).toMatchObject({ worker: 'other' });
});
