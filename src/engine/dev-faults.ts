/**
 * What keeps the loop of development from going on: told once, and tried again where it may pass by
 * itself. `isBlocked` from then until something changes, or the next try.
 */
import { isPachError } from '../base/errors.ts';
import type { DevEvent } from './dev-events.ts';
import type { RunEvent, TellOf } from './events.ts';
import { errorData } from './outcome.ts';

/** What is tried again by itself waits so long. */
const retryMs = 2000;
/** The store is away, another engine has the pipeline, a repo is not there, the disk is full. */
const passing = ['unreachable', 'conflict', 'not-found', 'no-space', 'denied'] as const;

export class DevFaults implements Disposable {
  private readonly tell: TellOf<RunEvent | DevEvent>;
  private readonly retry: () => void;
  private timer: NodeJS.Timeout | undefined;
  private blocked = false;
  /** What was told, so that it is told once. */
  private told = '';
  private toldOfSpec = '';

  /** `retry` is called for the next try. */
  constructor(tell: TellOf<RunEvent | DevEvent>, retry: () => void) {
    this.tell = tell;
    this.retry = retry;
  }

  get isBlocked(): boolean {
    return this.blocked;
  }

  /** The specs as they are now have a mistake. */
  get isOfSpec(): boolean {
    return this.toldOfSpec !== '';
  }

  [Symbol.dispose](): void {
    clearTimeout(this.timer);
  }

  /** Something has changed: it can be tried. */
  unblock(): void {
    this.blocked = false;
  }

  /** It went well: the same fault would be told again. */
  passed(): void {
    this.told = '';
  }

  specPassed(): void {
    this.toldOfSpec = '';
  }

  /** Something is wrong with what was saved: what was before stays. */
  ofSpec(error: unknown): void {
    if (!isPachError(error, 'usage', 'unsupported', 'not-found')) return this.of(error);
    if (error.message === this.toldOfSpec) return;
    this.toldOfSpec = error.message;
    const [, file = error.what, line = '0', field] = /^(.*?):(\d+)(?::\d+)?(?:: (.*))?$/.exec(error.what) ?? [];
    const message = field === undefined ? error.why : `${field}: ${error.why}`;
    this.tell({ kind: 'spec-fault', file, line: Number(line), message, next: error.next ?? '' });
  }

  /** It can't go on. What others may mend without a save (`passing`) is tried again by itself. */
  of(error: unknown): void {
    const data = errorData(error);
    const isRetried = isPachError(error, ...passing);
    // A full disk fails at another file each time.
    const fault = isPachError(error, 'no-space') ? error.why : data.message;
    if (fault !== this.told) this.tell({ kind: 'fault', error: data, isRetried });
    this.told = fault;
    this.blocked = true;
    if (!isRetried) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.blocked = false;
      this.retry();
    }, retryMs);
  }
}
