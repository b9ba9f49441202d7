/**
 * The disk cache as a user meets it: warmed, counted, checked, cleared, and damaged.
 */
import { describe, expect, test } from 'vitest';
import { isLong } from '../support/long.ts';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const json = async <T>(place: Place, command: string): Promise<T> =>
  JSON.parse(await place.must(`${command} -o json`)) as T;

interface Warmed {
  readonly files: number;
  readonly bytes: number;
  readonly fetchedBytes: number;
  readonly requests: number;
}

const make = `pach create repo data; mkdir -p src/d; head -c 30000000 /dev/urandom > src/d/big
  for i in $(seq 200); do head -c 3000 /dev/urandom > src/d/$i; done; echo tiny > src/tiny; truncate -s 9000000 src/sparse
  echo end >> src/sparse; pach put file data@master -r -f src/ -q`;
const flip = `f=$(find "$PACH_HOME"/cache -type f -size +20M)
  printf '\\001\\002\\003\\004' | dd of=$f bs=1 seek=5000000 conv=notrunc status=none`;

/** What a cache is for lies behind a network; a folder is looked at in `make test-long`. */
const kinds = isLong ? ['folder', 's3'] : ['s3'];

describe.each(kinds)('a store in %s', (kind) => {
  async function place(who: 'root' | 'user' = 'root'): Promise<Place> {
    if (kind === 'folder') return Place.make(who);
    const { url, env } = await s3ForTests();
    return Place.make(who, { ...env, PACH_STORE: url });
  }

  test('what was warmed is not fetched again, by nobody', async () => {
    await using there = await place();
    await there.must(make);
    const first = await json<Warmed>(there, 'pach cache warm data@master');
    expect(first).toMatchObject({ files: 203, bytes: 30_000_000 + 600_000 + 5 + 9_000_004 });
    expect(first.fetchedBytes).toBeGreaterThan(30_000_000);
    expect(first.fetchedBytes).toBeLessThan(30_100_000);
    expect(await json<Warmed>(there, 'pach cache warm data:/d')).toMatchObject({ files: 201, fetchedBytes: 0 });
    const stats = await json<{ bytes: number; files: number }>(there, 'pach cache stats');
    expect(stats.files).toBe(2);
    expect(stats.bytes).toBeGreaterThan(30_000_000);
    await there.must('pachmount data pfs && cmp src/d/big pfs/data/d/big && cmp src/sparse pfs/data/sparse');
    const [mount] = (await there.mounts()) as unknown as { counters: { fetched: object; passthroughOpens: number } }[];
    expect(mount?.counters.fetched).toMatchObject({ requests: 0, failures: 0 });
    expect(mount?.counters.passthroughOpens).toBe(1);
    expect(await there.must('pach mounts -v')).toMatch(/FETCHED +KERNEL[^]*0B by 0 requests/);
    expect(await json(there, 'pach cache verify')).toMatchObject({ damagedItems: 0, damagedBytes: 0 });
    await there.must('pach cache clear');
    expect(await json(there, 'pach cache stats')).toMatchObject({ bytes: 0, files: 0, extents: 0 });
    await there.must('diff -r src pfs/data && pach unmount pfs');
    expect(await there.run('pach cache warm data@master:/absent')).toMatchObject({ code: 3 });
    expect(await there.run('pach cache warm')).toMatchObject({ code: 2 });
  });

  test('a flipped byte is found when it is read through us, and by verify', async () => {
    await using there = await place('user');
    await there.must(make);
    await there.must('pach cache warm data@master');
    await there.must(flip);
    await there.must('pachmount data pfs && cmp src/d/big pfs/data/d/big');
    const [mount] = (await there.mounts()) as unknown as { counters: { damagedReads: number } }[];
    expect(mount?.counters.damagedReads).toBeGreaterThan(0);
    await there.must(`pach unmount pfs && ${flip}`);
    const found = await there.run('pach cache verify -o json');
    expect(found.code).toBe(6);
    expect(JSON.parse(found.stdout)).toMatchObject({ damagedItems: 1 });
    expect(await json(there, 'pach cache verify')).toMatchObject({ damagedItems: 0 });
    // All of it, where chunks meet too: what several read while it comes again is right, and stays so.
    await there.must(`pach cache warm data@master && f=$(find "$PACH_HOME"/cache -type f -size +20M)
      dd if=/dev/zero of=$f bs=1M count=28 conv=notrunc status=none; pachmount data pfs
      for n in 1 2 3; do cmp src/d/big pfs/data/d/big || touch wrong & done; wait; [ ! -e wrong ]
      cmp src/d/big pfs/data/d/big && pach unmount pfs`);
    expect(await json(there, 'pach cache verify')).toMatchObject({ damagedItems: 0 });
  });
});

/** Two files that are too large to be answered from packs, and what a disk or a person may do to the first one's. */
const twoFiles = `pach create repo data; mkdir src; for n in 9 10; do head -c \${n}000000 /dev/urandom > src/$n; done
  pach put file data@master -r -f src/ -q; pach cache warm data
  for n in 9 10; do find "$PACH_HOME"/cache -type f -size "$n"000000c > path$n; done`;
const damages = `set -e
  emptied() { truncate -s 0 "$data"; truncate -s 9000000 "$data"; }
  punched() { fallocate -p -o 1000000 -l 600000 "$data"; }
  swapped() { mv "$data" kept; mv "$other" "$data"; mv kept "$other"; }
  cut() { truncate -s 0 "$data.sums"; }
  data=$(cat path9); other=$(cat path10)`;
const readBoth = `for n in 9 10; do cmp src/$n pfs/data/$n & pids="$pids $!"; cmp src/$n pfs/data/$n & pids="$pids $!"; done
  for pid in $pids; do wait $pid; done`;

test('a file that was changed since it was sealed is not lent to the kernel, until it is whole again', async () => {
  await using there = await Place.make('root');
  await there.must(twoFiles);
  const lent = async (): Promise<number> => {
    const [mount] = (await there.mounts()) as unknown as { counters: { passthroughOpens: number } }[];
    return mount?.counters.passthroughOpens ?? -1;
  };
  const read = 'cmp src/9 pfs/data/9';
  for (const damage of ['emptied', 'punched', 'swapped']) {
    await there.must(`${damages}; ${damage}; pachmount data pfs; ${read}`);
    expect([damage, await lent()]).toEqual([damage, 0]);
    await there.must(`until pach mounts -v -o json | grep -q '"passthroughOpens":1'; do ${read}; done`);
    await there.must(`${damages}; ${damage === 'swapped' ? 'emptied' : damage}; ${read}`);
    expect([damage, await lent()]).toEqual([damage, 1]);
    await there.must('pach unmount pfs; pach cache warm data');
    expect([damage, await json(there, 'pach cache verify')]).toMatchObject([damage, { damagedItems: 0 }]);
  }
});

test('what an ordinary user reads is right whatever happens to the cache meanwhile', async () => {
  await using there = await Place.make('user');
  await there.must(twoFiles);
  for (const damage of ['emptied', 'punched', 'swapped', 'cut']) {
    await there.must(`${damages}; pachmount data pfs; ${damage}; ${readBoth}`);
    await there.must('pach unmount pfs');
    expect([damage, await json(there, 'pach cache verify')]).toMatchObject([damage, { damagedItems: 0 }]);
  }
});

test('verify finds what nobody read: bytes, lengths, and checksums that are of another file', async () => {
  await using there = await Place.make('root');
  await there.must(twoFiles);
  for (const [damage, items, bytes] of [
    ['punched', 1, 600_000],
    ['truncate -s 1000000 "$data"', 1, 8_000_000],
    ['swapped', 2, 19_000_000],
    ['rm "$data.sums"', 1, 9_000_000],
    ['cut', 1, 9_000_000],
  ] as const) {
    const found = await there.run(`${damages}; ${damage}; pach cache verify -o json`);
    expect({ damage, code: found.code }).toEqual({ damage, code: 6 });
    const { damagedItems, damagedBytes } = JSON.parse(found.stdout) as Record<string, number>;
    expect({ damage, damagedItems }).toEqual({ damage, damagedItems: items });
    // By blocks of the disk.
    expect(Math.abs((damagedBytes ?? 0) - bytes)).toBeLessThan(16_384);
    expect({ damage, ...(await there.run('pach cache verify')) }).toMatchObject({ damage, code: 0 });
    await there.must('pach cache warm data');
  }
  await there.must('pachmount data pfs; diff -r src pfs/data');
});

test('a cache that can not be written is done without', async () => {
  await using there = await Place.make('user');
  const look = `${make}; mkdir cache; chmod 500 cache; pachmount --cache cache data pfs && diff -r src pfs/data`;
  expect(await there.run(look)).toMatchObject({ code: 0 });
  await there.must('pach unmount pfs; chmod 700 cache');
});

test.for(kinds)('a disk that is full is done without, and told to who wants to fill it: store in %s', async (kind) => {
  const s3 = kind === 's3' ? await s3ForTests() : undefined;
  await using there = await Place.make('root', s3 && { ...s3.env, PACH_STORE: s3.url });
  await there.must(`${make}; mkdir -p "$PACH_HOME/cache" && mount -t tmpfs -o size=8m none "$PACH_HOME/cache"`);
  try {
    const warmed = await there.run('pach cache warm data');
    expect(warmed.code).toBe(1);
    expect(warmed.stderr).toMatch(/disk cache.*ENOSPC.*\n.*try: pach cache clear/);
    await there.must('pachmount data pfs && diff -r src pfs/data && diff -r src pfs/data && pach unmount pfs');
  } finally {
    await there.must('umount -l "$PACH_HOME/cache"');
  }
  await there.must('pach cache warm data && pachmount data pfs && diff -r src pfs/data');
});

test('a file is lent once the kernel no longer has it, and at once by who finds it on the disk', async () => {
  const { url, env } = await s3ForTests();
  await using there = await Place.make('root', { ...env, PACH_STORE: url });
  await there.must(make);
  const lent = async (): Promise<number> => {
    const [mount] = (await there.mounts()) as unknown as { counters: { passthroughOpens: number } }[];
    return mount?.counters.passthroughOpens ?? -1;
  };
  const read = 'cmp src/d/big pfs/data/d/big';
  await there.must(`pachmount data pfs && ${read}`);
  expect(await lent()).toBe(0);
  await there.must(read);
  expect(await lent()).toBe(0);
  // The kernel lets go of what it keeps of the file.
  await there.must(`dd if=pfs/data/d/big iflag=nocache count=0 status=none; ${read}`);
  expect(await lent()).toBe(0);
  await there.must(read);
  expect(await lent()).toBe(1);
  await there.must(`pach unmount pfs && pachmount data pfs && ${read}`);
  expect(await lent()).toBe(1);
});

test('the kernel is lent files of a cache on any file system, and takes an overlayfs on the mount', async () => {
  await using there = await Place.make('root');
  await there.must(`pach create repo data; mkdir -p src scratch; head -c 5000000 /dev/urandom > src/big; echo x > src/f
    pach put file data@master -r -f src/ -q; mount -t tmpfs none scratch; cd scratch
    mkdir lower upper work stacked plain up wk over
    mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work none stacked`);
  try {
    for (const cache of ['stacked', 'plain']) {
      await there.must(`pach unmount --all; pach cache warm --cache scratch/${cache} data`);
      await there.must(`pachmount --cache scratch/${cache} data pfs && cmp src/big pfs/data/big`);
      expect((await there.mounts())[0]).toMatchObject({ counters: { passthrough: true, passthroughOpens: 1 } });
    }
    // A stack of file systems has two floors at most, so it has room only on the second of these mounts.
    await there.must('cd scratch && mount -t overlay -o lowerdir=../pfs/data,upperdir=up,workdir=wk none over');
    expect(await there.must('cd scratch; echo y >> over/f; cat over/f ../pfs/data/f')).toBe('x\ny\nx\n');
    await there.must('cd scratch; cmp ../src/big over/big; rm over/big; umount over; pach unmount ../pfs');
  } finally {
    await there.run('umount -l scratch/over; umount -l scratch/stacked; umount -l scratch');
  }
});

test('the limit of a cache holds, and so does what is read', async () => {
  await using there = await Place.make('root');
  await there.must(`pach create repo data; mkdir src
    for i in $(seq 8); do head -c 8000000 /dev/urandom > src/$i; done; pach put file data@master -r -f src/ -q`);
  await there.must('pachmount --cache-size 20MB data pfs && diff -r src pfs/data && diff -r src pfs/data');
  await there.must('pach unmount pfs');
  const { bytes } = await json<{ bytes: number }>(there, 'pach cache stats');
  expect(bytes).toBeLessThan(40_000_000);
});
