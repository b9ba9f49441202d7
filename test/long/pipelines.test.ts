/**
 * Jobs of very many datums: how many objects they make, and that a job costs by what has changed.
 */
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openLocalExecutor } from '../../src/app/executors.ts';
import type { Settings } from '../../src/app/settings.ts';
import type { JobId, Outcome } from '../../src/model/records/pipelines.ts';
import { recipeFor } from '../../src/engine/job-start.ts';
import { findPipeline } from '../../src/pipelines/pipelines.ts';
import { planJob } from '../../src/pipelines/jobs/plan.ts';
import { Publisher } from '../../src/results/publisher.ts';
import { inputsOf } from '../../src/engine/run-graph.ts';
import { storeResult } from '../../src/results/take-out.ts';
import { openProject } from '../../src/app/open.ts';
import { Home } from '../../src/local/home.ts';
import { openStore } from '../../src/store/open.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { Directories } from '../../src/versions/directories.ts';
import type { Project } from '../../src/versions/project.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { Place } from '../support/place.ts';
import { fileEntry } from '../pipelines/datum-world.ts';
import { copy, EngineWorld } from '../engine/world.ts';

const many = Number(process.env['DATUMS'] ?? 1_000_000);
const objectsMax = 200;

const nameAt = (n: number): Buffer => Buffer.from(`f${String(n).padStart(7, '0')}`);

/** Commits files with these texts to `data@master`, on top of what is there. */
async function commitFiles(project: Project, texts: ReadonlyMap<number, string> | number): Promise<void> {
  const begun = await project.begin();
  const head = (await begun.snapshot.maybeBranch('data', 'master'))?.head;
  const base = head && rootOf(await begun.snapshot.commitAt(head.commit));
  const entries = function* () {
    if (typeof texts === 'number') for (let n = 0; n < texts; n += 1) yield fileEntry(nameAt(n), `${n}`);
    else for (const [n, text] of texts) yield fileEntry(nameAt(n), text);
  };
  const tree = await new Directories(project.reader, begun.upload.nodes).apply(base, entries());
  await project.update(
    'put',
    async (change) => {
      const id = newCommitId();
      await change.commit({ id, repo: 'data', branch: 'master', tree, message: '', started: Date.now() });
    },
    begun,
  );
}

async function filesBelow(dir: string): Promise<number> {
  return (await readdir(dir, { recursive: true, withFileTypes: true })).filter((each) => each.isFile()).length;
}

test('100,000 tiny datums make few objects', { timeout: 1_800_000 }, async () => {
  await using place = await Place.make('root', { PACH_STORE: 'store' });
  const dir = join(place.dir, 'store');
  await mkdir(dir);
  const store = await openStore(dir);
  await using world = await EngineWorld.make(copy, store);
  const count = Math.min(many, 100_000);
  await commitFiles(world.project, count);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  const begun = performance.now();
  const { job } = await world.run('p', { workers: 2 });
  const seconds = (performance.now() - begun) / 1000;
  const objects = await filesBelow(dir);
  console.log(
    `${count} datums: ${(count / seconds).toFixed(0)} a second, ${objects} objects, ` +
      `${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`,
  );
  expect(job).toMatchObject({ state: 'success', counts: { total: count, processed: count } });
  expect(objects).toBeLessThan(objectsMax);
  await store.close();
});

/** Stores results for all datums of `p` as if some job had run them, without running anything. */
async function seedResults(project: Project, settings: Settings): Promise<number> {
  await using executor = await openLocalExecutor('process', settings);
  const snapshot = await project.snapshot();
  const pipeline = await findPipeline(snapshot, 'p');
  const recipe = await recipeFor({ project, pipeline, executor });
  const inputs = await inputsOf({ branch: undefined, pinned: new Map() }, snapshot, pipeline, []);
  const options = { snapshot, spec: pipeline.spec, recipe, inputs, base: undefined, everything: false };
  const failed = (error: unknown): never => {
    throw error;
  };
  const publisher = new Publisher({ project, what: 'seed', also: () => Promise.resolve(), failed });
  const job: JobId = newCommitId();
  const stats = { startedMs: 0, downloadMs: 0, processMs: 0, uploadMs: 0, cpuMs: 0 };
  let count = 0;
  for await (const step of (await planJob(options)).steps()) {
    if (step.kind !== 'run') throw new Error('it has results already');
    const { key, datum } = step.planned;
    await publisher.write(async (upload) => {
      const entry = fileEntry(nameAt(count), 'out');
      const out = await new Directories(project.reader, upload.nodes).apply(undefined, [entry]);
      const tree = await storeResult(project.reader, upload, { out, log: Buffer.alloc(0), files: undefined });
      const sizes = { inputBytes: 1, outputBytes: 1, memoryBytesPeak: 1 };
      const outcome: Outcome = {
        state: 'success',
        job,
        pipeline: 'p',
        reason: '',
        stats: { ...stats, ...sizes },
        mayHaveEmptyFolders: false,
      };
      return { datum: key.toString('hex'), key, result: { outcome, tree }, keep: datum.files.length === 1 };
    });
    count += 1;
    if (count % 100_000 === 0) await publisher.flush();
  }
  await publisher.flush();
  return count;
}

interface Ran {
  readonly seconds: number;
  readonly mebibytes: number;
  readonly datums: object;
}

async function run(place: Place): Promise<Ran> {
  const json = await place.must('/usr/bin/time -o used -f "%e %M" pach run pipeline p -o json', 1500);
  const [seconds, kibibytes] = (await place.must('cat used')).trim().split(' ').map(Number);
  const { datums } = JSON.parse(json) as { datums: object };
  return { seconds: seconds as number, mebibytes: (kibibytes as number) / 1024, datums };
}

test('a job of a million datums costs by what has changed', { timeout: 3_600_000 }, async () => {
  await using place = await Place.make('root', { PACH_STORE: 'store', LANG: 'C.UTF-8' });
  const commandEnvironment = {
    PATH: (await place.must('echo $PATH')).trim(),
    HOME: join(place.dir, 'home'),
    LANG: 'C.UTF-8',
  };
  const home = new Home(join(place.dir, 'home/.pachmount'));
  const settings: Settings = {
    home,
    storeUrl: join(place.dir, 'store'),
    defaultStore: false,
    project: 'default',
    author: 'tester',
    commandEnvironment,
  };
  await place.must('pach create repo data');
  await writeFile(
    join(place.dir, 'p.json'),
    JSON.stringify({
      pipeline: { name: 'p' },
      transform: { cmd: ['sh', '-c', 'cp -r /pfs/data/* /pfs/out'] },
      input: { pfs: { repo: 'data', glob: '/*' } },
    }),
  );
  await place.must('pach create pipeline -f p.json');
  let begun = performance.now();
  const say = (what: string): void => {
    console.log(`${what}: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    begun = performance.now();
  };
  {
    await using opened = await openProject(settings);
    await commitFiles(opened.project, many);
    say(`${many} files`);
    expect(await seedResults(opened.project, settings)).toBe(many);
    say('results');
  }
  const full = await run(place);
  console.log('all are planned, and have results', full);
  expect(full.datums).toMatchObject({ total: many, skipped: many });
  const idle = await run(place);
  console.log('nothing changed', idle);
  {
    await using opened = await openProject(settings);
    await commitFiles(opened.project, new Map([[Math.floor(many / 2), 'changed']]));
  }
  const one = await run(place);
  console.log('one changed', one);
  expect(one.datums).toEqual({ total: many, processed: 1, skipped: many - 1, failed: 0, recovered: 0 });
  expect(one.mebibytes).toBeLessThan(500);
  console.log(`${await filesBelow(join(place.dir, 'store'))} objects`);
});
