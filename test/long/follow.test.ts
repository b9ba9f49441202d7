/**
 * A mount that follows for long: what it needs does not grow with the number of moves.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const moves = 100;

test('inodes and memory stay as they are, however often names move', { timeout: 600_000 }, async () => {
  await using place = await Place.make('user');
  await place.must(`mkdir -p src/sub && for n in $(seq 200); do echo $n > src/sub/$n; done && echo 0 > src/a
    pach create repo images >/dev/null && pach -q put file images@master -r -f src/ && pachmount --follow images@master pfs`);
  const follow = (from: number, to: number): Promise<string> =>
    place.must(
      `for n in $(seq ${from} ${to}); do echo $n > src/a; pach -q put file images@master -r -f src/ >/dev/null
       until [ "$(cat pfs/images/a)" = $n ]; do sleep 0.05; done; find pfs -type f -exec cat {} + | md5sum >/dev/null; done`,
      500,
    );
  const state = async (): Promise<{ inodes: number; memoryBytes: number }> => {
    const [mount] = await place.mounts();
    return mount?.counters as unknown as { inodes: number; memoryBytes: number };
  };
  await follow(1, moves / 5);
  const before = await state();
  await follow(moves / 5 + 1, moves);
  const after = await state();
  // Eight versions are kept: of each a directory or two, and a file.
  expect(after.inodes).toBeLessThanOrEqual(before.inodes + 4);
  expect(after.memoryBytes - before.memoryBytes).toBeLessThan(16 * 1024 * 1024);
});
