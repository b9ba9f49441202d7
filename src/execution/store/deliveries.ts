/**
 * What a worker has done for a job, on its way to the engine: results go into packs that no index
 * lists yet, and with these into a delivery. The first one comes soon, later ones at growing
 * distances, so that they are few.
 */
import type { JobId } from '../../model/records/pipelines.ts';
import type { Delivery } from '../../model/records/work-objects.ts';
import type { Report } from '../../model/records/work.ts';
import type { Result } from '../../pipelines/jobs/results.ts';
import type { ResultWriter, Written } from '../../results/publisher.ts';
import type { Project } from '../../versions/project.ts';
import type { StoredParts, Upload } from '../../versions/upload.ts';
import type { TimesOfMany } from './times.ts';
import type { WorkObjects } from './work-objects.ts';

export interface DeliveriesOptions {
  readonly project: Project;
  readonly objects: WorkObjects;
  readonly job: JobId;
  /** The worker's name. */
  readonly worker: string;
  /** Takes values of secrets out of a text, which is stored. */
  readonly masked: (text: string) => string;
  /** As they are now. */
  readonly times: () => Pick<TimesOfMany, 'deliverMs' | 'deliverMsMin' | 'deliverMsMax'>;
}

/** What was written since the last delivery. */
interface Parts {
  readonly upload: Upload | undefined;
  readonly reports: readonly Report[];
  readonly notes: readonly string[];
}

/** At which datum a worker broke; and that it lost its launcher there. */
export type Broken = Pick<Delivery, 'broken' | 'launcherLost'>;

export class Deliveries implements ResultWriter, AsyncDisposable {
  private readonly options: DeliveriesOptions;
  private upload: Upload | undefined;
  private reports: Report[] = [];
  private notes: string[] = [];
  /** Made, and perhaps not stored. */
  private made: Delivery | undefined;
  /** Of datums whose last try is not over. */
  private readonly failures = new Map<string, string[]>();
  /** Nobody stores into an upload that is being taken away for a delivery. */
  private readonly storing = new Turns();
  private readonly sending = new Turns();
  private delivered = 0;
  /** Workers that begin together do not all deliver together: from the first one the engine learns how long datums take. */
  private readonly place = Math.random();
  private since = Infinity;
  /** Why what was written could not be stored: nothing of it can be delivered any more. */
  private error: Error | undefined;

  constructor(options: DeliveriesOptions) {
    this.options = options;
  }

  /** True when there is something that has waited long enough. */
  get isDue(): boolean {
    return this.made !== undefined || performance.now() - this.since >= this.waitMs();
  }

  /** True when what was written could not be stored: others run it again. */
  get isLost(): boolean {
    return this.error !== undefined;
  }

  write(work: (upload: Upload) => Promise<Written>): Promise<Result> {
    return this.storing.run(async () => {
      if (this.error) throw this.error;
      this.upload ??= await this.options.project.beginPart();
      const { datum, result, failure } = await work(this.upload);
      const failures = this.failures.get(datum) ?? [];
      this.failures.delete(datum);
      if (failure) failures.push(this.textOf(failure));
      const { job, worker } = this.options;
      this.reports.push({ job, datum, worker, ...result, ...(failures.length > 0 && { failures }) });
      this.since = Math.min(this.since, performance.now());
      return result;
    });
  }

  /** A try of a datum failed, and another one comes. */
  failed(datum: string, failure: object): void {
    this.failures.set(datum, [...(this.failures.get(datum) ?? []), this.textOf(failure)]);
  }

  /** A line for people where the engine is. */
  note(line: string): void {
    this.notes.push(this.options.masked(line));
    this.since = Math.min(this.since, performance.now());
  }

  /** Delivers what there is; with `broken`, that the worker broke, and how. Can be called again after it failed. */
  deliver(broken?: Broken): Promise<void> {
    return this.sending.run(async () => {
      if (this.error) throw this.error;
      if (this.made) await this.send(this.made);
      const parts = await this.storing.run(async () => this.take());
      if (parts.reports.length + parts.notes.length === 0 && broken === undefined) return;
      this.made = await this.make(parts, broken);
      this.delivered += 1;
      await this.send(this.made);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sending.run(async () => undefined);
    await this.storing.run(async () => undefined);
    await this.upload?.[Symbol.asyncDispose]();
  }

  private waitMs(): number {
    const { deliverMs, deliverMsMin, deliverMsMax } = this.options.times();
    const waitMs = Math.min(deliverMsMax, deliverMs * 2 ** this.delivered);
    return this.delivered > 0 ? Math.max(deliverMsMin, waitMs) : Math.max(deliverMsMin * this.place, waitMs);
  }

  private textOf(failure: object): string {
    return JSON.stringify(failure, (_, value: unknown) =>
      typeof value === 'string' ? this.options.masked(value) : value,
    );
  }

  private async send(made: Delivery): Promise<void> {
    await this.options.objects.writeDelivery(made);
    this.made = undefined;
  }

  private take(): Parts {
    const { upload, reports, notes } = this;
    this.upload = undefined;
    this.reports = [];
    this.notes = [];
    this.since = Infinity;
    return { upload, reports, notes };
  }

  /** Meanwhile the next datums are stored, into another upload. */
  private async make({ upload, reports, notes }: Parts, broken: Broken | undefined): Promise<Delivery> {
    const { job, worker } = this.options;
    await using _ = upload;
    return { job, worker, ...(await this.handOver(upload)), reports, notes, ...broken };
  }

  private async handOver(upload: Upload | undefined): Promise<StoredParts> {
    try {
      return (await upload?.handOver()) ?? { packs: [], epoch: Number.MAX_SAFE_INTEGER };
    } catch (error) {
      this.error = error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  }
}

/** One after another, whatever becomes of them. */
class Turns {
  private last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }
}
