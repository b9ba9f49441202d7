/**
 * A machine whose clock is far off, at a server that refuses requests of another time.
 */
import { afterEach, expect, test, vi } from 'vitest';
import { openStore } from '../../src/store/open.ts';
import { s3ForTests } from '../support/s3.ts';

afterEach(() => void vi.useRealTimers());

test.each([1, -1])('the server’s word on the time counts, where this machine is %d hours off', async (hours) => {
  const { url } = await s3ForTests();
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + hours * 3_600_000 });
  const store = await openStore(url);
  expect(await store.writeIfAbsent('object', [Buffer.from('bytes')])).toBe(true);
  expect(Buffer.from(await store.read('object', 0, 5)).toString()).toBe('bytes');
  // What native threads fetch past us.
  const answer = await fetch((await store.direct?.('object'))?.url ?? '');
  expect(`${answer.status} ${await answer.text()}`).toBe('200 bytes');
  await store.close();
});
