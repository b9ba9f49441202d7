/**
 * The engine that stays up: as plain lines with the time of day on a terminal, elsewhere as a log; or as a line of
 * JSON for each event.
 */
import type { OfJob, RunEvent } from '../engine/events.ts';
import type { ServeEvent } from '../engine/serve-events.ts';
import type { DueCause } from '../engine/standing.ts';
import type { makeLog as MadeLog } from './serve-log.ts';
import { devInfo } from '../shown/dev.ts';
import type { Output } from './output.ts';
import { remarks, resultText, withFailure, type FailedDatum } from './run-printer.ts';
import { countText, sizeText } from './text.ts';

const causes: Readonly<Record<DueCause, string>> = {
  first: 'it never ran',
  input: 'its input is new',
  spec: 'it was updated',
  interrupted: 'its job was interrupted',
  datum: 'a datum of it was restarted',
  retry: 'its job failed, and is tried again',
};

type MakeLog = typeof MadeLog;

export class ServePrinter {
  private readonly output: Output;
  private printed: Promise<void> = Promise.resolve();
  /** The first datums that failed, by job. */
  private readonly failures = new Map<string, readonly FailedDatum[]>();

  /** Where programs read them, lines for people become a log of JSON lines with levels. */
  private readonly log: ((event: RunEvent | ServeEvent, message: string) => void) | undefined;

  private constructor(output: Output, makeLog: MakeLog | undefined) {
    this.output = output;
    this.log = makeLog?.((line) => this.later(() => this.output.write(line)));
  }

  static async for(output: Output): Promise<ServePrinter> {
    const isLog = output.format === 'table' && !output.isOnTerminal;
    return new ServePrinter(output, isLog ? (await import('./serve-log.ts')).makeLog : undefined);
  }

  readonly listen = (event: RunEvent | ServeEvent): void => {
    if (this.output.format !== 'table') {
      this.later(() => this.output.rows([devInfo(event)], []));
      return;
    }
    const lines = this.linesOf(event);
    if (lines.length === 0) return;
    if (this.log) return this.log(event, lines.join('\n'));
    const time = new Date(event.time).toTimeString().slice(0, 8);
    this.later(() => this.output.lines(lines.map((line) => `${time} ${line}`)));
  };

  /** Resolves when all is printed. Throws what kept it from being printed. */
  async end(): Promise<void> {
    await this.printed;
  }

  private later(print: () => Promise<void>): void {
    this.printed = this.printed.then(print);
    this.printed.catch(() => undefined); // thrown by `end`
  }

  private linesOf(event: RunEvent | ServeEvent): string[] {
    switch (event.kind) {
      case 'serving': {
        const what = event.only ? event.only.join(', ') : 'all pipelines';
        const where = event.branch === null ? '' : ` of branch ${event.branch}`;
        return [`serving ${what}${where}, ${countText(event.workers, 'worker')} of ${event.executor}; Ctrl-C ends it`];
      }
      case 'due': {
        const waits = event.waitsFor === null ? '' : `; it waits for ${event.waitsFor}`;
        return [`${event.pipeline}: to be run: ${causes[event.cause]}${waits}`];
      }
      case 'superseded':
        return [`${event.pipeline}: a newer input replaces what it waited to read`];
      case 'taken':
        return [`${event.pipeline}: another engine runs it`];
      case 'trouble':
        return [`${event.pipeline === null ? '' : `${event.pipeline}: `}${event.error.message}; trying again`];
      case 'trouble-over':
        return [`${event.pipeline ?? 'the store'}: goes on`];
      case 'listening':
        return [`see ${event.url}/metrics, /healthz and /readyz`];
      case 'collected':
        return [
          `collected garbage: deleted ${countText(event.objects, 'object')}, ${sizeText(event.bytes)}; ${sizeText(event.kept)} go later`,
        ];
      case 'checked': {
        const whole = event.damage.length === 0 ? 'it is whole' : `${countText(event.damage.length, 'thing')} damaged`;
        return [`checked the store, read ${sizeText(event.bytes)} of data: ${whole}`];
      }
      case 'hook-failed':
        return [`hook ${event.hook}: ${event.answer}; trying again`];
      case 'ending':
        return event.running.length === 0
          ? []
          : [`ending: ${event.running.join(', ')} may end first; Ctrl-C ends at once`];
      case 'note':
        return [event.line];
      case 'job-started':
        return [`${event.pipeline}: job ${this.output.id(event.job)} started`];
      case 'datum-ended':
        this.datumEnded(event);
        return [];
      case 'job-ended':
        return this.jobEnded(event);
      case 'hook-sent':
      case 'ended':
      case 'waiting':
      case 'progress':
      case 'planned':
      case 'datum-begun':
      case 'printed':
      case 'published':
        return [];
    }
  }

  private datumEnded({ job, datum, outcome }: Extract<RunEvent, { readonly kind: 'datum-ended' }>): void {
    if (outcome.state !== 'failed' || datum.isRecheck) return;
    this.failures.set(job, withFailure(this.failures.get(job) ?? [], { id: datum.id, reason: outcome.reason }));
  }

  private jobEnded(event: Extract<RunEvent, { readonly kind: 'job-ended' }> & OfJob): string[] {
    const { job, pipeline, outcome } = event;
    const failures = this.failures.get(job) ?? [];
    this.failures.delete(job);
    if (outcome.state === 'again') return [];
    if (outcome.state === 'unfinished') return [`${pipeline}: ${outcome.error.message}`];
    return [...resultText(event, outcome, this.output), ...remarks(event, outcome, failures, this.output)];
  }
}
