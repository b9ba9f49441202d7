/**
 * Lineage: what it costs, what it makes of what is missing, damaged or old, and that asking changes nothing.
 */
import { randomBytes } from 'node:crypto';
import { cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { BlobReader } from '../../src/cache/blobs.ts';
import { mapFormat, type MapItem } from '../../src/model/map.ts';
import { diffOrdered } from '../../src/model/ordered-diff.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import { encodeDeclared } from '../../src/model/records/declared.ts';
import type { Hash, Ref } from '../../src/model/refs.ts';
import { deletePipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { maybeJob, notEntered, setJob, usedCommits, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { storedPaths } from '../../src/pipelines/jobs/paths.ts';
import type { Edge, Thing } from '../../src/pipelines/lineage/edges.ts';
import { lineageOf } from '../../src/pipelines/lineage/lineage.ts';
import { LineageGraph } from '../../src/shown/lineage.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { openStore } from '../../src/store/open.ts';
import { traceStore } from '../../src/store/trace.ts';
import type { Store } from '../../src/store/store.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { Directories } from '../../src/versions/directories.ts';
import type { Project } from '../../src/versions/project.ts';
import { declaredKey, jobsPrefix, jobTimeKey, lastPart, usedKey } from '../../src/versions/ref-keys.ts';
import type { Snapshot } from '../../src/versions/snapshot.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { copy, EngineWorld } from '../engine/world.ts';
import { Place } from '../support/place.ts';
import { openTestProject } from '../versions/project.ts';
import { check, errors } from '../versions/fsck-store.ts';

const { signal } = new AbortController();

async function ask(
  snapshot: Snapshot,
  start: Thing,
  { down = false, depth = 1e6, notes = [] }: { down?: boolean; depth?: number; notes?: string[] } = {},
): Promise<Edge[]> {
  const edges: Edge[] = [];
  const note = (text: string): void => void notes.push(text);
  for await (const edge of lineageOf(snapshot, start, { down, depth, signal, note })) edges.push(edge);
  return edges;
}

async function headOf(project: Project, repo: string): Promise<string> {
  return (await (await project.snapshot()).branch(repo, 'master')).head?.id ?? '';
}

async function jobOf(project: Project, id: string): Promise<Job> {
  const job = await maybeJob(await project.snapshot(), id);
  if (!job) throw new Error(`there is no job ${id}`);
  return job;
}

const filesOf = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`f${String(n).padStart(4, '0')}`, `${n}`]));

/** As if an older program had run a job. */
async function makeOld(project: Project, id: string): Promise<void> {
  await project.update('old', async (change) => {
    const job = await jobOf(project, id);
    change.set({ key: jobTimeKey(job), value: Buffer.alloc(0), refs: [] });
    for (const from of usedCommits(job)) change.delete(usedKey(from, { repo: job.pipeline, commit: id }));
  });
}

/** All that a store holds. */
async function contentOf(store: Store): Promise<string[]> {
  const found: string[] = [];
  for await (const { key, size } of store.list('')) found.push(`${key} ${size}`);
  return found.sort();
}

test('one path costs a few reads, and a job stores what changed of its index', async () => {
  const { store, counts } = traceStore(new MemoryStore());
  await using world = await EngineWorld.make(copy, store);
  const { project } = world;
  const files = filesOf(120);
  await world.commit('data', files);
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  await world.set({ name: 'q', input: { pfs: { repo: 'p', glob: '/' } } });
  await world.run('q', { workers: 4 });
  const before = await jobOf(project, await headOf(project, 'p'));
  await world.commit('data', { ...files, f0007: 'changed' });
  await world.run('q');
  const after = await jobOf(project, await headOf(project, 'p'));
  const snapshot = await project.snapshot();
  const [old, now] = [await storedPaths(snapshot, before), await storedPaths(snapshot, after)];
  // The same paths are read and written by the same datums.
  expect(old?.hash).toEqual(now?.hash);
  await world.commit('data', { ...files, f0007: 'changed', g: 'new' });
  await world.run('p');
  const last = await jobOf(project, await headOf(project, 'p'));
  const grown = await storedPaths(await project.snapshot(), last);
  const changed: string[] = [];
  const { reader } = project;
  for await (const { key } of diffOrdered<MapItem, { entries: number }>(reader, mapFormat, now, grown)) {
    changed.push(key.subarray(0, -17).toString('latin1').replaceAll('\0', '.'));
  }
  expect(changed).toEqual(['\u0001/data/g', '\u0002../g']);
  await world.commit('data', { ...files, f0007: 'changed' });
  await world.run('p');
  const shrunk = await jobOf(project, await headOf(project, 'p'));
  expect((await storedPaths(await project.snapshot(), shrunk))?.hash).toEqual(now?.hash);
  const [up, down] = [
    { repo: 'p', commit: shrunk.id, path: '/data/f0099' },
    { repo: 'data', commit: await headOf(project, 'data'), path: '/f0099' },
  ];
  for (const start of [up, down]) {
    const fresh = await openTestProject(store).snapshot();
    counts.reset();
    using nodes = vi.spyOn(BlobReader.prototype, 'node');
    expect(await ask(fresh, start, { down: start === down })).toMatchObject([
      { from: { repo: 'data', path: '/f0099' }, to: { repo: 'p', path: '/data/f0099' }, kind: 'computed' },
    ]);
    expect(counts.count()).toBeLessThan(20);
    // A look through all datums takes two nodes for each.
    expect(nodes.mock.calls.length).toBeLessThan(100);
  }
  expect(errors(await check(store, 1))).toEqual([]);
});

test('jobs of older programs are looked through, and entered by the next job', async () => {
  await using world = await EngineWorld.make(copy);
  const { project, store } = world;
  await world.commit('data', filesOf(5));
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  await world.run('p');
  const [first, used] = [await headOf(project, 'p'), await headOf(project, 'data')];
  await world.commit('data', filesOf(6));
  await world.run('p');
  const second = await headOf(project, 'p');
  const things = [
    { start: { repo: 'p', commit: first, path: '/data/f0003' } },
    { start: { repo: 'data', commit: used, path: '/f0003' }, down: true },
    { start: { repo: 'data', commit: used }, down: true },
  ];
  const asked = async (): Promise<Edge[][]> => {
    const snapshot = await project.snapshot();
    return Promise.all(things.map(({ start, down }) => ask(snapshot, start, down ? { down } : {})));
  };
  const edges = await asked();
  expect(edges.map((each) => each.length)).toEqual([1, 1, 1]);
  for (const id of [first, second]) await makeOld(project, id);
  const before = await contentOf(store);
  expect(await asked()).toEqual(edges);
  // Asking stores nothing.
  expect(await contentOf(store)).toEqual(before);
  const old: string[] = [];
  for await (const { id } of notEntered(await project.snapshot(), 'p', 'master')) old.push(id);
  expect(old).toEqual([second, first]);
  await world.commit('data', filesOf(7));
  await world.run('p');
  const snapshot = await project.snapshot();
  for await (const { id } of notEntered(snapshot, 'p', 'master')) throw new Error(`${id} is not entered`);
  expect(await asked()).toEqual(edges);
  // The new job has an index of all its datums, though the one before had none.
  const job = await jobOf(project, await headOf(project, 'p'));
  const paths: string[] = [];
  const index = await storedPaths(snapshot, job);
  for await (const { key } of diffOrdered<MapItem, { entries: number }>(project.reader, mapFormat, undefined, index)) {
    paths.push(key.toString('latin1'));
  }
  expect(paths).toHaveLength(14);
});

test('commits that stay without their pipeline are found, whichever program made them', async () => {
  // Two files are a conflict: such a job makes no commit.
  await using world = await EngineWorld.make((seen) => ({ out: { all: Object.values(seen).join() } }));
  const { project } = world;
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  const starts: Thing[] = [];
  const jobs: Job[] = [];
  for (const tree of [{ a: '1' }, { a: '1', b: '2' }, { b: '2' }]) {
    await world.commit('data', tree);
    starts.push({ repo: 'data', commit: await headOf(project, 'data') });
    jobs.push((await world.run('p')).job);
  }
  jobs.push((await world.run('p', { branch: 'exp' })).job);
  expect(jobs.map(({ id, output }) => id === output)).toEqual([true, false, true, true]);
  const made = async (): Promise<string[][]> => {
    const snapshot = await project.snapshot();
    const edges = await Promise.all(starts.map((start) => ask(snapshot, start, { down: true })));
    return edges.map((each) => each.map(({ to }) => to.commit).sort());
  };
  const [first = '', , third = '', fourth = ''] = jobs.map<string>(({ id }) => id);
  const all = [[first], [], [third, fourth].sort()];
  expect(await made()).toEqual(all);
  for (const { id } of jobs) await makeOld(project, id);
  expect(await made()).toEqual(all);
  await deletePipeline(project, 'p', { force: false, keepRepo: true });
  expect(await made()).toEqual(all);
  // What the job without a commit left is gone.
  const snapshot = await project.snapshot();
  const left: string[] = [];
  for await (const { key } of snapshot.items(jobsPrefix)) left.push(lastPart(key));
  expect(left.sort()).toEqual([first, third, fourth].sort());
});

test.each(['store', 'pipelines-store'])('a store of version 1 is read, and not changed: %s', async (name) => {
  await using place = await Place.make('root');
  const dir = join(place.dir, 'copy');
  await cp(`fixtures/format/${name}`, dir, { recursive: true });
  const bytesOf = async (): Promise<string[]> => {
    const entries = (await readdir(dir, { recursive: true, withFileTypes: true })).filter((each) => each.isFile());
    const paths = entries.map((each) => join(each.parentPath, each.name)).sort();
    return Promise.all(paths.map(async (path) => `${path} ${(await readFile(path)).toString('base64')}`));
  };
  const before = await bytesOf();
  const store = await openStore(dir);
  const snapshot = await openTestProject(store).snapshot();
  const edges: Edge[] = [];
  let commits = 0;
  for await (const { name: repo } of snapshot.repos()) {
    for await (const { refs } of snapshot.commitItems(repo)) {
      const { id: commit } = await snapshot.commitAt(refs[0] as Ref);
      commits += 1;
      for (const down of [false, true]) {
        edges.push(...(await ask(snapshot, { repo, commit }, { down })));
        edges.push(...(await ask(snapshot, { repo, commit, path: '/' }, { down })));
      }
    }
  }
  await store.close();
  expect(commits).toBeGreaterThan(0);
  expect(edges.length > 0).toBe(name === 'pipelines-store');
  expect(await bytesOf()).toEqual(before);
});

/** Commits of `data`, each made of the one before. */
async function chain(project: Project, length: number): Promise<CommitId[]> {
  const ids = Array.from({ length }, newCommitId);
  await using begun = await project.begin();
  const tree = await new Directories(project.reader, begun.upload.nodes).apply(undefined, []);
  await project.update(
    'chain',
    async (change) => {
      for (const [index, id] of ids.entries()) {
        const from = ids[index - 1];
        const provenance = from ? [{ repo: 'data', branch: 'master', commit: from }] : [];
        await change.commitAside({ id, repo: 'data', branch: 'master', tree, message: '', started: 1, provenance });
      }
    },
    begun,
  );
  return ids;
}

test('a deep graph and a cycle come to an end', async () => {
  await using world = await EngineWorld.make(copy);
  const { project } = world;
  const ids = await chain(project, 1500);
  const [first = '', last = ''] = [ids[0], ids.at(-1)];
  const snapshot = await project.snapshot();
  const top = { repo: 'data', commit: last };
  const edges = await ask(snapshot, top);
  expect(edges).toHaveLength(1499);
  expect(await ask(snapshot, { repo: 'data', commit: first }, { down: true })).toHaveLength(1499);
  expect(await ask(snapshot, top, { depth: 5 })).toEqual(edges.slice(0, 5));
  const graph = new LineageGraph(top, false);
  for (const edge of edges) graph.add(edge);
  expect(graph.lines((id) => id)).toHaveLength(2 * 1499 + 1);
  // No verb makes a cycle; a store may hold one.
  const [a, b] = [
    await snapshot.maybeCommit('data', first as CommitId),
    await snapshot.maybeCommit('data', last as CommitId),
  ];
  if (!a || !b) throw new Error('the chain has no ends');
  const from = { repo: 'data', branch: 'master', commit: b.id };
  const declarations = [{ path: '/', from, fromPath: '/' }];
  await project.update('cycle', (change) => {
    change.set({ key: declaredKey(a), value: encodeDeclared({ declarations, spec: '', who: '', time: 1 }), refs: [] });
    change.setUsed(from, { repo: 'data', commit: a.id });
    return Promise.resolve();
  });
  for (const down of [true, false]) expect(await ask(await project.snapshot(), top, { down })).toHaveLength(1500);
});

test('what is missing is said, and the rest is shown', async () => {
  await using world = await EngineWorld.make(copy);
  const { project } = world;
  await world.commit('data', filesOf(3));
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } }, cmd: ['f'] });
  await world.run('p');
  const id = await headOf(project, 'p');
  const start = { repo: 'p', commit: id, path: '/data/f0001' };
  // A version whose spec is not there.
  const job = await jobOf(project, id);
  await project.update('damage', (change) => {
    setJob(change, { ...job, spec: { type: 'chunk', hash: randomBytes(32) as Hash } });
    return Promise.resolve();
  });
  const notes: string[] = [];
  const [edge] = await ask(await project.snapshot(), start, { notes });
  expect(edge).toMatchObject({ from: { path: '/f0001' }, pipeline: 'p', version: 1, job: id });
  expect(edge).not.toHaveProperty('image');
  expect(notes).toEqual([expect.stringContaining("version 1 of p can't be read") as string]);
  // What was purged leaves the index too.
  await purge(project, { repo: 'data', what: { path: '/f0002' }, dryRun: false });
  const snapshot = await project.snapshot();
  expect((await snapshot.item(jobTimeKey(job)))?.refs).toEqual([]);
  notes.length = 0;
  const purged = await ask(snapshot, start, { notes });
  expect(purged).toMatchObject([{ from: { repo: 'data' }, to: { repo: 'p', commit: id }, kind: 'computed' }]);
  expect(purged[0]?.to).not.toHaveProperty('path');
  expect(notes[0]).toContain('was purged');
  expect(errors(await check(world.store, 1)).filter((each) => !each.includes('chunk'))).toEqual([]);
});
