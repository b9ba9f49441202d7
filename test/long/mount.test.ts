/**
 * A mount under a mixed load for ten minutes: readers, walkers, new commits, attempts to unmount
 * it, a killed server, a cache far smaller than the data. Every byte is compared, and in the end the
 * server has no more memory and descriptors than before. LOAD_SECONDS and SEED can be set.
 */
import { randomInt } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { numbers, oneOf } from '../support/numbers.ts';
import { Place, type Who } from '../support/place.ts';

const seconds = Number(process.env['LOAD_SECONDS'] ?? 600);
const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));
const source = resolve(import.meta.dirname, 'read-parts.c');
const mebibyte = 1024 * 1024;
/** The server is killed in the first third only: of one that lives on, memory is compared. */
const killEveryMs = 20_000;
const large = 40;
const makeTree = `
mkdir -p src/large && for n in $(seq 1 ${large}); do head -c $((n * 250000 + 77)) /dev/urandom > src/large/$n; done
for folder in $(seq 1 40); do mkdir -p src/small/$folder; head -c 60000 /dev/urandom | split -b 1000 -a 3 -d - src/small/$folder/; done
(cd src && find . -type f | xargs sha256sum) > sums
gcc -O1 -o read-parts ${source}
pach create repo data >/dev/null && pach put file data@master -r -f src/
pachmount data@master --cache-size 60M --memory 64M pfs
ls -lR pfs/data > listed`;

interface Sample {
  readonly atMs: number;
  readonly residentBytes: number;
  readonly descriptors: number;
}

class Load {
  private readonly place: Place;
  private readonly endMs = Date.now() + seconds * 1000;
  private hasFailed = false;
  readonly samples: Sample[] = [];
  readonly done = new Map<string, number>();

  constructor(place: Place) {
    this.place = place;
  }

  /** Resolves when all have ended, which they do when one of them fails; rejects with what was first. */
  async all(works: readonly Promise<void>[]): Promise<void> {
    const failures: unknown[] = [];
    const noted = works.map((work) =>
      work.catch((error: unknown) => {
        this.hasFailed = true;
        failures.push(error);
      }),
    );
    await Promise.all(noted);
    if (failures.length > 0) throw failures[0];
  }

  /** Runs one script after another, as `next` gives them, until the time is over. */
  async worker(name: string, script: (next: () => number) => string, of = seed): Promise<void> {
    const next = numbers(of);
    while (this.goesOn(this.endMs)) {
      await this.place.must(script(next), 90);
      this.done.set(name, (this.done.get(name) ?? 0) + 1);
    }
  }

  async killer(): Promise<void> {
    const untilMs = this.endMs - (seconds * 2000) / 3;
    while (this.goesOn(untilMs - killEveryMs)) {
      await sleep(killEveryMs);
      process.kill(await this.pid(), 'SIGKILL');
      this.done.set('kills', (this.done.get('kills') ?? 0) + 1);
    }
  }

  async sampler(): Promise<void> {
    while (this.goesOn(this.endMs)) {
      await sleep(2000);
      const sample = await sampleOf(await this.pid()).catch(() => undefined);
      if (sample) this.samples.push(sample);
    }
  }

  /** The samples of a third of the time, from 0. */
  third(index: number): readonly Sample[] {
    const from = this.endMs - seconds * 1000 * (1 - index / 3);
    return this.samples.filter(({ atMs }) => atMs >= from && atMs < from + (seconds * 1000) / 3);
  }

  private goesOn(untilMs: number): boolean {
    return Date.now() < untilMs && !this.hasFailed;
  }

  private async pid(): Promise<number> {
    for (;;) {
      const mounts = await this.place.must(`pach mounts -o json`);
      const found = mounts.split('\n').find((line) => line.includes('/pfs"'));
      if (found !== undefined) return (JSON.parse(found) as { pid: number }).pid;
      await sleep(200);
    }
  }
}

async function sampleOf(pid: number): Promise<Sample> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const descriptors = (await readdir(`/proc/${pid}/fd`)).length;
  return { atMs: Date.now(), residentBytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024, descriptors };
}

const largeFile = (next: () => number): string => `large/${1 + Math.floor(next() * large)}`;
const checkAll = (names: string): string => `(cd pfs/data && grep -E '${names}' ../../sums | sha256sum --quiet -c)`;
const forget = (name: string): string => `dd if=pfs/data/${name} iflag=nocache count=0 status=none`;

test.each<Who>(['root', 'user'])(`of %s, SEED=${seed}`, { timeout: (seconds + 300) * 1000 }, async (who) => {
  await using place = await Place.make(who);
  await place.must(makeTree, 120);
  const load = new Load(place);
  const parts = (mode: string) => (next: () => number) => {
    const name = largeFile(next);
    return `./read-parts ${mode} ${Math.floor(next() * 2 ** 31)} 60 pfs/data/${name} src/${name}`;
  };
  await load.all([
    load.worker('sequential', (next) => {
      const name = largeFile(next);
      return `${checkAll(`  \\./${name}$`)} && ${forget(name)}`;
    }),
    load.worker('random', parts('read'), seed + 1),
    load.worker('mmap', parts('mmap'), seed + 2),
    load.worker('small', (next) => checkAll(`small/${1 + Math.floor(next() * 40)}/`), seed + 3),
    load.worker('walk', (next) =>
      next() < 0.5
        ? 'ls -lR pfs/data | cmp - listed; sleep 1'
        : '[ $(find pfs -type f -links 1 | wc -l) = $(wc -l < sums) ]; sleep 1',
    ),
    load.worker('commits', (next) => {
      const name = oneOf(next, [largeFile(next), `small/${1 + Math.floor(next() * 40)}/007`]);
      const bytes = 1 + Math.floor(next() * 2_000_000);
      return `set -e; head -c ${bytes} /dev/urandom > new; id=$(pach put file data@master:/${name} -f new)
        pachmount data@master --cache-size 60M other; cmp new other/data/${name}; cmp new "other/data@$id/${name}"
        cmp src/${name} "pfs/data@master/${name}"; ls "other/data@master^/small" > /dev/null; pach unmount other; sleep 2`;
    }),
    load.worker(
      'unmount',
      () => 'exec 9< pfs/data/large/1; pach unmount pfs 2> refused; [ $? = 4 ] && grep -q "in use" refused; sleep 3',
    ),
    load.killer(),
    load.sampler(),
  ]);
  const [second, last] = [load.third(1), load.third(2)];
  const most = (of: readonly Sample[], what: 'residentBytes' | 'descriptors'): number =>
    Math.max(...of.map((sample) => sample[what]));
  const report = [second, last].map((of) => [
    Math.round(most(of, 'residentBytes') / mebibyte),
    most(of, 'descriptors'),
  ]);
  console.log(
    `SEED=${seed} ${who}: ${JSON.stringify([...load.done])}, MiB and descriptors at most: ${report.join('; ')}`,
  );
  expect(most(last, 'residentBytes')).toBeLessThan(most(second, 'residentBytes') + 24 * mebibyte);
  expect(most(last, 'descriptors')).toBeLessThan(most(second, 'descriptors') + 50);
  expect(load.done.size).toBe(seconds > 60 ? 8 : 7);
  const logs = await place.must('cat "$PACH_HOME"/mounts/*.log');
  expect(logs.split('\n').filter((line) => line !== '' && !line.startsWith('supervisor'))).toEqual([]);
  await place.must('pach unmount pfs');
});
