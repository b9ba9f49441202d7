/**
 * Who opens files without a question: the kernel, where small files are what a mount is read for. Where large
 * ones are opened it lends them to the kernel, as root, and hears of every open.
 */
import { describe, expect, test } from 'vitest';
import { opcodes, Place } from '../support/place.ts';

const smallFiles = 300;
/** Small files enough for a small mean beside one of 3 MiB. */
const make = `mkdir -p src/d && for n in $(seq ${smallFiles}); do echo $n > src/d/$n; done && head -c 3145728 /dev/urandom > src/big
  pach create repo data && pach put file data@master -r -f src/ -q`;
const readSmall = 'cat pfs/data/d/* | cmp - <(cat src/d/*)';
const readBig = 'cmp pfs/data/big src/big';

interface Opens {
  readonly opens: number;
  readonly releases: number;
  readonly lent: number;
  readonly pid: number;
}

async function opensOf(place: Place): Promise<Opens> {
  const [mount] = (await place.mounts()) as unknown as {
    pid: number;
    counters: { requests: number[]; passthroughOpens: number };
  }[];
  const { requests = [], passthroughOpens = 0 } = mount?.counters ?? {};
  const { [opcodes.open]: opens = 0, [opcodes.release]: releases = 0 } = requests;
  return { opens, releases, lent: passthroughOpens, pid: mount?.pid ?? 0 };
}

describe.each(['root', 'user'] as const)('as %s', (who) => {
  test('of many small files the kernel asks for the first opens alone, and not again after a kill', async () => {
    await using place = await Place.make(who);
    await place.must(`${make} && pach cache warm data@master && pachmount data@master pfs && ${readSmall}`);
    const first = await opensOf(place);
    expect(first.opens).toBeGreaterThan(0);
    expect(first.opens).toBeLessThan(100);
    // Large ones are then read through us.
    await place.must(`${readSmall} && ${readBig}`);
    expect((await opensOf(place)).opens).toBe(first.opens);
    expect((await opensOf(place)).releases).toBeLessThan(100);

    await place.must(`kill -9 ${first.pid} && ${readSmall} && ${readBig}`);
    const after = await opensOf(place);
    expect(after.pid).not.toBe(first.pid);
    expect(after).toMatchObject({ opens: 0, releases: 0 });
  });
});

test('where a large file was opened it is lent, however many small ones are opened then', async () => {
  await using place = await Place.make('root');
  await place.must(`${make} && pach cache warm data@master && pachmount data@master pfs && ${readBig} && ${readSmall}`);
  const first = await opensOf(place);
  expect(first.opens).toBe(smallFiles + 1);
  expect(first.lent).toBe(1);
  await place.must(`${readBig} && ${readSmall}`);
  expect(await opensOf(place)).toMatchObject({ opens: 2 * first.opens, lent: 2 });
});

test('where files are large on average, small ones do not keep large ones from being lent', async () => {
  await using place = await Place.make('root');
  const more = 'head -c 90000000 /dev/urandom > large && pach put file data@master:/large -f large -q';
  await place.must(`${make} && ${more} && pach cache warm data@master && pachmount data@master pfs`);
  await place.must(`${readSmall} && ${readBig} && cmp pfs/data/large large`);
  expect(await opensOf(place)).toMatchObject({ opens: smallFiles + 2, lent: 2 });
});
