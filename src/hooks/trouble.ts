/**
 * Trouble of the engine itself: a store that is away, a disk that is full, a pipeline that can't be
 * run. It is told from memory, since the store may be what is gone; an engine that starts again and
 * finds the trouble still there tells it again.
 */
import type { ServeEvent } from '../engine/serve-events.ts';
import { firstPauseMs } from './due.ts';
import type { Hook } from './file.ts';
import { troubleDelivery, type Delivery } from './message.ts';

type TroubleEvent = Extract<ServeEvent, { readonly kind: 'trouble' | 'trouble-over' }>;

/** What passes by itself before is not told. */
const patienceMs = 60_000;
const pauseMsMax = 6 * 3_600_000;

interface Trouble {
  readonly since: number;
  readonly why: string;
}

/** The last message about a pipeline, or about the engine. */
interface LastTold {
  readonly since: number;
  readonly time: number;
  readonly pauseMs: number;
}

export interface DueTrouble {
  readonly pipeline: string | null;
  readonly since: number;
  readonly delivery: Delivery;
}

export class TroubleDesk {
  private readonly project: string;
  private readonly open = new Map<string | null, Trouble>();
  /** By hook and pipeline. */
  private readonly last = new Map<string, LastTold>();

  constructor(project: string) {
    this.project = project;
  }

  add(event: TroubleEvent, now: number): void {
    if (event.kind === 'trouble-over') this.open.delete(event.pipeline);
    else
      this.open.set(event.pipeline, { since: this.open.get(event.pipeline)?.since ?? now, why: event.error.message });
  }

  /** Drops the troubles of pipelines that are gone. */
  keep(names: ReadonlySet<string>): void {
    for (const name of this.open.keys()) if (name !== null && !names.has(name)) this.open.delete(name);
  }

  dueOf(hook: Hook, now: number): { readonly due: readonly DueTrouble[]; readonly next: number } {
    const due: DueTrouble[] = [];
    let next = Infinity;
    if (!hook.on.includes('trouble')) return { due, next };
    for (const [pipeline, { since, why }] of this.open) {
      if (pipeline !== null && hook.pipelines && !hook.pipelines.includes(pipeline)) continue;
      const last = this.last.get(keyOf(hook, pipeline));
      if (last?.since === since) continue;
      const at = Math.max(since + patienceMs, last && last.time <= now ? last.time + last.pauseMs : 0);
      if (at > now) next = Math.min(next, at);
      else
        due.push({ pipeline, since, delivery: troubleDelivery({ project: this.project, pipeline, time: since, why }) });
    }
    return { due, next };
  }

  told(hook: Hook, { pipeline, since }: DueTrouble, now: number): void {
    const key = keyOf(hook, pipeline);
    const last = this.last.get(key);
    const isBusy = last && since < last.time + last.pauseMs;
    const pauseMs = isBusy ? Math.min(pauseMsMax, last.pauseMs * 2) : firstPauseMs;
    this.last.set(key, { since, time: now, pauseMs });
  }
}

function keyOf({ id }: Hook, pipeline: string | null): string {
  return `${id} ${pipeline ?? ''}`;
}
