/**
 * Many files open at once: descriptors and memory of the server stay within their limits, and few
 * descriptors make it slower, not wrong.
 */
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { Place, type Who } from '../support/place.ts';

const openMany = resolve(import.meta.dirname, 'open-many.mjs');
const files = 10_000;
const mebibyte = 1024 * 1024;
const makeTree = `
mkdir -p src/small src/large
head -c 6720000 /dev/urandom | split -b 700 -a 4 -d - src/small/
head -c 440000000 /dev/urandom | split -b 1100000 -a 3 -d - src/large/
pach create repo data >/dev/null && pach put file data@master -r -f src/`;

interface Peak {
  readonly descriptors: number;
  readonly residentBytes: number;
}

/** Opens all files at once, by one program, and looks at the server meanwhile. */
async function openAll(place: Place, pid: number): Promise<Peak> {
  const script = `node ${openMany} pfs/data src ${files} > out & program=$!
    while kill -0 $program 2>/dev/null; do
      echo "$(ls /proc/${pid}/fd | wc -l) $(grep VmRSS /proc/${pid}/status | tr -dc 0-9)"; sleep 0.2
    done
    wait $program || exit 1`;
  const seen = (await place.must(script, 120)).trim().split('\n');
  expect(await place.must('cat out')).toBe(`${files} open, 0 wrong\n`);
  const numbers = seen.map((line) => line.split(' ').map(Number));
  return {
    descriptors: Math.max(...numbers.map(([descriptors = 0]) => descriptors)),
    residentBytes: Math.max(...numbers.map(([, kibibytes = 0]) => kibibytes * 1024)),
  };
}

test.for<[Who, number]>([
  ['root', 1024],
  ['user', 256],
])('%s opens 10,000 files of a mount at once, whose server may have %i descriptors', async ([who, limit]) => {
  await using place = await Place.make(who);
  await place.must(makeTree);
  await place.must(`ulimit -n ${limit}; pachmount data@master pfs`);
  const [mount] = await place.mounts();
  const pid = mount?.pid as number;
  const first = await openAll(place, pid);
  const again = await openAll(place, pid);
  console.log(`${who}, ${limit}: ${JSON.stringify({ first, again })}`);
  expect(first.descriptors).toBeLessThan(limit * 0.9);
  expect(again.descriptors).toBeLessThan(limit * 0.9);
  expect(again.residentBytes).toBeLessThan(256 * mebibyte);
  expect(again.residentBytes).toBeLessThan(first.residentBytes + 32 * mebibyte);
  expect((await place.mounts())[0]).toMatchObject({ pid, counters: { replyErrors: 0, fetched: { failures: 0 } } });
  expect(await place.must('cat "$PACH_HOME"/mounts/*.log')).toBe('');
  await place.must('pach unmount pfs');
});

test('files that left the disk cache take no room there while they are open', async () => {
  await using place = await Place.make('root');
  await place.must(`mkdir src && for n in $(seq 100 159); do head -c 2000000 /dev/urandom > src/$n; done
    pach create repo data >/dev/null && pach put file data@master -r -f src/ && pachmount data@master --cache-size 20M pfs`);
  const [mount] = await place.mounts();
  await place.must(
    'for round in 1 2; do for file in src/*; do cmp "$file" "pfs/data/${file#src/}" || exit 1; done; done',
  );
  const removed = await place.must(`ls -l /proc/${mount?.pid}/fd | grep -c '/cache/.*(deleted)'; true`);
  expect(Number(removed)).toBeLessThan(10);
  expect(Number((await place.must('du -s "$PACH_HOME/cache"')).split('\t')[0])).toBeLessThan(22_000);
});
