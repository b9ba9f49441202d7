/**
 * Names that move: all at one instant, and what the kernel is asked to do meanwhile.
 */
import { expect, test } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import { textOfName } from '../../src/model/paths.ts';
import { Follower } from '../../src/mount/follower.ts';
import { FollowNames } from '../../src/mount/follow-names.ts';
import type { Move } from '../../src/mount/mover.ts';
import type { MountSource } from '../../src/mount/root-names.ts';
import { nameOnly } from '../../src/mount/view.ts';
import { Directories } from '../../src/versions/directories.ts';
import type { Project } from '../../src/versions/project.ts';
import { createRepo, deleteBranch, deleteRepo } from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import type { Snapshot } from '../../src/versions/snapshot.ts';
import { makeTestProject } from '../versions/project.ts';
import { put } from '../versions/simulation-edits.ts';

/** Every repo that has a branch `master`. */
async function everyRepo(snapshot: Snapshot): Promise<MountSource[]> {
  const sources: MountSource[] = [];
  for await (const { name } of snapshot.repos()) {
    sources.push({ name, address: (await snapshot.maybeBranch(name, 'master')) && parseAddress(name) });
  }
  return sources;
}

interface Following {
  readonly project: Project;
  readonly names: FollowNames;
  readonly follower: Follower;
  /** What the mover was asked for, in order. */
  readonly asked: string[];
  /** Is called for each question to the mover, before it is answered. */
  during: (move: Move, name: string) => unknown;
  readonly failures: unknown[];
  /** Resolves when the names show the project as it is. */
  catchUp(): Promise<void>;
}

async function following(sourcesOf = everyRepo, hasMover = true): Promise<Following> {
  const { project } = await makeTestProject();
  await createRepo(project, 'more', '');
  for (const repo of ['data', 'more']) await put(project, repo, 'master', { '/a': 1 });
  const names = await FollowNames.open(await project.snapshot(), new Directories(project.reader), sourcesOf);
  const asked: string[] = [];
  const failures: unknown[] = [];
  let moved = (): void => undefined;
  const one: Following = {
    project,
    names,
    asked,
    failures,
    during: () => undefined,
    follower: new Follower({
      names,
      mover: {
        do: async (move, name) => {
          asked.push(`${move} ${name}`.trim());
          await one.during(move, name);
          return hasMover ? true : undefined;
        },
      },
      keep: async () => undefined,
      onMoved: () => moved(),
      onError: (error) => {
        failures.push(error);
        moved();
      },
    }),
    catchUp: async () => {
      const done = new Promise<void>((resolve) => (moved = resolve));
      one.follower.follow(await project.snapshot());
      await done;
    },
  };
  return one;
}

const commitOf = async (project: Project, address: string): Promise<string> =>
  (await resolveCommit(await project.snapshot(), parseAddress(address))).id;

/** The commit that a name shows; its validity where there is no such name. */
async function shown(names: FollowNames, name: string): Promise<string | number | undefined> {
  const found = await names.find(name);
  return 'entry' in found ? found.commit?.id : found.validMs;
}

test('all names move between two answers, and what was old can be found under names of its own', async () => {
  const it = await following();
  const { project, names, asked } = it;
  const before = await Promise.all(['data', 'more'].map((name) => shown(names, name)));
  const ordinals = (await names.list(0)).map(({ ordinal }) => ordinal);
  for (const repo of ['data', 'more']) await put(project, repo, 'master', { '/a': 2 });
  let waiting: Promise<unknown>[] = [];
  it.during = async (move, name) => {
    if (move !== 'lookUp' || !name.includes('=')) return;
    // The kernel asks for the old version by its own name: the same inode, and no waiting.
    const found = await names.find(name);
    if (!('entry' in found)) throw new Error(`${name} is not there`);
    expect(before).toContain(found.commit?.id);
    expect(ordinals).toContain(found.entry.ordinal);
    let told = false;
    waiting.push(
      shown(names, 'data').then((id) => ((told = true), id)),
      shown(names, 'more'),
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect(told).toBe(false);
  };
  await it.catchUp();
  const now = [await commitOf(project, 'data'), await commitOf(project, 'more')];
  expect(await Promise.all(waiting.slice(0, 2))).toEqual(now);
  expect(now).not.toEqual(before);
  const [first, second] = before;
  expect(asked).toEqual([
    'expire data',
    'expire more',
    'lookUp data',
    'lookUp more',
    `lookUp data=${first}`,
    `lookUp more=${second}`,
    'expire data',
    'expire more',
  ]);
  // What has not changed is not touched.
  asked.length = 0;
  await put(project, 'more', 'master', { '/a': 3 });
  waiting = [];
  it.during = () => undefined;
  await it.catchUp();
  expect(asked.filter((line) => line.includes('data'))).toEqual([]);
  expect(it.failures).toEqual([]);
});

test('old versions are dropped in their turn', async () => {
  const it = await following();
  const ids: string[] = [];
  for (let n = 2; n < 14; n += 1) {
    ids.push(await commitOf(it.project, 'data'));
    await put(it.project, 'data', 'master', { '/a': n % 4 });
    await it.catchUp();
  }
  const dropped = it.asked.filter((line) => line.startsWith('drop'));
  expect(dropped).toEqual(ids.slice(0, 4).map((id) => `drop data=${id}`));
});

test('new repos and branches come, deleted ones go, and come back', async () => {
  const it = await following();
  const { project, names, asked } = it;
  expect([await shown(names, 'new'), await shown(names, 'data@dev')]).toEqual([1000, 1000]);
  await createRepo(project, 'new', '');
  await put(project, 'new', 'master', { '/a': 1 });
  await put(project, 'data', 'dev', { '/a': 1 });
  // While it moves, that a name is absent holds for no time.
  const operation = names.snapshot;
  it.during = async () => {
    const absent = { kind: 'absent', validMs: names.snapshot === operation ? 0 : 1000 };
    expect(await names.find('absent')).toEqual(absent);
  };
  await it.catchUp();
  it.during = () => undefined;
  expect(asked.slice(0, 2)).toEqual(['expire new', 'expire data@dev']);
  expect(asked.at(-1)).toBe('expireRoot');
  const dev = await commitOf(project, 'data@dev');
  expect(await shown(names, 'data@dev')).toBe(dev);
  expect(await shown(names, 'new')).toBe(await commitOf(project, 'new'));
  await deleteBranch(project, 'data', 'dev');
  await deleteRepo(project, 'more', { force: true });
  await it.catchUp();
  expect([await shown(names, 'data@dev'), await shown(names, 'more')]).toEqual([1000, 1000]);
  const listed = (await names.list(0)).map(({ name }) => textOfName(name));
  expect(listed).toEqual(['data', 'new']);
  await put(project, 'data', 'dev', { '/a': 1 });
  await it.catchUp();
  expect(await shown(names, 'data@dev')).toBe(await commitOf(project, 'data@dev'));
});

test('a source that is deleted is missing, and found again when it is there again', async () => {
  const it = await following(async () => [{ name: 'data', address: parseAddress('data@master') }]);
  const { project, names } = it;
  await deleteBranch(project, 'data', 'master');
  await it.catchUp();
  expect([names.missing, names.listed.length, await shown(names, 'data')]).toEqual([['data'], 0, 1000]);
  await put(project, 'data', 'master', { '/a': 5 });
  await it.catchUp();
  expect([names.missing, await shown(names, 'data')]).toEqual([[], await commitOf(project, 'data')]);
});

test('a list that was begun goes on as it was', async () => {
  const it = await following();
  const [first] = await it.names.list(0);
  await createRepo(it.project, 'ahead', '');
  await deleteRepo(it.project, 'more', { force: true });
  await it.catchUp();
  const rest = await it.names.list(first?.next ?? 0);
  expect(rest.map(({ name, validMs }) => [textOfName(name), validMs])).toEqual([['more', nameOnly]]);
  expect(await it.names.list(rest[0]?.next ?? 0)).toEqual([]);
  expect((await it.names.list(0)).map(({ name }) => textOfName(name))).toEqual(['ahead', 'data']);
});

test('without a mover, nothing holds beyond the move', async () => {
  const it = await following(everyRepo, false);
  const { project, names } = it;
  await put(project, 'data', 'master', { '/a': 2 });
  const before = await shown(names, 'data');
  const asked: unknown[] = [];
  it.during = async (move, name) => {
    // The old version is looked up only when nothing that was told before holds.
    if (move === 'lookUp' && name.includes('=')) asked.push(names.root().validMs);
  };
  await it.catchUp();
  expect(asked).toEqual([0]);
  expect(names.root().validMs).toBe(1000);
  expect(await shown(names, 'data')).not.toBe(before);
});
