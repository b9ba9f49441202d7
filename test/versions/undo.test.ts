/**
 * Undo and redo of what people did to repos, branches and files.
 */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { traceStore } from '../../src/store/trace.ts';
import type { Project } from '../../src/versions/project.ts';
import { declare, madeOf } from '../../src/versions/provenance.ts';
import {
  createBranch,
  createRepo,
  deleteBranch,
  deleteRepo,
  renameBranch,
  updateRepo,
} from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { makeTestProject, openTestProject } from './project.ts';
import { collect, day, put } from './simulation-edits.ts';
import { asAuthor, expectSound, lastOperation, operations, redo, refsOf, takeBack } from './undo-world.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

function pass(milliseconds: number): void {
  vi.setSystemTime(Date.now() + milliseconds);
}

/** All that is stored of a project's head. */
async function head(project: Project): Promise<string> {
  return (await project.readHead()).token;
}

async function declares(project: Project, of: string, from: string): Promise<void> {
  await project.update('declare', async (change) => {
    const commit = await resolveCommit(change.snapshot, parseAddress(of));
    await declare(change, commit, { paths: ['/'], sources: [await madeOf(change.snapshot, parseAddress(from))] });
  });
}

const verbs: Readonly<Record<string, (project: Project) => Promise<unknown>>> = {
  'create repo': (project) => createRepo(project, 'images', 'photos'),
  'put that makes a branch': (project) => put(project, 'images', 'master', { '/a': 0, '/b': 2 }),
  'put over a file': (project) => put(project, 'images', 'master', { '/a': 4 }),
  'delete file': (project) => put(project, 'images', 'master', { '/b': null }),
  'create branch': (project) => createBranch(project, 'images', 'dev', parseAddress('images@master^')),
  'create branch without commits': (project) => createBranch(project, 'images', 'free', undefined),
  'move branch': (project) => createBranch(project, 'images', 'dev', parseAddress('images@master')),
  'rename branch': (project) =>
    renameBranch(project, { repo: 'images', from: 'dev', to: 'tested' }, async () => undefined),
  'update repo': (project) => updateRepo(project, 'images', 'more photos'),
  'delete branch': (project) => deleteBranch(project, 'images', 'master'),
  'delete repo': (project) => deleteRepo(project, 'images', { force: true }),
};

test('what every verb did is taken back step by step, and made again', async () => {
  const { project } = await makeTestProject();
  const states = [await refsOf(project)];
  for (const act of Object.values(verbs)) {
    await act(project);
    states.push(await refsOf(project));
  }
  const names = Object.keys(verbs);
  for (let step = names.length - 1; step >= 0; step -= 1) {
    const told = await takeBack(project, undefined, true);
    expect((await takeBack(project)).changes).toEqual(told.changes);
    expect({ verb: names[step], refs: await refsOf(project) }).toEqual({ verb: names[step], refs: states[step] });
    await expectSound(project);
  }
  for (let step = 1; step < states.length; step += 1) {
    await redo(project);
    expect({ step, refs: await refsOf(project) }).toEqual({ step, refs: states[step] });
    await expectSound(project);
  }
  await expect(redo(project)).rejects.toMatchObject({ code: 'not-found', what: 'redo' });
  // A redo is undone as what it made.
  await takeBack(project);
  expect(await refsOf(project)).toEqual(states.at(-2));
  await put(project, 'images', 'tested', { '/c': 1 });
  await expect(redo(project)).rejects.toMatchObject({ code: 'not-found', what: 'redo' });
});

test('an operation is an undo or redo of the one before it in its chain', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', 'master', { '/a': 0 });
  const made = await lastOperation(project);
  await takeBack(project);
  const undone = await lastOperation(project);
  expect(undone).toMatchObject({ undoes: made.id, what: 'undo: put data@master' });
  await takeBack(project, undone.id); // as redo does
  const redone = await lastOperation(project);
  expect(redone).toMatchObject({ redoes: undone.id, what: 'redo: put data@master' });
  await takeBack(project, made.id.slice(0, 12));
  expect(await lastOperation(project)).toMatchObject({ undoes: redone.id, what: 'undo: put data@master' });
  await expect(takeBack(project, made.id)).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringMatching(/was taken back already/),
  });
  await expect(takeBack(project, 'ffffffff')).rejects.toMatchObject({
    code: 'not-found',
    why: expect.stringMatching(/no such operation/),
  });
});

test('a later change of the same by a person stands in the way and is named; what else was done does not', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', 'master', { '/a': 0 });
  const first = await lastOperation(project);
  const bob = asAuthor(project, 'bob');
  await put(bob, 'data', 'master', { '/b': 1 });
  const second = await lastOperation(project);
  await put(bob, 'data', 'other', { '/b': 1 });
  const before = await head(project);
  const time = new Date(second.time).toISOString().slice(0, 19);
  await expect(takeBack(project, first.id)).rejects.toMatchObject({
    code: 'conflict',
    what: expect.stringContaining(first.id.slice(0, 12)),
    why: `branch data@master was changed since by ${second.id.slice(0, 12)}, put data@master, by bob at ${time}Z`,
    next: `pach undo ${second.id}`,
  });
  expect(await head(project)).toBe(before);
  // What was undone since does not stand in the way.
  await takeBack(bob, second.id);
  await takeBack(project, first.id);
  expect(Object.keys(await refsOf(project, 'branch'))).toEqual(['branch/data/other']);
  await expectSound(project);
});

test('without an id it takes back what the same person did, and says what others did', async () => {
  const { project } = await makeTestProject();
  const bob = asAuthor(project, 'bob');
  await expect(takeBack(bob)).rejects.toMatchObject({
    code: 'not-found',
    why: expect.stringMatching(/nothing left that bob did; the last change is \w{12}, create repo data, by tester/),
  });
  await put(project, 'data', 'master', { '/a': 0 });
  await put(bob, 'data', 'bobs', { '/a': 0 });
  expect((await takeBack(project)).operation).toMatchObject({ what: 'put data@master', who: 'tester' });
  await expect(redo(bob)).rejects.toMatchObject({ code: 'not-found' });
  // Nor does what others did since keep one from a redo.
  await put(bob, 'data', 'bobs', { '/b': 0 });
  expect((await redo(project)).operation.who).toBe('tester');
});

test('a commit on which something was built stays, and comes back with its branch', async () => {
  const { project } = await makeTestProject();
  const base = await put(project, 'data', 'master', { '/a': 0 });
  const second = await put(project, 'data', 'master', { '/b': 0 });
  const made = await lastOperation(project);
  await createBranch(project, 'data', 'dev', parseAddress('data@master'));
  await takeBack(project, made.id);
  await expectSound(project);
  await redo(project);
  const third = await put(project, 'data', 'dev', { '/c': 0 });
  await takeBack(project, made.id);
  expect(Object.keys(await refsOf(project, 'commit')).sort()).toEqual(
    [base, second, third].map((id) => `commit/data/${id}`).sort(),
  );
  await expectSound(project);
  // A commit that only an id leads to keeps its parent, too.
  await redo(project);
  await deleteBranch(project, 'data', 'dev');
  await takeBack(project, made.id);
  expect(await refsOf(project, 'commit')).toHaveProperty(`commit/data/${second}`);
  await expectSound(project);
});

test('what was declared of a commit is taken back, and stays with a commit that stays', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', 'master', { '/raw': 0 });
  await createRepo(project, 'models', '');
  const id = await put(project, 'models', 'master', { '/m': 1 });
  const made = await lastOperation(project);
  const before = await refsOf(project);
  await declares(project, 'models@master', 'data@master');
  expect(await refsOf(project)).not.toEqual(before);
  expect((await takeBack(project)).changes).toMatchObject([{ kind: 'declarations', name: 'models', count: 1 }]);
  expect(await refsOf(project)).toEqual(before);
  await redo(project);
  // What another commit is said to be made of stays, with what is said of it.
  await put(project, 'data', 'cards', { '/card': 1 });
  await declares(project, 'data@cards', 'models@master');
  await takeBack(project, made.id);
  expect(await refsOf(project, 'branch/models')).toEqual({});
  const kept = Object.keys(await refsOf(project, 'commit/models', 'declared/models', 'used'));
  expect(kept.filter((key) => key.includes(id))).toHaveLength(4);
  await expectSound(project);
});

test('an undo makes no cycle of what was declared, and keeps a commit of which something is said', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', 'one', { '/a': 0 });
  const id = await put(project, 'data', 'two', { '/b': 1 });
  const made = await lastOperation(project);
  await declares(project, 'data@two', 'data@one');
  await takeBack(project, made.id);
  expect(await refsOf(project, 'commit')).toHaveProperty(`commit/data/${id}`);
  await redo(project);
  await takeBack(project, (await operations(project)).find(({ what }) => what === 'declare')?.id);
  const undone = await lastOperation(project);
  await declares(project, 'data@one', 'data@two');
  await expect(takeBack(project, undone.id)).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringContaining('was made of it'),
  });
  await expectSound(project);
});

test('a branch that comes back brings its commits, and needs the repo that it was in', async () => {
  const { project } = await makeTestProject();
  await createRepo(project, 'images', '');
  await put(project, 'images', 'master', { '/a': 0 });
  const id = await put(project, 'images', 'master', { '/b': 0 });
  const made = await lastOperation(project);
  await createBranch(project, 'images', 'dev', parseAddress('images@master'));
  await deleteBranch(project, 'images', 'dev');
  const deleted = await lastOperation(project);
  await takeBack(project, made.id);
  expect(await refsOf(project, 'commit')).not.toHaveProperty(`commit/images/${id}`);
  await takeBack(project, deleted.id);
  expect(await refsOf(project, 'commit')).toHaveProperty(`commit/images/${id}`);
  await expectSound(project);

  await redo(project);
  await deleteRepo(project, 'images', { force: true });
  const gone = await lastOperation(project);
  const why = new RegExp(`repo images was changed since by ${gone.id.slice(0, 12)}`);
  await expect(takeBack(project, deleted.id)).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringMatching(why),
  });
  pass(1);
  await createRepo(project, 'images', '');
  await expect(takeBack(project, deleted.id)).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringMatching(/create repo images/),
  });
  await expectSound(project);
});

test('a repo in which somebody has put something since is not taken away', async () => {
  const { project } = await makeTestProject();
  await createRepo(project, 'images', '');
  const made = await lastOperation(project);
  await put(project, 'images', 'master', { '/a': 0 });
  await expect(takeBack(project, made.id)).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringMatching(/images@master was changed/),
  });
  await deleteBranch(project, 'images', 'master');
  await expect(takeBack(project, made.id)).rejects.toMatchObject({
    code: 'conflict',
    why: expect.stringMatching(/commit images@\w+ was/),
  });
});

test('a collection keeps what the grace allows to undo; later, or after a purge, undo says that it is gone', async () => {
  const { project, store } = await makeTestProject();
  await createRepo(project, 'images', '');
  await put(project, 'images', 'master', { '/a': 0, '/b': 2, '/c': 4 });
  const states = [await refsOf(project)];
  pass(10 * day);
  await deleteRepo(project, 'images', { force: true });
  for (let times = 0; times < 3; times += 1) {
    pass(day / 4);
    await put(project, 'data', 'master', { '/x': times });
    await collect(openTestProject(store), day);
  }
  const deleted = (await operations(project)).find(({ what }) => what.startsWith('delete repo'));
  const fresh = openTestProject(store);
  await takeBack(fresh, deleted?.id);
  expect(await refsOf(fresh, 'repo/images', 'branch/images', 'commit/images')).toEqual(
    Object.fromEntries(Object.entries(states[0]!).filter(([key]) => key.includes('/images'))),
  );
  await expectSound(project);

  await redo(fresh);
  pass(day + 1);
  await collect(openTestProject(store), day);
  const before = await head(project);
  const late = openTestProject(store);
  await expect(takeBack(late)).rejects.toMatchObject({
    code: 'not-found',
    why: expect.stringMatching(/garbage collection has forgotten/),
  });
  expect(await head(project)).toBe(before);
  await expectSound(project);

  await purge(project, { repo: 'data', what: { path: '/x' }, dryRun: false });
  await expect(takeBack(late)).rejects.toMatchObject({
    code: 'not-found',
    why: expect.stringMatching(/before a purge/),
  });
  await expect(takeBack(late, (await lastOperation(late)).id)).rejects.toMatchObject({
    why: expect.stringMatching(/can never be undone/),
  });
});

test('of several undos of one operation at once, beside puts and collections, one takes it back', async () => {
  const inner = new MemoryStore();
  const { project } = await makeTestProject(inner);
  vi.useRealTimers();
  await put(project, 'data', 'master', { '/a': 0 });
  const before = await refsOf(project, 'branch/data/master');
  await put(project, 'data', 'master', { '/b': 0 });
  const last = await lastOperation(project);
  const writers = [0, 1, 2].map(async (n) => {
    const other = asAuthor(project, 'bob');
    for (let times = 0; times < 4; times += 1) await put(other, 'data', `side${n}`, { [`/${times}`]: times });
  });
  // Who named none meant the one that was the last when they asked.
  const undos = [undefined, undefined, last.id].map((id) => takeBack(openTestProject(inner), id));
  const results = await Promise.allSettled([...undos, ...writers, collect(openTestProject(inner), 3_600_000)]);
  const late = { code: 'conflict', why: expect.stringContaining('taken back already') };
  const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  expect(refused).toMatchObject([late, late]);
  expect(Object.keys(await refsOf(project, 'branch/data/side'))).toHaveLength(3);
  expect(await refsOf(project, 'branch/data/master')).toEqual(before);
  await expectSound(project);
});

test('what it reads does not grow with the history', async () => {
  const { project, store } = await makeTestProject();
  const rounds: number[] = [];
  for (const commits of [20, 120]) {
    for (let n = 0; n < commits; n += 1) await put(project, 'data', 'master', { [`/dir${n % 7}/${n % 50}`]: n % 8 });
    const traced = traceStore(store);
    await takeBack(openTestProject(traced.store));
    rounds.push(traced.counts.rounds);
  }
  expect(Math.max(...rounds)).toBeLessThanOrEqual(10);
});

test('operations of engines are passed by, also those that programs before did not mark', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', 'master', { '/a': 0 });
  const touch = (name: string) => (change: Parameters<Parameters<Project['update']>[1]>[0]) =>
    Promise.resolve(change.set({ key: Buffer.from(`jobs/${name}`), value: Buffer.alloc(0), refs: [] }));
  await project.update('job of edges', touch('x'));
  await project.update({ what: 'anything', isEngines: true }, touch('y'));
  const [marked, unmarked] = await operations(project);
  for (const engines of [marked, unmarked]) {
    await expect(takeBack(project, engines?.id)).rejects.toMatchObject({
      code: 'usage',
      why: expect.stringMatching(/an engine made it/),
    });
  }
  expect((await takeBack(project)).operation.what).toBe('put data@master');
  expect(Object.keys(await refsOf(project, 'jobs'))).toHaveLength(2);
});
