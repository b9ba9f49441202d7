/**
 * Parts of an engine that are killed in the middle of a datum: the launcher of a worker, the server
 * of the mount, a container, the Docker engine. The engine gets over it, or says what is wrong and
 * goes on when it is run again.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { busyboxImage, dockerForTests, endOwnEngine, ownEngine, type TestEngine } from '../support/docker.ts';
import { Place } from '../support/place.ts';
import { CrashPlace, expectDone, expectKept } from './crash-place.ts';

const files = 12;
const all = { total: files, processed: files, skipped: 0, failed: 0, recovered: 0 };

/** Processes below one whose words match. */
async function below(pid: number, words: RegExp): Promise<number[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  const isBelow = (each: number | undefined): boolean =>
    each !== undefined && (each === pid || isBelow(parents.get(each)));
  const found: number[] = [];
  for (const each of parents.keys()) {
    const line = await readFile(`/proc/${each}/cmdline`, 'utf8').catch(() => '');
    if (each !== pid && isBelow(each) && words.test(line)) found.push(each);
  }
  return found;
}

/** Waits for what must come soon. */
async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (let left = 600; left > 0; left -= 1) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await sleep(50);
  }
  throw new Error('it did not come');
}

async function expectSame(place: CrashPlace): Promise<void> {
  const expected = await place.place.must('cd in && for f in *; do echo "$f $(md5sum < $f)"; done');
  const script = 'pach get file -r p@master:/ -o got/ && cd got && for f in *; do echo "$f $(cat $f)"; done';
  expect(await place.place.must(script)).toBe(expected);
}

const slow = 'name=$(ls /pfs/data); sleep 0.5; md5sum < /pfs/data/$name > /pfs/out/$name';

test('a launcher that is killed costs a worker, and no datum', async () => {
  await using place = await CrashPlace.make(files, { transform: { cmd: ['sh', '-c', slow] } });
  const engine = place.start();
  for (let kills = 0; kills < 2; kills += 1) {
    const launcher = await until(async () => (await below(engine.child.pid ?? 0, /launcher/))[0]);
    await until(async () => (await below(launcher, /^sh\0/)).length > 0);
    process.kill(launcher, 'SIGKILL');
    await until(async () => !(await below(engine.child.pid ?? 0, /launcher/)).includes(launcher));
  }
  await expectDone(engine);
  expect(await place.jobs()).toMatchObject([{ state: 'success', counts: all }]);
  await expectSame(place);
  await place.expectNothingLeft();
});

test('a server of the mount that is killed costs a pause', async () => {
  await using place = await CrashPlace.make(files, {
    transform: { cmd: ['sh', '-c', slow] },
    input: { pfs: { repo: 'data', glob: '/*', lazy: true } },
  });
  const engine = place.start();
  for (let kills = 0; kills < 2; kills += 1) {
    const server = await until(async () => (await below(engine.child.pid ?? 0, /^\S*node\0.*serve-main/))[0]);
    await until(async () => (await below(engine.child.pid ?? 0, /^sh\0/)).length > 0);
    process.kill(server, 'SIGKILL');
    await until(async () => !(await below(engine.child.pid ?? 0, /^\S*node\0.*serve-main/)).includes(server));
  }
  await expectDone(engine);
  expect(await place.jobs()).toMatchObject([{ state: 'success', counts: all }]);
  await expectSame(place);
  await place.expectNothingLeft();
});

test('so does one whose supervisor is killed too: it is mounted again', async () => {
  await using place = await CrashPlace.make(files, {
    input: { pfs: { repo: 'data', glob: '/*', lazy: true } },
  });
  const engine = place.start();
  const supervisor = await until(async () => (await below(engine.child.pid ?? 0, /^\S*supervisor\0/))[0]);
  await until(async () => (await place.results()).size > 0);
  for (const each of [...(await below(supervisor, /./)), supervisor]) process.kill(each, 'SIGKILL');
  await expectDone(engine);
  expect(await place.jobs()).toMatchObject([{ state: 'success', counts: all }]);
  await expectSame(place);
  await place.expectNothingLeft();
});

async function dockerPlace(engine: TestEngine): Promise<CrashPlace> {
  const command = 'name=$(ls /pfs/data); sleep 0.2; md5sum < /pfs/data/$name > /pfs/out/$name';
  const image = await busyboxImage(engine);
  const transform = { image, cmd: ['sh', '-c', command] };
  return CrashPlace.make(files, { transform }, { DOCKER_HOST: engine.host });
}

/** Containers of an engine's workers. */
async function containers({ docker }: TestEngine, pid: number): Promise<string[]> {
  const found = await docker.listContainers({ all: true, filters: { label: ['dev.pachmount.worker=p-0'] } });
  return found
    .filter(({ Labels }) => Object.values(Labels).some((value) => value.includes(String(pid))))
    .map(({ Id }) => Id);
}

test('a container that is killed costs a worker, and no datum', async () => {
  const docker = await dockerForTests();
  await using place = await dockerPlace(docker);
  const engine = place.start(['--executor', 'docker']);
  const id = await until(
    async () => (await place.jobs()).length > 0 && (await containers(docker, engine.child.pid ?? 0))[0],
  );
  await until(async () => (await place.results()).size > 0);
  await docker.docker.getContainer(id).kill();
  await expectDone(engine);
  expect(await place.jobs()).toMatchObject([{ state: 'success', counts: all }]);
  await expectSame(place);
  await place.expectNothingLeft();
});

test('an engine that is killed leaves its containers to the next one, which goes on', async () => {
  const docker = await dockerForTests();
  await using place = await dockerPlace(docker);
  const engine = place.start(['--executor', 'docker']);
  await until(async () => (await place.results()).size > 0);
  engine.child.kill('SIGKILL');
  await engine.ended;
  const before = await place.results();
  const again = place.start(['--executor', 'docker']);
  await expectDone(again);
  expectKept(before, await place.results());
  expect(await place.jobs()).toMatchObject([{ state: 'success', counts: all }]);
  for (const of of [engine, again]) expect(await containers(docker, of.child.pid ?? 0)).toEqual([]);
  await expectSame(place);
  await place.expectNothingLeft();
});

test('a Docker engine that restarts ends the job, and the next run takes what was published', async () => {
  await using folder = await Place.make('root');
  const dir = join(folder.dir, 'docker');
  const own = await ownEngine(dir);
  try {
    await using place = await dockerPlace(own);
    const engine = place.start(['--executor', 'docker']);
    await until(async () => (await place.results()).size > 0);
    process.kill(Number(await readFile(join(dir, 'started'), 'utf8')), 'SIGTERM');
    const { code, stderr } = await engine.ended;
    expect(code).toBeGreaterThan(0);
    expect(stderr).toMatch(/Docker|docker/);
    const before = await place.results();
    await ownEngine(dir);
    await expectDone(place.start(['--executor', 'docker']));
    expectKept(before, await place.results());
    const [next] = await place.jobs();
    expect(next).toMatchObject({ state: 'success', counts: { total: files, skipped: before.size } });
    await expectSame(place);
    await place.expectNothingLeft();
    await place.expectWhole();
  } finally {
    await endOwnEngine(dir);
  }
});
