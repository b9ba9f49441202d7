/**
 * What a mount read first is there at the next mount before anybody asks for it, counted at the
 * server; and gives way to readers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { someWho } from '../support/long.ts';
import { Place, type Who } from '../support/place.ts';
import { plainS3, type PlainS3 } from '../support/plain-s3.ts';

const mebibyte = 1024 * 1024;
/** Puts go to a folder, since this server has no conditional writes; mounts read from the server. */
const onS3 = (s3: PlainS3): string => `--store '${s3.url}'`;
const first = '"$PACH_HOME"/cache/*/projects/default/first';
/** As if the cache had been needed for something else. */
const emptyCache = `find "$PACH_HOME/cache" -type f ! -name '*.reads' ! -path '*/notes/*' -delete`;

interface Replayed {
  readonly reads: number;
  readonly bytes: number;
  readonly ended: boolean;
}

async function replayed(place: Place): Promise<Replayed | undefined> {
  const [mount] = await place.mounts();
  return (mount?.counters as { replayed?: Replayed } | undefined)?.replayed;
}

/** Once nothing more is brought before it is asked for. */
async function afterReplay(place: Place): Promise<Replayed | undefined> {
  for (;;) {
    const now = await replayed(place);
    if (!now || now.ended) return now;
    await sleep(50);
  }
}

const bytesOf = (s3: PlainS3): number => s3.reads.reduce((sum, { bytes }) => sum + bytes, 0);

const makeTree = `mkdir -p src/sub src/deep/dir src/later && head -c 50000000 /dev/urandom > src/big &&
  for n in sub/a sub/b deep/dir/c later/d 'deep/dir/$(printf "\\xff\\n")'; do eval "head -c 5000 /dev/urandom > src/$n"; done &&
  pach create repo data >/dev/null && pach put file data@master -r -f src/ >/dev/null`;
const look = `cmp src/sub/a pfs/data/sub/a && ls -l pfs/data/deep/dir >/dev/null && cat pfs/data/deep/dir/* | cksum &&
  for at in 5 20; do dd if=pfs/data/big bs=64k skip=$((at * 16)) count=1 status=none | cksum; done`;

describe.each<Who>(someWho)('as %s', (who) => {
  test('at a later commit it is there before it is asked for', async () => {
    await using s3 = await plainS3();
    await using place = await Place.make(who, s3.env);
    await place.must(makeTree);
    await s3.copy(place.store);
    const mount = `pachmount ${onS3(s3)} data@master pfs`;
    await place.must(mount);
    expect(await afterReplay(place)).toMatchObject({ reads: 0, bytes: 0 });
    const wanted = await place.must(`${look} && cat pfs/data/sub/b > /dev/null && cd src && cat deep/dir/* | cksum`);
    await place.must('pach unmount pfs');
    expect(await place.must(`stat -c '%a %n' ${first}/* | sed 's|/.*/||'`)).toBe('600 data.reads\n');
    expect(await place.must(`cat ${first}/data.reads`)).toContain('["list","/deep/dir",0,1]');

    // What was read is changed, gone, or elsewhere in the store.
    await place.must(`head -c 6000 /dev/urandom > src/sub/a && pach put file data@master:/sub/a -f src/sub/a >/dev/null &&
      pach delete file data@master:/sub/b >/dev/null && head -c 3000 /dev/urandom | pach put file data@master:/new -f - >/dev/null`);
    await s3.copy(place.store);
    await place.must(emptyCache);
    s3.reads.length = 0;
    await place.must(mount);
    const brought = await afterReplay(place);
    expect(brought?.bytes).toBeGreaterThanOrEqual(2 * 65536);
    // Not what was not read.
    expect(bytesOf(s3)).toBeLessThan(25 * mebibyte);
    s3.reads.length = 0;
    const got = await place.must(look);
    expect(s3.reads).toEqual([]);
    expect(wanted.startsWith(got)).toBe(true);
    await place.must('cat pfs/data/later/d > /dev/null && pach unmount pfs');

    // What was read beside it is known at the third.
    await place.must(mount);
    expect((await afterReplay(place))?.reads).toBeGreaterThan(brought?.reads as number);
    await place.must('pach unmount pfs && pach cache clear');
    expect(await place.must('find "$PACH_HOME/cache" -mindepth 2 -type f')).toBe('');
  });
});

// Who the reader is makes no difference to when his server fetches.
test.for<Who>(someWho)('a reader who waits is alone, as %s', async (who) => {
  await using s3 = await plainS3();
  await using place = await Place.make(who, s3.env);
  await place.must(makeTree);
  await s3.copy(place.store);
  const mount = `pachmount ${onS3(s3)} data@master pfs`;
  const every =
    'for at in $(seq 0 4 44); do dd if=pfs/data/big bs=4k skip=$((at * 256)) count=1 status=none | cksum; done';
  await place.must(`${mount} && ${every} && pach unmount pfs && ${emptyCache}`);
  s3.delayMs = 400;
  await place.must(`${mount} && cat pfs/data/later/d >/dev/null`);
  expect((await replayed(place))?.ended).toBe(true);
  // Nor does it begin again.
  s3.reads.length = 0;
  await sleep(2000);
  expect(s3.reads.length).toBeLessThanOrEqual(2);
  expect((await replayed(place))?.reads).toBeLessThan(12);
  s3.delayMs = 0;
  await place.must(`${every} && pach unmount pfs`);
});

test('who wants nothing fetched ahead leaves no trace, and a folder of this machine needs none', async () => {
  await using s3 = await plainS3();
  await using place = await Place.make('root', s3.env);
  await place.must(makeTree);
  await s3.copy(place.store);
  for (const options of [`${onS3(s3)} --prefetch off`, `${onS3(s3)} --cache-size 500MB`, '']) {
    await place.must(`pachmount ${options} data@master pfs && ${look}`);
    expect(await replayed(place)).toBeUndefined();
    await place.must('pach unmount pfs');
  }
  expect((await place.run(`ls ${first}`)).code).not.toBe(0);
});

test('what is no trace is none, and is replaced; stats do not count it; a collection drops it', async () => {
  await using s3 = await plainS3();
  await using place = await Place.make('root', s3.env);
  await place.must(makeTree);
  await s3.copy(place.store);
  const mount = `pachmount ${onS3(s3)} data@master pfs`;
  await place.must(`${mount} && ${look} && pach unmount pfs`);
  const good = await place.must(`cat ${first}/data.reads`);
  const stats = `${emptyCache}; pach cache stats -o json`;
  const nothing = await place.must(stats);
  await place.must(`printf '%s\\n' damaged '["file"' > "$(echo ${first}/data.reads)" && ${mount}`);
  expect(await afterReplay(place)).toMatchObject({ reads: 0, bytes: 0, ended: true });
  await place.must(`${look} && pach unmount pfs`);
  for (const text of [good, await place.must(`cat ${first}/data.reads`)]) {
    expect(text).toMatch(/^pachmount first reads 1\n(\[.*\]\n)*\["file","\/sub\/a",0,5000\]\n/);
  }
  expect(nothing).toContain('"bytes":0,"files":0,"extents":0');
  expect(await place.must(stats)).toBe(nothing);

  // A mount of before the collection does not bring back the names that it took.
  await place.must(`${mount} && ${look}`);
  await place.must('pach purge data:/sub -q && pach gc --grace 0 -q && pach list file data@master:/');
  expect((await place.run(`ls ${first}`)).code).not.toBe(0);
  await place.must('cat pfs/data/later/d > /dev/null && pach unmount pfs');
  expect((await place.run(`ls ${first}`)).code).not.toBe(0);
});
