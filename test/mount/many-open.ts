/**
 * Many files of a mount open at once: descriptors and memory of the server stay within their limits,
 * and few descriptors make it slower, not wrong.
 */
import { resolve } from 'node:path';
import { expect } from 'vitest';
import { Place, type Who } from '../support/place.ts';

const openMany = resolve(import.meta.dirname, 'open-many.mjs');
const mebibyte = 1024 * 1024;

interface Peak {
  readonly descriptors: number;
  readonly residentBytes: number;
}

interface ManyOpen {
  readonly who: Who;
  /** Descriptors that the server may have. */
  readonly limit: number;
  readonly small: number;
  /** Files of a mebibyte and more, each of which is a file of the disk cache. */
  readonly large: number;
}

/** Opens all files at once, by one program, and looks at the server meanwhile. */
async function openAll(place: Place, pid: number, files: number): Promise<Peak> {
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

/** Opens them twice, and expects that the server stays within its limits. Resolves to its most descriptors. */
export async function openManyTwice({ who, limit, small, large }: ManyOpen): Promise<number> {
  await using place = await Place.make(who);
  await place.must(`mkdir -p src/small src/large
    head -c ${700 * small} /dev/urandom | split -b 700 -a 4 -d - src/small/
    head -c ${1_100_000 * large} /dev/urandom | split -b 1100000 -a 3 -d - src/large/
    pach create repo data >/dev/null && pach put file data@master -r -f src/
    ulimit -n ${limit}; pachmount data@master pfs`);
  const [mount] = await place.mounts();
  const pid = mount?.pid as number;
  const first = await openAll(place, pid, small + large);
  const again = await openAll(place, pid, small + large);
  console.log(`${who}, ${limit}: ${JSON.stringify({ first, again })}`);
  expect(again.residentBytes).toBeLessThan(256 * mebibyte);
  expect(again.residentBytes).toBeLessThan(first.residentBytes + 32 * mebibyte);
  expect((await place.mounts())[0]).toMatchObject({ pid, counters: { replyErrors: 0, fetched: { failures: 0 } } });
  expect(await place.must('cat "$PACH_HOME"/mounts/*.log')).toBe('');
  await place.must('pach unmount pfs');
  return Math.max(first.descriptors, again.descriptors);
}
