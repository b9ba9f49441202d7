/** The attacks of `test/pipelines/attack.test.ts` at length, and processes that can't be stopped. */
import { expect, test } from 'vitest';
import { attack, nothing, ways } from '../pipelines/attack.ts';

test.each(ways)('reaches nothing of the host, as %s, executor %s', async (who, executor) => {
  expect(await attack(who, executor, 150)).toEqual(nothing);
});
