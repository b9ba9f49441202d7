/**
 * What the commands of a job print, as lines, each once: from this machine while it runs, from the
 * store once it has ended.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { textOfName } from '../model/paths.ts';
import { maybeCheck } from '../pipelines/jobs/beside.ts';
import { checkId, checkName } from '../pipelines/jobs/checks.ts';
import { bytesOf, datumsOf, findDatum, findJob, readResult, type Job } from '../pipelines/jobs/jobs.ts';
import type { Project } from '../versions/project.ts';

export interface LogLine {
  readonly datum: string;
  readonly line: string;
}

export const logJson = '{datum, line} a line; datum: check for what dev.expect.check has printed';

export interface LogOptions {
  /** Where this machine keeps what datums print while a job runs. */
  readonly folder: string;
  /** Id of a datum, or its beginning; `check` for the check of the output; undefined for all. */
  readonly datum: string | undefined;
  /** Goes on until the job ends. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

const pollMs = 200;

/** The log of a job, or of one datum of it. Throws `not-found` for a datum that an ended job has not. */
export async function* logLines(
  project: Project,
  found: Job,
  { folder, datum, follow, signal }: LogOptions,
): AsyncGenerator<LogLine> {
  const { reader } = project;
  const spool = { folder, datum, check: checkId(found.id) };
  const lines = new LogLines();
  let job = found;
  while (job.state === 'running') {
    for await (const [name, log] of spooled(spool)) yield* follow ? lines.growing(name, log) : lines.whole(name, log);
    if (!follow) return;
    await sleep(pollMs, undefined, { signal });
    job = await findJob(await project.snapshot(), job.id);
  }
  if (!job.datums) {
    for await (const [name, log] of spooled(spool)) yield* lines.whole(name, log);
    return;
  }
  if (datum === undefined || datum === checkName) {
    const check = await maybeCheck(await project.snapshot(), job);
    const { log } = check ? await readResult(reader, check) : {};
    if (log) yield* lines.whole(checkName, await bytesOf(reader, log));
    if (datum !== undefined) return;
  }
  for await (const each of datum === undefined ? datumsOf(reader, job) : [await findDatum(reader, job, datum)]) {
    const { log } = await readResult(reader, each.result);
    // Of all datums, those that this job ran: the others printed in an earlier one.
    if (log && (datum !== undefined || each.outcome.job === job.id)) {
      yield* lines.whole(each.id, await bytesOf(reader, log));
    }
  }
}

/** What datums, and the check, have printed of a job that runs or was broken off, as far as this machine ran them. */
async function* spooled({
  folder,
  datum,
  check,
}: Pick<LogOptions, 'folder' | 'datum'> & { readonly check: string }): AsyncGenerator<[string, Buffer]> {
  for (const name of (await readdir(folder).catch((): string[] => [])).sort()) {
    const shown = name === check ? checkName : name;
    if (datum !== undefined && !shown.startsWith(datum)) continue;
    yield [shown, await readFile(join(folder, name)).catch(() => Buffer.alloc(0))];
  }
}

/** The lines of logs that are read again and again, each given once. */
class LogLines {
  private readonly given = new Map<string, number>();

  /** A log of which more may come: a line that has not ended waits. */
  growing(datum: string, log: Buffer): Iterable<LogLine> {
    return this.after(datum, log, log.lastIndexOf('\n') + 1);
  }

  /** All of a log: its last line may have no end. */
  whole(datum: string, log: Buffer): Iterable<LogLine> {
    return this.after(datum, log, log.length);
  }

  private *after(datum: string, log: Buffer, end: number): Generator<LogLine> {
    const from = this.given.get(datum) ?? 0;
    if (end <= from) return;
    this.given.set(datum, end);
    const text = textOfName(log.subarray(from, end)).replace(/\n$/, '');
    for (const line of text.split('\n')) yield { datum, line };
  }
}
