/**
 * Experiments: a graph on a branch beside production, run by an engine of its own that moves nothing of production.
 */
import { expect, test } from 'vitest';
import { tick } from '../../src/engine/ticks.ts';
import { waitForBranch } from '../../src/engine/wait.ts';
import { demoteOnBranch } from '../../src/pipelines/editing/demote.ts';
import { mayUndo } from '../../src/pipelines/editing/may-undo.ts';
import { setPipelines } from '../../src/pipelines/editing/edit-pipelines.ts';
import { movedPipelines, type MovedPipeline } from '../../src/pipelines/editing/places.ts';
import { maybePipeline } from '../../src/pipelines/pipelines.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { undo } from '../../src/versions/undo/undo.ts';
import { expectSound } from '../versions/undo-world.ts';
import { Serving } from './serving.ts';
import { copy, EngineWorld, type SpecWords } from './world.ts';

const place = 'ml of cluster.example.org';
const branch = 'exp';
const input = { pfs: { repo: 'data', glob: '/*' } };
const below = (repo: string) => ({ pfs: { repo, glob: '/*' } });

async function promote(world: EngineWorld, specs: readonly SpecWords[], on: string | undefined = branch) {
  const parsed = specs.map(({ name, cmd = ['f'], ...fields }) => {
    const document = { pipeline: { name }, transform: { cmd }, datum_tries: 1, ...fields };
    return parseSpec(document, { file: 'spec', folder: world.dir, project: 'default' });
  });
  return setPipelines(world.project, parsed, {
    branch: on,
    update: true,
    reprocess: false,
    promotion: {
      place,
      pinned: new Map(parsed.map(({ name }) => [name, 'image'])),
      anew: new Map<string, number>(),
      force: false,
    },
    signal: new AbortController().signal,
    skipped: () => undefined,
  });
}

async function head(world: EngineWorld, repo: string, on = 'master'): Promise<string | undefined> {
  return (await (await world.project.snapshot()).maybeBranch(repo, on))?.head?.id;
}

/** Production: `first` reads `data`, `second` reads that, `third` that. */
async function production(): Promise<EngineWorld> {
  const world = await EngineWorld.make(copy);
  await world.set({ name: 'first', input });
  await world.set({ name: 'second', input: below('first') });
  await world.set({ name: 'third', input: below('second') });
  await world.commit('data', { a: 'one' });
  await world.run('third');
  return world;
}

test('an experiment reads what its own pipelines make on the branch, all else from production, and moves no head of it', async () => {
  await using world = await production();
  const before = await Promise.all(['first', 'second', 'third'].map((repo) => head(world, repo)));
  await promote(world, [
    { name: 'second', cmd: ['g'], input: below('first') },
    { name: 'third', input: below('second') },
    { name: 'fourth', input: below('third') },
  ]);
  {
    await using engine = new Serving(world, { place, branch });
    await engine.next('job-ended', 'fourth');
    expect(engine.jobs).toEqual(['second success', 'third success', 'fourth success']);
  }
  expect(await Promise.all(['first', 'second', 'third'].map((repo) => head(world, repo)))).toEqual(before);
  expect(await world.files('fourth', branch)).toEqual({ 'third/second/first/data/a': 'one' });
  expect(await head(world, 'first', branch)).toBeUndefined();
  const { provenance } = (await (await world.project.snapshot()).maybeBranch('third', branch))!;
  expect(provenance).toEqual([{ repo: 'second', branch }]);

  // Production's engine runs none of it, and its next commit is an experiment's next input.
  await world.commit('data', { a: 'two' });
  await using here = new Serving(world);
  await here.next('job-ended', 'third');
  expect(here.jobs).toEqual(['first success', 'second success', 'third success']);
  expect(await world.files('second', branch)).toEqual({ 'first/data/a': 'one' });
  await using _ = new Serving(world, { place, branch });
  const { snapshot } = await waitForBranch(world.project, { repo: 'fourth', branch }, new AbortController().signal);
  expect((await snapshot.maybeBranch('fourth', branch))?.head?.id).toBe(await head(world, 'fourth', branch));
  expect(await world.files('fourth', branch)).toEqual({ 'third/second/first/data/a': 'two' });
  await expectSound(world.project);
});

test('of an experiment, a failed pipeline holds back those below it; a new version and a new pipeline run at once', async () => {
  await using world = await production();
  await promote(world, [
    { name: 'second', cmd: ['g'], input: below('first') },
    { name: 'third', input: below('second') },
  ]);
  world.executor.command = (seen, [word = '']) => {
    return word === 'g' ? { ending: { kind: 'exit', code: 1 } } : { out: seen };
  };
  await using engine = new Serving(world, { place, branch });
  await engine.next('job-ended', 'second');
  await promote(world, [{ name: 'second', cmd: ['h'], input: below('first') }]);
  await engine.next('job-ended', 'third');
  expect(engine.jobs).toEqual(['second failure', 'second success', 'third success']);
  // What an experiment reads on its branch is known by which pipelines it has.
  await promote(world, [{ name: 'first', cmd: ['i'], input }]);
  await engine.next('job-ended', 'third');
  expect(engine.jobs.slice(3)).toEqual(['first success', 'second success', 'third success']);
  // Without that one they read production again.
  await demoteOnBranch(world.project, ['first'], branch);
  await engine.next('job-ended', 'second');
  expect(engine.jobs.slice(6)).toEqual(['second success']);
});

test("a second promotion publishes nothing; nobody else runs or changes it; the branch is nobody else's", async () => {
  await using world = await production();
  const specs = [{ name: 'second', cmd: ['g'], input: below('first') }];
  await promote(world, specs);
  const { operation } = (await world.project.snapshot()).head;
  expect(operation.what).toBe(`promote pipeline second to ${place} on branch exp`);
  await promote(world, specs);
  expect((await world.project.snapshot()).head.operation).toEqual(operation);

  await expect(world.run('third', { branch })).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringContaining(`${place} on branch exp`) as string,
    or: 'pach demote second --branch exp',
  });
  const document = { pipeline: { name: 'second' }, transform: { cmd: ['x'] }, input: below('first') };
  const spec = parseSpec(document, { file: 'spec', folder: world.dir, project: 'default' });
  const update = {
    branch,
    update: true,
    reprocess: false,
    signal: new AbortController().signal,
    skipped: () => undefined,
  };
  await expect(setPipelines(world.project, [spec], update)).rejects.toMatchObject({ code: 'conflict' });
  // Production's own branch, and one that production would come to.
  await expect(promote(world, specs, 'master')).rejects.toMatchObject({ code: 'conflict' });
  await expect(world.set({ name: 'second', input: below('first'), output_branch: branch })).rejects.toMatchObject({
    code: 'conflict',
    next: 'pach demote second --branch exp',
  });
  await world.set({ name: 'second', cmd: ['other'], input: below('first') });
});

test('a demotion leaves production and outputs, ends what runs, and keeps a repo that has no other pipeline', async () => {
  await using world = await production();
  const { project } = world;
  world.executor.command = async (seen, argv, { signal }) => {
    if (argv[0] !== 'g') return { out: seen };
    if (signal?.aborted === false) await new Promise((resolve) => signal.addEventListener('abort', resolve));
    return { ending: { kind: 'aborted' } };
  };
  await promote(world, [
    { name: 'only', input },
    { name: 'second', cmd: ['g'], input: below('only') },
  ]);
  {
    await using engine = new Serving(world, { place, branch });
    await engine.next('job-ended', 'only');
    await engine.next('datum-begun', 'second');
    const back = await demoteOnBranch(project, ['second', 'only'], branch);
    expect(back.map(({ name, version }) => [name, version])).toEqual([
      ['second', undefined],
      ['only', undefined],
    ]);
    await engine.next('job-ended', 'second');
    expect(engine.jobs).toEqual(['only success', 'second killed']);
  }
  const snapshot = await project.snapshot();
  expect(await maybePipeline(snapshot, 'second', branch)).toBeUndefined();
  const only = await maybePipeline(snapshot, 'only', branch);
  expect([only?.version, only?.place, only?.pinned]).toEqual([1, undefined, undefined]);
  expect(await world.files('only', branch)).toEqual({ 'data/a': 'one' });
  await world.run('only', { branch });

  let moved: MovedPipeline[] = [];
  const wanted = { verb: 'undo', operation: undefined } as const;
  await undo(project, {
    wanted,
    dryRun: false,
    mayUndo: async (change, later) => {
      await mayUndo(change, later);
      moved = await movedPipelines(change);
    },
  });
  expect(moved.map(({ pipeline, branch: on, from, to }) => [pipeline, on, from, to])).toEqual([
    ['only', branch, null, place],
    ['second', branch, null, place],
  ]);
  expect(await maybePipeline(await project.snapshot(), 'second', branch)).toMatchObject({ place });
  await expectSound(project);
});

test('an experiment ticks what production has no ticks of, and nothing else', async () => {
  await using world = await EngineWorld.make(copy);
  const cron = (name: string) => ({ cron: { name, spec: '@every 1h', start: '2026-01-01T00:00:00Z' } });
  const now = Date.parse('2026-01-01T05:00:01Z');
  await world.set({ name: 'p', input: cron('t') });
  await promote(world, [
    { name: 'p', cmd: ['g'], input: cron('t') },
    { name: 'q', input: cron('t') },
  ]);
  await tick(world.project, { now, branch, place });
  expect(await head(world, 'p_t')).toBeUndefined();
  expect(await head(world, 'q_t')).toBeDefined();
});
