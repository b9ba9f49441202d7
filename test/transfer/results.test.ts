/**
 * With its results, a pipeline goes on in another store where it was, and computes nothing again.
 */
import { expect, test } from 'vitest';
import { tick } from '../../src/engine/ticks.ts';
import { takeLease, leaseHolder, endRun } from '../../src/pipelines/jobs/lease.ts';
import { listJobs } from '../../src/pipelines/jobs/jobs.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import type { Project } from '../../src/versions/project.ts';
import { Serving } from '../engine/serving.ts';
import { EngineWorld, type Command } from '../engine/world.ts';
import { openTestProject } from '../versions/project.ts';
import { emptyProject, expectWhole, move, refsText, refused } from './pushing.ts';

const all = { withProvenance: true, withResults: true };
const kinds = ['repo', 'branch', 'commit', 'used', 'pipeline', 'job', 'jobs', 'result', 'failed', 'check', 'ticks'];

/** Writes the length of each file; what says `fail` fails. */
const measure: Command = (seen) => {
  const sizes = Object.entries(seen).map(([path, text]) => [path.split('/').at(-1) ?? '', String(text)] as const);
  const failing = sizes.some(([, text]) => text === 'fail');
  const out = Object.fromEntries(sizes.map(([name, text]) => [name, String(text.length)]));
  return failing ? { ending: { kind: 'exit', code: 1 } } : { out, log: 'measured' };
};

async function world(): Promise<EngineWorld> {
  const made = await EngineWorld.make(measure);
  await made.set({ name: 'sizes', input: { pfs: { repo: 'data', glob: '/*' } } });
  await made.set({ name: 'total', input: { pfs: { repo: 'sizes', glob: '/' } } });
  return made;
}

const filled = async (): Promise<EngineWorld> => {
  const made = await world();
  await made.commit('data', { a: '1', b: '22' });
  await made.run('total');
  return made;
};

/** A world of which the store has nothing but what was moved to it. */
async function bare(): Promise<EngineWorld> {
  const made = await EngineWorld.make(measure);
  return Object.assign(made, { project: await emptyProject() });
}

test('results alone go along with what was read: who makes the same pipeline there computes nothing', async () => {
  await using from = await filled();
  await using to = await bare();
  const result = await move(from.project, to.project, { repos: ['data'], withProvenance: true, resultsOf: ['sizes'] });
  expect(result).toMatchObject({ commits: 1, jobs: 0, results: 2, pipelines: [] });
  await expectWhole(to.project);
  await to.set({ name: 'sizes', input: { pfs: { repo: 'data', glob: '/*' } } });
  expect((await to.run('sizes')).job.counts).toMatchObject({ processed: 0, skipped: 2 });
  expect(to.executor.ran).toEqual([]);
  expect(await to.files('sizes')).toEqual(await from.files('sizes'));
  // What comes later goes along alone.
  await from.commit('data', { a: '1', b: '22', c: '333' });
  await from.run('sizes');
  const more = await move(from.project, to.project, { repos: ['data'], resultsOf: ['sizes'] });
  expect(more).toMatchObject({ commits: 1, results: 1 });
});

test('pipelines, jobs and results come along, and nothing of it is computed again', async () => {
  await using from = await filled();
  await using to = await bare();
  const result = await move(from.project, to.project, { repos: ['total'], ...all });
  expect(result).toMatchObject({ commits: 3, jobs: 2, results: 3, missing: [], resultsWithheld: false });
  expect([...result.pipelines].sort()).toEqual(['sizes', 'total']);
  const { 'repo/more': _, ...refs } = await refsText(from.project, ...kinds);
  expect(await refsText(to.project, ...kinds)).toEqual(refs);
  await expectWhole(to.project);
  const { job } = await to.run('total');
  expect(job.counts).toMatchObject({ processed: 0, total: 1 });
  expect(to.executor.ran).toEqual([]);
  // What is new there is computed there, and it is the rest that is known.
  await to.commit('data', { a: '1', b: '22', c: '333' });
  await to.run('total');
  expect(to.executor.ran).toHaveLength(2);
  expect(await to.files('sizes')).toEqual({ a: '1', b: '2', c: '3' });
  const head = (await (await to.project.snapshot()).branch('sizes', 'master')).head;
  expect(head?.id).toBeDefined();
  // And back again.
  const back = await move(to.project, from.project, { repos: ['total'], ...all });
  expect(back).toMatchObject({ commits: 3, results: 2, pipelines: [] });
  expect((await from.run('total')).job.counts).toMatchObject({ processed: 0 });
  expect(await from.files('total')).toEqual(await to.files('total'));
  for (const each of [from, to]) await expectWhole(each.project);
});

test('an engine that runs there sees what was pushed', async () => {
  await using from = await filled();
  await using to = await bare();
  await move(from.project, to.project, { repos: ['total'], ...all });
  await using engine = new Serving(to);
  // What it knows already makes jobs in which all is skipped at most.
  await from.commit('data', { a: '1', b: '22', c: '333' });
  await move(from.project, openTestProject(to.project.options.store), { repos: ['data'] });
  while ((await engine.next('job-ended', 'total')) && !(await to.files('sizes'))?.['c']);
  expect(await to.files('sizes')).toEqual({ a: '1', b: '2', c: '3' });
  await engine.end();
  expect(to.executor.ran.length).toBe(2);
});

test('without results an output is a repo like any other; with them it becomes what it was', async () => {
  await using from = await filled();
  await using to = await bare();
  await move(from.project, to.project, { repos: ['sizes'] });
  expect(await refsText(to.project, 'pipeline', 'job', 'result')).toEqual({});
  expect((await (await to.project.snapshot()).branch('sizes', 'master')).provenance).toEqual([]);
  expect(await move(from.project, to.project, { repos: ['sizes'], ...all })).toMatchObject({ pipelines: ['sizes'] });
  expect((await (await to.project.snapshot()).branch('sizes', 'master')).provenance).toHaveLength(1);
  // From now on only the pipeline commits to it, or who brings its results.
  await from.commit('data', { a: '1', b: '22', c: '333' });
  await from.run('sizes');
  expect((await refused(from.project, to.project, { repos: ['sizes'] })).next).toBe('pach push sizes@master --results');
  await move(from.project, to.project, { repos: ['sizes'], ...all });
  expect((await to.run('sizes')).job.counts).toMatchObject({ processed: 0, total: 3 });
  await expectWhole(to.project);
});

test('another pipeline of the name, one that runs, and two that computed the same are refused', async () => {
  await using from = await filled();
  await using to = await bare();
  await move(from.project, to.project, { repos: ['sizes'], ...all });
  await from.commit('data', { a: '4' });
  await from.run('sizes');
  const holder = leaseHolder('somebody');
  await to.project.update('lease', (change) => takeLease(change, { pipeline: 'sizes', branch: 'master' }, holder));
  expect((await refused(from.project, to.project, { repos: ['sizes'], ...all })).why).toMatch(/a job of it is running/);
  endRun(holder);
  await move(from.project, to.project, { repos: ['data'] });
  await to.run('sizes');
  const both = await refused(from.project, to.project, { repos: ['sizes'], ...all });
  expect(both.why).toMatch(/^commit \w{12} was computed here and in memory:other, from the same inputs/);
  await from.set({ name: 'sizes', cmd: ['g'], input: { pfs: { repo: 'data', glob: '/*' } } });
  const other = await refused(from.project, to.project, { repos: ['sizes'], ...all });
  expect(other.message).toMatch(/computed here|another one in memory:other/);
  await using third = await bare();
  await move(to.project, third.project, { repos: ['sizes'], ...all });
  await third.set({ name: 'sizes', cmd: ['h'], input: { pfs: { repo: 'data', glob: '/*' } } });
  const differs = await refused(to.project, third.project, { repos: ['sizes'], ...all });
  expect(differs.message).toMatch(/^pipeline sizes: it is another one in memory:other/);
});

test('jobs that failed come with their commits', async () => {
  await using from = await world();
  await from.commit('data', { a: '1', b: 'fail' });
  await from.run('sizes');
  await from.commit('data', { a: '1' });
  await from.run('sizes');
  await using to = await bare();
  await move(from.project, to.project, { repos: ['sizes'], ...all });
  const jobs = await listJobs(await to.project.snapshot(), 'sizes');
  expect(jobs.map(({ state }) => state)).toEqual(['success', 'failure']);
  expect(await refsText(to.project, 'job', 'commit')).toEqual(await refsText(from.project, 'job', 'commit'));
  await expectWhole(to.project);
});

test('inputs with schedules and triggers are what they were', async () => {
  await using from = await EngineWorld.make(measure);
  await from.set({ name: 'night', input: { cron: { name: 'tick', spec: '@daily', start: '2026-01-01T00:00:00Z' } } });
  await from.set({ name: 'some', input: { pfs: { repo: 'data', glob: '/*', trigger: { commits: 1 } } } });
  await tick(from.project, { now: Date.now() });
  await from.commit('data', { a: '1' });
  await from.run('night');
  await from.run('some');
  await using to = await bare();
  await move(from.project, to.project, { repos: ['night', 'some'], ...all });
  const whole = ['repo', 'branch', 'pipeline', 'ticks', 'job'];
  const { 'branch/data/master': _, 'repo/more': __, ...refs } = await refsText(from.project, ...whole);
  expect(await refsText(to.project, ...whole)).toEqual(refs);
  await expectWhole(to.project);
  await to.run('night');
  await to.run('some');
  expect(to.executor.ran).toEqual([]);
  await tick(from.project, { now: Date.now() + 86_400_000 });
  await from.run('night');
  await move(from.project, to.project, { repos: ['night'], ...all });
  await to.run('night');
  expect(to.executor.ran).toEqual([]);
});

test('results that may hold what was purged there stay', async () => {
  const collect = (project: Project) => collectGarbage(project, { grace: 0, dryRun: false, progress: () => undefined });
  await using from = await filled();
  await using to = await bare();
  await move(from.project, to.project, { repos: ['total'], ...all });
  await purge(to.project, { repo: 'data', what: { path: '/b' }, dryRun: false });
  await collect(to.project);
  // The outputs stay there, as a purge says; their results and logs do not come back.
  await from.commit('more', { x: 'new' });
  await from.set({ name: 'other', input: { pfs: { repo: 'more', glob: '/*' } } });
  await from.run('other');
  const withheld = await move(from.project, to.project, { repos: ['total', 'other'], withResults: true });
  expect(withheld).toMatchObject({ results: 0, resultsWithheld: true });
  expect(await refsText(to.project, 'result')).toEqual({});
  expect((await listJobs(await to.project.snapshot())).filter(({ datums }) => datums)).toEqual([]);
  // A fresh clone has nothing that is older than the purge, and brings what it computes.
  await using clone = await bare();
  await move(to.project, clone.project, { repos: ['total'], ...all, verb: 'pull' });
  expect(Object.keys(await refsText(clone.project, 'purged'))).toHaveLength(1);
  await clone.run('total');
  const computed = await move(clone.project, to.project, { repos: ['total'], ...all });
  expect(computed.resultsWithheld).toBe(false);
  expect(computed.results).toBeGreaterThan(0);
  // Who hears of the purge has results of before it, and brings none.
  await using late = await bare();
  await move(from.project, late.project, { repos: ['other'], ...all });
  await move(to.project, late.project, { repos: ['data'], verb: 'pull' });
  expect(Object.keys(await refsText(late.project, 'purged'))).toHaveLength(1);
  expect(await move(late.project, to.project, { repos: ['other'], ...all })).toMatchObject({ resultsWithheld: true });
  for (const each of [to, clone, late]) await expectWhole(each.project);
});
