/**
 * The loop of development as people use it: files saved as editors save them, results waited for, as
 * processes and in containers, as root and as an ordinary user.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, open, rename, utimes, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { linesOf, PipelinePlace } from '../pipelines/cli-world.ts';
import { busyboxImage, dockerForTests, type TestEngine } from '../support/docker.ts';
import { isLong } from '../support/long.ts';
import type { Who } from '../support/place.ts';
import { Dev, type DevLine } from './dev-loop.ts';

const isRoot = process.getuid?.() === 0;
let engine: TestEngine;
let image = '';

beforeAll(async () => {
  engine = await dockerForTests();
  image = await busyboxImage(engine);
  const socket = engine.host.slice('unix://'.length);
  await chmod(dirname(socket), 0o755);
  await chmod(socket, 0o666);
});

const inputs = { a: '1', b: '22', c: '333' };
/** Copies each file, with what it says. */
const says = (word: string): string => `for f in /pfs/in/*; do echo ${word} > /pfs/out/$(basename $f); done\n`;

/** A place with the pipeline `p`, whose code is `src/main.sh`. */
async function made(who: Who = 'root', script = says('one')): Promise<PipelinePlace> {
  const here = await PipelinePlace.make(inputs, who, { DOCKER_HOST: engine.host });
  await here.must('mkdir src');
  await writeFile(join(here.place.dir, 'src/main.sh'), script);
  await spec(here);
  return here;
}

async function spec(here: PipelinePlace, more: object = {}, name = 'p'): Promise<void> {
  await here.spec(name, '. /app/main.sh', {
    transform: { image },
    dev: { code: [{ from: './src', to: '/app' }] },
    ...more,
  });
}

/** The processes whose command line has this word. */
function processesWith(word: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(word);
    } catch {
      return false;
    }
  });
}

const branch = `dev-${userInfo().username}`;
const ways: [Who, string][] = [
  ['user', 'process'],
  ...(isRoot ? ([['root', 'docker']] as [Who, string][]) : []),
  ...(isRoot && isLong ? ([['root', 'process']] as [Who, string][]) : []),
];

describe.each(ways)('as %s, executor %s', (who, executor) => {
  test('each way of saving runs what it touches, a touch nothing, and nothing is left', async () => {
    await using here = await made(who);
    await using dev = new Dev(here, ['-f', 'p.json', '--executor', executor]);
    const own = String((await dev.next('watching'))['branch']);
    expect(own).toMatch(/^dev-[\w-]+$/);
    expect(await dev.job()).toMatchObject({ pipeline: 'p', branch: own, state: 'success', datums: { processed: 3 } });
    expect(await here.read(`p@${own}:/a`)).toBe('one\n');

    await dev.next('settled');
    const main = join(here.place.dir, 'src/main.sh');
    await utimes(main, new Date(), new Date());
    await dev.save('src/main.sh', says('two'));
    expect(await dev.next('saved')).toMatchObject({ cause: 'code', files: [main], pipelines: ['p'] });
    expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 3 } });
    expect(await here.read(`p@${own}:/b`)).toBe('two\n');

    await dev.next('settled');
    await dev.truncate('src/main.sh', says('three'));
    await dev.next('datumEnded');
    await dev.next('settled');
    expect(await here.read(`p@${own}:/c`)).toBe('three\n');
    await dev.append('src/main.sh', 'echo more > /pfs/out/$(basename $f)\n');
    await dev.next('saved');
    await dev.next('settled');
    expect(await here.read(`p@${own}:/c`)).toBe('more\n');

    // What was computed before is known.
    await dev.save('src/main.sh', says('two'));
    expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 0, skipped: 3 } });
    await dev.next('settled');
    await here.put('in', { d: '4' });
    expect(await dev.next('saved')).toMatchObject({ cause: 'input', files: ['in@master'] });
    expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 1, skipped: 3 } });

    expect(await dev.interrupt()).toBe(130);
    expect(await here.must('ls ~/.pachmount/run')).toBe('');
    // Said once, not with each save: this executor has no use for an image.
    const notes = dev.events.filter(({ event, line }) => event === 'note' && String(line).includes('without an image'));
    expect(notes).toHaveLength(executor === 'process' ? 1 : 0);
    // Production was never there.
    const branches = linesOf<{ branch: string }>(await here.must('pach list branch p -o json'));
    expect(branches.map((each) => each.branch)).toEqual([own]);
  });

  test('the last of many saves is what counts, and no command of the others is left', async () => {
    const token = `dev-sleep-${process.pid}-${who}-${executor}`;
    await using here = await made(who, `sh -c 'sleep 60; :' ${token}\n`);
    await using dev = new Dev(here, ['-f', 'p.json', '--executor', executor]);
    await expect.poll(() => processesWith(token).length).toBeGreaterThan(0);
    for (let save = 0; save < 18; save += 1) {
      await dev.save('src/main.sh', `sh -c 'sleep 60; :' ${token} # ${save}\n`);
      if (save % 6 === 0) await dev.next('restarted');
    }
    await dev.save('src/main.sh', says('at last'));
    expect(await dev.job()).toMatchObject({ state: 'success', datums: { total: 3, failed: 0 } });
    await dev.next('settled');
    expect(processesWith(token)).toEqual([]);
    expect(await dev.interrupt()).toBe(130);
    expect(await here.must('ls ~/.pachmount/run')).toBe('');
  });
});

test('a touch makes no job', async () => {
  await using here = await made();
  await using dev = new Dev(here, ['-f', 'p.json']);
  await dev.next('settled');
  for (const path of ['src/main.sh', 'p.json']) await utimes(join(here.place.dir, path), new Date(), new Date());
  await dev.save('src/main.sh', says('one'));
  await dev.save('src/main.sh', says('two'));
  await dev.next('settled');
  const jobs = linesOf<{ branch: string }>(await here.must('pach list job -p p -o json'));
  expect(jobs.map((job) => job.branch)).toEqual([branch, branch]);
});

test('a mistake in the spec is told with its line, and the old one stays', async () => {
  await using here = await made();
  await using dev = new Dev(here, ['-f', 'p.json']);
  await dev.next('settled');
  const good = await dev.read('p.json');
  await dev.save('p.json', good.replace('"transform"', '\n"transfrom"'));
  const { file, line, message, next } = await dev.next('specFault');
  expect({ line, message, next }).toEqual({
    line: 2,
    message: 'transfrom: there is no such field',
    next: 'did you mean transform?',
  });
  expect(file).toBe('p.json');
  await dev.save('p.json', good);
  await dev.next('watching');
  await dev.save('src/main.sh', says('two'));
  expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 3 } });
  await spec(here, { description: 'other' });
  expect(await dev.next('saved')).toMatchObject({ cause: 'spec', pipelines: ['p'] });
});

test('half of a file is run as it is, and ended when the other half comes', async () => {
  const token = `dev-half-${process.pid}`;
  await using here = await made();
  await using dev = new Dev(here, ['-f', 'p.json']);
  await dev.next('settled');
  await using file = await open(join(here.place.dir, 'src/main.sh'), 'w');
  await file.write(`[ -e /app/whole ] || sh -c 'sleep 60; :' ${token}\n`);
  await dev.next('datumBegun');
  await writeFile(join(here.place.dir, 'src/whole'), '');
  await file.write(says('whole'));
  expect(await dev.next('restarted')).toMatchObject({ cause: 'code' });
  expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 3 } });
  await dev.next('settled');
  expect(await here.read(`p@${branch}:/c`)).toBe('whole\n');
  expect(processesWith(token)).toEqual([]);
});

test('a folder of code that goes and comes back', async () => {
  await using here = await made();
  await using dev = new Dev(here, ['-f', 'p.json']);
  await dev.next('settled');
  const [src, away] = ['src', 'away'].map((name) => join(here.place.dir, name));
  await rename(src!, away!);
  expect(await dev.next('specFault')).toMatchObject({ message: expect.stringContaining('there is no') as string });
  await writeFile(join(away!, 'main.sh'), says('two'));
  await rename(away!, src!);
  expect(await dev.next('saved')).toMatchObject({ cause: 'code' });
  expect(await dev.job()).toMatchObject({ state: 'success', datums: { processed: 3 } });
});

test('a change leaves alone what it does not touch', async () => {
  await using here = await made();
  // Another one with code of its own, and one that reads both.
  await here.must('mkdir other graph && mv src other graph && cp graph/src/main.sh graph/other/');
  await mkdir(join(here.place.dir, 'graph'), { recursive: true });
  const folder = 'graph';
  const code = (from: string): { dev: object } => ({ dev: { code: [{ from, to: '/app' }] } });
  await here.spec('left', '. /app/main.sh', code('./src'), folder);
  await here.spec('right', '. /app/main.sh', code('./other'), folder);
  const both = { cross: [{ pfs: { repo: 'left', glob: '/' } }, { pfs: { repo: 'right', glob: '/' } }] };
  await here.spec('both', 'cat /pfs/left/a /pfs/right/a > /pfs/out/a', { input: both }, folder);
  await using dev = new Dev(here, ['-f', folder]);
  await dev.next('settled');
  const before = dev.events.length;
  await dev.save('graph/other/main.sh', says('two'));
  await dev.next('settled');
  const jobs = dev.events.slice(before).filter(({ event }) => event === 'jobEnded');
  expect(jobs.map(({ pipeline }) => pipeline)).toEqual(['right', 'both']);
  expect(await here.read(`both@${branch}:/a`)).toBe('one\ntwo\n');

  // Other code with the same output: what reads it stays too.
  const then = dev.events.length;
  await dev.save('graph/other/main.sh', `${says('two')}: # nothing\n`);
  await dev.next('settled');
  const after = dev.events.slice(then).filter(({ event }) => event === 'jobEnded');
  expect(after.map(({ pipeline }) => pipeline)).toEqual(['right']);
});

test('one that is killed leaves nothing that the next one does not clear away', async () => {
  const token = `dev-killed-${process.pid}`;
  await using here = await made('root', `sh -c 'sleep 60; :' ${token}\n`);
  await using dev = new Dev(here, ['-f', 'p.json']);
  await dev.next('datumBegun');
  await expect.poll(() => processesWith(token).length).toBeGreaterThan(0);
  dev.child.kill('SIGKILL');
  await dev.ended;
  await expect.poll(() => processesWith(token)).toEqual([]);
  await writeFile(join(here.place.dir, 'src/main.sh'), says('two'));
  await using next = new Dev(here, ['-f', 'p.json']);
  expect(await next.job()).toMatchObject({ state: 'success', datums: { processed: 3 } });
  await next.interrupt();
  expect(await here.must('ls ~/.pachmount/run')).toBe('');
});

test.skipIf(!isRoot)('one that is killed leaves no container that runs, no process and no mount', async () => {
  const token = `dev-killed-docker-${process.pid}`;
  await using here = await made('root', `sh -c 'sleep 60; :' ${token}\n`);
  // Large enough to come from a mount.
  await here.must('head -c 3000000 /dev/urandom > large; pach put file in@master:/ -f large');
  const containers = async (all: boolean): Promise<number> =>
    (await engine.docker.listContainers({ all, filters: { ancestor: [image] } })).length;
  const before = await containers(true);
  await using dev = new Dev(here, ['-f', 'p.json', '--executor', 'docker']);
  await expect.poll(() => processesWith(token).length).toBeGreaterThan(0);
  dev.child.kill('SIGKILL');
  await dev.ended;
  const mounts = (): string[] =>
    readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(`${here.place.dir}/`));
  await expect.poll(() => [processesWith(token), mounts()]).toEqual([[], []]);
  await expect.poll(() => containers(false)).toBe(0);
  // What has ended is removed by whoever comes next.
  await writeFile(join(here.place.dir, 'src/main.sh'), says('two'));
  await here.must('pach run pipeline -f p.json --executor docker -q');
  expect(await containers(true)).toBe(before);
});

test('what failed last runs first, then the smallest', async () => {
  await using here = await made('root', says('one'));
  await here.put('in', { e: 'x'.repeat(50), f: 'y'.repeat(40) });
  await using dev = new Dev(here, ['-f', 'p.json', '--workers', '1']);
  const ranAfter = async (script: string): Promise<string[]> => {
    const before = dev.events.length;
    await dev.save('src/main.sh', script);
    await dev.next('settled');
    const datums = dev.events.slice(before).filter(({ event }) => event === 'datumEnded');
    return datums.map(({ datum }) => (datum as { files: { path: string }[] }).files[0]!.path);
  };
  await dev.next('settled');
  const fails = `[ ! -e /pfs/in/e ] || exit 1\n${says('two')}`;
  expect(await ranAfter(fails)).toEqual(['/a', '/b', '/c', '/f', '/e']);
  expect(await ranAfter(says('three'))).toEqual(['/e', '/a', '/b', '/c', '/f']);
});

test('a sample is no base of a full run, and what it computed counts', async () => {
  await using here = await made();
  await using dev = new Dev(here, ['-f', 'p.json', '--sample', '2']);
  expect(await dev.next('watching')).toMatchObject({ selection: { kind: 'count', count: 2 } });
  expect(await dev.job()).toMatchObject({ datums: { total: 2, processed: 2 } });
  await dev.next('settled');
  await here.put('in', { '0': 'new' });
  // It is among the first two now, and takes the place of one.
  expect(await dev.job()).toMatchObject({ datums: { total: 2, processed: 1 } });
  await dev.next('settled');
  expect(await here.files(`p@${branch}`)).toEqual(['/0', '/a']);
  await dev.interrupt();
  const all = await here.ran(`-f p.json --branch ${branch}`);
  expect(all.datums).toMatchObject({ total: 4, processed: 1, skipped: 3 });
  await using some = new Dev(here, ['-f', 'p.json', '--sample', '/[bc]']);
  expect(await some.job()).toMatchObject({ datums: { total: 2, skipped: 2 } });
  await some.next('settled');
  expect(await here.files(`p@${branch}`)).toEqual(['/b', '/c']);
  expect((await here.shell('pach dev -f p.json --sample x')).code).toBe(2);
});

test('the last 20 jobs of the branch stay, and all results', async () => {
  await using here = await made();
  await using dev = new Dev(here, ['-f', 'p.json']);
  await dev.next('settled');
  for (let save = 0; save < 25; save += 1) {
    await dev.save('src/main.sh', save % 2 === 0 ? `exit ${save}\n` : says(`${save}`));
    await dev.next('settled');
  }
  const jobs = linesOf<{ job: string }>(await here.must('pach list job -p p -o json'));
  expect(jobs).toHaveLength(20);
  expect(new Set(jobs.map(({ job }) => job)).size).toBe(20);
  await dev.save('src/main.sh', says('1'));
  expect(await dev.job()).toMatchObject({ datums: { processed: 0, skipped: 3 } });
  await dev.interrupt();
  await here.must('pach fsck');
});

test.skipIf(!isRoot)('an image is built beside the loop, and the old one serves until it is there', async () => {
  const script = (word: string): string => `{ cat /colour; echo ${word}; } > /pfs/out/seen\n`;
  await using here = await made('root', script('one'));
  await here.must(`mkdir img; echo blue > img/colour; echo img > img/.dockerignore; cat > img/Dockerfile <<'END'
FROM ${image}
COPY colour /colour
RUN grep -q blue /colour || sleep 8
END`);
  await spec(here, {
    input: { pfs: { repo: 'in', glob: '/' } },
    dev: { code: [{ from: './src', to: '/app' }], build: { context: './img' } },
  });
  await using dev = new Dev(here, ['-f', 'p.json', '--executor', 'docker']);
  expect(await dev.job()).toMatchObject({ state: 'success' });
  expect(await here.read(`p@${branch}:/seen`)).toBe('blue\none\n');

  const isBuilt = ({ line }: DevLine): boolean => String(line).startsWith('image of p: built in');
  await dev.save('img/colour', 'red\n');
  await dev.next('notice', ({ line }) => String(line).startsWith('image of p: building it'));
  await dev.save('src/main.sh', script('two'));
  expect(await dev.job()).toMatchObject({ state: 'success' });
  expect(await here.read(`p@${branch}:/seen`)).toBe('blue\ntwo\n');
  expect(dev.events.filter((each) => each.event === 'notice' && isBuilt(each))).toHaveLength(1);
  await dev.next('notice', isBuilt);
  expect(await dev.job()).toMatchObject({ state: 'success' });
  expect(await here.read(`p@${branch}:/seen`)).toBe('red\ntwo\n');
  // What does not build leaves the loop as it is.
  await dev.save('img/Dockerfile', 'FROM\n');
  await dev.next('notice', ({ line }) => String(line).includes("Docker can't build the image"));
  await dev.save('src/main.sh', script('three'));
  expect(await dev.job()).toMatchObject({ state: 'success' });
  expect(await here.read(`p@${branch}:/seen`)).toBe('red\nthree\n');
  expect(await dev.interrupt()).toBe(130);
});

test('what a spec depends on is as in production, whatever was tried on the branch before', async () => {
  await using here = await made();
  await here.ran('-f p.json');
  await here.spec('q', 'cat /pfs/p/a > /pfs/out/a', { input: { pfs: { repo: 'p', glob: '/' } } });
  await writeFile(join(here.place.dir, 'src/main.sh'), says('tried'));
  {
    await using dev = new Dev(here, ['-f', 'p.json']);
    await dev.next('settled');
    await dev.interrupt();
  }
  await using dev = new Dev(here, ['-f', 'q.json']);
  await dev.next('settled');
  expect(await here.read(`q@${branch}:/a`)).toBe('one\n');
});

test('a container whose command ignores SIGTERM does not keep what is saved from running', async () => {
  await using here = await made('root', "trap '' TERM; while :; do sleep 1; done\n");
  await using dev = new Dev(here, ['-f', 'p.json', '--executor', 'docker']);
  await dev.next('datumBegun');
  await dev.save('src/main.sh', says('two'));
  await dev.next('restarted');
  expect(await dev.job()).toMatchObject({ state: 'success', datums: { total: 3, failed: 0 } });
  await dev.next('settled');
  expect(await here.read(`p@${branch}:/a`)).toBe('two\n');
});
