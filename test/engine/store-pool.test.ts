/**
 * Datums that workers run which reach nothing but the store: what comes of them is what the pool of
 * the engine's own process gives, with few requests and moves of the head.
 */
import * as fc from 'fast-check';
import { PachError } from '../../src/base/errors.ts';
import { stopJob } from '../../src/engine/stop.ts';
import { leasedJobs } from '../../src/pipelines/jobs/running.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { RetryingStore } from '../../src/store/retry.ts';
import type { Store } from '../../src/store/store.ts';
import { traceStore } from '../../src/store/trace.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { isLong } from '../support/long.ts';
import { openTestProject } from '../versions/project.ts';
import { expect, test } from 'vitest';
import type { RunEvent } from '../../src/engine/events.ts';
import type { GraphStep } from '../../src/engine/run-graph.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { endLeases, expectPublishedOnce, keepingHeads, killAtRandom, runFrom } from './store-kills.ts';
import {
  connection,
  expectNoWork,
  quick,
  resultsOf,
  storePool,
  untimed,
  withWorkers,
  workIn,
} from './store-workers.ts';
import { EngineWorld, type Command, type Tree } from './world.ts';

const exit = (code: number) => ({ kind: 'exit', code }) as const;

/** Copies; fails at files that say so, and at those that want it once at each first try. */
function trying(): Command {
  const tried = new Set<string>();
  return (seen, argv) => {
    const text = Object.values(seen).join();
    if (argv[0] === 'check') return { log: 'checked\n', ending: exit(text.includes('bad') ? 3 : 0) };
    if (argv[0] === 'mend') return { log: 'mended\n', ending: exit(text.includes('mend') ? 0 : 1) };
    if (text.includes('fail') || text.includes('mend')) return { log: 'failed\n', ending: exit(1) };
    const all = JSON.stringify(seen);
    if (text.includes('twice') && !tried.has(all)) {
      tried.add(all);
      return { log: 'once\n', ending: exit(2) };
    }
    return { out: seen, log: `saw ${Object.keys(seen).join(' ')}\n` };
  };
}

const specs = [
  { name: 'files', input: { pfs: { repo: 'data', glob: '/**' } }, datum_tries: 2 },
  { name: 'whole', input: { pfs: { repo: 'data', glob: '/' } }, datum_tries: 2 },
  {
    name: 'joined',
    input: {
      join: [
        { pfs: { repo: 'data', name: 'a', glob: '/(*)', join_on: '$1' } },
        { pfs: { repo: 'more', name: 'b', glob: '/(*)', join_on: '$1' } },
      ],
    },
    datum_tries: 2,
  },
  {
    name: 'mended',
    input: { pfs: { repo: 'more', glob: '/*' } },
    transform: { cmd: ['f'], err_cmd: ['mend'] },
    datum_tries: 2,
    dev: { on_datum_failure: 'skip', expect: { check: ['check'] } },
  },
];

/** What a run came to, without what differs between two of them: ids of commits and jobs, and times. */
async function outcome(world: EngineWorld, { job, result }: GraphStep, events: readonly RunEvent[]): Promise<unknown> {
  const { state, reason, counts, executor } = job;
  const said: { id: string; state: string; failure: unknown }[] = [];
  for (const event of events) {
    if (event.kind === 'datum-begun') said.push({ id: event.datum.id, state: 'begun', failure: undefined });
    if (event.kind !== 'datum-ended') continue;
    const { outcome: ended } = event;
    const failure = 'failure' in ended ? ended.failure : undefined;
    said.push({ id: event.datum.id, state: ended.state, failure });
  }
  // In order for each datum: which worker has which datum when, nobody knows.
  const byDatum = said.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  const output = result?.after && (await world.filesOf(rootOf(result.after)));
  const contentHash = result?.after?.contentHash.toString('hex');
  return { state, reason: reason.replaceAll(job.id, 'JOB'), counts, executor, byDatum, output, contentHash };
}

async function runAll(world: EngineWorld, isStore: boolean): Promise<unknown[]> {
  const outcomes: unknown[] = [];
  for (const { name } of specs) {
    const events: RunEvent[] = [];
    const tell = (event: object): void => void events.push({ ...event, time: 0 } as RunEvent);
    const pool = isStore ? storePool(world.project) : world.pool(2);
    outcomes.push(await outcome(world, await world.run(name, { pool, tell }), events));
  }
  return outcomes;
}

const text = fc.oneof(fc.constantFrom('fail', 'mend', 'twice', 'bad', ''), fc.string({ maxLength: 5 }));
const tree = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd/e', 'd/f', 'g'), text, { minKeys: 1 });

test('pipelines give the same through the store and in the engine’s own process: results, keys, outputs, counts and events', async () => {
  await fc.assert(
    fc.asyncProperty(tree, tree, tree, async (...trees) => {
      const [local, elsewhere] = await Promise.all(
        [false, true].map(async (isStore) => {
          await using world = await EngineWorld.make(trying());
          for (const spec of specs) await world.set(spec);
          const [first, more, second] = trees as [Tree, Tree, Tree];
          await world.commit('more', more);
          const outcomes: unknown[] = [];
          const work = async (): Promise<void> => {
            for (const data of [first, second]) {
              await world.commit('data', data);
              outcomes.push(await runAll(world, isStore));
            }
          };
          if (isStore) await withWorkers(world, 2, work);
          else await work();
          await expectNoWork(world.store);
          return { outcomes, results: untimed(await resultsOf(world.store)) };
        }),
      );
      expect(elsewhere).toEqual(local);
    }),
    { numRuns: isLong ? 20 : 1, endOnFailure: true },
  );
});

test.each([3, 18])(
  'engines and workers that die at any time lose no result, and none is published twice (seed %i)',
  async (seed) => {
    const killed = await killAtRandom(seed);
    expect(killed.engines + killed.workers).toBeGreaterThan(0);
  },
);

const many = (count: number): Tree => Object.fromEntries(Array.from({ length: count }, (_, n) => [`f${n}`, `${n}`]));
const each = { name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } };

test('a job moves the head as often with many deliveries as with one, and asks the store little', async () => {
  const { store, counts } = traceStore(new MemoryStore());
  await using world = await EngineWorld.make((seen) => ({ out: seen }), store);
  await world.commit('data', many(150));
  await world.set(each);
  counts.reset();
  const times = { ...quick, publishMs: 600_000, deliverMsMax: 40 };
  const run = () => world.run('p', { pool: storePool(world.project, times) });
  const { result, ran } = await withWorkers(world, 4, run, times);
  expect(result.job.counts).toMatchObject({ total: 150, processed: 150 });
  expect(ran.reduce((sum, count) => sum + count, 0)).toBe(150);
  const written = counts.requests.filter(({ verb, key }) => verb === 'writeIfAbsent' && key.includes('/delivery-'));
  expect(written.length).toBeGreaterThan(8);
  const moves = counts.requests.filter(({ verb, key }) => verb === 'writeIfUnchanged' && key.endsWith('/head'));
  // It makes its branch, begins, publishes all that was delivered, and ends.
  expect(moves.length).toBe(4);
  const shards = counts.requests.filter(({ verb, key }) => verb === 'writeIfAbsent' && key.includes('/shard-'));
  // They begin with one datum, and grow.
  expect(shards.length).toBeLessThan(200);
  await expectNoWork(world.store);
  const kept = async (): Promise<number> => {
    let objects = 0;
    for await (const _ of store.list('projects/')) objects += 1;
    return objects;
  };
  const before = await kept();
  const collect = { grace: 0, dryRun: false, progress: () => undefined };
  await collectGarbage(world.project, collect);
  // Fewer than two objects a delivery stay, however many packs they had.
  expect(await kept()).toBeLessThan(Math.min(before, 2 * written.length));
  expect(Object.keys((await world.files('p')) ?? {}).length).toBe(150);
});

test('a job that is stopped stops its workers, and keeps what they have delivered', async () => {
  const runs = { now: 0 };
  const held: Command = async (seen, _, { signal }) => {
    // Once a datum is done its worker gets several at a time: it is the last of the three.
    if (Object.values(seen)[0] === '0') {
      while (runs.now < 2) await new Promise((go) => setTimeout(go, 10));
      return { out: seen };
    }
    runs.now += 1;
    // A datum may begin when the job has been stopped already.
    if (!signal?.aborted) await new Promise<void>((stopped) => signal?.addEventListener('abort', () => stopped()));
    runs.now -= 1;
    return { ending: { kind: 'aborted' } };
  };
  await using world = await EngineWorld.make(held);
  await world.commit('data', many(3));
  await world.set(each);
  const { result } = await withWorkers(world, 3, async () => {
    const run = world.run('p', { pool: storePool(world.project) });
    while (runs.now < 2 || (await resultsOf(world.store)).size === 0) await new Promise((go) => setTimeout(go, 10));
    const snapshot = await world.project.snapshot();
    for await (const { job } of leasedJobs(snapshot)) await stopJob(world.project, job, new AbortController().signal);
    return { step: await run, running: runs.now };
  });
  expect(result.step.job.state).toBe('killed');
  // Before the workers themselves were stopped.
  expect(result.running).toBe(0);
  expect((await resultsOf(world.store)).size).toBe(1);
  await expectNoWork(world.store);
});

test('datums whose packs a collection has taken run again', async () => {
  let collections = 0;
  const command: Command = (seen) => ({ out: { ...seen, large: 'x'.repeat(3000) } });
  await using world = await EngineWorld.make(command, new MemoryStore());
  await world.commit('data', many(6));
  await world.set({ ...each, transform: { cmd: ['f'] }, input: { pfs: { repo: 'data', glob: '/' } } });
  // The first delivery is left without its packs.
  const robbed = new Proxy(world.store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== 'writeIfAbsent') return typeof value === 'function' ? value.bind(target) : value;
      return async (key: string, parts: Uint8Array[]) => {
        if (key.includes('/delivery-') && collections === 0) {
          collections += 1;
          await collectGarbage(openTestProject(world.store), { grace: 0, dryRun: false, progress: () => undefined });
        }
        return target.writeIfAbsent(key, parts);
      };
    },
  });
  const stop = new AbortController();
  const working = workIn(world, stop.signal, { store: robbed });
  const { job } = await world.run('p', { pool: storePool(world.project) });
  stop.abort();
  await working;
  expect(collections).toBe(1);
  expect(job.state).toBe('success');
  expect(world.executor.ran.length).toBe(2);
  await expectNoWork(world.store);
});

test('a datum at which workers break ends the job, after three of them', async () => {
  await using world = await EngineWorld.make(() => {
    throw new PachError('failed', { what: 'worker', why: 'its launcher has ended' });
  });
  await world.commit('data', many(1));
  await world.set(each);
  const stop = new AbortController();
  const ending = (async () => {
    let breaks = 0;
    while (!stop.signal.aborted) await workIn(world, stop.signal).catch(() => (breaks += 1));
    return breaks;
  })();
  await expect(world.run('p', { pool: storePool(world.project) })).rejects.toThrow(/workers broke at it 3 times/);
  stop.abort();
  // Another one may begin before the engine has looked.
  expect(await ending).toBeGreaterThanOrEqual(3);
  await expectNoWork(world.store);
});

/** A world whose commands take a moment, and each head that its project has had. */
async function slowWorld(): Promise<{ world: EngineWorld; heads: readonly Buffer[] }> {
  const { store, heads } = keepingHeads(new MemoryStore());
  const world = await EngineWorld.make(async (seen) => {
    await new Promise((go) => setTimeout(go, 20));
    return { out: seen };
  }, store);
  await world.commit('data', many(30));
  await world.set(each);
  return { world, heads };
}

test('an engine that stood still while another one took its job over publishes nothing and takes nothing away', async () => {
  const { world, heads } = await slowWorld();
  await using _ = world;
  const { result } = await withWorkers(world, 2, async () => {
    const first = connection(world.store);
    const losing = runFrom(world, first.store).then(
      () => 'won',
      (error: unknown) => String(error),
    );
    while (world.executor.ran.length < 5) await new Promise((go) => setTimeout(go, 5));
    const release = first.hold();
    await endLeases(world.store);
    const running = runFrom(world, world.store);
    // It wakes while the other one works.
    while (world.executor.ran.length < 15) await new Promise((go) => setTimeout(go, 5));
    release();
    return { step: await running, lost: await losing };
  });
  expect(result.step.job).toMatchObject({ state: 'success', counts: { total: 30 } });
  expect(result.lost).toMatch(/has taken it over|its lease has ended/);
  // Each engine frees nothing of the other's: hardly a datum runs twice.
  expect(world.executor.ran.length).toBeLessThan(45);
  await expectPublishedOnce(world.store, heads, 30);
  await expectNoWork(world.store);
});

test('a store that is away for a while costs its workers what they have not delivered, and the job nothing', async () => {
  const { world, heads } = await slowWorld();
  await using _ = world;
  const stop = new AbortController();
  const ways = [connection(world.store), connection(world.store)];
  const [engine, worker] = ways as [(typeof ways)[number], (typeof ways)[number]];
  const times = { ...quick, publishMs: 600_000 };
  const working = workIn(world, stop.signal, { store: worker.store, times });
  const running = runFrom(world, engine.store, times);
  for (const seen of [4, 12]) {
    while (world.executor.ran.length < seen) await new Promise((go) => setTimeout(go, 5));
    const back = ways.map((way) => way.refuse());
    await new Promise((go) => setTimeout(go, 200));
    for (const come of back) come();
  }
  const { job } = await running;
  stop.abort();
  await working;
  expect(job).toMatchObject({ state: 'success', counts: { total: 30, processed: 30 } });
  await expectPublishedOnce(world.store, heads, 30);
});

test('what workers who are patient have computed while the store is away is kept, and not computed again', async () => {
  const { world, heads } = await slowWorld();
  await using _ = world;
  const stop = new AbortController();
  const ways = [connection(world.store), connection(world.store)] as const;
  let missed = (): void => undefined;
  const isMissed = new Promise<void>((go) => (missed = go));
  const patient = (store: Store): Store => {
    const patience = { ms: 600_000, until: stop.signal, missedMs: 200, away: missed };
    return new RetryingStore(store, { timeoutMs: 10, delayMs: 1, patience });
  };
  const working = workIn(world, stop.signal, { store: patient(ways[0].store) });
  const running = runFrom(world, patient(ways[1].store), quick);
  while (world.executor.ran.length < 4) await new Promise((go) => setTimeout(go, 5));
  const back = ways.map((way) => way.refuse());
  await isMissed;
  for (const come of back) come();
  const { job } = await running;
  stop.abort();
  await working;
  expect(job).toMatchObject({ state: 'success', counts: { total: 30, processed: 30 } });
  expect(world.executor.ran).toHaveLength(30);
  await expectPublishedOnce(world.store, heads, 30);
});
