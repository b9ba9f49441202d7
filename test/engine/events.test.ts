/**
 * The events of runs: in order, all of them, as plain data, and none that a listener could break.
 */
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { PachError } from '../../src/base/errors.ts';
import { Output } from '../../src/cli/output.ts';
import { RunPrinter } from '../../src/cli/run-printer.ts';
import { Counting } from '../../src/engine/counts.ts';
import { tellAll, type RunEvent } from '../../src/engine/events.ts';
import type { DatumOutcome } from '../../src/execution/events.ts';
import { encodeLease, type DatumCounts } from '../../src/model/records/pipelines.ts';
import type { Exit, Task } from '../../src/execution/executor.ts';
import { listJobs, setJob } from '../../src/pipelines/jobs/jobs.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { leaseKey } from '../../src/versions/ref-keys.ts';
import { openTestProject } from '../versions/project.ts';
import { copy, EngineWorld, type Command } from './world.ts';

const input = { pfs: { repo: 'data', glob: '/*' } };

/** `p` reads data, `q` reads p's output. */
async function graphWith(command: Command, fields: object = {}): Promise<EngineWorld> {
  const world = await EngineWorld.make(command);
  await world.commit('data', { a: '1', b: '2', c: '3' });
  await world.set({ name: 'p', input, ...fields });
  await world.set({ name: 'q', input: { pfs: { repo: 'p', glob: '/data/*' } } });
  return world;
}

interface Listened {
  readonly events: RunEvent[];
  readonly error: unknown;
}

async function listen(world: EngineWorld, name: string, more: object = {}): Promise<Listened> {
  const events: RunEvent[] = [];
  const tell = tellAll([(event) => events.push(event)]);
  const error = await world.run(name, { ...more, tell }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expectComplete(events);
  return { events, error };
}

function expectComplete(events: readonly RunEvent[]): void {
  expect(JSON.parse(JSON.stringify(events))).toEqual(events);
  expect(faultsOf(events)).toEqual([]);
}

/** What there should not be: every job that started ends, and every datum that began, in that order and within its job. */
function faultsOf(events: readonly RunEvent[]): RunEvent[] {
  const jobs = new Map<string, RunEvent>();
  const datums = new Map<string, RunEvent>();
  const isRight = (event: RunEvent): boolean => {
    if ('job' in event && event.kind !== 'job-started' && !jobs.has(event.job)) {
      return event.kind === 'job-ended' && event.outcome.state === 'unrunnable';
    }
    switch (event.kind) {
      case 'job-started':
        return !jobs.has(event.job) && jobs.set(event.job, event).size === 1;
      case 'datum-begun':
        return !datums.has(event.datum.id) && datums.set(event.datum.id, event).size > 0;
      case 'printed':
        return datums.has(event.datum);
      case 'datum-ended':
        return datums.delete(event.datum.id);
      case 'job-ended':
        return datums.size === 0 && jobs.delete(event.job);
      case 'waiting':
      case 'progress':
      case 'planned':
      case 'published':
      case 'note':
        return true;
    }
  };
  return [...events.filter((event) => !isRight(event)), ...jobs.values(), ...datums.values()];
}

type Kind = RunEvent['kind'];
type Of<K extends Kind> = Extract<RunEvent, { readonly kind: K }>;

const all = <K extends Kind>({ events }: Listened, kind: K): Of<K>[] =>
  events.filter((event): event is Of<K> => event.kind === kind);

/** Kinds in order, without those that come by time. */
const kinds = ({ events }: Listened): Kind[] => events.map(({ kind }) => kind).filter((kind) => kind !== 'progress');

const outcomes = (heard: Listened): DatumOutcome['state'][] =>
  all(heard, 'datum-ended').map(({ outcome }) => outcome.state);
const endings = (heard: Listened): string[] => all(heard, 'job-ended').map(({ outcome }) => outcome.state);

test('a graph tells its jobs and datums from beginning to end', async () => {
  await using world = await graphWith((seen) => ({ out: seen, log: 'grüße\n' }));
  const heard = await listen(world, 'q');
  expect(heard.error).toBeUndefined();
  const begun: Kind[] = ['waiting', 'job-started', 'waiting'];
  const ended: Kind[] = ['waiting', 'job-ended'];
  const datum: Kind[] = ['datum-begun', 'printed', 'datum-ended'];
  const job = [...begun, ...datum, ...datum, ...datum, ...ended];
  // When all datums of a job are known, and how often its results are published, is a matter of time.
  const timed: readonly Kind[] = ['planned', 'published'];
  expect(kinds(heard).filter((kind) => !timed.includes(kind))).toEqual([...job, ...job]);
  expect(all(heard, 'published').length).toBeGreaterThanOrEqual(2);
  expect(all(heard, 'planned').map(({ pipeline, total, toRun }) => [pipeline, total, toRun])).toEqual([
    ['p', 3, 3],
    ['q', 3, 3],
  ]);
  expect(all(heard, 'waiting').map((event) => event.for)).toEqual([
    'preparation',
    'worker',
    'publication',
    'preparation',
    'worker',
    'publication',
  ]);
  expect(new Set(all(heard, 'printed').map(({ text }) => text))).toEqual(new Set(['grüße\n']));
  const { datum: first } = all(heard, 'datum-begun')[0] as Of<'datum-begun'>;
  expect(first).toMatchObject({ files: [{ repo: 'data', path: '/a' }], fileCount: 1, isRecheck: false });
  expect(outcomes(heard)).toEqual(Array(6).fill('success'));
  const [, last] = all(heard, 'job-ended');
  expect(last).toMatchObject({
    pipeline: 'q',
    branch: 'master',
    outcome: {
      state: 'success',
      error: null,
      counts: { total: 3, processed: 3 },
      output: { added: 3, changed: 0, removed: 0 },
    },
  });
  expect(all(heard, 'progress').at(-1)).toMatchObject({
    job: last?.job,
    counts: { total: 3, processed: 3 },
    isPlanned: true,
  });
});

test('what is printed is told in whole characters, up to the limit of the log', async () => {
  const command: Command = (seen, _, task) => {
    for (const byte of Buffer.from('grüße, and more')) task.log(Buffer.of(byte));
    return { out: seen };
  };
  await using world = await graphWith(command, { dev: { limits: { log: '7B' } } });
  const heard = await listen(world, 'p', { workers: 1 });
  const texts = all(heard, 'printed').map(({ text }) => text);
  expect(texts.slice(0, 5)).toEqual(['g', 'r', 'ü', 'ß', 'e']);
  expect(texts.join('')).toBe('grüßegrüßegrüße');
});

test('datums that are known have no events but the counts', async () => {
  await using world = await graphWith(copy);
  await world.run('p');
  const heard = await listen(world, 'p', { branch: 'exp' });
  expect(kinds(heard)).toEqual(['waiting', 'job-started', 'planned', 'waiting', 'job-ended']);
  expect(all(heard, 'planned')[0]).toMatchObject({ total: 3, toRun: 0 });
  expect(all(heard, 'progress').at(-1)).toMatchObject({ counts: { total: 3, skipped: 3 }, isPlanned: true });
});

test('counts are told ten times a second at most, also while nothing else can run', () => {
  const told: number[] = [];
  const begun = performance.now();
  const counting = new Counting((event) => {
    if (event.kind === 'progress') told.push(event.counts.skipped);
  });
  let count = 0;
  for (; told.length < 3 && performance.now() - begun < 10_000; count += 1) counting.known(false, 'success');
  counting.known(false, 'success');
  counting[Symbol.dispose]();
  expect(told.at(-1)).toBe(count + 1);
  expect(told.length).toBe(4);
  expect(performance.now() - begun).toBeGreaterThanOrEqual(200);
});

test('the first datum that ran is counted at once, however lately something was told', () => {
  const told: DatumCounts[] = [];
  const counting = new Counting((event) => {
    if (event.kind === 'progress') told.push(event.counts);
  });
  counting.toRun();
  counting.toRun();
  counting.ran('failed');
  expect(told).toMatchObject([
    { total: 1, failed: 0 },
    { total: 2, failed: 1 },
  ]);
  counting.ran('success');
  expect(told).toHaveLength(2);
  counting[Symbol.dispose]();
  expect(told.at(-1)).toMatchObject({ total: 2, processed: 1, failed: 1 });
});

test('a datum that fails says why, and what reads its output is not run', async () => {
  await using world = await graphWith((seen) => {
    if (seen['data/b'] === undefined) return { out: seen };
    return { out: seen, ending: { kind: 'exit', code: 3 } };
  });
  const heard = await listen(world, 'q');
  expect(outcomes(heard).toSorted()).toEqual(['failed', 'success', 'success']);
  const failed = all(heard, 'datum-ended').find(({ outcome }) => outcome.state === 'failed');
  expect(failed).toMatchObject({
    datum: { files: [{ path: '/b' }] },
    outcome: { failure: { cause: 'ending', ending: { kind: 'exit', code: 3 } } },
  });
  expect(endings(heard)).toEqual(['failure', 'unrunnable']);
  expect(all(heard, 'job-ended')[0]).toMatchObject({ outcome: { reason: '1 of 3 datums failed', output: null } });
  expect(all(heard, 'job-started')).toHaveLength(1);
});

test('every try of a datum begins and ends', async () => {
  let runs = 0;
  const command: Command = (seen) => {
    runs += 1;
    return runs < 3 ? { ending: { kind: 'signal', signal: 'SIGSEGV' } } : { out: seen };
  };
  await using world = await graphWith(command, { datum_tries: 3 });
  const heard = await listen(world, 'p');
  expect(outcomes(heard)).toEqual(['again', 'again', 'success', 'success', 'success']);
  expect(all(heard, 'datum-ended')[0]).toMatchObject({
    outcome: { failure: { cause: 'ending', ending: { kind: 'signal', signal: 'SIGSEGV' } } },
  });
});

test('a command that stays up tells of each datum what it said, and of one that it never asked for', async () => {
  await using world = await graphWith(copy, { transform: { cmd: ['f'], datum_batching: true }, datum_tries: 2 });
  const held = (): Promise<boolean> => Promise.resolve(true);
  let starts = 0;
  const run = async (task: Task): Promise<Exit> => {
    starts += 1;
    task.log(Buffer.from('begin\n'));
    // The first process asks for nothing, the second says of its first datum that it failed.
    let asked = starts > 1;
    for (let isFirst = starts === 2; asked; isFirst = false) {
      asked = (await task.nextDatum?.(false, held)) !== undefined;
      if (isFirst) asked = (await task.nextDatum?.(true, held)) !== undefined;
    }
    return { ending: { kind: 'exit', code: 0 }, wallMs: 1, cpuMs: 1, memoryBytesPeak: 1 };
  };
  const isCurrent = (): boolean => true;
  world.executor.open = () => Promise.resolve({ run, isCurrent, [Symbol.asyncDispose]: () => Promise.resolve() });
  const heard = await listen(world, 'p');
  const failures = all(heard, 'datum-ended').map(({ outcome }) => ('failure' in outcome ? outcome.failure.cause : ''));
  expect(failures).toEqual(['never-asked', 'said', '', '']);
  expect(outcomes(heard)).toEqual(['again', 'failed', 'success', 'success']);
  expect(
    kinds(heard)
      .filter((kind) => kind !== 'planned')
      .slice(3, 6),
  ).toEqual(['datum-begun', 'printed', 'datum-ended']);
});

test('a worker that breaks leaves its datum unfinished, and another one begins it', async () => {
  let runs = 0;
  await using world = await graphWith((seen) => {
    runs += 1;
    if (runs === 2) throw new PachError('failed', { what: 'worker', why: 'it was ended from outside' });
    return { out: seen };
  });
  const heard = await listen(world, 'p');
  expect(outcomes(heard)).toEqual(['success', 'unfinished', 'success', 'success']);
  expect(all(heard, 'datum-ended')[1]?.outcome).toEqual({ state: 'unfinished', why: 'worker-broke' });
  expect(all(heard, 'waiting').map((event) => event.for)).toEqual(['preparation', 'worker', 'worker', 'publication']);
});

test('a job that is interrupted ends its datums, then itself, with the error of the run', async () => {
  const stop = new AbortController();
  await using world = await graphWith((seen) => {
    if (seen['data/b'] !== undefined) stop.abort(new PachError('interrupted', { what: 'run', why: 'Ctrl-C' }));
    return { out: seen };
  });
  const heard = await listen(world, 'q', { signal: stop.signal });
  expect(outcomes(heard)).toEqual(['success', 'unfinished']);
  expect(all(heard, 'datum-ended')[1]?.outcome).toEqual({ state: 'unfinished', why: 'stopped' });
  expect(all(heard, 'job-ended').map(({ outcome }) => outcome)).toMatchObject([
    { state: 'killed', reason: 'it was interrupted', counts: { processed: 1 }, error: { code: 'interrupted' } },
  ]);
  expect(all(heard, 'published').map(({ results }) => results)).toEqual([1]);
  expect((heard.error as Error).message).toContain('it was interrupted');
});

test('a job that somebody stops is killed, which ends no run', async () => {
  await using world = await graphWith(async (seen, _, { signal }) => {
    await openTestProject(world.store).update('stop', async (change) => {
      const [job] = await listJobs(change.snapshot, 'p');
      if (job) setJob(change, { ...job, stopping: true });
    });
    if (!signal?.aborted) await new Promise((ended) => signal?.addEventListener('abort', ended));
    return { out: seen };
  });
  const heard = await listen(world, 'p');
  expect(heard.error).toBeUndefined();
  expect(outcomes(heard)).toEqual(['unfinished']);
  expect(all(heard, 'job-ended')[0]?.outcome).toMatchObject({ state: 'killed', reason: 'it was stopped', error: null });
});

test('a job that another engine takes over is left unfinished', async () => {
  await using world = await graphWith(async (seen) => {
    const until = Date.now() + 60_000;
    const lease = { holder: 'eve@far, process 7', host: 'far pid:[1]', pid: 7, pidStarted: '1', until };
    await openTestProject(world.store).update('take over', async (change) => {
      change.set({ key: leaseKey('p', 'master'), value: encodeLease(lease), refs: [] });
    });
    return { out: seen };
  });
  const heard = await listen(world, 'p');
  expect(all(heard, 'published')).toEqual([]);
  expect(all(heard, 'job-ended')[0]?.outcome).toMatchObject({ state: 'unfinished', error: { code: 'conflict' } });
});

test('a job whose results were collected as garbage starts again', async () => {
  await using world = await graphWith(copy);
  await world.run('p');
  await world.commit('data', { a: '1', b: '2', c: '3', d: '4' });
  await world.commit('more', { x: 'to be purged, and all results with it' });
  let isPurged = false;
  world.executor.command = async (seen) => {
    const other = openTestProject(world.store);
    if (!isPurged) {
      await purge(other, { repo: 'more', what: { path: '/x' }, dryRun: false });
      await collectGarbage(other, { grace: 0, dryRun: false, progress: () => undefined });
    }
    isPurged = true;
    return { out: seen };
  };
  const heard = await listen(world, 'p');
  expect(endings(heard)).toEqual(['again', 'success']);
  expect(new Set(all(heard, 'job-started').map(({ job }) => job)).size).toBe(1);
});

test('what a listener throws is its own affair', async () => {
  await using world = await graphWith(copy);
  const heard: RunEvent[] = [];
  let calls = 0;
  const broken = (): void => {
    calls += 1;
    throw new Error('a listener broke');
  };
  const { job } = await world.run('p', { tell: tellAll([broken, (event) => heard.push(event)]) });
  expect(job).toMatchObject({ state: 'success', counts: { processed: 3 } });
  expect(calls).toBe(1);
  expectComplete(heard);
  expect(heard.at(-1)?.kind).toBe('job-ended');
});

test('a reader that does not read holds up what is printed, and no job', async () => {
  await using world = await graphWith(copy);
  const stdout = new PassThrough({ highWaterMark: 1 });
  const options = { format: 'json', quiet: true, verbose: false, color: false } as const;
  const printer = new RunPrinter(new Output(options, stdout as never));
  expect((await world.run('q', { tell: tellAll([printer.listen]) })).job.state).toBe('success');
  const printed = printer.end();
  const held = stdout.writableLength;
  const read: Buffer[] = [];
  stdout.on('data', (bytes: Buffer) => read.push(bytes));
  await printed;
  const [p = '', q = ''] = Buffer.concat(read).toString().split('\n');
  expect([JSON.parse(p), JSON.parse(q)]).toMatchObject([{ pipeline: 'p' }, { pipeline: 'q' }]);
  expect(held).toBe(p.length + 1);
});
