/**
 * The loop of development as plain lines, where there is no terminal to draw on, or as a line of
 * JSON for each event.
 */
import { relative } from 'node:path';
import type { DevEvent, WatchedPipeline } from '../engine/dev-events.ts';
import type { RunEvent } from '../engine/events.ts';
import { devInfo } from '../shown/dev.ts';
import { failureWith } from '../shown/failure.ts';
import type { Output } from './output.ts';
import { RunPrinter } from './run-printer.ts';

/** Datums of a job that have a line of their own. */
const datumsShown = 5;
/** The end of what a command printed says why it failed. */
const printedLengthMax = 64 * 1024;

type Ended = Extract<RunEvent, { readonly kind: 'datum-ended' }>;

export class DevPrinter {
  private readonly output: Output;
  private readonly runs: RunPrinter;
  private printed: Promise<void> = Promise.resolve();
  private pipelines: readonly WatchedPipeline[] = [];
  private datums = 0;
  /** What datums that run have printed, by id. */
  private readonly logs = new Map<string, string>();

  constructor(output: Output) {
    this.output = output;
    this.runs = new RunPrinter(output);
  }

  readonly listen = (event: RunEvent | DevEvent): void => {
    if (this.output.format !== 'table') {
      this.later(() => this.output.rows([devInfo(event)], []));
      return;
    }
    const lines = this.linesOf(event);
    if (lines.length > 0) this.later(() => this.output.lines(lines));
    if (isOfRun(event)) this.runs.listen(event);
  };

  /** Resolves when all is printed. Throws what kept it from being printed. */
  async end(): Promise<void> {
    await this.printed;
    await this.runs.end();
  }

  private later(print: () => Promise<void>): void {
    this.printed = this.printed.then(print);
    this.printed.catch(() => undefined); // thrown by `end`
  }

  private linesOf(event: RunEvent | DevEvent): string[] {
    switch (event.kind) {
      case 'watching': {
        this.pipelines = event.pipelines;
        const names = event.pipelines.map(({ name }) => name).join(', ');
        return [`watching ${names}; results go to branch ${event.branch}`];
      }
      case 'saved': {
        const files = event.files.slice(0, 3).map((file) => (file.startsWith('/') ? relative('', file) : file));
        const more = event.fileCount > files.length ? ` and ${event.fileCount - files.length} more` : '';
        const what = files.length > 0 ? `${files.join(', ')}${more}` : event.pipelines.join(', ');
        return [`saved ${timeOf(event.time)}: ${event.cause}: ${what}`];
      }
      case 'restarted':
        return [`${event.pipeline}: stopped, because ${event.reason}`];
      case 'spec-fault': {
        const place = event.line > 0 ? `${event.file}:${event.line}` : event.file;
        return [`${place}: ${event.message}${event.next === '' ? '' : ` (${event.next})`}`];
      }
      case 'fault':
        return [`${event.error.message}${event.isRetried ? '; trying again' : ''}`];
      case 'notice':
        return [event.line];
      case 'job-started':
        this.datums = 0;
        this.logs.clear();
        return [];
      case 'printed': {
        const text = `${this.logs.get(event.datum) ?? ''}${event.text}`;
        this.logs.set(event.datum, text.slice(-printedLengthMax));
        return [];
      }
      case 'datum-ended':
        return this.datumLines(event);
      case 'started':
      case 'settled':
      case 'waiting':
      case 'progress':
      case 'planned':
      case 'datum-begun':
      case 'published':
      case 'note':
      case 'job-ended':
        return [];
    }
  }

  private datumLines({ pipeline, datum, outcome }: Ended): string[] {
    const log = this.logs.get(datum.id) ?? '';
    this.logs.delete(datum.id);
    if (outcome.state === 'again' || outcome.state === 'unfinished') return [];
    this.datums += 1;
    if (this.datums > datumsShown) return [];
    const files = datum.files.slice(0, 3).map(({ repo, path }) => `${repo}:${path}`);
    const more = datum.fileCount > files.length ? ' …' : '';
    const begins = `${pipeline}: ${files.join(' ')}${more}`;
    if (outcome.state !== 'failed') return [`${begins}: ${outcome.state}, ${Math.round(outcome.stats.processMs)} ms`];
    const code = this.pipelines.find(({ name }) => name === pipeline)?.code ?? [];
    const { failure, reason } = outcome;
    const { at, message } = failureWith(failure, log, code);
    const place = at ? `${relative('', at.path)}:${at.line}: ` : '';
    const isExit = failure.cause === 'ending' && failure.ending.kind === 'exit';
    const how = message === '' ? reason : isExit ? message : `${message} (${reason})`;
    return [`${begins}: failed: ${place}${how}`];
  }
}

const devKinds: ReadonlySet<string> = new Set([
  'watching',
  'saved',
  'restarted',
  'started',
  'settled',
  'spec-fault',
  'fault',
  'notice',
]);

function isOfRun(event: RunEvent | DevEvent): event is RunEvent {
  return !devKinds.has(event.kind);
}

function timeOf(time: number): string {
  return new Date(time).toTimeString().slice(0, 8);
}
