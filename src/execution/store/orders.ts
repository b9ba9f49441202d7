/**
 * Which job the workers work for that an engine has brought, and that outlive a job (FORMAT.md section
 * 11, crew): the engine gives orders, and the workers hear them. Both judge by their own clocks how long
 * the other has been silent.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isPachError, PachError } from '../../base/errors.ts';
import { crewKey } from '../../model/keys.ts';
import type { JobId } from '../../model/records/pipelines.ts';
import { decodeCrew, encodeCrew } from '../../model/records/work-objects.ts';
import type { Token } from '../../store/store.ts';
import type { Project } from '../../versions/project.ts';
import { worksOf } from './work-objects.ts';

export interface OrderTimes {
  /** A worker ends that has heard nothing new for so long from a store that answers. */
  readonly silenceMs: number;
  /** How often it asks. A job begins that much later at the most. */
  readonly askMs: number;
}

/** The engine writes its orders anew after this time. */
const beatMs = 2000;
const orderTimes: OrderTimes = { silenceMs: 10_000, askMs: 200 };
/** Orders of an engine that died are deleted by others after this time, */
const lastsMs = 5 * 60_000;
/** if they do not change for so long: that engine's clock may be another one. */
const watchedMs = 3 * beatMs;

/** The engine's side. Disposing of it ends the workers. */
export class Orders implements AsyncDisposable {
  private readonly project: Project;
  private readonly key: string;
  private job: JobId;
  private token: Token | undefined;
  private beats = 0;
  private turn: Promise<void> = Promise.resolve();
  private readonly timer: NodeJS.Timeout;
  private hasLost = false;

  private constructor(project: Project, of: JobId) {
    this.project = project;
    this.key = crewKey(project.options.name, of);
    this.job = of;
    this.timer = setInterval(() => void this.write().catch(() => undefined), beatMs);
  }

  /** For workers that are to be brought for the job `of`, and work for that at first. */
  static async begin(project: Project, of: JobId): Promise<Orders> {
    const orders = new Orders(project, of);
    try {
      // An engine that went on with the job before, and died, may have left some.
      orders.token = (await project.options.store.readWithToken(orders.key))?.token;
      await orders.write();
      return orders;
    } catch (error) {
      clearInterval(orders.timer);
      throw error;
    }
  }

  /** Has the workers work for another job. Throws `conflict` where somebody has taken the orders away, which ends the workers. */
  async workFor(job: JobId): Promise<void> {
    this.job = job;
    await this.write();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.timer);
    await this.turn.catch(() => undefined);
    // Workers end by themselves where the store does not answer.
    if (!this.hasLost) await this.project.options.store.delete(this.key).catch(() => undefined);
  }

  private write(): Promise<void> {
    const done = this.turn.then(async () => {
      this.beats += 1;
      const record = { job: this.job, beat: this.beats, until: Date.now() + lastsMs };
      const token = await this.project.options.store.writeIfUnchanged(this.key, encodeCrew(record), this.token);
      if (token === undefined) {
        this.hasLost = true;
        throw new PachError('conflict', { what: this.key, why: 'somebody else has written or deleted it' });
      }
      this.token = token;
    });
    this.turn = done.catch(() => undefined);
    return done;
  }
}

/** The worker's side: asks all the time. */
export class OrdersHeard implements AsyncDisposable {
  private readonly project: Project;
  private readonly key: string;
  private readonly times: OrderTimes;
  private readonly stop = new AbortController();
  private readonly asking: Promise<void>;
  private token: Token | undefined;
  /** The job to work for, and what ends that; undefined when there is nothing to work for any more. */
  private order: { readonly job: JobId; readonly replaced: AbortController } | undefined;
  private hasBegun = false;
  private waiting: (() => void)[] = [];

  constructor(project: Project, of: JobId, times = orderTimes) {
    this.project = project;
    this.key = crewKey(project.options.name, of);
    this.times = times;
    this.asking = this.ask();
  }

  /**
   * The job to work for once it is another one than `after`, and a signal that is aborted when there is another
   * order. Undefined when there will be none, or the signal is aborted.
   */
  async next(
    after: JobId | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly job: JobId; readonly signal: AbortSignal } | undefined> {
    const wake = (): void => this.wake();
    signal.addEventListener('abort', wake, { once: true });
    try {
      while (!signal.aborted && (!this.hasBegun || (this.order && this.order.job === after))) {
        await new Promise<void>((go) => this.waiting.push(go));
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
    return signal.aborted ? undefined : this.order && { job: this.order.job, signal: this.order.replaced.signal };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop.abort();
    await this.asking;
  }

  private async ask(): Promise<void> {
    const { signal } = this.stop;
    const { askMs, silenceMs } = this.times;
    let silentMs = 0;
    for (let at = performance.now(); !signal.aborted;) {
      const heard = await this.askOnce().catch(() => 'nothing' as const);
      const now = performance.now();
      if (heard === 'orders') silentMs = 0;
      // A store that does not answer says nothing of the engine.
      else if (heard === 'unchanged') silentMs += now - at;
      at = now;
      if (heard === 'gone' || silentMs >= silenceMs) {
        this.follow(undefined);
        return;
      }
      await sleep(askMs, undefined, { signal }).catch(() => undefined);
    }
  }

  private async askOnce(): Promise<'orders' | 'unchanged' | 'gone'> {
    const found = await this.project.options.store.readIfChanged(this.key, this.token);
    if (found === 'unchanged') return found;
    if (!found) return 'gone';
    this.token = found.token;
    this.follow(decodeCrew(Buffer.from(found.bytes), this.key).job);
    return 'orders';
  }

  private follow(job: JobId | undefined): void {
    if (this.hasBegun && this.order?.job === job) return;
    this.hasBegun = true;
    const before = this.order;
    this.order = job === undefined ? undefined : { job, replaced: new AbortController() };
    before?.replaced.abort(new Error('the engine has another order'));
    this.wake();
  }

  private wake(): void {
    for (const go of this.waiting.splice(0)) go();
  }
}

/** True while the engine may be there that has brought workers for a job. Where that is in doubt it takes `ms`. */
export async function hasOrders({ options: { store, name } }: Project, of: JobId, ms = watchedMs): Promise<boolean> {
  const key = crewKey(name, of);
  const found = await store.readWithToken(key);
  if (!found) return false;
  try {
    if (decodeCrew(Buffer.from(found.bytes), key).until > Date.now()) return true;
  } catch (error) {
    // A newer program's are not ours to judge.
    if (isPachError(error, 'damaged', 'unsupported')) return true;
    throw error;
  }
  await sleep(ms);
  const now = await store.readIfChanged(key, found.token);
  return now !== undefined && now !== 'unchanged';
}

/** Deletes orders whose engines have not been there for long. */
export async function clearOrders(project: Project, ms = watchedMs): Promise<void> {
  const { store, name } = project.options;
  const clearing: Promise<void>[] = [];
  for await (const { job, object } of worksOf(project)) {
    if (object !== 'crew') continue;
    const clear = async (): Promise<void> => {
      if (!(await hasOrders(project, job, ms))) await store.delete(crewKey(name, job));
    };
    clearing.push(clear());
  }
  await Promise.all(clearing);
}
