/** Batching commands that attack the host: a few datums of each way; `test/long/attack.test.ts` has many. */
import { expect, test } from 'vitest';
import { attack, nothing, ways } from './attack.ts';

test.each(ways)('reaches nothing of the host, as %s, executor %s', async (who, executor) => {
  expect(await attack(who, executor, 8)).toEqual(nothing);
});
