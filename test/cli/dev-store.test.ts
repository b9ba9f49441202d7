/**
 * The loop of development and what it depends on: a store that is away and comes back, a full disk,
 * and what it asks of a store and of the machine while nobody saves anything.
 */
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { PipelinePlace } from '../pipelines/cli-world.ts';
import { faultyWay } from '../support/faulty-way.ts';
import { s3ForTests } from '../support/s3.ts';
import { Dev } from './dev-loop.ts';

const isRoot = process.getuid?.() === 0;
const says = (word: string): string => `for f in /pfs/in/*; do echo ${word} > /pfs/out/$(basename $f); done\n`;

/** A place with the pipeline `p`, whose code is `src/main.sh`. */
async function made(environment: NodeJS.ProcessEnv = {}): Promise<PipelinePlace> {
  const here = await PipelinePlace.make({ a: '1', b: '22' }, 'root', environment);
  await here.must('mkdir src');
  await writeFile(join(here.place.dir, 'src/main.sh'), says('one'));
  await here.spec('p', '. /app/main.sh', { dev: { code: [{ from: './src', to: '/app' }] } });
  return here;
}

/** Processor time that a process has had, in hundredths of a second. */
function ticksOf(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

test('a store of S3: idle, it is asked less than once a second; what is saved while it is away runs when it is back', async () => {
  const bucket = await s3ForTests();
  let isAway = false;
  await using way = await faultyWay(bucket.endpoint, () => (isAway ? 'reset' : 'works'));
  const store = bucket.url.replace(bucket.endpoint, way.endpoint);
  await using here = await made({ ...bucket.env, PACH_STORE: store });
  await here.must('cd src; for n in $(seq 1000); do echo $n > file$n; done');
  await using dev = new Dev(here, ['-f', 'p.json']);
  await dev.next('settled');
  const [asked, ticks, begun] = [way.requests.length, ticksOf(dev.child.pid), performance.now()];
  await pause(6000);
  const seconds = (performance.now() - begun) / 1000;
  expect(way.requests.length - asked).toBeLessThan(seconds);
  expect(ticksOf(dev.child.pid) - ticks).toBeLessThan(seconds); // 1% of the time
  // It is asked at all, and with nothing but conditional reads of the head.
  expect(new Set(way.requests.slice(asked))).toEqual(new Set(['GET']));

  isAway = true;
  const before = way.requests.length;
  await dev.save('src/main.sh', says('two'));
  await expect.poll(() => way.requests.length).toBeGreaterThan(before);
  isAway = false;
  expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 2 } });
  expect(await dev.interrupt()).toBe(130);
});

test('a store whose folder is away: told once, and what was saved meanwhile runs when it is back', async () => {
  await using here = await made();
  await using dev = new Dev(here, ['-f', 'p.json']);
  await dev.next('settled');
  const { store } = here.place;
  await rename(store, `${store}-away`);
  await dev.save('src/main.sh', says('two'));
  expect(await dev.next('fault')).toMatchObject({
    error: { code: 'unreachable', message: `${store}: the folder of the store is not there any more` },
    isRetried: true,
  });
  await rename(`${store}-away`, store);
  expect(await dev.next('saved')).toMatchObject({ cause: 'code' });
  expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 2 } });
  expect(dev.events.filter(({ event }) => event === 'fault')).toHaveLength(1);
  expect(await dev.interrupt()).toBe(130);
  await here.must('pach fsck');
});

test.skipIf(!isRoot)('a full disk: told, and what was saved runs when there is room', async () => {
  await using here = await made();
  // The store, the code that commands see and their outputs are on it.
  await here.must(
    'cp -a home/.pachmount kept; mount -t tmpfs -o size=48m none home/.pachmount; cp -a kept/. home/.pachmount',
  );
  try {
    await using dev = new Dev(here, ['-f', 'p.json']);
    await dev.next('settled');
    await here.must('dd if=/dev/zero of=home/.pachmount/store/fill bs=1M 2>/dev/null || :');
    await dev.save('src/main.sh', `${says('two')}: ${'x'.repeat(10_000)}\n`);
    expect(await dev.next('fault')).toMatchObject({ error: { code: 'no-space' }, isRetried: true });
    await here.must('rm home/.pachmount/store/fill');
    expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 2 } });
    expect(await dev.interrupt()).toBe(130);
    expect(await here.must('ls ~/.pachmount/run')).toBe('');
    await here.must('pach fsck');
  } finally {
    await here.must('umount home/.pachmount');
  }
});
