/**
 * The engine that stays up as the command runs it: with this machine's executors, folders and secrets.
 */
import { systemClock } from '../base/clock.ts';
import { tellTo, type RunEvent } from '../engine/events.ts';
import { ServeLoop } from '../engine/serve.ts';
import type { ServeEvent, ServeListener } from '../engine/serve-events.ts';
import type { Hook } from '../hooks/file.ts';
import { Hooks } from '../hooks/hooks.ts';
import { findPipeline, listPipelines } from '../pipelines/pipelines.ts';
import { nearest } from '../pipelines/spec/nearest.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { ListenAddress } from '../metrics/listener.ts';
import type { Meter, Totals } from '../store/meter.ts';
import { forPipeline } from './metered.ts';
import type { OpenProject } from './open.ts';
import { runOne } from './run-pipelines.ts';
import { openSession, type JobSession } from './job-session.ts';
import type { SessionRequest } from './run-session.ts';
import { sendHook } from './send-hook.ts';
import type { Settings } from './settings.ts';
import { version } from './version.ts';
import { checkStore, promoted } from './pod-store.ts';
import { openWatch } from './watch.ts';

export interface ServeRequest extends Pick<SessionRequest, 'executor' | 'cluster' | 'secretsFrom'> {
  /** Workers of all pipelines at a time. */
  readonly workers: number;
  /** The pipelines that it runs; none: all. */
  readonly only: readonly string[];
  /** Runs what pipelines are on this branch, beside production; undefined: those of production. */
  readonly branch: string | undefined;
  /** Runs what was promoted there, and nothing else; undefined: what was promoted nowhere. */
  readonly place: string | undefined;
  readonly listeners: readonly ServeListener[];
  /** Who is told of what happens. */
  readonly hooks: readonly Hook[];
  /** Where it shows whether it is well, and its numbers; nowhere where it is not said. */
  readonly listen: ListenAddress | undefined;
  /** Counts what is asked of the store. */
  readonly meter: Meter;
  /** Which share of all data it reads in a day, to see whether it is whole. */
  readonly scrubShare: number;
  readonly signal: AbortSignal;
}

/** Workers that wait for a next job at most. */
const idleWorkersMax = 32;
/** What a pipeline has kept for its next job is closed after this time. */
const idleMs = 5 * 60_000;
/** An engine that is asked to end has done so in 30 seconds, killing commands and telling the store included. */
const graceMs = 20_000;

/** Until the signal is aborted. Leaves nothing on this machine but caches and logs. Throws `not-found` for a pipeline of `only` that is not there. */
export async function serve(settings: Settings, opened: OpenProject, request: ServeRequest): Promise<void> {
  const { executor, cluster, secretsFrom, workers, hooks, branch, place, signal } = request;
  checkStore(settings, opened, promoted);
  const { project } = opened;
  const only = request.only.length > 0 ? new Set(request.only) : undefined;
  const snapshot = await project.snapshot();
  for (const name of only ?? []) await findPipeline(snapshot, name, branch);
  await using watched = request.listen && (await openWatch(request.listen, opened, request.meter));
  const listeners = [...request.listeners, ...(watched ? [watched.listen] : [])];
  const tell = tellTo<RunEvent | ServeEvent>(listeners);
  if (watched) tell({ kind: 'listening', url: watched.url });
  for (const line of await strangersOf(hooks, snapshot)) tell({ kind: 'note', line });
  const held = {
    executor,
    cluster,
    secretsFrom,
    idleWorkersMax,
    busyWorkersMax: workers,
    inputsRead: (pipeline: string, read: Totals) => request.meter.add(pipeline, read),
  };
  await using session = await openSession(settings, opened, held, (line) => tell({ kind: 'note', line }));
  await using resting = new Resting(session);
  await using telling = new Hooks({
    project,
    hooks,
    send: sendHook,
    tell,
    now: () => systemClock.now(),
    wake: () => loop.hint(),
  });
  const loop: ServeLoop = new ServeLoop({
    project,
    clock: systemClock,
    executor,
    workers,
    version,
    only,
    branch,
    place,
    async run(pipeline, how) {
      const { name, spec } = pipeline;
      await resting.begins(name);
      try {
        return await forPipeline(name, () =>
          runOne(session, pipeline, { ...how, workers: Math.min(workers, spec.parallelism), recompute: 0, place }),
        );
      } finally {
        resting.ended(name);
      }
    },
    listeners: [...listeners, telling.listen],
    attend: (seen) => telling.look(seen),
    scrubShare: request.scrubShare,
    signal,
    graceMs,
  });
  await loop.run();
}

/** Notes of pipelines that hooks name and that are not there: they may come. */
async function strangersOf(hooks: readonly Hook[], snapshot: Snapshot): Promise<string[]> {
  const known = (await listPipelines(snapshot)).map(({ name }) => name);
  return hooks.flatMap(({ name: hook, pipelines = [] }) =>
    pipelines.flatMap((name) => {
      const meant = nearest(name, known);
      const advice = meant === undefined ? '' : `; did you mean ${meant}?`;
      return known.includes(name) ? [] : [`hook ${hook}: there is no pipeline ${name} yet${advice}`];
    }),
  );
}

/** Closes what pipelines that have not run for a while keep for their next job. */
class Resting implements AsyncDisposable {
  private readonly session: JobSession;
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly closing = new Map<string, Promise<void>>();

  constructor(session: JobSession) {
    this.session = session;
  }

  async begins(pipeline: string): Promise<void> {
    clearTimeout(this.timers.get(pipeline));
    this.timers.delete(pipeline);
    await this.closing.get(pipeline);
  }

  ended(pipeline: string): void {
    const timer = setTimeout(() => {
      this.timers.delete(pipeline);
      // What can't be closed now is closed, or told, with the session.
      const closed = this.session.rest(pipeline).catch(() => undefined);
      this.closing.set(
        pipeline,
        closed.finally(() => this.closing.delete(pipeline)),
      );
    }, idleMs);
    this.timers.set(pipeline, timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.timers.values()) clearTimeout(timer);
    await Promise.all(this.closing.values());
  }
}
