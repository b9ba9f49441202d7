/**
 * Small files that are on this machine, as packs of a folder store or as extents in the disk cache, are
 * answered without JavaScript, and what is damaged there is found. Counted at the server of the mount.
 */
import { describe, expect, test } from 'vitest';
import { someWho } from '../support/long.ts';
import { Place, type Who } from '../support/place.ts';
import { plainS3 } from '../support/plain-s3.ts';

/** Files of each form: inline, compressed, plain, lists of a few chunks; and a folder of several leaves. */
const makeTree = `mkdir -p src/many src/deep/er && seq 1500 | split -l1 -a4 -d - src/many/ && cd src/deep/er &&
  for n in $(seq 20); do head -c 110000 /dev/urandom > r$n; seq $n 9000 > c$n; head -c $((900000 + n)) /dev/urandom > l$n; done &&
  cd ../../.. && : > src/empty && pach create repo data >/dev/null && pach put file data@master -r -f src/ >/dev/null`;
const files = 1500 + 3 * 20 + 1;
const sums = (folder: string): string =>
  `(cd ${folder} && find . -type f | sort -R --random-source=<(seq 100000) | xargs -n 200 -P 4 sha1sum | sort | sha1sum)`;

async function counters(place: Place) {
  const [mount] = await place.mounts();
  if (!mount) throw new Error('nothing is mounted');
  return mount.counters;
}

/** Its server has written all that it wants to keep. */
async function unmounted(place: Place): Promise<void> {
  const [mount] = await place.mounts();
  await place.must(`pach unmount pfs && tail --pid=${mount?.pid} -f /dev/null`);
}

describe.each<Who>(someWho)('as %s', (who) => {
  test('the packs of a folder store are read where they lie', async () => {
    await using place = await Place.make(who);
    await place.must(makeTree);
    await place.must('pachmount data@master pfs');
    expect(await place.must(sums('pfs/data'))).toBe(await place.must(sums('src')));
    const { decided, storedReads, damagedReads } = await counters(place);
    expect(decided).toBeLessThan(files / 100);
    expect(storedReads).toBeGreaterThanOrEqual(3 * 20);
    expect(damagedReads).toBe(0);
  });

  test('what a mount has brought from a server, another one reads without JavaScript and without a request', async () => {
    await using s3 = await plainS3();
    await using place = await Place.make(who, s3.env);
    await place.must(makeTree);
    await s3.copy(place.store);
    // Nothing is read but what is asked for.
    const mount = `pachmount --store '${s3.url}' --prefetch off data@master`;
    const wanted = await place.must(sums('src'));
    await place.must(`${mount} pfs`);
    expect(await place.must(sums('pfs/data'))).toBe(wanted);
    await unmounted(place);

    await place.must(`${mount} pfs`);
    s3.reads.length = 0;
    expect(await place.must(sums('pfs/data'))).toBe(wanted);
    expect(s3.reads).toEqual([]);
    expect((await counters(place)).decided).toBeLessThan(files / 100);
    await unmounted(place);

    // A byte of each extent is another one now.
    const flip = String.raw`for f in "$PACH_HOME"/cache/*/projects/*/data/*/*/*-*; do printf '\xff' | dd of=$f bs=1 seek=$(($(stat -c %s $f) / 2)) conv=notrunc status=none; printf '\xfe' | dd of=$f bs=1 seek=$(($(stat -c %s $f) / 3)) conv=notrunc status=none; done`;
    await place.must(`${flip} && ${mount} pfs`);
    expect(await place.must(sums('pfs/data'))).toBe(wanted);
    expect((await counters(place)).damagedReads).toBeGreaterThan(0);
    expect(s3.reads.length).toBeGreaterThan(0);
    await unmounted(place);

    // It was fetched anew.
    await place.must(`${mount} pfs`);
    expect(await place.must(sums('pfs/data'))).toBe(wanted);
    expect((await counters(place)).damagedReads).toBe(0);

    // What leaves the cache while the mount has it open is fetched again.
    await unmounted(place);
    await place.must(`${mount} pfs && head -c 1 pfs/data/deep/er/* >/dev/null && pach cache clear >/dev/null`);
    expect(await place.must(sums('pfs/data'))).toBe(wanted);
  });
});
