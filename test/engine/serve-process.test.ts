/**
 * `pach serve` as a process: it is killed, and nothing is lost or run twice; it is asked to end, and leaves
 * what runs to the next one.
 */
import { randomInt } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isLong } from '../support/long.ts';
import { Place } from '../support/place.ts';
import { copies, createPipelines, jobsOf, killServing, ServeProcess } from './serve-kills.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));
const [puts, kills] = isLong ? [200, 20] : [4, 1];

test('engines that are killed lose no put and no tick, and run none twice', async () => {
  await using place = await Place.make('root');
  await killServing(place, { seed, puts, kills });
  const names = async (repo: string): Promise<string[]> => {
    const lines = (await place.must(`pach list file ${repo} -o json`)).trim().split('\n');
    return lines.map((line) => (JSON.parse(line) as { path: string }).path.slice(1));
  };
  expect(await names('a@master')).toEqual(await names('data@master'));
  expect(await names('b@master')).toEqual(await names('data@master'));
  const jobs = await jobsOf(place);
  const inputs = jobs
    .filter(({ state }) => state === 'success')
    .map(({ pipeline, inputs: of }) => JSON.stringify([pipeline, of]));
  expect(new Set(inputs).size, `SEED=${seed}`).toBe(inputs.length);
  // A tick every two seconds from the first to the last, each by one commit.
  const times = (await names('c_tick@master')).map((name) => Date.parse(name)).sort((x, y) => x - y);
  expect(times.length).toBeGreaterThan(1);
  expect(
    times.map((time, index) => time - (times[0] ?? 0) - 2000 * index).filter((off) => off !== 0),
    `SEED=${seed}`,
  ).toEqual([]);
  const commits = (await place.must('pach list commit c_tick@master -o json')).trim().split('\n');
  expect(commits).toHaveLength(times.length);
  expect((await place.run('pach fsck')).code).toBe(0);
});

test('an engine that is asked to end leaves what runs to the next one; asked twice, it ends at once', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo data -q && echo 1 > f && pach put file -q data@master -f f');
  const cmd = ['sleep', '600'];
  await createPipelines(place, [{ ...copies('a', 'data'), transform: { cmd } }]);
  const first = new ServeProcess(place);
  await first.told('datumBegun');
  const begun = performance.now();
  const meant = { code: 130, isSoon: true, folders: [] as string[] };
  let ended = meant;
  if (isLong) {
    // It may end within 30 seconds.
    const code = Number(await first.end('SIGTERM'));
    const isSoon = performance.now() - begun < 30_000;
    ended = { code, isSoon, folders: await readdir(join(place.dir, 'home/.pachmount/run')) };
  } else {
    void first.end('SIGTERM');
    await first.told('ending');
    await first.end('SIGTERM');
  }
  expect(ended).toEqual(meant);
  const [left] = await jobsOf(place);
  expect(left).toMatchObject({ state: 'running' });
  await place.must('pach stop pipeline a -q');
  const second = new ServeProcess(place);
  await second.told('serving');
  await second.end('SIGINT');
  expect(await jobsOf(place)).toMatchObject([{ job: left?.job }]);
});
