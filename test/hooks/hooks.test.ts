/**
 * What hooks tell, and when, of jobs that a real engine ran: to a web server on loopback, by a clock
 * that the test moves.
 */
import { expect, test } from 'vitest';
import { sendHook } from '../../src/app/send-hook.ts';
import type { Hook, HookKind } from '../../src/hooks/file.ts';
import { Hooks, type HookEvent } from '../../src/hooks/hooks.ts';
import type { Task } from '../../src/execution/executor.ts';
import { deletePipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { tellTo } from '../../src/engine/events.ts';
import type { Seen } from '../../src/engine/serve.ts';
import { newestJob } from '../../src/pipelines/jobs/jobs.ts';
import { listPipelines } from '../../src/pipelines/pipelines.ts';
import type { Project } from '../../src/versions/project.ts';
import { toldKey } from '../../src/versions/ref-keys.ts';
import { checkProject } from '../../src/versions/upkeep/fsck.ts';
import { copy, EngineWorld, type Output } from '../engine/world.ts';
import { openTestProject } from '../versions/project.ts';
import { Receiver } from './receiver.ts';

const input = { pfs: { repo: 'data', glob: '/*' } };
const minute = 60_000;

/** What an engine has seen. */
async function seenIn(project: Project): Promise<Seen> {
  const snapshot = await project.snapshot();
  const pipelines = await listPipelines(snapshot);
  const works = pipelines.map(async (pipeline) => {
    const { job } = await newestJob(snapshot, pipeline.name, pipeline.spec.outputBranch);
    return { pipeline, job };
  });
  return { snapshot, works: await Promise.all(works) };
}

/** Pipelines whose commands fail as long as a test says so. */
class World implements AsyncDisposable {
  readonly engine: EngineWorld;
  readonly receiver: Receiver;
  now = Date.now();
  fails = true;
  private puts = 0;

  private constructor(engine: EngineWorld, receiver: Receiver) {
    this.engine = engine;
    this.receiver = receiver;
  }

  static async make(fields: object = {}): Promise<World> {
    const engine = await EngineWorld.make((seen, argv, task) =>
      world.fails ? { ending: { kind: 'exit', code: 1 } } : copy(seen, argv, task),
    );
    const world: World = new World(engine, await Receiver.start());
    await engine.commit('data', { a: '0' });
    await engine.set({ name: 'p', input, ...fields });
    return world;
  }

  /** Runs `p` on new data. */
  async job(fails: boolean): Promise<string> {
    this.fails = fails;
    await this.engine.commit('data', { a: String((this.puts += 1)) });
    return (await this.engine.run('p')).job.id;
  }

  hook(on: readonly HookKind[], more: Partial<Hook> = {}): Hook {
    const target = { kind: 'url', url: new URL(this.receiver.url), secretFile: undefined } as const;
    return { id: '0123456789abcdef', name: 'hooks.yaml:1', on, pipelines: undefined, target, ...more };
  }

  hooks(of: readonly Hook[], events: HookEvent[] = [], project: Project = this.engine.project): Hooks {
    // Later than all jobs so far, whose times are those of the system.
    this.now = Math.max(this.now, Date.now()) + 1;
    const wake = (): void => undefined;
    const tell = tellTo<HookEvent>([(event) => void events.push(event)]);
    return new Hooks({ project, hooks: of, send: sendHook, tell, now: () => this.now, wake });
  }

  /** Looks until nothing more is due; resolves to when it is, from now. */
  async look(hooks: Hooks, project: Project = this.engine.project): Promise<number> {
    for (;;) {
      const before = this.receiver.received.length;
      const next = await hooks.look(await seenIn(project));
      await hooks.idle();
      if (this.receiver.received.length === before) return next - this.now;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.receiver[Symbol.asyncDispose]();
    await this.engine[Symbol.asyncDispose]();
  }
}

test('a failure is told once, and the first success after it; nothing of what was before', async () => {
  await using world = await World.make();
  await world.job(true);
  await using hooks = world.hooks([world.hook(['failed', 'recovered'])]);
  await world.look(hooks);
  expect(world.receiver.told).toEqual([]);
  const job = await world.job(true);
  await world.look(hooks);
  await world.look(hooks);
  expect(world.receiver.told).toEqual(['failed p']);
  const [told] = world.receiver.received;
  expect(told?.message).toMatchObject({
    text: `p: failed: 1 of 1 datums failed. See: pach inspect job ${job}`,
    project: 'default',
    job: { job, state: 'failure', datums: { failed: 1 } },
  });
  await world.job(false);
  await world.job(false);
  await world.look(hooks);
  expect(world.receiver.told).toEqual(['failed p', 'recovered p']);
  expect(new Set(world.receiver.received.map(({ message }) => message.id)).size).toBe(2);
});

test('what happened while no engine ran is told by the next', async () => {
  await using world = await World.make();
  await using first = world.hooks([world.hook(['failed'])]);
  await world.look(first);
  await first[Symbol.asyncDispose]();
  await world.job(true);
  await using second = world.hooks([world.hook(['failed'])]);
  await world.look(second);
  expect(world.receiver.told).toEqual(['failed p']);
  await using third = world.hooks([world.hook(['failed'])]);
  await world.look(third);
  expect(world.receiver.told).toEqual(['failed p']);
});

test('of two engines one tells', async () => {
  await using world = await World.make();
  const projects = [world.engine.project, openTestProject(world.engine.store)];
  const engines = projects.map((project) => world.hooks([world.hook(['failed'])], [], project));
  for (const [index, hooks] of engines.entries()) await world.look(hooks, projects[index]);
  for (let round = 0; round < 5; round += 1) {
    await world.job(true);
    world.now += 7 * 60 * minute;
    await Promise.all(engines.map((hooks, index) => world.look(hooks, projects[index])));
  }
  expect(world.receiver.told).toEqual(Array.from({ length: 5 }, () => 'failed p'));
  for (const hooks of engines) await hooks[Symbol.asyncDispose]();
});

test('an engine that died while it was sending is followed by another, under the same id', async () => {
  await using world = await World.make();
  await using second = world.hooks([world.hook(['failed'])]);
  await world.look(second);
  await world.job(true);
  // It takes the message, and the engine never hears of it.
  const taken = new Promise<void>((done) => (world.receiver.answer = () => done()));
  const first = world.hooks([world.hook(['failed'])]);
  await first.look(await seenIn(world.engine.project));
  await taken;
  world.receiver.answer = (response) => void response.end();
  const wait = await world.look(second);
  expect(world.receiver.told).toEqual(['failed p']);
  expect(wait).toBeGreaterThan(minute);
  world.now += wait;
  await world.look(second);
  expect(world.receiver.told).toEqual(['failed p', 'failed p']);
  const [a, b] = world.receiver.received;
  expect(a?.message.id).toBe(b?.message.id);
  expect(a?.text).toBe(b?.text);
  await world.receiver[Symbol.asyncDispose]();
  await first[Symbol.asyncDispose]();
});

test('a pipeline that fails each minute tells less and less often, and says how much it held back', async () => {
  await using world = await World.make();
  await using hooks = world.hooks([world.hook(['failed'])]);
  await world.look(hooks);
  for (let n = 0; n < 13; n += 1) {
    await world.job(true);
    await world.look(hooks);
    world.now += minute;
  }
  expect(world.receiver.told).toEqual(['failed p', 'failed p+9']);
  expect(await world.look(hooks)).toBe(17 * minute);
  world.now += 17 * minute;
  await world.look(hooks);
  expect(world.receiver.told.at(-1)).toBe('failed p+1');
});

test('a hook that answers 500 is tried three times, with growing pauses, and then now and then', async () => {
  await using world = await World.make();
  const events: HookEvent[] = [];
  await using hooks = world.hooks([world.hook(['failed'])], events);
  await world.look(hooks);
  await world.job(true);
  world.receiver.answer = (response) => void response.writeHead(500).end('no');
  const pauses: number[] = [];
  for (let n = 0; n < 6; n += 1) {
    const next = await world.look(hooks);
    pauses.push(next / 1000);
    world.now += next - 1;
    await world.look(hooks);
    world.now += 1;
  }
  expect(pauses).toEqual([2, 10, 300, 600, 1200, 2400]);
  expect(world.receiver.received.length).toBe(6);
  expect(events).toMatchObject(
    [1, 2, 3, 4, 5, 6].map((tries) => ({ kind: 'hook-failed', tries, answer: 'it answered 500: no' })),
  );
  world.receiver.answer = (response) => void response.end();
  await world.look(hooks);
  await world.look(hooks);
  expect(world.receiver.received.length).toBe(7);
  expect(new Set(world.receiver.received.map(({ headers }) => headers['x-pach-delivery'])).size).toBe(1);
  expect(events.at(-1)).toMatchObject({ kind: 'hook-sent' });
});

test('results that are late are told once, when they are', async () => {
  await using world = await World.make({ dev: { deadline: '1h' } });
  await using hooks = world.hooks([world.hook(['late'])]);
  const wait = await world.look(hooks);
  const updated = (await listPipelines(await world.engine.project.snapshot()))[0]?.updated ?? 0;
  expect(world.now + wait).toBe(updated + 60 * minute);
  world.now += wait - 1;
  await world.look(hooks);
  expect(world.receiver.told).toEqual([]);
  world.now += 1;
  // Data that comes later changes nothing: the first is what waits.
  await world.engine.commit('data', { a: 'more' });
  await world.look(hooks);
  await world.job(true);
  await world.look(hooks);
  expect(world.receiver.told).toEqual(['late p']);
  expect(world.receiver.received[0]?.message.text).toMatch(
    /^p: late: there are no results yet of data@master as it has been since /,
  );
  await world.job(false);
  world.now += 24 * 60 * minute;
  expect(await world.look(hooks)).toBe(Infinity);
  expect(world.receiver.told).toEqual(['late p']);
});

test('an empty output is told, and who waits for other things or pipelines is not', async () => {
  await using world = await World.make();
  const target = { kind: 'command', argv: ['/bin/false'] } as const;
  const events: HookEvent[] = [];
  const others = { id: 'f'.repeat(16), pipelines: ['q'], target };
  await using hooks = world.hooks([world.hook(['empty']), world.hook(['empty', 'failed'], others)], events);
  await world.look(hooks);
  world.engine.executor.command = () => ({});
  await world.job(false);
  await world.look(hooks);
  expect(world.receiver.told).toEqual(['empty p']);
  expect(events.map(({ kind }) => kind)).toEqual(['hook-sent']);
});

async function untilStopped({ signal }: Task): Promise<Output> {
  if (signal && !signal.aborted) await new Promise((done) => signal.addEventListener('abort', done));
  return { ending: { kind: 'aborted' } };
}

test('a job that took too long has failed; one that somebody stopped has not', async () => {
  await using world = await World.make({ job_timeout: '20ms' });
  await using hooks = world.hooks([world.hook(['failed'])]);
  await world.look(hooks);
  world.engine.executor.command = (_seen, _argv, task) => untilStopped(task);
  await world.job(true);
  await world.look(hooks);
  expect(world.receiver.received.map(({ message }) => message.text)).toEqual([
    expect.stringContaining('p: failed: it took longer than job_timeout allows'),
  ]);
  await world.engine.set({ name: 'p', input });
  const stop = new AbortController();
  world.engine.executor.command = (_seen, _argv, task) => {
    stop.abort();
    return untilStopped(task);
  };
  await world.engine.commit('data', { a: 'last' });
  await expect(world.engine.run('p', { signal: stop.signal })).rejects.toThrow('it was interrupted');
  world.now += 24 * 60 * minute;
  await world.look(hooks);
  expect(world.receiver.told.length).toBe(1);
});

test('trouble that lasts is told, also while the store is away', async () => {
  await using world = await World.make();
  await using hooks = world.hooks([world.hook(['trouble'])]);
  await world.look(hooks);
  const error = { code: 'unreachable', message: 'the store: no answer' } as const;
  const away = { kind: 'trouble', time: world.now, pipeline: null, error } as const;
  hooks.listen(away);
  expect((await hooks.look(undefined)) - world.now).toBe(minute);
  hooks.listen({ kind: 'trouble-over', time: world.now, pipeline: null });
  world.now += minute;
  await hooks.look(undefined);
  await hooks.idle();
  expect(world.receiver.told).toEqual([]);
  for (const hours of [0, 1, 1]) {
    world.now += hours * 60 * minute;
    hooks.listen(away);
    await hooks.look(undefined);
    world.now += minute;
    await hooks.look(undefined);
    await hooks.idle();
  }
  expect(world.receiver.received.map(({ message }) => message.text)).toEqual([
    'the engine: trouble: the store: no answer',
  ]);
});

test('an output that is not what was expected is told as that, and what comes right after it as recovered', async () => {
  await using world = await World.make({ dev: { expect: { not_empty: true } } });
  await using hooks = world.hooks([world.hook(['failed', 'expectation', 'recovered', 'empty'])]);
  await world.look(hooks);
  world.engine.executor.command = () => ({});
  const job = await world.job(false);
  await world.look(hooks);
  world.engine.executor.command = copy;
  await world.job(false);
  await world.look(hooks);
  expect(world.receiver.told).toEqual(['expectation p', 'recovered p']);
  expect(world.receiver.received[0]?.message.job).toMatchObject({ job, state: 'rejected' });
});

test('what was told goes with its pipeline, and a store with it is whole', async () => {
  await using world = await World.make();
  await using hooks = world.hooks([world.hook(['failed'])]);
  await world.look(hooks);
  await world.job(true);
  await world.look(hooks);
  const { project } = world.engine;
  const stored = async (): Promise<unknown> => (await project.snapshot()).item(toldKey('p', '0123456789abcdef'));
  expect(await stored()).toBeDefined();
  expect((await checkProject(project, { readShare: 0, random: () => 0, progress: () => undefined })).findings).toEqual(
    [],
  );
  await deletePipeline(project, 'p', { keepRepo: false, force: false });
  expect(await stored()).toBeUndefined();
});
