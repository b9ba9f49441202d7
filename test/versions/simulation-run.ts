/**
 * One simulated run: writers, collectors and readers of one store, what of them fails and when,
 * all decided by a seed; and what must hold afterwards.
 */
import assert from 'node:assert/strict';
import { isPachError, type ErrorCode } from '../../src/base/errors.ts';
import { parseAddress } from '../../src/model/address.ts';
import { RetryingStore } from '../../src/store/retry.ts';
import type { Store } from '../../src/store/store.ts';
import type { Project } from '../../src/versions/project.ts';
import { createBranch, createRepo, deleteBranch, deleteRepo } from '../../src/versions/refs.ts';
import { CollectedError } from '../../src/versions/renew.ts';
import { numbers, oneOf } from '../support/numbers.ts';
import { makeTestProject, openTestProject } from './project.ts';
import { contentOf, expectOnlyNeeded, readAll } from './simulation-check.ts';
import { collect, contents, day, put, type Edit } from './simulation-edits.ts';
import { expectHistory, type Acknowledged } from './simulation-history.ts';
import { World, type Actor, type Outcome, type Policy } from './simulation-world.ts';

const paths = ['/a', '/b', '/d/a', '/d/b', '/d/e/a'];
export interface Outcomes {
  readonly log: readonly string[];
  readonly acknowledged: number;
  readonly collected: number;
  readonly crashed: number;
  /** Versions of the head that were garbage collections. */
  readonly epochs: number;
}

const begins = new Map<number, Promise<World>>();

/** A store with `commits` commits, some of which no branch has any more. */
function beginning(commits: number): Promise<World> {
  const made = begins.get(commits);
  if (made) return made;
  const world = alone(commits, undefined, async (store) => {
    const next = numbers(commits);
    const { project } = await makeTestProject(store);
    await createRepo(project, 'temp', '');
    for (let n = 0; n < commits; n += 1) {
      const edit = n % 4 === 3 ? folder(next) : { [oneOf(next, paths)]: n % contents.length };
      await put(project, n % 5 === 4 ? 'temp' : 'data', n % 3 === 2 ? 'dev' : 'master', edit);
    }
    if (commits > 2) await deleteBranch(project, 'data', 'dev');
  });
  begins.set(commits, world);
  return world;
}

/** A few files at once. */
function folder(next: () => number): Edit {
  const first = Math.floor(next() * contents.length);
  return Object.fromEntries(paths.slice(0, 3).map((path, n) => [path, (first + 2 * n) % contents.length]));
}

/** A world in which one actor alone has done this, with nothing that failed. */
export async function alone(
  seed: number,
  before: World | undefined,
  work: (store: Store) => Promise<void>,
): Promise<World> {
  const world = new World(seed, ([waiting]) => ({ waiting: waiting!, outcome: 'works' }), before);
  const actor = world.begin('alone', () => work(world.store));
  await world.run();
  mustHaveEnded(actor);
  return world;
}

function mustHaveEnded({ name, state }: Actor): void {
  if (typeof state === 'object' && state.error !== undefined) throw new Error(name, { cause: state.error });
}

/**
 * RUNS runs (`runsDefault`) with the seeds from SEED (`seed`) on. Says on standard output what they did.
 * `SEED=n RUNS=1` repeats one. Resolves to how many.
 */
export async function simulateMany(seed: number, runsDefault: number): Promise<number> {
  const runs = Number(process.env['RUNS'] ?? runsDefault);
  const first = Number(process.env['SEED'] ?? seed);
  const sums = { steps: 0, acknowledged: 0, collected: 0, crashed: 0, epochs: 0 };
  for (let at = first; at < first + runs; at += 1) {
    const { log, ...counts } = await simulate(at).catch((error: unknown) => {
      throw new Error(`SEED=${at} RUNS=1 repeats this`, { cause: error });
    });
    sums.steps += log.length;
    for (const name of ['acknowledged', 'collected', 'crashed', 'epochs'] as const) sums[name] += counts[name];
  }
  console.log(`${runs} runs from SEED=${first}: ${JSON.stringify(sums)}`);
  return runs;
}

/** Carries out the run of this seed. Throws when something does not hold. */
export async function simulate(seed: number): Promise<Outcomes> {
  const run = new Run(seed + 100, await beginning(oneOf(numbers(seed), [0, 3, 7, 12, 14])));
  return run.run();
}

class Run {
  private readonly seed: number;
  private readonly next: () => number;
  private readonly world: World;
  private readonly faults: number;
  /** Grace of this run's collectors in milliseconds; a step takes one. */
  private readonly grace: number;
  private readonly acknowledged: Acknowledged[] = [];
  private collected = 0;
  private readonly problems: string[] = [];

  constructor(seed: number, before: World) {
    this.seed = seed;
    this.next = numbers(seed ^ 0x5eed);
    this.faults = oneOf(this.next, [0, 0.01, 0.05]);
    this.grace = oneOf(this.next, [0, 0, day]);
    this.world = new World(seed, this.policy(), before);
  }

  async run(): Promise<Outcomes> {
    const { world, next } = this;
    const actors = [
      ...Array.from({ length: 1 + Math.floor(next() * 3) }, (_, n) => this.writer(`writer ${n}`)),
      ...Array.from({ length: 1 + Math.floor(next() * 2) }, (_, n) => this.collector(`collector ${n}`)),
      ...(next() < 0.3 ? [this.reader('reader')] : []),
    ];
    await world.run();
    for (const actor of actors) mustHaveEnded(actor);
    assert.deepEqual(this.problems, []);
    let epochs = 0;
    await alone(this.seed ^ 0xabcdef, world, async (store) => {
      epochs = (await readAll(store)).head.epoch;
      await expectHistory(openTestProject(store), this.acknowledged);
      // Whatever is left of the dead goes, however long ago it was condemned.
      for (let n = 0; n < 2; n += 1) await collect(openTestProject(store), 0);
      expectOnlyNeeded(await readAll(store));
      await expectHistory(openTestProject(store), this.acknowledged);
    });
    return {
      log: world.log,
      acknowledged: this.acknowledged.length,
      collected: this.collected,
      crashed: actors.filter(({ state }) => state === 'crashed').length,
      epochs,
    };
  }

  /** Mostly a random one of what waits; sometimes the same actor for a while. */
  private policy(): Policy {
    const { next } = this;
    let favoured = 0;
    let until = 0;
    return (waiting, late) => {
      if (late > 0 && next() < 0.1) return Math.floor(next() * late);
      if (until === 0) {
        favoured = Math.floor(next() * 6);
        until = Math.floor(next() ** 3 * 60);
      } else until -= 1;
      const names = [...new Set(waiting.map(({ actor }) => actor.name))].sort();
      const name = until > 0 ? names[favoured % names.length] : oneOf(next, names);
      const chosen = oneOf(
        next,
        waiting.filter(({ actor }) => actor.name === name),
      );
      let outcome: Outcome = 'works';
      if (next() < this.faults) {
        outcome = oneOf(next, ['lost', 'done', 'late', 'late', 'crash', 'stale']);
        if (chosen.verb === 'pause' || (outcome === 'stale' && chosen.verb !== 'list')) outcome = 'works';
        if (outcome === 'late' && chosen.verb.startsWith('read')) outcome = 'lost';
      }
      return { waiting: chosen, outcome };
    };
  }

  private project(): Project {
    // Some ask again when there is no answer, and some stop.
    const { store } = this.world;
    const forever = { timeoutMs: Infinity, firstContactMs: Infinity, delayMs: 0 };
    return openTestProject(this.next() < 0.7 ? new RetryingStore(store, forever) : store);
  }

  private writer(name: string) {
    const project = this.project();
    const seed = this.next() * 2 ** 32;
    return this.world.begin(name, async () => {
      const next = numbers(seed);
      for (let n = 1 + Math.floor(next() * 3); n > 0; n -= 1) await this.attempt(() => this.change(project, next));
    });
  }

  private async change(project: Project, next: () => number): Promise<void> {
    const begun = this.world.log.length;
    const chance = next();
    const content = Math.floor(next() * contents.length);
    if (chance < 0.6) {
      const edit = next() < 0.3 ? folder(next) : { [oneOf(next, paths)]: next() < 0.8 ? content : null };
      const commit = await put(project, 'data', 'master', edit);
      this.acknowledged.push({ commit, edit, begun, ended: this.world.log.length });
    } else if (chance < 0.7) {
      await put(project, 'data', 'dev', { [oneOf(next, paths)]: content });
    } else if (chance < 0.75) await createBranch(project, 'data', 'dev', parseAddress('data@master'));
    else if (chance < 0.85) await deleteBranch(project, 'data', 'dev');
    else if (chance < 0.9) await deleteRepo(project, 'temp', { force: true });
    else if (chance < 0.95) await createRepo(project, 'temp', '');
    else await put(project, 'temp', 'master', { '/t': content });
  }

  private collector(name: string) {
    const project = this.project();
    return this.world.begin(name, async () => {
      for (let n = this.grace > 0 ? 2 : 1; n > 0; n -= 1) {
        await this.attempt(async () => void (await collect(project, this.grace)));
        if (this.grace > 0 && this.next() < 0.3) this.world.pass(this.grace);
      }
    });
  }

  /** Reads a version, however long that takes. */
  private reader(name: string) {
    const project = this.project();
    const work = async (): Promise<void> => {
      const snapshot = await project.snapshot();
      const { head } = await snapshot.branch('data', 'master');
      if (head) await contentOf(project, await snapshot.commitAt(head.commit));
    };
    return this.world.begin(name, () => this.attempt(work, 'damaged'));
  }

  /** Errors that a user may see; of these `ifCollected` only of what took longer than the grace. */
  private async attempt(work: () => Promise<void>, ...ifCollected: readonly ErrorCode[]): Promise<void> {
    const begun = this.world.now;
    try {
      await work();
    } catch (error) {
      const mayBeCollected = this.world.now - begun >= this.grace;
      if (error instanceof CollectedError) {
        this.collected += 1;
        if (!mayBeCollected) this.problems.push('an object was collected within its grace');
        return;
      }
      const expected: readonly ErrorCode[] = ['not-found', 'conflict', 'unreachable', 'failed'];
      if (!isPachError(error, ...expected, ...(mayBeCollected ? ifCollected : []))) throw error;
    }
  }
}
