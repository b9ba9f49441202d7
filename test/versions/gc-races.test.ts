/**
 * A garbage collection and a writer (or two of either) at the same time, in every order: each
 * stops before each of its requests to the store, and the other one goes on.
 */
import { expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { parseAddress } from '../../src/model/address.ts';
import type { Store } from '../../src/store/store.ts';
import type { Project } from '../../src/versions/project.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { createBranch, createRepo, deleteBranch, deleteRepo } from '../../src/versions/refs.ts';
import { CollectedError } from '../../src/versions/renew.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { isLong } from '../support/long.ts';
import { makeTestProject, openTestProject } from './project.ts';
import { contentOf, expectOnlyNeeded, readAll } from './simulation-check.ts';
import { alone } from './simulation-run.ts';
import { collect, contents, day, edited, put, type Edit, type Files } from './simulation-edits.ts';
import { World, type Actor, type Policy } from './simulation-world.ts';

/** Turns for one of the two actors; then the next line. What is left over goes to whoever waits. */
type Turns = readonly (readonly [actor: 'first' | 'second', turns: number])[];

function inTurns(turns: Turns): Policy {
  const left = turns.map(([actor, count]) => ({ actor, count }));
  return (waiting) => {
    for (; left[0]; left.shift()) {
      const { actor, count } = left[0];
      const next = waiting.find((each) => each.actor.name === actor);
      if (!next || count <= 0) continue;
      left[0].count -= 1;
      return { waiting: next, outcome: 'works' };
    }
    return { waiting: waiting[0]!, outcome: 'works' };
  };
}

interface Race {
  /** What was there and was deleted, on `data@dev` or in the repo `temp`. */
  prepare(project: Project): Promise<unknown>;
  readonly edits: readonly Edit[];
  /** Milliseconds. */
  readonly grace: number;
  /** What a writer commits to `data@master`, or what else it does. */
  writer(project: Project): Promise<unknown>;
  /** What runs against it. */
  other?(project: Project): Promise<unknown>;
  /** Files of `data@master` at the end, when the writer was not told to do it again. */
  readonly result: Files;
  /** What must not be in the store at the end. */
  readonly gone?: string;
}

/** How often each of the two actors had a turn, and how they ended. */
async function race(base: World, { grace, result, gone, ...actions }: Race, turns: Turns): Promise<readonly Actor[]> {
  const world = new World(7, inTurns(turns), base);
  const first = (project: Project) => (actions.other ? actions.other(project) : collect(project, grace));
  const actors = [
    world.begin('first', async () => void (await first(openTestProject(world.store)))),
    world.begin('second', async () => void (await actions.writer(openTestProject(world.store)))),
  ];
  await world.run();
  await alone(8, world, async (store) => {
    await check(store, actors[1]!, result);
    for (let n = 0; n < 2; n += 1) await collect(openTestProject(store), 0);
    expectOnlyNeeded(await readAll(store));
    await check(store, actors[1]!, result);
    const { state } = actors[1]!;
    const isDone = typeof state === 'object' && !state.error;
    for await (const { key, size } of store.list('')) {
      if (isDone && gone && Buffer.from(await store.read(key, 0, size)).includes(gone))
        throw new Error(`it is still in ${key}`);
    }
  });
  return actors;
}

async function check(store: Store, { state }: Actor, result: Files): Promise<void> {
  await readAll(store);
  if (typeof state === 'object' && state.error) return;
  const project = openTestProject(store);
  const commit = await resolveCommit(await project.snapshot(), parseAddress('data@master'));
  expect(await contentOf(project, commit)).toEqual(result);
}

/** All orders with up to two changes of turns, and some with three: more of them in test-long. */
async function inEveryOrder(race1: Race, isAlike = false): Promise<{ orders: number; errors: unknown[] }> {
  const base = await alone(3, undefined, async (store) => {
    const { project } = await makeTestProject(store);
    await race1.prepare(project);
    for (const edit of race1.edits) await put(project, 'data', 'master', edit);
  });
  const [first, second] = (await race(base, race1, [])).map(({ turns }) => turns) as [number, number];
  const all = Infinity;
  const orders: Turns[] = [];
  const order = (...turns: Turns): number => orders.push(turns);
  for (let n = 0; n <= first; n += 1) order(['first', n], ['second', all]);
  for (let n = 0; n <= (isAlike ? -1 : second); n += 1) order(['second', n], ['first', all]);
  const step = Math.ceil(Math.sqrt((first * second) / (isLong ? 40 : 10)));
  for (let n = 0; n <= first; n += step) {
    for (let m = 1 + (n % step); m <= second; m += step) {
      order(['first', n], ['second', m], ['first', all]);
      order(['second', m], ['first', n], ['second', all]);
    }
  }
  const errors: unknown[] = [];
  for (const turns of orders) {
    const actors = await race(base, race1, turns).catch((error: unknown) => {
      throw new Error(`order ${JSON.stringify(turns)}`, { cause: error });
    });
    for (const { state } of actors) if (typeof state === 'object' && state.error) errors.push(state.error);
  }
  return { orders: orders.length, errors };
}

const some: Edit = { '/a': 1, '/b': 2, '/d/c': 4 };
const others: Edit = { '/e': 6, '/f': 0 };
const filesOf = (...edits: Edit[]): Files => edits.reduce<Files>((files, edit) => edited([files], edit, {}), {});

async function deletedBranch(project: Project): Promise<void> {
  await put(project, 'data', 'dev', some);
  await deleteBranch(project, 'data', 'dev');
}

/** Content whose only commits were in a repo that is no more. */
async function deletedRepo(project: Project): Promise<void> {
  await createRepo(project, 'temp', '');
  await put(project, 'temp', 'master', some);
  await put(project, 'temp', 'master', others);
  await deleteRepo(project, 'temp', { force: true });
}

/** Enough small packs for a collection to gather them. */
const many: readonly Edit[] = Array.from({ length: 10 }, (_, n) => ({ [`/many/${n}`]: n % contents.length }));

const again = (project: Project) => put(project, 'data', 'master', some);
const races: Record<string, Omit<Race, 'grace'>> = {
  'what only a deleted repo had is put again': {
    prepare: deletedRepo,
    edits: [{ '/kept': 3 }],
    writer: again,
    result: filesOf({ '/kept': 3 }, some),
  },
  'the very tree that a deleted repo had is put again': {
    prepare: deletedRepo,
    edits: [],
    writer: again,
    result: filesOf(some),
  },
  'the same, when packs are gathered': {
    prepare: deletedRepo,
    edits: many,
    writer: again,
    result: filesOf(...many, some),
  },
  'a branch that was deleted is made again from a commit': {
    prepare: deletedBranch,
    edits: [{ '/kept': 3 }],
    async writer(project) {
      const snapshot = await project.snapshot();
      for await (const { refs } of snapshot.commitItems('data')) {
        const { id, branch } = await snapshot.commitAt(refs[0]!);
        if (branch === 'dev') await createBranch(project, 'data', 'master', parseAddress(`data@${id}`));
      }
      await put(project, 'data', 'master', others);
    },
    result: filesOf(some, others),
  },
  'the repo is deleted while somebody puts what it has': {
    async prepare(project) {
      await createRepo(project, 'temp', '');
      await put(project, 'temp', 'master', some);
      await put(project, 'data', 'dev', others);
      await deleteBranch(project, 'data', 'dev');
    },
    edits: [{ '/kept': 3 }],
    async writer(project) {
      await deleteRepo(project, 'temp', { force: true });
      await put(project, 'data', 'master', some);
    },
    result: filesOf({ '/kept': 3 }, some),
  },
};

test.for(Object.entries(races))('%s', async ([, each]) => {
  const careful = await inEveryOrder({ ...each, grace: day });
  expect(careful.errors).toEqual([]);
  const hasty = await inEveryOrder({ ...each, grace: 0 });
  expect(hasty.errors.filter((error) => !(error instanceof CollectedError))).toEqual([]);
  console.log(`${careful.orders} and ${hasty.orders} orders; without grace ${hasty.errors.length} must be done again`);
});

test('a collection that condemns and one that deletes, before the writer is done', async () => {
  const { orders, errors } = await inEveryOrder({
    prepare: deletedRepo,
    edits: [{ '/kept': 3 }],
    grace: 0,
    async other(project) {
      await collect(project, day);
      await collect(project, 0);
    },
    writer: again,
    result: filesOf({ '/kept': 3 }, some),
  });
  expect(errors.filter((error) => !(error instanceof CollectedError))).toEqual([]);
  expect(errors.length).toBeLessThan(orders / 2);
});

test('what is purged while a collection is under way has left the store after the next one', async () => {
  const { errors } = await inEveryOrder({
    // In one pack with others, of which it is so small a part that the pack would stay.
    prepare: (project) => put(project, 'data', 'master', { '/b': 2, '/secret': 0, '/c': 4, '/d': 6 }),
    edits: [{ '/kept': 3 }],
    grace: 0,
    writer: (project) => purge(project, { repo: 'data', what: { path: '/secret' }, dryRun: false }),
    result: filesOf({ '/b': 2, '/c': 4, '/d': 6, '/kept': 3 }),
    gone: contents[0]!,
  });
  expect(errors.filter((error) => !(error instanceof CollectedError))).toEqual([]);
});

test('two collectors: one of them may be told that the other was faster, and nothing is lost', async () => {
  const prepare = deletedRepo;
  const twice = async (grace: number) =>
    inEveryOrder(
      { prepare, edits: many, grace, writer: (project) => collect(project, grace), result: filesOf(...many) },
      true,
    );
  for (const grace of [0, day]) {
    const { errors } = await twice(grace);
    expect(errors.filter((error) => !isPachError(error, 'conflict'))).toEqual([]);
    expect(errors.length).toBeGreaterThan(0);
  }
});

test('two writers, of what has just been condemned', async () => {
  const { errors } = await inEveryOrder({
    async prepare(project) {
      await deletedRepo(project);
      await put(project, 'data', 'master', { '/kept': 3 });
      await collect(project, day);
    },
    edits: [],
    grace: day,
    other: (project) => put(project, 'data', 'master', { ...some, '/mine': 6 }),
    writer: (project) => put(project, 'data', 'master', { ...some, '/yours': 0 }),
    result: filesOf({ '/kept': 3 }, some, { '/mine': 6, '/yours': 0 }),
  });
  expect(errors).toEqual([]);
});

test('a delete that comes after its collector has died, when a listing has lagged behind', async () => {
  const base = await alone(3, undefined, async (store) => void (await makeTestProject(store)));
  let collected = 0;
  for (let seed = 0; seed < 60; seed += 1) {
    const world = new World(seed, lateDeletes(), base);
    world.begin('writer', async () => void (await put(openTestProject(world.store), 'data', 'master', some)));
    for (const name of ['first', 'second']) {
      world.begin(name, async () => void (await collect(openTestProject(world.store), 0)));
    }
    await world.run();
    await alone(8, world, async (store) => void (await readAll(store)));
    if (world.log.some((line) => line.endsWith('done late'))) collected += 1;
  }
  expect(collected).toBeGreaterThan(20);
});

/**
 * A writer has stored all and not published it when a collector deletes it, and dies; of the next
 * one the listing lags behind; then the writer goes on.
 */
function lateDeletes(): Policy {
  return (waiting) => {
    const of = (name: string) => waiting.find(({ actor }) => actor.name === name);
    const [writer, first, second] = [of('writer'), of('first'), of('second')];
    if (writer && first && writer.verb !== 'writeIfUnchanged') return { waiting: writer, outcome: 'works' };
    if (first) return { waiting: first, outcome: first.verb === 'delete' ? 'crash' : 'works' };
    if (second) return { waiting: second, outcome: second.verb === 'list' ? 'stale' : 'works' };
    return { waiting: waiting[0]!, outcome: 'works' };
  };
}
