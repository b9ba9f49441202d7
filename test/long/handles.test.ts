/**
 * As test/mount/handles.test.ts, with more files.
 */
import { expect, test } from 'vitest';
import type { Who } from '../support/place.ts';
import { openManyTwice } from '../mount/many-open.ts';

test.for<[Who, number]>([
  ['root', 1024],
  ['user', 256],
])('%s opens 10,000 files of a mount at once, whose server may have %i descriptors', async ([who, limit]) => {
  expect(await openManyTwice({ who, limit, small: 9600, large: 400 })).toBeLessThan(limit * 0.9);
});
