/**
 * A run as it is printed: a line of progress while a job runs, and how each job ended. All of it
 * comes from the run's events.
 */
import type { EndedJob, OfJob, RunEvent } from '../engine/events.ts';
import type { OutputChanges } from '../engine/output-changes.ts';
import type { DatumCounts } from '../model/records/pipelines.ts';
import { outsideText } from '../results/links.ts';
import { differing, runInfo } from '../shown/run.ts';
import type { Output } from './output.ts';
import { countText, sizeText } from './text.ts';

const failuresShown = 5;
const namesShown = 5;

type Progress = Extract<RunEvent, { readonly kind: 'progress' }>;
export interface FailedDatum {
  readonly id: string;
  readonly reason: string;
}

export class RunPrinter {
  private readonly output: Output;
  /** Ends when all that was told so far is printed. A reader that is slow keeps this waiting, and no job. */
  private printed: Promise<void> = Promise.resolve();
  private printing = 0;
  private jobStarted = 0;
  /** The first datums of the job that failed, in the order of ids. */
  private failures: FailedDatum[] = [];

  constructor(output: Output) {
    this.output = output;
  }

  readonly listen = (event: RunEvent): void => {
    switch (event.kind) {
      case 'waiting':
        if (event.for === 'preparation') this.progress(() => `${event.pipeline}: planning`);
        if (event.for === 'check') this.progress(() => `${event.pipeline}: checking its output`);
        break;
      case 'job-started':
        this.jobStarted = event.time;
        this.failures = [];
        break;
      case 'progress':
        if (doneOf(event.counts) > 0) this.progress(() => progressLine(event, this.jobStarted));
        break;
      case 'datum-ended': {
        const { datum, outcome } = event;
        if (outcome.state !== 'failed' || datum.isRecheck) break;
        this.failures = withFailure(this.failures, { id: datum.id, reason: outcome.reason });
        break;
      }
      case 'note':
        this.later(() => this.output.note(event.line));
        break;
      case 'job-ended': {
        const { outcome } = event;
        const { failures } = this;
        // The error itself is printed by who catches it.
        if (outcome.state === 'again' || outcome.state === 'unfinished' || outcome.error) break;
        this.later(() => this.ended(event, outcome, failures));
        break;
      }
      case 'planned':
      case 'published':
      case 'datum-begun':
      case 'printed':
        break;
    }
  };

  /** Resolves when all is printed. Throws what kept it from being printed. */
  async end(): Promise<void> {
    await this.printed;
  }

  private later(print: () => void | Promise<void>): void {
    this.printing += 1;
    this.printed = this.printed.then(print).finally(() => (this.printing -= 1));
    this.printed.catch(() => undefined); // thrown by `end`
  }

  private progress(line: () => string): void {
    if (this.printing === 0) this.output.progress(line);
  }

  private async ended(of: OfJob, ended: EndedJob, failures: readonly FailedDatum[]): Promise<void> {
    const { output } = this;
    await output.document(runInfo(of, ended), () => resultText(of, ended, output));
    for (const line of remarks(of, ended, failures, output)) output.note(line);
  }
}

/** The first few, in the order of ids. */
export function withFailure(failures: readonly FailedDatum[], failed: FailedDatum): FailedDatum[] {
  return [...failures, failed].toSorted((a, b) => (a.id < b.id ? -1 : 1)).slice(0, failuresShown);
}

function doneOf({ processed, skipped, failed, recovered }: DatumCounts): number {
  return processed + skipped + failed + recovered;
}

function progressLine({ pipeline, counts, isPlanned }: Progress, started: number): string {
  const { total, processed, skipped, failed, recovered } = counts;
  const more = isPlanned ? '' : '+';
  // At the pace so far, once that is known.
  const ran = processed + failed + recovered;
  const seconds = ((Date.now() - started) / ran) * ((total - doneOf(counts)) / 1000);
  const left = ran === 0 || !isPlanned ? '' : `, ${Math.ceil(seconds)} s left`;
  const failures = failed > 0 ? `, ${failed} failed` : '';
  return `${pipeline}: ${doneOf(counts)} of ${total}${more} datums, ${skipped} skipped${failures}${left}`;
}

export function resultText({ job, pipeline }: OfJob, ended: EndedJob, { id }: Pick<Output, 'id'>): string[] {
  const { total, processed, skipped, failed, recovered } = ended.counts;
  const counts = [`${processed} processed`, `${skipped} skipped`];
  if (failed > 0) counts.push(`${failed} failed`);
  if (recovered > 0) counts.push(`${recovered} recovered`);
  const seconds = ((ended.finished - ended.started) / 1000).toFixed(2);
  const lines = [
    `${pipeline}: ${ended.state}: ${countText(total, 'datum')}: ${counts.join(', ')}; ${seconds} s; job ${id(job)}`,
  ];
  if (ended.output) lines.push(`${pipeline}: files: ${changesText(ended.output)}`);
  if (ended.recomputed) lines.push(`${pipeline}: computed again to compare: ${recomputedText(ended.recomputed)}`);
  return lines;
}

function changesText({ added, changed, removed, bytes }: OutputChanges): string {
  const size = `${bytes < 0 ? '-' : '+'}${sizeText(Math.abs(bytes))}`;
  return `${added} added, ${changed} changed, ${removed} removed; ${size}`;
}

function recomputedText(again: NonNullable<EndedJob['recomputed']>): string {
  const compared = ['same', 'different', 'failed'].map((now) => ({
    now,
    names: again.filter((each) => each.now === now),
  }));
  const outcomes = compared.filter(({ now, names }) => now !== 'failed' || names.length > 0);
  const shown = outcomes.map(({ now, names }) => {
    const first = names.slice(0, namesShown).map(({ files }) => namesOf(files));
    const more = names.length > namesShown ? ', …' : '';
    return `${names.length} ${now}${first.length > 0 ? ` (${first.join(', ')}${more})` : ''}`;
  });
  return `${countText(again.length, 'datum')}: ${shown.join(', ')}`;
}

/** What a datum is made of, for people. */
function namesOf(files: readonly { readonly repo: string; readonly path: string }[]): string {
  const names = files.slice(0, namesShown).map(({ repo, path }) => `${repo}:${path}`);
  return `${names.join(' ')}${files.length > namesShown ? ' …' : ''}`;
}

function noDatums({ inputs }: EndedJob): string {
  const empty = inputs.find(({ commit }) => commit === null);
  return empty ? `${empty.repo}@${empty.branch} has no commits` : 'no files in its inputs match';
}

/** What went wrong, and what is odd. */
export function remarks(
  { job, pipeline }: OfJob,
  ended: EndedJob,
  failures: readonly FailedDatum[],
  { id }: Pick<Output, 'id'>,
): string[] {
  const lines: string[] = [];
  const datumText = (text: string): string => id(text.slice(0, 16));
  if (ended.state === 'success' && ended.counts.total === 0)
    lines.push(`${pipeline} has no datums: ${noDatums(ended)}`);
  if (ended.state !== 'success') lines.push(`job ${id(job)} of ${pipeline}: ${ended.reason}`);
  if (ended.state === 'success' && ended.counts.failed > 0) {
    const left = `${countText(ended.counts.failed, 'datum')} that failed`;
    lines.push(`the output of ${pipeline} is incomplete, without ${left}; pach list datum ${id(job)} --failed`);
  }
  for (const { id: datum, reason } of ended.counts.failed > 0 ? failures : []) {
    lines.push(`datum ${datumText(datum)}: ${reason}; pach logs -j ${id(job)} --datum ${datumText(datum)}`);
  }
  for (const { id: datum, files, now } of differing(ended)) {
    const what = now === 'failed' ? 'failed' : 'gave a different result';
    lines.push(`datum ${datumText(datum)} (${namesOf(files)}) ${what} when it was run again`);
  }
  if (ended.outside) lines.push(`output of ${pipeline}: ${outsideText(ended.outside)}`);
  if (ended.output?.becameEmpty) lines.push(`the output of ${pipeline} is empty, and it had files before`);
  return lines;
}
