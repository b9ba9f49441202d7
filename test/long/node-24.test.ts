/** What is below the mount works on the Node that comes after: its tests run once more, there. */
import { expect, test } from 'vitest';
import { underNode24 } from '../support/node-24.ts';

test('the tests of base and model pass under Node 24', async () => {
  const { passed, failed } = await underNode24(['test/base', 'test/model']);
  expect(failed).toEqual([]);
  expect(passed).toBeGreaterThan(300);
});
