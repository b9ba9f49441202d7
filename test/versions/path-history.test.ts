/**
 * The history of a path, with what a branch keeps of the paths that its commits changed.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import {
  changedPathsProblem,
  encodeChangedPaths,
  markOf,
  mayHaveChanged,
} from '../../src/model/records/changed-paths.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import { traceStore } from '../../src/store/trace.ts';
import { fileTime } from '../../src/base/file-time.ts';
import { commitEdit } from '../../src/versions/edit.ts';
import type { Project } from '../../src/versions/project.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { commitsBefore } from '../../src/versions/reading/history.ts';
import { createBranch } from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf, type Snapshot } from '../../src/versions/snapshot.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { check, errors } from './fsck-store.ts';
import { makeTestProject, openTestProject } from './project.ts';

const { signal } = new AbortController();
const commit = 'c'.repeat(32) as CommitId;

test('entries of changed paths are stored as ever', () => {
  const stored = {
    'no path': encodeChangedPaths(commit, []),
    'a file and its folder': encodeChangedPaths(commit, [Buffer.from('/a'), Buffer.from('/a/b.png')]),
    'a name that is not UTF-8': encodeChangedPaths(commit, [Buffer.from([0x2f, 0xff])]),
  };
  const path = 'fixtures/format/changed-paths.json';
  if (process.env['PACHMOUNT_WRITE_VECTORS']) {
    const hex = Object.fromEntries(Object.entries(stored).map(([name, bytes]) => [name, bytes.toString('hex')]));
    writeFileSync(path, `${JSON.stringify(hex, undefined, 1)}\n`);
  }
  const pinned = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  expect(Object.fromEntries(Object.entries(stored).map(([name, bytes]) => [name, bytes.toString('hex')]))).toEqual(
    pinned,
  );
  const two = stored['a file and its folder'];
  const says = (text: string, of = commit): boolean => mayHaveChanged(two, of, markOf(Buffer.from(text)));
  expect([says('/a'), says('/a/b.png'), says('/a/c.png'), says('/b')]).toEqual([true, true, false, false]);
  expect(says('/b', 'd'.repeat(32) as CommitId)).toBe(true);
  expect([two, two.subarray(1), Buffer.alloc(4)].map((bytes) => changedPathsProblem(bytes) === undefined)).toEqual([
    true,
    false,
    false,
  ]);
});

/** One commit that sets these paths to a content, or removes them. */
async function edit(project: Project, branch: string, changes: Record<string, string | undefined>): Promise<void> {
  await commitEdit(project, { repo: 'data', branch, message: '' }, async (directories, base) => {
    let root = base;
    for (const [path, text] of Object.entries(changes)) {
      const names = path.split('/').map((name) => Buffer.from(name));
      const file = { kind: 'file', executable: false, ...fileTime(Math.random() * 1e12) } as const;
      const content = { form: 'inline', bytes: Buffer.from(text ?? '') } as const;
      const entry = text === undefined ? undefined : { ...file, name: names.at(-1) as Buffer, content };
      if (entry || (root && (await directories.find(root, names)))) root = await directories.set(root, names, entry, 1);
    }
    return root;
  });
}

/** Ids of the commits that changed a path, by a look at every commit. */
async function bruteForce(snapshot: Snapshot, address: string, path: string): Promise<string[]> {
  const found: string[] = [];
  const hashAt = (of: Parameters<typeof rootOf>[0]): Promise<string | undefined> =>
    new Files(snapshot.reader, rootOf(of), '').hashAt(path);
  for (let at = await resolveCommit(snapshot, parseAddress(address)); ;) {
    const parent = at.parent && (await snapshot.maybeCommit('data', at.parent));
    if ((await hashAt(at)) !== (parent && (await hashAt(parent)))) found.push(at.id);
    if (!parent) return found;
    at = parent;
  }
}

async function logOf(snapshot: Snapshot, address: string, path: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { id } of commitsBefore(snapshot, parseAddress(address), { path, signal })) found.push(id);
  return found;
}

async function checkAll(project: Project, addresses: readonly string[], paths: readonly string[]): Promise<void> {
  const snapshot = await project.snapshot();
  for (const address of addresses) {
    for (const path of paths) {
      const found = await logOf(snapshot, address, path);
      expect({ address, path, found }).toEqual({ address, path, found: await bruteForce(snapshot, address, path) });
    }
  }
}

/** What a program that knows nothing of changed paths does at its next commit. */
async function forgetChanged(project: Project, branch: string): Promise<void> {
  await project.update('older', async (change) => {
    const there = await change.snapshot.branch('data', branch);
    change.setBranch({ ...there, head: there.head && { ...there.head, changed: undefined } });
  });
}

async function hasChanged(project: Project, branch: string): Promise<boolean> {
  return (await (await project.snapshot()).branch('data', branch)).head?.changed !== undefined;
}

test('is the same as a look at every commit: over folders, large commits, branches, older programs and a purge', async () => {
  const { project, store } = await makeTestProject();
  const paths = ['a', 'b', 'd/a', 'd/e/f', 'd/e/g', 'x/y'];
  let seed = 7;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return (seed >>> 16) % below;
  };
  const someChange = (): Record<string, string | undefined> =>
    Object.fromEntries(
      Array.from({ length: 1 + random(3) }, () => [
        paths[random(paths.length)] as string,
        random(4) === 0 ? undefined : String(random(3)),
      ]),
    );
  for (let n = 0; n < 25; n += 1) await edit(project, 'master', someChange());
  await edit(project, 'master', Object.fromEntries(Array.from({ length: 300 }, (_, n) => [`many/${n}`, String(n)])));
  await createBranch(project, 'data', 'side', parseAddress('data@master.10'));
  for (let n = 0; n < 8; n += 1) await edit(project, 'side', someChange());
  await forgetChanged(project, 'master');
  for (let n = 0; n < 8; n += 1) await edit(project, 'master', someChange());
  const all = ['/', '/d', '/d/e', '/many', '/many/7', '/no', ...paths.map((path) => `/${path}`)];
  await checkAll(openTestProject(store), ['data@master', 'data@master^3', 'data@side', 'data@side^9'], all);
  expect([await hasChanged(project, 'master'), await hasChanged(project, 'side')]).toEqual([true, true]);
  expect(errors(await check(store))).toEqual([]);
  await purge(project, { repo: 'data', what: { path: '/d/e' }, dryRun: false });
  expect(await hasChanged(project, 'master')).toBe(false);
  await edit(project, 'master', { a: 'after' });
  await checkAll(openTestProject(store), ['data@master', 'data@side'], all);
});

test('costs what it finds: commits that changed other paths are not read', async () => {
  const { project, store } = await makeTestProject();
  for (let n = 0; n < 150; n += 1)
    await edit(project, 'master', { [n % 50 === 7 ? 'd/wanted' : `d/f${n % 9}`]: String(n) });
  const { store: traced, counts } = traceStore(store);
  const snapshot = await openTestProject(traced).snapshot();
  counts.reset();
  expect(await logOf(snapshot, 'data@master', '/d/wanted')).toHaveLength(3);
  // For each of the three: it, the one before, and the trees of both.
  expect(counts.count()).toBeLessThan(20);
});
