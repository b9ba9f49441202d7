/**
 * The engine that stays up over the pipelines of a test's world, with its events as they come.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../src/base/clock.ts';
import type { RunEvent } from '../../src/engine/events.ts';
import { inputsOf, runPrepared } from '../../src/engine/run-graph.ts';
import type { ServeEvent } from '../../src/engine/serve-events.ts';
import { ServeLoop } from '../../src/engine/serve.ts';
import { LocalPool } from '../../src/execution/workers/local-pool.ts';
import { Session } from '../../src/execution/workers/session.ts';
import type { Project } from '../../src/versions/project.ts';
import { TestClock } from '../support/clock.ts';
import { sandbox, type EngineWorld } from './world.ts';

type Told = RunEvent | ServeEvent;

export interface ServingWords {
  /** Another view of the world's project, as another process has it. */
  readonly project?: Project;
  readonly only?: readonly string[];
  readonly place?: string;
  readonly branch?: string;
  readonly workers?: number;
  readonly graceMs?: number;
  readonly clock?: Clock;
  readonly scrubShare?: number;
}

export class Serving implements AsyncDisposable {
  readonly events: Told[] = [];
  private readonly stop = new AbortController();
  private readonly ended: Promise<void>;
  private came = (): void => undefined;
  private seen = 0;

  constructor(world: EngineWorld, words: ServingWords = {}) {
    const { project = world.project, workers = 2, graceMs = 10_000, clock = new TestClock(), scrubShare = 0 } = words;
    const { executor, dir } = world;
    const folder = mkdtemp(join(dir, 'serving-'));
    const session = folder.then((made) => new Session({ executor, folder: made, idleMax: 8, busyMax: workers }));
    const loop = new ServeLoop({
      project,
      clock,
      executor: executor.name,
      workers,
      version: '0',
      only: words.only && new Set(words.only),
      branch: words.branch,
      ...(words.place !== undefined && { place: words.place }),
      async run(pipeline, { snapshot, experiment, after, signal, tell }) {
        const of = { branch: experiment?.branch, pinned: new Map() };
        const logs = await mkdtemp(join(dir, 'logs-'));
        const count = Math.min(workers, pipeline.spec.parallelism);
        const own = await session;
        await own.code(pipeline.name, project.reader, []);
        const pool = new LocalPool({ session: own, count, sandbox, mount: undefined, masked: (text) => text });
        const jobOptions = () =>
          Promise.resolve({
            executor,
            pool,
            logs: () => Promise.resolve(logs),
            recompute: 0,
            after,
            place: words.place,
            signal,
          });
        const inputs = await inputsOf(of, snapshot, pipeline, experiment?.pipelines ?? []);
        return runPrepared({ project, branch: of.branch, jobOptions, tell }, pipeline, inputs);
      },
      listeners: [(event) => this.told(event)],
      signal: this.stop.signal,
      graceMs,
      scrubShare,
    });
    this.ended = run(loop, session);
  }

  /** The next event of a kind, of a pipeline where one is named, after the one that was waited for last. */
  async next<K extends Told['kind']>(kind: K, pipeline?: string): Promise<Extract<Told, { readonly kind: K }>> {
    for (;;) {
      for (; this.seen < this.events.length; this.seen += 1) {
        const event = this.events[this.seen]!;
        if (event.kind !== kind || (pipeline !== undefined && !('pipeline' in event && event.pipeline === pipeline))) {
          continue;
        }
        this.seen += 1;
        return event as Extract<Told, { readonly kind: K }>;
      }
      await new Promise<void>((came) => (this.came = came));
    }
  }

  /** Pipelines and states of the jobs that have ended so far, in their order. */
  get jobs(): string[] {
    return this.events.flatMap((event) =>
      event.kind === 'job-ended' ? [`${event.pipeline} ${event.outcome.state}`] : [],
    );
  }

  /** Asks it to end; it has when this resolves. */
  async end(): Promise<void> {
    this.stop.abort();
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }

  private told(event: Told): void {
    this.events.push(event);
    this.came();
  }
}

async function run(loop: ServeLoop, opening: Promise<Session>): Promise<void> {
  await using _ = await opening;
  await loop.run();
}
