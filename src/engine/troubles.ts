/**
 * What keeps pipelines from being run, or the store from being read: told once, and tried again after
 * pauses that grow. The trouble of one pipeline is nobody else's.
 */
import type { RunEvent, TellOf } from './events.ts';
import { errorData } from './outcome.ts';
import type { ServeEvent } from './serve-events.ts';

const pauseMsMin = 2000;
const pauseMsMax = 5 * 60_000;
/** The store may be back at any time. */
const storePauseMsMax = 30_000;

interface Trouble {
  readonly told: string;
  readonly pauseMs: number;
  readonly since: number;
}

export class Troubles {
  private readonly tell: TellOf<RunEvent | ServeEvent>;
  /** By pipeline; null: of the store. */
  private readonly all = new Map<string | null, Trouble>();

  constructor(tell: TellOf<RunEvent | ServeEvent>) {
    this.tell = tell;
  }

  /** It could not be run, or read. */
  add(of: string | null, error: unknown, now: number): void {
    const data = errorData(error);
    const before = this.all.get(of);
    if (before?.told !== data.message) this.tell({ kind: 'trouble', pipeline: of, error: data });
    const most = of === null ? storePauseMsMax : pauseMsMax;
    const pauseMs = Math.min(most, Math.max(pauseMsMin, 2 * (before?.pauseMs ?? 0)));
    this.all.set(of, { told: data.message, pauseMs, since: now });
  }

  /** It went well. */
  over(of: string | null): void {
    if (this.all.delete(of)) this.tell({ kind: 'trouble-over', pipeline: of });
  }

  /** Something about it has changed: it may be tried at once. */
  unblock(of: string): void {
    const trouble = this.all.get(of);
    if (trouble) this.all.set(of, { ...trouble, pauseMs: 0 });
  }

  /** It is gone. */
  forget(of: string): void {
    this.all.delete(of);
  }

  /** When it is tried again; undefined: it may be now, as where a clock was set back. */
  pausedUntil(of: string | null, now: number): number | undefined {
    const trouble = this.all.get(of);
    if (!trouble || now < trouble.since || now >= trouble.since + trouble.pauseMs) return undefined;
    return trouble.since + trouble.pauseMs;
  }
}
