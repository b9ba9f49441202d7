/**
 * Workers and engines of a store pool in the memory of a test, each with a connection to the store
 * that can be cut: then it is as if its process had been killed.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { isPachError, PachError } from '../../src/base/errors.ts';
import { FreeShards } from '../../src/execution/store/free-shards.ts';
import type { WorkTimes } from '../../src/execution/store/times.ts';
import { StorePool } from '../../src/execution/store/store-pool.ts';
import { WorkObjects } from '../../src/execution/store/work-objects.ts';
import { StoreWorker } from '../../src/execution/store/store-worker.ts';
import { jobVariables } from '../../src/execution/workers/environment.ts';
import { decodeOutcome } from '../../src/model/records/pipelines.ts';
import { codeOfJob } from '../../src/pipelines/editing/versions.ts';
import { checkSpec } from '../../src/pipelines/jobs/checks.ts';
import { thisEngine } from '../../src/pipelines/jobs/lease.ts';
import { bytesOf, readResult } from '../../src/pipelines/jobs/jobs.ts';
import { leasedJobs } from '../../src/pipelines/jobs/running.ts';
import type { Store } from '../../src/store/store.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { Directories } from '../../src/versions/directories.ts';
import type { Project } from '../../src/versions/project.ts';
import { resultsPrefix } from '../../src/versions/ref-keys.ts';
import { fileEntry } from '../pipelines/datum-world.ts';
import { openTestProject } from '../versions/project.ts';
import type { EngineWorld } from './world.ts';

export const quick: WorkTimes = {
  lookMs: 20,
  idleLookMsMax: 50,
  beatMs: 60,
  claimMs: 30_000,
  askMs: 20,
  deliverMs: 20,
  deliverMsMax: 100,
  publishMs: 100,
  silenceMs: 60_000,
  shardMs: 200,
  shardMsMax: 200,
  graceMs: 2000,
  askMsEach: 0,
  beatMsEach: 0,
  deliverMsEach: 0,
  shardMsEach: 0,
};

export interface Cut {
  readonly store: Store;
  readonly isCut: boolean;
  /** No request comes back from now on, or after so many more. */
  cut(after?: number): void;
  /** Requests wait until what this returns is called. */
  hold(): () => void;
  /** Requests fail until what this returns is called, as if the store did not answer. */
  refuse(): () => void;
}

/** A connection of one process. */
export function connection(store: Store): Cut {
  let left = Infinity;
  let held: Promise<void> = Promise.resolve();
  let isAway = false;
  /** Before each request. */
  const pass = async (): Promise<void> => {
    left -= 1;
    if (left < 0) await never();
    await held;
    if (isAway) throw new PachError('unreachable', { what: 'the store', why: 'it is away' });
  };
  const never = (): Promise<never> => new Promise(() => undefined);
  const cuttable = new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function' || name === 'localPath') return value;
      if (name === 'list') {
        return async function* (prefix: string) {
          await pass();
          yield* target.list(prefix);
        };
      }
      return async (...args: unknown[]) => {
        await pass();
        const result: unknown = await (value as (...of: unknown[]) => Promise<unknown>).apply(target, args);
        return left < 0 ? never() : result;
      };
    },
  });
  return {
    store: cuttable,
    get isCut() {
      return left < 0;
    },
    cut(after = 0) {
      left = after;
    },
    hold() {
      let release = (): void => undefined;
      held = new Promise((go) => (release = go));
      return release;
    },
    refuse() {
      isAway = true;
      return () => void (isAway = false);
    },
  };
}

let workersMade = 0;

function unlessAway(error: unknown): undefined {
  if (!isPachError(error, 'unreachable')) throw error;
}

/** Works for all jobs of the world until it is stopped; resolves to how many datums it ran. */
export async function workIn(
  world: EngineWorld,
  signal: AbortSignal,
  { store = world.store, times = quick }: { store?: Store; times?: WorkTimes } = {},
): Promise<number> {
  const project = openTestProject(store);
  const worker = { ...thisEngine('worker'), holder: `worker ${(workersMade += 1)}` };
  const logs = join(world.dir, worker.holder);
  await mkdir(logs, { recursive: true });
  let count = 0;
  while (!signal.aborted) {
    const snapshot = await project.snapshot().catch(unlessAway);
    for await (const { job } of snapshot ? leasedJobs(snapshot) : []) {
      if (!snapshot) break;
      const { spec } = await codeOfJob(snapshot, job);
      const pool = world.pool(1);
      const names = { job: job.id, project: 'default', specHash: job.spec.hash.toString('hex') };
      const of = (isCheck: boolean) => {
        const check = spec.expect?.check;
        const run = isCheck && check ? checkSpec(spec, check, job.branch) : spec;
        return { spec: run, env: jobVariables(run, names) };
      };
      const masked = (text: string): string => text;
      const free = new FreeShards(new WorkObjects(project, job.id));
      const options = { project, free, worker, pool, spec: of, mayRefer: false, logs, masked, signal, times };
      const one = new StoreWorker(options);
      count += await one.run().catch((error: unknown) => {
        if (signal.aborted || isPachError(error, 'unreachable')) return 0;
        throw error;
      });
    }
    await new Promise((go) => setTimeout(go, times.lookMs));
  }
  return count;
}

/** Runs `work` while so many workers are there. Resolves to what it gives, and to what each of them ran. */
export async function withWorkers<T>(
  world: EngineWorld,
  count: number,
  work: () => Promise<T>,
  times = quick,
): Promise<{ result: T; ran: readonly number[] }> {
  const stop = new AbortController();
  const working = Array.from({ length: count }, () => workIn(world, stop.signal, { times }));
  // A worker that fails fails the test.
  const failed = Promise.all(working);
  failed.catch(() => undefined);
  try {
    const result = await Promise.race([work(), failed.then(() => Promise.reject(new Error('all workers have gone')))]);
    stop.abort();
    return { result, ran: await failed };
  } finally {
    stop.abort();
    await Promise.allSettled(working);
  }
}

export function storePool(project: Project, times = quick): StorePool {
  return new StorePool(project, times);
}

/** A commit of so many small files, at once: the world's own way reads each folder again for each file. */
export async function commitMany(project: Project, count: number): Promise<void> {
  const begun = await project.begin();
  const names = Array.from({ length: count }, (_, n) => `f${n}`).sort();
  const entries = names.map((name) => fileEntry(Buffer.from(name), name));
  const tree = await new Directories(project.reader, begun.upload.nodes).apply(undefined, entries);
  const commit = { id: newCommitId(), repo: 'data', branch: 'master', tree, message: '', started: Date.now() };
  await project.update('put', (change) => change.commit(commit).then(() => undefined), begun);
}

/** A result that a project keeps. */
export interface Kept {
  readonly state: string;
  /** What the command wrote and printed. */
  readonly out: string | undefined;
  readonly log: string;
  /** Of one run of the datum: it differs from that of another one. */
  readonly run: string;
}

/** The results that a project keeps, by key; as they were with this head, where it is given. */
export async function resultsOf(store: Store, head?: Buffer): Promise<Map<string, Kept>> {
  const found = new Map<string, Kept>();
  const project = openTestProject(store);
  const snapshot = head ? project.snapshotOf(head) : await project.snapshot();
  for await (const { key, value, refs } of snapshot.items(resultsPrefix)) {
    const { state, stats } = decodeOutcome(value);
    const [tree] = refs;
    if (!tree) throw new Error('a result without a tree');
    const { out, log } = await readResult(project.reader, tree);
    const text = log ? (await bytesOf(project.reader, log)).toString() : '';
    const run = `${stats.startedMs} ${tree.hash.toString('hex')}`;
    found.set(key.toString('hex'), { state, out: out?.contentHash.toString('hex'), log: text, run });
  }
  return found;
}

/** The same without what differs from run to run. */
export function untimed(results: ReadonlyMap<string, Kept>): Map<string, Kept> {
  return new Map([...results].map(([key, kept]) => [key, { ...kept, run: '' }]));
}

/** Nothing is left of the work of any job. */
export async function expectNoWork(store: Store): Promise<void> {
  const left: string[] = [];
  for await (const { key } of store.list('projects/default/work/')) left.push(key);
  expect(left.map((key) => key.replace(/^projects.default.work/, ''))).toEqual([]);
}
