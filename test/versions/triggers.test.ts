/**
 * Branches that take the head of another one: against a naive model, with two writers, and what is refused.
 * TRIGGER_SEED runs one seed.
 */
import { describe, expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { parseAddress } from '../../src/model/address.ts';
import { operationsOf } from '../../src/versions/operations.ts';
import type { Project } from '../../src/versions/project.ts';
import { createBranch, deleteBranch, renameBranch, updateTrigger } from '../../src/versions/refs.ts';
import { Snapshot } from '../../src/versions/snapshot.ts';
import type { TriggerRequest } from '../../src/versions/triggers.ts';
import { numbers, oneOf } from '../support/numbers.ts';
import { makeTestProject, openTestProject } from './project.ts';
import { put } from './simulation-edits.ts';
import { expectSound, redo, takeBack } from './undo-world.ts';

const given = process.env['TRIGGER_SEED'];
const seeds = given === undefined ? Array.from({ length: 2 }, () => Math.floor(Math.random() * 1e9)) : [Number(given)];
const names = ['a', 'b', 'c', 'd', 'e'];

/** A branch as the model has it: all commits of its line, oldest first. */
interface Line {
  readonly commits: readonly string[];
  readonly trigger?: TriggerRequest | undefined;
}
type Model = Readonly<Record<string, Line>>;

/** What the branch `moved` triggers: nothing is clever here. */
function afterMove(model: Model, moved: string, bytes: ReadonlyMap<string, number>): Model {
  const source = model[moved]?.commits ?? [];
  let next = model;
  for (const [name, { commits, trigger }] of Object.entries(model)) {
    if (trigger?.branch !== moved || source.length === 0 || source.at(-1) === commits.at(-1)) continue;
    const grown = (bytes.get(source.at(-1) ?? '') ?? 0) - (bytes.get(commits.at(-1) ?? '') ?? 0);
    const fresh = source.filter((id) => !commits.includes(id)).length;
    const held = [
      ...(trigger.bytes === undefined ? [] : [grown >= trigger.bytes]),
      ...(trigger.commits === undefined ? [] : [fresh >= trigger.commits]),
    ];
    if (!(trigger.all ? held.every(Boolean) : held.some(Boolean))) continue;
    next = afterMove({ ...next, [name]: { commits: source, trigger } }, name, bytes);
  }
  return next;
}

function loops(model: Model, name: string, trigger: TriggerRequest): boolean {
  for (let at: string | undefined = trigger.branch; at !== undefined; at = model[at]?.trigger?.branch) {
    if (at === name) return true;
  }
  return false;
}

/** What a trigger, a move or a commit is refused for. */
async function refusal(deed: Promise<unknown>): Promise<string> {
  return deed.then(
    () => 'nothing',
    (error: unknown) => (isPachError(error, 'conflict') ? error.message : String(error)),
  );
}

function headsOf(model: Model): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(model).map(([name, { commits }]) => [name, commits.at(-1)]));
}

async function heads(project: Project): Promise<Record<string, string | undefined>> {
  const found: Record<string, string | undefined> = {};
  for await (const { name, head } of (await project.snapshot()).branches('data')) found[name] = head?.id;
  return found;
}

async function backAndForth(project: Project, before: object, after: object): Promise<void> {
  await takeBack(project);
  expect(await heads(project)).toEqual(before);
  await redo(project);
  expect(await heads(project)).toEqual(after);
}

describe.each(seeds)('TRIGGER_SEED=%i', (seed) => {
  test('random puts, moves and triggers move what a naive model moves', async () => {
    const random = numbers(seed);
    const { project } = await makeTestProject();
    const bytes = new Map<string, number>();
    const refusals: string[] = [];
    let [model, moves]: [Model, number] = [{}, 0];
    for (let turn = 0; turn < 150; turn += 1) {
      const [name, other] = [oneOf(random, names), oneOf(random, names)];
      const was = model;
      const line = was[name];
      const what = random();
      const request: TriggerRequest = {
        branch: other,
        all: random() < 0.3,
        ...(random() < 0.5 ? { bytes: 100 + Math.floor(random() * 300) } : { commits: 1 + Math.floor(random() * 3) }),
        ...(random() < 0.3 && { commits: 2 }),
      };
      if (what < 0.6) {
        if (line?.trigger) {
          refusals.push(await refusal(put(project, 'data', name, { '/x': 1 })));
          continue;
        }
        const id = await put(project, 'data', name, { [`/${Math.floor(random() * 12)}`]: Math.floor(random() * 8) });
        if (line?.commits.at(-1) === id) continue;
        bytes.set(id, (await (await project.snapshot()).maybeCommit('data', id))?.bytes ?? 0);
        model = afterMove({ ...model, [name]: { ...line, commits: [...(line?.commits ?? []), id] } }, name, bytes);
      } else if (what < 0.8) {
        const set = line
          ? updateTrigger(project, { repo: 'data', branch: name }, request)
          : createBranch(project, 'data', name, undefined, { trigger: request });
        if (loops(model, name, request)) {
          refusals.push(await refusal(set));
          continue;
        }
        await set;
        model = { ...model, [name]: { commits: line?.commits ?? [], trigger: request } };
      } else if (what < 0.9) {
        const to = was[other]?.commits;
        if (!to || to.length === 0 || to.at(-1) === line?.commits.at(-1)) continue;
        await createBranch(project, 'data', name, parseAddress(`data@${other}`));
        model = afterMove({ ...model, [name]: { ...line, commits: to } }, name, bytes);
      } else if (what < 0.95) {
        const to = line?.commits.slice(0, -1);
        if (!to || to.length === 0) continue;
        await createBranch(project, 'data', name, parseAddress(`data@${name}^`));
        model = afterMove({ ...model, [name]: { ...line, commits: to } }, name, bytes);
      } else if (line) {
        await updateTrigger(project, { repo: 'data', branch: name }, undefined);
        if (!line.trigger) continue;
        model = { ...model, [name]: { commits: line.commits } };
      } else continue;
      expect({ seed, turn, heads: await heads(project) }).toEqual({ seed, turn, heads: headsOf(model) });
      if (Object.keys(model).filter((each) => model[each]?.commits !== was[each]?.commits).length > 1) moves += 1;
      // One undo takes back all that the operation moved, and fires nothing.
      if (random() < 0.2) await backAndForth(project, headsOf(was), headsOf(model));
    }
    expect(Math.min(moves, refusals.length)).toBeGreaterThan(3);
    for (const why of refusals) expect(why).toMatch(/its trigger moves it|triggers cannot form a loop/);
    await expectSound(project);
  });
});

test('two writers at once: a branch moves with each third commit, never twice and never late', async () => {
  const { project, store } = await makeTestProject();
  await createBranch(project, 'data', 'master', undefined, { trigger: { branch: 'staging', all: false, commits: 3 } });
  const writer = async (at: Project, own: number): Promise<void> => {
    for (let n = 0; n < 9; n += 1) await put(at, 'data', 'staging', { [`/${own}-${n}`]: 1 });
  };
  await Promise.all([writer(project, 0), writer(openTestProject(store), 1)]);
  const { head, known } = await project.load();
  const counts: (readonly [staging: number, master: number])[] = [];
  for await (const { root } of operationsOf({ head, known, reader: project.reader })) {
    const then = new Snapshot({ ...head, refs: root }, project.reader);
    const of = async (name: string): Promise<number> => {
      const at = (await then.maybeBranch('data', name))?.head;
      return at ? then.count(at) : 0;
    };
    counts.push([await of('staging'), await of('master')]);
  }
  expect(counts[0]).toEqual([18, 18]);
  for (const [staging, master] of counts) expect([staging, master]).toEqual([staging, staging - (staging % 3)]);
});

test('loops are refused when they are made: by a trigger, a new name, or an undo', async () => {
  const { project } = await makeTestProject();
  const on = (branch: string): { trigger: TriggerRequest } => ({ trigger: { branch, all: false, commits: 1 } });
  const loop = /triggers cannot form a loop/;
  await expect(createBranch(project, 'data', 'a', undefined, on('a'))).rejects.toThrow(loop);
  await createBranch(project, 'data', 'a', undefined, on('b'));
  await createBranch(project, 'data', 'b', undefined, on('c'));
  await expect(createBranch(project, 'data', 'c', undefined, on('a'))).rejects.toThrow('a loop: c → b → a → c');
  // `d` may follow `a` until it is what `c` was to be.
  await createBranch(project, 'data', 'd', undefined, on('a'));
  const rename = (from: string, to: string): Promise<void> =>
    renameBranch(project, { repo: 'data', from, to }, () => Promise.resolve());
  await expect(rename('d', 'c')).rejects.toThrow(loop);
  await updateTrigger(project, { repo: 'data', branch: 'b' }, undefined);
  const { operation } = (await project.load()).head;
  expect(await refusal(updateTrigger(project, { repo: 'data', branch: 'b' }, on('a').trigger))).toMatch(loop);
  await createBranch(project, 'data', 'c', undefined, on('a'));
  await expect(takeBack(project, operation.id)).rejects.toThrow(loop);
});

test('a branch that triggers keeps doing so under another name, and may be made after those that it triggers', async () => {
  const { project } = await makeTestProject();
  await createBranch(project, 'data', 'master', undefined, { trigger: { branch: 'staging', all: false, commits: 2 } });
  await put(project, 'data', 'staging', { '/a': 1 });
  await renameBranch(project, { repo: 'data', from: 'staging', to: 'raw' }, () => Promise.resolve());
  const id = await put(project, 'data', 'raw', { '/b': 1 });
  expect(await heads(project)).toEqual({ master: id, raw: id });
  await deleteBranch(project, 'data', 'raw');
  expect(await heads(project)).toEqual({ master: id });
});
