/** What is below the mount works on the Node that comes after: some of its tests run once more, there. All: test/long. */
import { expect, test } from 'vitest';
import { underNode24 } from '../support/node-24.ts';

test('tests of formats and of the addon pass under Node 24', async () => {
  const parts = ['test/model/', 'test/base/native-hash', 'test/base/native-blob', 'test/base/processes'];
  const { passed, failed } = await underNode24(parts);
  expect(failed).toEqual([]);
  expect(passed).toBeGreaterThan(280);
});
