/**
 * Who reads the small files of a repo in no order gets whole packs: counted at the server.
 */
import { open, readdir, rename, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { plainS3, type PlainS3 } from '../support/plain-s3.ts';

const files = 600;
const fileBytes = 100_000;
/** Beside a file that is read alone. */
const besideMax = 256 * 1024;
/** Packs that are fetched at a time at first (cache/in-flight). */
const atOnce = 4;
/** Two packs and a part of one, and a list of the files in no order. */
const makeTree = `mkdir src && cd src && for d in $(seq 20); do mkdir d$d; done &&
  head -c ${files * fileBytes} /dev/urandom | split -a 3 -b ${fileBytes} -d - ./ &&
  for f in [0-9]*; do mv $f d$((1 + 10#$f % 20))/; done &&
  find . -type f | sort | sort -R --random-source=<(yes 7) > ../order && cd .. &&
  pach create repo data >/dev/null && pach put file data@master -r -f src/ >/dev/null`;
/** Reads the first files of the list by several processes, and compares them. */
const read = ({ count = files, mount = 'pfs' } = {}): string =>
  `head -n ${count} order > ${mount}.order && (cd ${mount}/data && xargs -P 4 -n 25 cksum < ../../${mount}.order) | sort > ${mount}.got &&
  (cd src && xargs cksum < ../${mount}.order) | sort | cmp - ${mount}.got`;
const isWhole = ({ bytes }: { bytes: number }): boolean => bytes > 4 * fileBytes;

class Repo implements AsyncDisposable {
  readonly s3: PlainS3;
  readonly place: Place;

  private constructor(s3: PlainS3, place: Place) {
    this.s3 = s3;
    this.place = place;
  }

  static async make(): Promise<Repo> {
    const s3 = await plainS3();
    const place = await Place.make('root', s3.env);
    await place.must(makeTree);
    await s3.copy(place.store);
    return new Repo(s3, place);
  }

  /** Mounts anew, with nothing counted yet. */
  async mount(options = '', at = 'pfs'): Promise<void> {
    await this.place.must(`pachmount --store '${this.s3.url}' ${options} data@master ${at}`);
    this.s3.reads.length = 0;
  }

  /** Reads of packs of chunks. */
  get reads(): { path: string; bytes: number }[] {
    return this.s3.reads.filter(({ path }) => path.includes('/data/'));
  }

  get bytesRead(): number {
    return this.reads.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get packs(): readonly number[] {
    return [...this.s3.objects].flatMap(([path, { body }]) => (path.includes('/data/') ? [body.length] : []));
  }

  get bytes(): number {
    return this.packs.reduce((sum, bytes) => sum + bytes, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.place[Symbol.asyncDispose]();
    await this.s3[Symbol.asyncDispose]();
  }
}

let repo: Repo;
beforeAll(async () => {
  repo = await Repo.make();
});
afterAll(() => repo[Symbol.asyncDispose]());
afterEach(async () => {
  repo.s3.delayMs = 0;
  await repo.place.must('pach unmount --all; pach cache clear');
});

test('an epoch costs a request a pack; the next one none; damage, what is damaged', async () => {
  const { place } = repo;
  await repo.mount();
  await place.must(read());
  expect(repo.bytesRead).toBeLessThanOrEqual(1.1 * repo.bytes);
  expect(repo.reads.filter(isWhole)).toHaveLength(repo.packs.length);
  const alone = repo.reads.filter((each) => !isWhole(each));
  expect(alone.length).toBeLessThanOrEqual(16 + atOnce);
  for (const { bytes } of alone) expect(bytes).toBeLessThanOrEqual(fileBytes + besideMax);

  await place.must('pach unmount pfs');
  await repo.mount();
  await place.must(read());
  expect(repo.reads).toEqual([]);

  await place.must('pach unmount pfs');
  const cache = join(place.dir, 'home/.pachmount/cache');
  const names = (await readdir(cache, { recursive: true })).filter((name) => /\/0-\d{7,8}$/.test(name));
  expect(names).toHaveLength(repo.packs.length);
  await using pack = await open(join(cache, names[0] as string), 'r+');
  // Of several places: a file that was read alone before its pack came has its bytes elsewhere too, undamaged.
  const places = [1, 3, 5, 7, 9].map((at) => at * 1_000_000);
  for (const at of places) await pack.write(Buffer.from('damage'), 0, 6, at);
  await repo.mount();
  await place.must(read());
  expect(repo.reads.length).toBeGreaterThanOrEqual(1);
  expect(repo.reads.length).toBeLessThanOrEqual(places.length);
  for (const { bytes } of repo.reads) expect(bytes).toBeLessThanOrEqual(fileBytes + besideMax);
  await place.must('pach unmount pfs && pach cache clear');
  expect(await place.must('find "$PACH_HOME/cache" -name "0-*"')).toBe('');
});

test('what has come of a pack is read where it lies, while the rest is missing', async () => {
  const { place } = repo;
  await place.must(`pach --store '${repo.s3.url}' cache warm data@master`);
  // As a process leaves it that dies while it brings the packs.
  const cache = join(place.dir, 'home/.pachmount/cache');
  const packs = (await readdir(cache, { recursive: true })).filter((name) => /\/0-\d{7,8}$/.test(name));
  for (const pack of packs) {
    const part = join(cache, dirname(pack), `.${'0'.repeat(16)}`);
    await rename(join(cache, pack), part);
    await truncate(part, 8_000_000);
  }
  await repo.mount();
  // The first folder in the first pack, and one that begins behind what has come of it.
  await place.must('diff -r src/d1 pfs/data/d1');
  expect(repo.reads).toEqual([]);
  await place.must('diff -r src/d13 pfs/data/d13');
  expect(repo.reads.length).toBeGreaterThan(0);
});

test('one file, and who wants nothing ahead, gets what he reads', async () => {
  const { place } = repo;
  await repo.mount();
  await place.must('cmp src/d7/006 pfs/data/d7/006');
  expect(repo.reads).toHaveLength(1);
  expect(repo.bytesRead).toBeLessThanOrEqual(fileBytes + besideMax);
  await place.must('pach unmount pfs && pach cache clear');
  await repo.mount('--prefetch off');
  await place.must(read({ count: 150 }));
  expect(repo.reads.filter(({ bytes }) => repo.packs.includes(bytes))).toEqual([]);
});

test('of a cache that has half the room, nothing is fetched that is not read', async () => {
  const { place } = repo;
  const count = 200;
  await repo.mount('--cache-size 30MB');
  await place.must(read({ count }));
  expect(repo.bytesRead).toBeLessThanOrEqual(1.3 * count * fileBytes);
  expect(repo.reads.filter(({ bytes }) => repo.packs.includes(bytes))).toEqual([]);
  // Native threads brought them, but for those by which the order was recognized.
  const [mount] = (await place.mounts()) as unknown as { counters: { fetched: { requests: number } } }[];
  expect(mount?.counters.fetched.requests).toBeGreaterThanOrEqual(count - 16 - 2 * atOnce);
});

test('two mounts of one cache fetch each pack once, also when one of them is killed', async () => {
  const { place } = repo;
  await repo.mount();
  await repo.mount('', 'other');
  await Promise.all([place.must(read()), place.must(read({ mount: 'other' }))]);
  expect(repo.reads.filter(({ bytes }) => repo.packs.includes(bytes))).toHaveLength(repo.packs.length);
  expect(repo.bytesRead).toBeLessThanOrEqual(1.2 * repo.bytes);

  await place.must('pach unmount pfs && pach unmount other && pach cache clear');
  await repo.mount();
  repo.s3.delayMs = 50;
  const reading = place.must(read());
  while (!repo.reads.some(isWhole)) await sleep(5);
  const [mount] = await place.mounts();
  process.kill(mount?.pid as number, 'SIGKILL');
  await reading;
  // A server answers before it tells of itself.
  while ((await place.mounts())[0]?.pid === mount?.pid) await sleep(20);
  // Twice at most what was under way.
  expect(repo.reads.filter(isWhole).length).toBeLessThanOrEqual(repo.packs.length + atOnce);
});
