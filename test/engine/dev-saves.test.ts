/**
 * What a save costs the loop of development and what becomes of what it cancels: files that are read,
 * git, the reason of a job, and which datums come first.
 */
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { native } from '../../src/base/native.ts';
import { listJobs, maybeJob, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { FolderMemory } from '../../src/local/folder-memory.ts';
import { storeCode } from '../../src/pipelines/code.ts';
import { codeBytes } from '../../src/pipelines/editing/versions.ts';
import { findPipeline } from '../../src/pipelines/pipelines.ts';
import { Looping } from './looping.ts';
import { copy, EngineWorld, type Command } from './world.ts';

afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

/** Files that were just written look as if that was long ago: their times are told from later ones. */
function later(): void {
  const now = Date.now.bind(Date);
  vi.spyOn(Date, 'now').mockImplementation(() => now() + 60_000);
}

/** Names of files whose content is read from now on. */
function reads(): string[] {
  const names: string[] = [];
  const readSmallFiles = native().readSmallFiles.bind(native());
  const openFile = native().openFile.bind(native());
  vi.spyOn(native(), 'readSmallFiles').mockImplementation((root, path, of, max) => {
    names.push(...of.map(String));
    return readSmallFiles(root, path, of, max);
  });
  vi.spyOn(native(), 'openFile').mockImplementation((root, path) => {
    names.push(path.toString());
    return openFile(root, path);
  });
  return names;
}

const isCode = (name: string): boolean => name.endsWith('.py');

test('after a save the one file that changed is read, of 2,000', async () => {
  await using world = await EngineWorld.make(copy);
  await world.commit('data', { a: '1' });
  const src = join(world.dir, 'src');
  for (let folder = 0; folder < 20; folder += 1) {
    await mkdir(join(src, String(folder)), { recursive: true });
    const files = Array.from({ length: 100 }, (_, n) => writeFile(join(src, String(folder), `${n}.py`), `${n}`));
    await Promise.all(files);
  }
  later();
  await using looping = new Looping(world, [], { dev: { code: [{ from: './src', to: '/app' }] } });
  await looping.next('settled');
  const names = reads();
  await writeFile(join(src, '7/main.tmp'), 'changed');
  await rename(join(src, '7/main.tmp'), join(src, '7/42.py'));
  looping.loop.filesMayHaveChanged();
  expect(await looping.next('saved')).toMatchObject({ cause: 'code', files: [join(src, '7/42.py')], fileCount: 1 });
  expect(await looping.counts()).toMatchObject({ processed: 1 });
  await looping.next('settled');
  expect(names.filter(isCode)).toEqual(['42.py']);
  // Nothing at all for a hint that nothing came of.
  looping.loop.rerun();
  looping.loop.filesMayHaveChanged();
  await looping.next('settled');
  expect(names.filter(isCode)).toEqual(['42.py']);
});

test('what is remembered of files gives the code that reading all of them gives', async () => {
  await using world = await EngineWorld.make(copy);
  const src = join(world.dir, 'src');
  const put = (name: string, text: string): Promise<void> => writeFile(join(src, name), text);
  await mkdir(join(src, 'lib'), { recursive: true });
  for (const name of ['a', 'b', 'c', 'lib/d', 'lib/e']) await put(name, name);
  await world.commit('data', { a: '1' });
  later();
  const code = [{ from: src, to: '/app' }];
  await using begun = await world.project.begin();
  const memory = new FolderMemory();
  const watch = { signal: new AbortController().signal, skipped: () => undefined };
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  const pipeline = await findPipeline(await world.project.snapshot(), 'p');
  const spec = { ...pipeline.spec, code };
  let version: { spec: typeof spec; code: Job['code'] } | undefined;
  const same = async (what: string): Promise<void> => {
    const known = await storeCode(world.project, begun.upload, code, { ...watch, known: { memory, version } });
    const whole = await storeCode(world.project, begun.upload, code, watch);
    await begun.upload.finish();
    const bytes = (of: Job['code']) => codeBytes(world.project.reader, { spec, code: of });
    expect([what, (await bytes(known)).toString()]).toEqual([what, (await bytes(whole)).toString()]);
    version = { spec, code: known };
  };
  await same('at first');
  await same('unchanged');
  await put('b', 'other');
  await same('a file');
  await put('.pachignore', 'a\n*/e\n');
  await same('files that are left out from now on');
  await put('c', 'c2');
  await same('a file beside one that is left out');
  await put('.pachignore', '*/e\n');
  await same('one that is not left out any more');
  await rm(join(src, '.pachignore'));
  await same('none that is left out');
  await chmod(join(src, 'c'), 0o755);
  await same('an executable bit');
  await rm(join(src, 'lib'), { recursive: true });
  await put('lib', 'a file now');
  await same('a folder that became a file');
  await rm(join(src, 'a'));
  await rename(join(src, 'b'), join(src, 'a'));
  await same('names that moved');
});

test('nobody waits for git; what it says is recorded, in the job too, whichever ends first', async () => {
  let hold: Promise<void> = Promise.resolve();
  await using world = await EngineWorld.make(async (seen) => {
    await hold;
    return { out: seen };
  });
  await world.commit('data', { a: '1' });
  const src = join(world.dir, 'src');
  const gate = join(world.dir, 'gate');
  await mkdir(join(world.dir, 'bin'));
  await mkdir(src);
  await writeFile(join(src, 'main'), 'one');
  const git = `#!/bin/sh
echo "$*" >> ${gate}.asked
while [ ! -e ${gate} ]; do sleep 0.02; done
case "$*" in *rev-parse*) cat ${join(src, 'main')};; *remote*) echo https://me:word@example.org/x;; esac\n`;
  await writeFile(join(world.dir, 'bin/git'), git, { mode: 0o755 });
  vi.stubEnv('PATH', `${join(world.dir, 'bin')}${delimiter}${process.env['PATH']}`);
  const origins = async (): Promise<string[]> => {
    const snapshot = await world.project.snapshot();
    const { codeOrigin } = await findPipeline(snapshot, 'p', 'dev-me');
    return [codeOrigin, (await listJobs(snapshot, 'p'))[0]?.codeOrigin ?? 'no job'];
  };
  await using looping = new Looping(world, [], { dev: { code: [{ from: './src', to: '/app' }] } });
  await looping.next('settled');
  expect(await world.files('p', 'dev-me')).toEqual({ 'data/a': '1' });
  expect(await origins()).toEqual(['', '']);
  await writeFile(gate, '');
  const one = 'https://example.org/x one';
  await expect.poll(origins).toEqual([one, one]);
  // The first question was answered: nobody gave it up before, to get on.
  expect(
    (await readFile(`${gate}.asked`, 'utf8')).split('\n').filter((line) => line.includes('rev-parse')),
  ).toHaveLength(1);

  let release = (): void => undefined;
  hold = new Promise<void>((go) => (release = go));
  await writeFile(join(src, 'main'), 'second');
  looping.loop.filesMayHaveChanged();
  await looping.next('datum-begun');
  const second = 'https://example.org/x second';
  await expect.poll(origins).toEqual([second, second]);
  release();
  await looping.next('settled');
  expect(await origins()).toEqual([second, second]);

  // One that hangs does not keep the loop from its end.
  await rm(gate);
  await writeFile(join(src, 'main'), 'the third');
  looping.loop.filesMayHaveChanged();
  await looping.next('settled');
});

test('a job that a save cancels says so', async () => {
  const hanging: Command = async (_seen, _argv, { signal }) => {
    if (!signal?.aborted) await new Promise((aborted) => signal?.addEventListener('abort', aborted));
    return { ending: { kind: 'aborted' } };
  };
  await using world = await EngineWorld.make(hanging);
  await world.commit('data', { a: '1' });
  await using looping = new Looping(world);
  await looping.next('datum-begun');
  world.executor.command = copy;
  looping.fields = { transform: { cmd: ['g'] } };
  looping.loop.filesMayHaveChanged();
  const reason = 'a newer save of its spec replaced it';
  expect(await looping.next('restarted')).toMatchObject({ pipeline: 'p', cause: 'spec', reason });
  const { outcome, job } = await looping.next('job-ended');
  expect(outcome).toMatchObject({ state: 'killed', reason, error: { message: expect.stringContaining(reason) } });
  expect(await maybeJob(await world.project.snapshot(), job)).toMatchObject({ state: 'killed', reason });
  expect(await looping.next('job-ended')).toMatchObject({ outcome: { state: 'success' } });
});

test('what failed in the last job of the branch comes first when the loop begins again', async () => {
  const picky: Command = (seen) => ('data/c' in seen ? { ending: { kind: 'exit', code: 1 } } : { out: seen });
  await using world = await EngineWorld.make(picky);
  await world.commit('data', { a: '1', b: '2', c: '3', d: '4' });
  {
    await using looping = new Looping(world);
    await looping.next('settled');
  }
  const before = world.executor.ran.length;
  await using looping = new Looping(world, [], { transform: { cmd: ['g'] } });
  await looping.next('settled');
  const again = world.executor.ran.slice(before).map((seen) => Object.keys(seen)[0]);
  expect(again).toEqual(['data/c', 'data/a', 'data/b', 'data/d']);
  looping.loop.onlyFailed();
  expect((await looping.next('watching')).selection).toMatchObject({ kind: 'failed', leftOut: 3 });
});

test('of all datums that are planned and have not begun the smallest comes first', async () => {
  let isPlanned = (): void => undefined;
  const planned = new Promise<void>((go) => (isPlanned = go));
  await using world = await EngineWorld.make(async (seen) => {
    await planned;
    return { out: seen };
  });
  const count = 260;
  // The plan begins with the largest ones.
  const files = Array.from({ length: count }, (_, n) => [
    `f${String(n).padStart(3, '0')}`,
    'x'.repeat(40 - Math.floor(n / 8)),
  ]);
  await world.commit('data', Object.fromEntries(files) as Record<string, string>);
  await using looping = new Looping(world);
  await looping.next('planned');
  isPlanned();
  await looping.next('settled');
  const [, ...rest] = world.executor.ran.map((seen) => Object.values(seen)[0]?.toString().length ?? 0);
  expect(rest).toHaveLength(count - 1);
  expect(rest).toEqual(rest.toSorted((a, b) => a - b));
});

test('workers are heard while the rest is still planned', async () => {
  await using world = await EngineWorld.make(copy);
  const files = Object.fromEntries(Array.from({ length: 32 }, (_, n) => [`f${n}`, String(n)]));
  const input = { cross: ['data', 'more'].map((repo) => ({ pfs: { repo, glob: '/*' } })) };
  for (const repo of ['data', 'more']) await world.commit(repo, files);
  await using looping = new Looping(world, [], { input });
  await looping.next('datum-begun');
  await new Promise((turn) => setImmediate(turn));
  expect(looping.events.some(({ kind }) => kind === 'planned')).toBe(false);
  expect(await looping.next('planned')).toMatchObject({ toRun: 1024 });
});
