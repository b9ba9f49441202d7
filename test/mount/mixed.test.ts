/**
 * Files of 10 kB to a few MB that are read in no order, epoch after epoch: counted at the server of the
 * objects and at that of the mount.
 */
import { open, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Place, type Who } from '../support/place.ts';
import { plainS3, type PlainS3 } from '../support/plain-s3.ts';

/** Of each size so many files; those of 1 MB and more are lists of chunks. */
const sizes = [
  [60, 10_000],
  [60, 110_000],
  [14, 1_000_000],
  [12, 2_500_000],
] as const;
const files = sizes.reduce((sum, [count]) => sum + count, 0);
const makeTree = `${sizes.map(([count, bytes]) => `for n in $(seq ${count}); do mkdir -p src/$((n % 7)) && head -c ${bytes} /dev/urandom > src/$((n % 7))/${bytes}-$n; done`).join(' && ')} &&
  (cd src && find . -type f | sort | sort -R --random-source=<(yes 7) > ../order) &&
  pach create repo data >/dev/null && pach put file data@master -r -f src/ >/dev/null`;
/** Reads all files by several processes, and compares them. */
const read = (mount = 'pfs'): string =>
  `(cd ${mount}/data && xargs -P 4 -n 20 cksum < ../../order) | sort > ${mount}.got &&
  (cd src && xargs cksum < ../order) | sort | cmp - ${mount}.got`;

class Repo implements AsyncDisposable {
  readonly s3: PlainS3;
  readonly place: Place;

  private constructor(s3: PlainS3, place: Place) {
    this.s3 = s3;
    this.place = place;
  }

  static async make(who: Who): Promise<Repo> {
    const s3 = await plainS3();
    const place = await Place.make(who, s3.env);
    await place.must(makeTree);
    await s3.copy(place.store);
    return new Repo(s3, place);
  }

  /** Mounts with nothing counted yet. */
  async mount(at = 'pfs'): Promise<void> {
    await this.place.must(`pachmount --store '${this.s3.url}' data@master ${at}`);
    this.s3.reads.length = 0;
  }

  /** Ends the mount with its server, which has written by then all that it keeps. */
  async unmount(at = 'pfs'): Promise<void> {
    const { pid } = await this.mounted();
    await this.place.must(`pach unmount ${at} && tail --pid=${pid} -f /dev/null`);
  }

  async mounted() {
    const [mount] = await this.place.mounts();
    if (!mount) throw new Error('nothing is mounted');
    return mount;
  }

  get packs(): readonly number[] {
    return [...this.s3.objects].flatMap(([path, { body }]) => (path.includes('/data/') ? [body.length] : []));
  }

  /** How often a pack was read as a whole. */
  get wholeReads(): number {
    return this.s3.reads.filter(({ bytes }) => this.packs.includes(bytes)).length;
  }

  /** Bytes that were read of packs of chunks, of those that are in them. */
  get partRead(): number {
    const bytes = this.s3.reads
      .filter(({ path }) => path.includes('/data/'))
      .reduce((sum, each) => sum + each.bytes, 0);
    return bytes / this.packs.reduce((sum, each) => sum + each, 0);
  }

  get cache(): string {
    return join(this.place.dir, 'home/.pachmount/cache');
  }

  /** Names in the disk cache. */
  async cached(pattern: RegExp): Promise<string[]> {
    return (await readdir(this.cache, { recursive: true })).filter((name) => pattern.test(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.place[Symbol.asyncDispose]();
    await this.s3[Symbol.asyncDispose]();
  }
}

describe.each<Who>(['root', 'user'])('as %s', (who) => {
  let repo: Repo;
  beforeAll(async () => {
    repo = await Repo.make(who);
  });
  afterAll(() => repo[Symbol.asyncDispose]());
  afterEach(async () => {
    repo.s3.delayMs = 0;
    await repo.place.must('pach unmount --all; pach cache clear');
  });

  test('an epoch fetches each pack once, the next reaches neither the store nor JavaScript, and damage is found', async () => {
    const { place } = repo;
    await repo.mount();
    await place.must(read());
    expect(repo.wholeReads).toBe(repo.packs.length);
    expect(repo.partRead).toBeLessThanOrEqual(1.2);
    // No file has its bytes there a second time, but for those that were read before it was clear that all will be.
    expect((await repo.cached(/\/files\/[0-9a-f]{64}$/)).length).toBeLessThanOrEqual(3);

    await repo.unmount();
    await repo.mount();
    await place.must(read());
    expect(repo.s3.reads).toEqual([]);
    expect((await repo.mounted()).counters).toMatchObject({ damagedReads: 0, replyErrors: 0 });
    expect((await repo.mounted()).counters.decided).toBeLessThanOrEqual(files / 100);

    // The largest files take more than half of each pack.
    await repo.unmount();
    for (const name of await repo.cached(/\/data\/.*\/0-\d+$/)) {
      await using pack = await open(join(repo.cache, name), 'r+');
      for (let at = 1_000_000; at < 20_000_000; at += 2_000_000) await pack.write(Buffer.from('damage'), 0, 6, at);
    }
    await repo.mount();
    await place.must(read());
    const { damagedReads } = (await repo.mounted()).counters;
    expect(damagedReads).toBeGreaterThan(repo.packs.length);
    expect(repo.wholeReads).toBe(0);
    expect(repo.s3.reads.length).toBeGreaterThanOrEqual(repo.packs.length);
    expect(repo.partRead).toBeLessThanOrEqual(0.8);

    // It was fetched anew.
    await repo.unmount();
    await repo.mount();
    await place.must(read());
    expect(repo.s3.reads).toEqual([]);
    expect((await repo.mounted()).counters.damagedReads).toBe(0);
  });

  test('pach cache warm brings packs whole and verifies them, and a mount asks nobody', async () => {
    const { place } = repo;
    const warm = `pach --store '${repo.s3.url}' cache warm data@master -o json`;
    repo.s3.reads.length = 0;
    expect(JSON.parse(await place.must(warm))).toMatchObject({ files });
    expect(repo.wholeReads).toBe(repo.packs.length);
    expect(repo.partRead).toBeLessThanOrEqual(1);
    expect(JSON.parse(await place.must('pach cache verify -o json'))).toMatchObject({ damagedItems: 0 });
    await repo.mount();
    await place.must(read());
    expect(repo.s3.reads).toEqual([]);
    expect((await repo.mounted()).counters.decided).toBeLessThanOrEqual(files / 100);
    await repo.unmount();

    const [name] = await repo.cached(/\/data\/.*\/0-\d+$/);
    await using pack = await open(join(repo.cache, name as string), 'r+');
    await pack.write(Buffer.from('damage'), 0, 6, 9_000_000);
    await place.must(warm);
    // The damaged one goes. What was fetched anew of it stays.
    expect(await place.run('pach cache verify')).toMatchObject({ code: 6 });
    expect(await repo.cached(/\/data\/.*\/0-\d+$/)).toHaveLength(repo.packs.length - 1);
    expect(JSON.parse(await place.must('pach cache verify -o json'))).toMatchObject({ damagedItems: 0 });
    await repo.mount();
    await place.must(read());
    expect((await repo.mounted()).counters.damagedReads).toBe(0);
  });

  test('two mounts of one cache fetch each pack once; a kill costs what was under way; a purge leaves nothing', async () => {
    const { place } = repo;
    await repo.mount();
    await repo.mount('other');
    await Promise.all([place.must(read()), place.must(read('other'))]);
    expect(repo.wholeReads).toBe(repo.packs.length);
    expect(repo.partRead).toBeLessThanOrEqual(1.3);

    await place.must('pach unmount pfs && pach unmount other && pach cache clear');
    await repo.mount();
    repo.s3.delayMs = 30;
    const { pid } = await repo.mounted();
    const reading = place.must(read());
    while (repo.wholeReads === 0) await sleep(5);
    process.kill(pid, 'SIGKILL');
    await reading;
    expect(repo.wholeReads).toBeLessThanOrEqual(2 * repo.packs.length);
    // A server answers before it tells of itself.
    while ((await repo.mounted()).pid === pid) await sleep(20);
    expect((await repo.mounted()).counters.replyErrors).toBe(0);
    // What readers wanted may be there before all of its pack is.
    await expect.poll(() => repo.cached(/\/data\/.*\/0-\d+$/)).not.toEqual([]);
    await repo.unmount();

    const before = await repo.cached(/\/data\/.*\/0-\d+$/);
    // On another machine, which has another cache.
    const there = `PACH_HOME="$PWD/there" PACH_STORE='${place.store}'`;
    await place.must(
      `${there} pach purge data:/3 -q && ${there} pach gc --grace 0 -q && rm -r src/3 && sed -i '/^[.].3.[0-9]/d' order`,
    );
    await repo.s3.copy(place.store);
    await repo.mount();
    await place.must(read());
    const left = await repo.cached(/\/data\//);
    expect(left.filter((name) => before.some((pack) => name.startsWith(dirname(pack))))).toEqual([]);
  });
});
