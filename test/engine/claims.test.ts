/** How long claims of workers count, by a clock of the test's own. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Claims } from '../../src/execution/store/claims.ts';
import { WorkObjects } from '../../src/execution/store/work-objects.ts';
import type { JobId } from '../../src/model/records/pipelines.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { openTestProject } from '../versions/project.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const claimMs = 60_000;

/** Looks each second for so long; resolves to when, in seconds, the claim was nobody's. */
async function lapsesAfter(claims: Claims, seconds: number): Promise<number | undefined> {
  for (let second = 1; second <= seconds; second++) {
    vi.advanceTimersByTime(1000);
    if ((await claims.lapsed(new Map([['a', 'unchanged']]))).length > 0) return second;
  }
  return undefined;
}

test('a claim that does not change is nobody’s after its time; time in which nobody looked hardly counts', async () => {
  const objects = new WorkObjects(openTestProject(new MemoryStore()), '0'.repeat(32) as JobId);
  const make = (): Claims => new Claims(objects, claimMs, () => false);
  expect(await lapsesAfter(make(), 70)).toBe(61);
  const away = make();
  expect(await lapsesAfter(away, 20)).toBeUndefined();
  // The store is away, or this machine sleeps: the worker can't have been seen to renew it.
  vi.advanceTimersByTime(600_000);
  expect(await lapsesAfter(away, 30)).toBeUndefined();
  expect(await lapsesAfter(away, 30)).toBeDefined();
});
