/**
 * Files of a mount that are open: 1,500 at once, of 10,000 in test/long, and such that left the disk cache.
 */
import { expect, test } from 'vitest';
import { Place, type Who } from '../support/place.ts';
import { openManyTwice } from './many-open.ts';

test.for<[Who, number]>([
  ['root', 512],
  ['user', 160],
])('%s opens 1,500 files of a mount at once, whose server may have %i descriptors', async ([who, limit]) => {
  expect(await openManyTwice({ who, limit, small: 1300, large: 200 })).toBeLessThan(limit * 0.9);
});

test('files that left the disk cache take no room there while they are open', async () => {
  await using place = await Place.make('root');
  await place.must(`mkdir src && for n in $(seq 100 159); do head -c 2000000 /dev/urandom > src/$n; done
    pach create repo data >/dev/null && pach put file data@master -r -f src/ && pachmount data@master --cache-size 20M pfs`);
  const [mount] = await place.mounts();
  await place.must(
    'for round in 1 2; do for file in src/*; do cmp "$file" "pfs/data/${file#src/}" || exit 1; done; done',
  );
  // What left with the last files that were read is let go a moment later.
  const removed = async () =>
    Number(await place.must(`ls -l /proc/${mount?.pid}/fd | grep -c '/cache/.*(deleted)'; true`));
  await expect.poll(removed).toBeLessThan(10);
  const kilobytes = async () => Number((await place.must('du -s "$PACH_HOME/cache"')).split('\t')[0]);
  await expect.poll(kilobytes).toBeLessThan(22_000);
});
