/**
 * Undo and redo against a small model: what people do at random is taken back and made again step by
 * step, and single operations are taken back from the middle. UNDO_SEED runs one seed.
 */
import { describe, expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { parseAddress } from '../../src/model/address.ts';
import type { Project } from '../../src/versions/project.ts';
import {
  createBranch,
  createRepo,
  deleteBranch,
  deleteRepo,
  renameBranch,
  updateRepo,
} from '../../src/versions/refs.ts';
import { numbers, oneOf } from '../support/numbers.ts';
import { makeTestProject, openTestProject } from './project.ts';
import { collect, put } from './simulation-edits.ts';
import { expectSound, operations, redo, refsOf, takeBack } from './undo-world.ts';

const given = process.env['UNDO_SEED'];
const seeds = given === undefined ? Array.from({ length: 2 }, () => Math.floor(Math.random() * 1e9)) : [Number(given)];
const repos = ['a', 'b'];
const branches = ['x', 'y', 'z'];

type Random = () => number;

/** One thing that a person may do, or nothing where it is not possible just now. */
async function act(project: Project, random: Random): Promise<void> {
  const repo = oneOf(random, repos);
  const [branch, other] = [oneOf(random, branches), oneOf(random, branches)];
  const acts: (() => Promise<unknown>)[] = [
    () => createRepo(project, repo, ''),
    () => updateRepo(project, repo, String(random())),
    () => deleteRepo(project, repo, { force: true }),
    () => createBranch(project, repo, branch, undefined),
    () => createBranch(project, repo, branch, parseAddress(`${repo}@${other}`)),
    () => createBranch(project, repo, branch, parseAddress(`${repo}@${other}^`)),
    () => renameBranch(project, { repo, from: branch, to: other }, () => Promise.resolve()),
    () => deleteBranch(project, repo, branch),
    ...Array.from({ length: 8 }, (_, n) => () => put(project, repo, branch, { [`/${n % 3}`]: n })),
  ];
  await oneOf(random, acts)().catch(unlessRefused);
}

function unlessRefused(error: unknown): void {
  if (!isPachError(error, 'conflict', 'not-found')) throw error;
}

/** What people see by name; commits may stay for those that were built on them. */
function seen(project: Project): Promise<Record<string, string>> {
  return refsOf(project, 'repo', 'branch');
}

/** How many changes of people there are, other than undos and redos. */
async function changes(project: Project): Promise<number> {
  const all = await operations(project);
  return all.filter(({ undoes, redoes, isEngine }) => !isEngine && undoes === undefined && redoes === undefined).length;
}

describe.each(seeds)('UNDO_SEED=%i', (seed) => {
  test('steps back give what was there, and steps forward what came', async () => {
    const random = numbers(seed);
    const { project, store } = await makeTestProject();
    const states = [{}, await seen(project)];
    for (let turn = 0; turn < 25; turn += 1) {
      let at = states.length - 1;
      for (let n = Math.floor(random() * 5); n >= 0; n -= 1) {
        const before = await changes(project);
        const was = await seen(project);
        await act(project, random);
        // What changes nothing is not undone.
        const now = await seen(project);
        if ((await changes(project)) > before && JSON.stringify(now) !== JSON.stringify(was)) {
          states.splice(at + 1, Infinity, now);
          at += 1;
        }
      }
      const steps = Math.min(at, Math.floor(random() * 6));
      for (let n = 0; n < steps; n += 1) {
        await takeBack(project);
        at -= 1;
        expect({ seed, turn, at, refs: await seen(project) }).toEqual({ seed, turn, at, refs: states[at] });
      }
      if (random() < 0.2) await collect(openTestProject(store), 3_600_000);
      for (let n = Math.floor(random() * (steps + 1)); n > 0; n -= 1) {
        await redo(project);
        at += 1;
        expect({ seed, turn, at, refs: await seen(project) }).toEqual({ seed, turn, at, refs: states[at] });
      }
      states.splice(at + 1);
      await expectSound(project);
    }
  });

  test('an operation from the middle comes back whole, or nothing changes and what stands in the way is named', async () => {
    const random = numbers(seed + 1);
    const { project, store } = await makeTestProject();
    let [undone, refused] = [0, 0];
    for (let turn = 0; turn < 60; turn += 1) {
      await act(project, random);
      if (random() < 0.5) continue;
      const all = await operations(project);
      const before = await refsOf(project);
      const error = await takeBack(project, oneOf(random, all).id).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error !== undefined) unlessRefused(error);
      const isAsBefore = JSON.stringify(await refsOf(project)) === JSON.stringify(before);
      expect({ seed, turn, isAsBefore }).toEqual({ seed, turn, isAsBefore: error !== undefined });
      const [, named = all[0]?.id] = /pach undo (\w{32})/.exec(isPachError(error) ? (error.next ?? '') : '') ?? [];
      expect(all.map(({ id }) => id)).toContain(named);
      if (error === undefined) undone += 1;
      else refused += 1;
      if (random() < 0.1) await collect(openTestProject(store), 3_600_000);
      await expectSound(project);
    }
    expect(Math.min(undone, refused)).toBeGreaterThan(0);
  });
});
