/**
 * Branches go from one project to another: the same commits, in one operation, and only forward.
 */
import { expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { parseAddress } from '../../src/model/address.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { traceStore } from '../../src/store/trace.ts';
import { createBranch, createRepo, deleteRepo } from '../../src/versions/refs.ts';
import { declareOf, madeOf } from '../../src/versions/provenance.ts';
import type { Project } from '../../src/versions/project.ts';
import { deleteFiles } from '../../src/versions/writing/put.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { listRemotes } from '../../src/transfer/remotes.ts';
import { faultyStore, seededFaults } from '../store/faults.ts';
import { makeTestProject, openTestProject } from '../versions/project.ts';
import { takeBack } from '../versions/undo-world.ts';
import { noise } from './stores.ts';
import { compute, emptyProject, expectWhole, move, put, refsText, refused } from './pushing.ts';

const history = ['repo', 'branch', 'commit', 'used', 'declared', 'purged'];
const collect = (project: Project) => collectGarbage(project, { grace: 0, dryRun: false, progress: () => undefined });

async function headOf(project: Project, repo = 'data', branch = 'master'): Promise<string | undefined> {
  return (await (await project.snapshot()).maybeBranch(repo, branch))?.head?.id;
}

test('a push brings commits, branches and all that belongs to them; another one brings nothing', async () => {
  const { project } = await makeTestProject();
  for (const n of [1, 2, 3]) await put(project, 'data', `/f${n}`);
  await createBranch(project, 'data', 'dev', parseAddress('data@master^'));
  await put(project, 'data@dev', '/d');
  await createBranch(project, 'data', 'empty', undefined);
  const target = await emptyProject();
  const result = await move(project, target);
  expect(result).toMatchObject({ commits: 4, ahead: [], missing: [] });
  expect(result.branches.map(({ branch, old, commits }) => [branch, old, commits])).toEqual([
    ['dev', undefined, 3],
    ['empty', undefined, 0],
    ['master', undefined, 3],
  ]);
  // Indexes and changed paths are among the references of branches: they are equal to the last byte.
  expect(await refsText(target, ...history)).toEqual(await refsText(project, ...history));
  await expectWhole(target);
  const { token } = await target.load();
  expect(await move(project, target)).toMatchObject({ commits: 0, branches: [], storedBytes: 0 });
  expect((await target.load()).token).toBe(token);
});

test('of a large repo in which one chunk is new, little moves', async () => {
  const [from, to] = [new MemoryStore(), new MemoryStore()];
  const { project } = await makeTestProject(from);
  for (const n of [1, 2, 3]) await put(project, 'data', `/f${n}`, noise(2_000_000, `${n}`));
  await move(project, await emptyProject(to));
  await put(project, 'data', '/f2', noise(500_000, 'new'));
  // Nobody has anything in memory.
  const [source, target] = [traceStore(from), traceStore(to)];
  const result = await move(openTestProject(source.store), openTestProject(target.store));
  expect(result.commits).toBe(1);
  expect(result.storedBytes).toBeLessThan(600_000);
  expect([source.counts.count(), target.counts.count()].filter((requests) => requests > 10)).toEqual([]);
  expect(source.counts.bytesRead).toBeLessThan(1_500_000);
  await expectWhole(openTestProject(to));
});

test('what is no fast-forward is refused, names what differs, and changes nothing', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', '/a');
  const target = await emptyProject();
  await move(project, target);
  const there = await put(target, 'data', '/there');
  // More there: a push is refused, a pull has nothing to do.
  const behind = await refused(project, target);
  expect(behind.message).toBe(`data@master: memory:other has 1 commit (${there.slice(0, 12)}) that is not here`);
  expect(behind.next).toBe('pach pull data@master');
  const pulled = await move(project, target, { verb: 'pull' });
  expect(pulled).toMatchObject({ branches: [], ahead: [{ repo: 'data', branch: 'master', commits: 1 }] });
  const here = [await put(project, 'data', '/h1'), await put(project, 'data', '/h2')].map((id) => id.slice(0, 12));
  const both = `memory:other has 1 commit (${there.slice(0, 12)}) that is not here, and here are 2 commits (${here[1]}, ${here[0]}) that are not there`;
  expect((await refused(project, target)).message).toBe(`data@master: ${both}`);
  expect((await refused(target, project, { verb: 'pull' })).why).toBe(both);
  // As a whole: a branch beside it that could move stays, too.
  await put(project, 'data@dev', '/d');
  await refused(project, target);
  expect(await move(project, target, { branches: ['dev'] })).toMatchObject({ commits: 1 });
  const stranger = (await makeTestProject()).project;
  await put(stranger, 'data', '/s');
  expect((await refused(stranger, target, { branches: ['master'] })).why).toMatch(
    /^the two have no commit in common: /,
  );
});

test('two who push at once: both land, or one is told why', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', '/base');
  const store = new MemoryStore();
  await move(project, await emptyProject(store));
  const others = await Promise.all([1, 2].map(() => emptyProject()));
  for (const [n, other] of others.entries()) {
    await move(project, other);
    await put(other, `data@b${n}`, `/b${n}`);
  }
  await Promise.all(others.map((other, n) => move(other, openTestProject(store), { branches: [`b${n}`] })));
  const branches = await refsText(openTestProject(store), 'branch');
  expect(Object.keys(branches)).toEqual(['branch/data/b0', 'branch/data/b1', 'branch/data/master']);
  for (const [n, other] of others.entries()) await put(other, 'data', `/m${n}`);
  const ends = await Promise.allSettled(
    others.map((other) => move(other, openTestProject(store), { branches: ['master'] })),
  );
  expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(ends.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'conflict' } });
  await expectWhole(openTestProject(store));
});

test('a push that others overtake is applied to what they have made', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', '/a');
  const store = new MemoryStore();
  await emptyProject(store);
  let before: (() => Promise<unknown>) | undefined = async () => {
    await createRepo(openTestProject(store), 'other', '');
    await put(openTestProject(store), 'other', '/o');
  };
  // Just before the head is replaced for the first time.
  const overtaken = new Proxy(store, {
    get(of, name: keyof MemoryStore) {
      if (name !== 'writeIfUnchanged') return typeof of[name] === 'function' ? of[name].bind(of) : of[name];
      return async (...args: Parameters<MemoryStore['writeIfUnchanged']>) => {
        const act = before;
        before = undefined;
        await act?.();
        return of.writeIfUnchanged(...args);
      };
    },
  });
  await move(project, openTestProject(overtaken));
  const target = openTestProject(store);
  expect(await headOf(target)).toBe(await headOf(project));
  expect(await headOf(target, 'other')).toBeDefined();
  await expectWhole(target);
});

test('what commits were made of is told where it is missing, or comes along', async () => {
  const { project } = await makeTestProject();
  for (const repo of ['raw', 'edges', 'notes']) await createRepo(project, repo, '');
  const [r1] = [await put(project, 'raw', '/r1'), await put(project, 'raw', '/r2')];
  const d1 = await compute(project, 'data', [{ repo: 'raw', branch: 'master', commit: r1 }]);
  const e1 = await compute(project, 'edges', [{ repo: 'data', branch: 'master', commit: d1 }]);
  const note = await put(project, 'notes', '/n');
  const sources = [await madeOf(await project.snapshot(), parseAddress('notes@master'))];
  await declareOf(project, parseAddress('edges@master'), { sources, spec: 'by hand' });

  const target = await emptyProject();
  const alone = await move(project, target, { repos: ['edges'] });
  expect(alone).toMatchObject({ commits: 1 });
  expect(alone.missing.map(({ repo, commit }) => `${repo}@${commit}`).sort()).toEqual(
    [`data@${d1}`, `notes@${note}`].sort(),
  );
  expect(Object.keys(await refsText(target, 'declared'))).toHaveLength(1);
  // Also for commits that are there already.
  const whole = await move(project, target, { repos: ['edges'], withProvenance: true });
  expect(whole).toMatchObject({ commits: 3, missing: [] });
  expect(await headOf(target, 'data')).toBe(d1);
  // Up to what was used, and no further.
  expect(await headOf(target, 'raw')).toBe(r1);
  expect(Object.keys(await refsText(target, 'used'))).toEqual(
    [`used/data/${d1}/edges/${e1}`, `used/notes/${note}/edges/${e1}`, `used/raw/${r1}/data/${d1}`].sort(),
  );
  await expectWhole(target);
  // An input branch with a history of its own stays where it is.
  const other = await emptyProject();
  await createRepo(other, 'raw', '');
  const own = await put(other, 'raw', '/own');
  await move(project, other, { repos: ['edges'], withProvenance: true });
  expect(await headOf(other, 'raw')).toBe(own);
  expect(await (await other.snapshot()).maybeCommit('raw', r1)).toMatchObject({ id: r1 });
  await expectWhole(other);
});

test('commits that were pushed fire triggers as those of a put do', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', '/a');
  const target = await emptyProject();
  await move(project, target);
  await createBranch(target, 'data', 'staging', undefined, { trigger: { branch: 'master', all: false, commits: 2 } });
  const first = await put(project, 'data', '/b');
  await move(project, target);
  expect(await headOf(target, 'data', 'staging')).toBe(first);
  await put(project, 'data', '/c');
  await move(project, target);
  expect(await headOf(target, 'data', 'staging')).toBe(first);
  const second = await put(project, 'data', '/d');
  await move(project, target);
  expect(await headOf(target, 'data', 'staging')).toBe(second);
  await expectWhole(target);
  // Such a branch is moved by its trigger alone, and the trigger stays where it was set.
  await createBranch(project, 'data', 'staging', parseAddress('data@master'));
  await put(project, 'data@staging', '/s');
  expect((await refused(project, target)).why).toMatch(/a trigger moves it to the head of master/);
  const clone = await emptyProject();
  await move(target, clone, { verb: 'pull' });
  expect((await (await clone.snapshot()).branch('data', 'staging')).trigger).toBeUndefined();
});

test('only engines commit to outputs and ticks', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', '/a');
  const target = await emptyProject();
  await move(project, target);
  await target.update('protect', async (change) => {
    change.setBranch({ ...(await change.snapshot.branch('data', 'master')), provenance: [{ repo: 'x', branch: 'y' }] });
    change.setRepo({ name: 'ticks', created: 1, description: '', ticksOf: 'p' });
  });
  await put(project, 'data', '/b');
  expect((await refused(project, target)).why).toMatch(/it is the output of pipeline data, and only/);
  await createRepo(project, 'ticks', '');
  await put(project, 'ticks', '/t');
  expect((await refused(project, target, { repos: ['ticks'] })).why).toMatch(/are the ticks of pipeline p/);
});

test('a pull is undone as a whole, and keeps the origin until then', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', '/a');
  const clone = await emptyProject();
  const origin = { url: '/elsewhere', project: 'default', storeId: 'a'.repeat(32) };
  await move(project, clone, { verb: 'pull', origin });
  expect(await listRemotes(await clone.snapshot())).toEqual([{ repo: 'data', ...origin }]);
  // The first one is kept.
  await put(project, 'data', '/b');
  await move(project, clone, { verb: 'pull', origin: { ...origin, url: '/another' } });
  expect(await listRemotes(await clone.snapshot())).toMatchObject([{ url: '/elsewhere' }]);
  await takeBack(clone);
  expect(await headOf(clone)).not.toBe(await headOf(project));
  await takeBack(clone);
  expect(await refsText(clone, ...history, 'remote')).toEqual({});
  await move(project, clone, { verb: 'pull', origin });
  await deleteRepo(clone, 'data', { force: true });
  expect(await refsText(clone, 'remote')).toEqual({});
});

test('what was purged does not come back, from wherever; a purge on both sides makes them equal again', async () => {
  const { project } = await makeTestProject();
  await put(project, 'data', '/people/ann');
  await put(project, 'data', '/kept');
  await deleteFiles(project, { repo: 'data', branch: 'master', message: '', paths: ['/people/ann'], recursive: false });
  const [origin, old, cleaned] = [await emptyProject(), await emptyProject(), await emptyProject()];
  for (const each of [origin, old]) await move(project, each);
  await purge(origin, { repo: 'data', what: { path: '/people/ann' }, dryRun: false });
  await collect(origin);
  expect(Object.keys(await refsText(origin, 'purged'))).toHaveLength(2);
  // Neither its name nor a hash that could be guessed is kept.
  expect(JSON.stringify(await refsText(origin, 'purged'))).not.toContain(Buffer.from('ann').toString('hex'));
  const told =
    /^2 of its commits were purged (in memory:other|here) by tester at \S+Z, and \/people\/ann would come back$/;
  const pushed = await refused(old, origin);
  expect([pushed.why, pushed.next]).toEqual([expect.stringMatching(told), 'pach purge data:/people/ann']);
  const pulled = await refused(origin, old, { verb: 'pull' });
  expect([pulled.why, pulled.next]).toEqual([expect.stringMatching(told), 'pach purge data:/people/ann']);
  const back = await refused(old, origin, { verb: 'pull' });
  expect([back.why, back.next]).toEqual([
    expect.stringMatching(told),
    'pach --store memory:other --project default purge data:/people/ann',
  ]);
  // Under another branch, with a newer commit on top, or when the repo is gone there.
  await createBranch(old, 'data', 'copy', parseAddress('data@master^'));
  await put(old, 'data@copy', '/new');
  expect((await refused(old, origin, { branches: ['copy'] })).why).toMatch(told);
  // Whoever clones the purged store knows of the purge.
  await move(origin, cleaned, { verb: 'pull' });
  expect((await refused(old, cleaned)).why).toMatch(told);
  await deleteRepo(cleaned, 'data', { force: true });
  expect((await refused(old, cleaned)).why).toMatch(
    /were purged in memory:other .* what is gone there would come back$/,
  );
  expect(await move(origin, cleaned)).toMatchObject({ commits: 3 });

  await purge(old, { repo: 'data', what: { path: '/people/ann' }, dryRun: false });
  expect(await move(origin, old, { verb: 'pull', branches: ['master'] })).toMatchObject({ commits: 0, branches: [] });
  expect(await move(old, origin)).toMatchObject({ commits: 1 });
  for (const each of [origin, old, cleaned]) await expectWhole(each);

  // All of one commit.
  await move(old, cleaned);
  const id = await headOf(old, 'data', 'copy');
  await purge(origin, { repo: 'data', what: { commit: id as never }, dryRun: false });
  expect((await refused(cleaned, origin)).next).toBe(`pach purge data@${id}`);
});

test('one that is broken off leaves nothing to be seen, and goes on where it was', async () => {
  const { project } = await makeTestProject();
  for (let n = 0; n < 12; n += 1) await put(project, 'data', `/f${n}`, noise(5_000_000, `${n}`));
  const store = new MemoryStore();
  const target = await emptyProject(store);
  const stop = new AbortController();
  const told: { readonly plainBytes: number; readonly expectedBytes: number }[] = [];
  const progress = (now: (typeof told)[0]) => {
    told.push({ ...now });
    if (now.plainBytes > 50_000_000) stop.abort();
  };
  await expect(move(project, target, { signal: stop.signal, progress })).rejects.toThrow(/abort/);
  expect(told.at(-1)?.expectedBytes).toBe(60_000_000);
  expect(await refsText(openTestProject(store), ...history)).toEqual({});
  await expectWhole(target);
  // What was stored in whole packs by then is announced, and does not come again.
  const { storedBytes } = await move(project, openTestProject(store));
  expect(storedBytes).toBeLessThan(40_000_000);
  expect(await headOf(openTestProject(store))).toBe(await headOf(project));
  await expectWhole(openTestProject(store));
});

test('with stores that fail on either side, all of it is there in the end, and never a part', async () => {
  const from = new MemoryStore();
  const { project } = await makeTestProject(from);
  for (const n of [1, 2, 3]) await put(project, 'data', `/f${n}`, noise(400_000, `${n}`));
  await put(project, 'data@dev', '/d');
  const wanted = await refsText(project, ...history);
  let failed = 0;
  for (let seed = 1; seed <= 15; seed += 1) {
    const to = new MemoryStore();
    const before = await refsText(await emptyProject(to), ...history);
    const faults = seededFaults(seed, 6);
    const attempt = async (): Promise<boolean> => {
      const [source, target] = [faultyStore(from, faults), faultyStore(to, faults)].map(openTestProject);
      return move(source!, target!).then(
        () => true,
        (error: unknown) => {
          if (!isPachError(error, 'unreachable', 'damaged', 'failed', 'not-found', 'conflict')) throw error;
          return false;
        },
      );
    };
    for (let done = false; !done;) {
      done = await attempt();
      if (done) break;
      failed += 1;
      const now = await refsText(openTestProject(to), ...history);
      expect([before, wanted]).toContainEqual(now);
    }
    expect(await refsText(openTestProject(to), ...history)).toEqual(wanted);
    await expectWhole(openTestProject(to));
  }
  expect(failed).toBeGreaterThan(5);
});

test('a collection on either side meanwhile does no harm', async () => {
  const [from, to] = [new MemoryStore(), new MemoryStore()];
  const { project } = await makeTestProject(from);
  for (const n of [1, 2, 3]) await put(project, 'data', `/f${n}`, noise(2_000_000, `${n}`));
  await emptyProject(to);
  const snapshot = await project.snapshot();
  await Promise.all([move(project, openTestProject(to)), collect(openTestProject(from)), collect(openTestProject(to))]);
  expect((await snapshot.branch('data', 'master')).head?.id).toBe(await headOf(openTestProject(to)));
  await expectWhole(openTestProject(to));
  await expectWhole(openTestProject(from));
});
