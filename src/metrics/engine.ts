/**
 * What an engine did, for Prometheus: counted from its events. What it stands for now is asked for when
 * the page is read.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunEvent } from '../engine/events.ts';
import type { ServeEvent, ServeListener } from '../engine/serve-events.ts';
import type { PipelineStatus } from '../shown/status.ts';
import type { Metered } from '../store/meter.ts';
import type { TransferCounters } from '../cache/transfers.ts';
import { plain, type Pages } from './listener.ts';
import { counted, Counter, Gauge, Labels, metricsPage, measured, newRegistry } from './registry.ts';

export interface EngineSource {
  /** Requests to the store by pipeline; '' for what is of none. */
  readonly store: () => ReadonlyMap<string, Metered>;
  /** Large files, which native threads fetch past that. */
  readonly transfers: () => Pick<TransferCounters, 'requests' | 'bytes'>;
  /** How the pipelines stand now. */
  readonly pipelines: () => Promise<readonly Standing[]>;
}

type Standing = Pick<PipelineStatus, 'name' | 'state' | 'lastSuccess' | 'lag'>;

/** Who reads a page does not wait longer for a store: then it shows how the pipelines stood before. */
const standingMsMax = 5000;

export class EngineMetrics {
  private readonly source: EngineSource;
  private standing: readonly Standing[] = [];
  private readonly registry = newRegistry();
  private readonly labels = new Labels();
  private readonly jobs: Counter;
  private readonly running: Gauge;
  private readonly datums: Counter;
  private readonly seconds: Counter;
  private readonly hooks: Counter;
  private isServing = false;
  /** Why the store can't be used; undefined while it can. */
  private away: string | undefined;
  private readonly troubles = new Set<string | null>();

  constructor(source: EngineSource) {
    this.source = source;
    const registers = [this.registry];
    const of = (name: string, help: string, ...labelNames: string[]) => ({ name, help, labelNames, registers });
    this.jobs = new Counter(of('pach_jobs_total', 'Jobs that ended', 'pipeline', 'state'));
    this.running = new Gauge(of('pach_jobs_running', 'Jobs that run in this engine', 'pipeline'));
    this.datums = new Counter(of('pach_datums_total', 'Datums of jobs that ended', 'pipeline', 'result'));
    this.seconds = new Counter(of('pach_job_seconds_total', 'How long jobs took that ended', 'pipeline'));
    this.hooks = new Counter(of('pach_hook_messages_total', 'Messages of hooks', 'result'));
    for (const result of ['taken', 'refused']) this.hooks.inc({ result }, 0);
    measured(this.registry, { name: 'pach_troubles', help: 'Troubles of the engine now', labels: [] }, () => {
      const isThere = (name: string | null): boolean => this.standing.some((each) => each.name === name);
      return [[{}, [...this.troubles].filter((name) => name === null || isThere(name)).length]];
    });
    this.measureStanding();
    this.countStore(source);
  }

  readonly listen: ServeListener = (event) => {
    if (event.kind === 'serving') this.isServing = true;
    else if (event.kind === 'ending') this.isServing = false;
    else if (event.kind === 'trouble' || event.kind === 'trouble-over') this.trouble(event);
    else if (event.kind === 'hook-sent') this.hooks.inc({ result: 'taken' });
    else if (event.kind === 'hook-failed') this.hooks.inc({ result: 'refused' });
    else if (event.kind === 'job-started') this.running.set({ pipeline: this.labels.of(event.pipeline) }, 1);
    else if (event.kind === 'job-ended') this.jobEnded(event);
  };

  /** `/healthz`: it runs. `/readyz`: it serves, and its store answers. */
  get pages(): Pages {
    return {
      '/healthz': () => plain(200, 'ok'),
      '/readyz': () => {
        if (!this.isServing) return plain(503, 'it is starting or ending');
        return this.away === undefined ? plain(200, 'ok') : plain(503, this.away);
      },
      '/metrics': async () => {
        await this.look();
        return metricsPage(this.registry);
      },
    };
  }

  private trouble(event: Extract<ServeEvent, { readonly kind: 'trouble' | 'trouble-over' }>): void {
    if (event.kind === 'trouble') this.troubles.add(event.pipeline);
    else this.troubles.delete(event.pipeline);
    if (event.pipeline === null) this.away = event.kind === 'trouble' ? event.error.message : undefined;
  }

  private jobEnded(event: Extract<RunEvent, { readonly kind: 'job-ended' }>): void {
    const pipeline = this.labels.of(event.pipeline);
    const { outcome } = event;
    this.running.set({ pipeline }, 0);
    if (!('counts' in outcome)) return;
    const { state, counts, started, finished } = outcome;
    this.jobs.inc({ pipeline, state });
    this.seconds.inc({ pipeline }, Math.max(0, finished - started) / 1000);
    for (const result of ['processed', 'skipped', 'failed', 'recovered'] as const) {
      this.datums.inc({ pipeline, result }, counts[result]);
    }
  }

  private async look(): Promise<void> {
    if (this.away !== undefined) return;
    const late = new AbortController();
    const limit = sleep(standingMsMax, undefined, { signal: late.signal, ref: false }).catch(() => undefined);
    this.standing = (await Promise.race([this.source.pipelines().catch(() => undefined), limit])) ?? this.standing;
    late.abort();
  }

  private measureStanding(): void {
    const by = (of: (each: Standing) => number | undefined) => () =>
      this.standing.flatMap((each) => {
        const value = of(each);
        return value === undefined ? [] : [[{ pipeline: this.labels.of(each.name) }, value] as const];
      });
    const success = ({ lastSuccess }: Standing) => (lastSuccess === null ? undefined : Date.parse(lastSuccess) / 1000);
    const named = (name: string, help: string, label = 'pipeline') => ({ name, help, labels: [label] });
    const { registry } = this;
    measured(registry, named('pach_last_success_timestamp_seconds', 'When the last good job ended'), by(success));
    const lag = 'For how long there has been something that the last good job has not read';
    measured(
      registry,
      named('pach_pipeline_lag_seconds', lag),
      by((each) => each.lag),
    );
    measured(registry, named('pach_pipelines', 'Pipelines by how they stand', 'state'), () => {
      const states = new Map<string, number>();
      for (const { state } of this.standing) states.set(state, (states.get(state) ?? 0) + 1);
      return [...states].map(([state, count]) => [{ state }, count] as const);
    });
  }

  private countStore({ store, transfers }: EngineSource): void {
    const { registry } = this;
    const each = <T>(of: (metered: Metered, pipeline: string) => readonly T[]): T[] =>
      [...store()].flatMap(([pipeline, metered]) => of(metered, this.labels.of(pipeline)));
    const name = 'pach_store_requests_total';
    const help = 'Requests to the store; those of no pipeline have none';
    counted(registry, { name, help, labels: ['pipeline', 'request'] }, () =>
      each(({ requests }, pipeline) => [...requests].map(([request, n]) => [{ pipeline, request }, n] as const)),
    );
    const bytes = {
      name: 'pach_store_bytes_total',
      help: 'Bytes to and from the store',
      labels: ['pipeline', 'direction'],
    };
    counted(registry, bytes, () =>
      each(({ bytesRead, bytesWritten }, pipeline) => [
        [{ pipeline, direction: 'read' }, bytesRead] as const,
        [{ pipeline, direction: 'written' }, bytesWritten] as const,
      ]),
    );
    const large = { labels: [] };
    const requests = {
      ...large,
      name: 'pach_store_transfer_requests_total',
      help: 'Requests of native threads, for large files',
    };
    counted(registry, requests, () => [[{}, transfers().requests]]);
    const fetched = { ...large, name: 'pach_store_transfer_bytes_total', help: 'Bytes that native threads fetched' };
    counted(registry, fetched, () => [[{}, transfers().bytes]]);
  }
}
