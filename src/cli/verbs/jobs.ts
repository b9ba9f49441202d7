/**
 * list|inspect|wait|stop job, draw and profile of them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { datumsOf, findJob, listJobs, setJob, type Job } from '../../pipelines/jobs/jobs.ts';
import { isHeld, maybeLease } from '../../pipelines/jobs/lease.ts';
import { hasPipeline, missing } from '../../pipelines/pipelines.ts';
import { timelineSvg, type ProfileRow } from '../../shown/profile.ts';
import type { Project } from '../../versions/project.ts';
import { datumState, jobColumns, jobInfo, jobJson, jobNamed } from '../pipeline-names.ts';
import { sizeText } from '../text.ts';
import { verb } from '../verb.ts';

const pollMs = 500;

interface JobArgs {
  readonly job: string;
}

const jobOption = { type: 'string', demandOption: true, describe: 'Id of a job, or its beginning' } as const;

export const listJobVerb = verb<{ pipeline: string | undefined; number: number | undefined }>({
  command: 'list job',
  summary: 'List jobs, newest first',
  examples: [['list job -p edges', 'List the jobs of one pipeline']],
  json: jobJson,
  options: (yargs) =>
    yargs
      .option('pipeline', { alias: 'p', type: 'string', describe: 'Only jobs of this pipeline' })
      .option('number', { alias: 'n', type: 'number', describe: 'Show at most this many' }),
  async run({ pipeline, number }, { settings, output }) {
    if (number !== undefined && !(Number.isInteger(number) && number >= 0)) {
      throw new PachError('usage', { what: '--number', why: 'give a whole number of at least 0' });
    }
    await using opened = await openProject(settings);
    const snapshot = await opened.project.snapshot();
    if (pipeline !== undefined && !(await hasPipeline(snapshot, pipeline))) throw await missing(snapshot, pipeline);
    const jobs = await listJobs(snapshot, pipeline);
    await output.rows(jobs.slice(0, number).map(jobInfo), jobColumns);
  },
});

export const inspectJobVerb = verb<JobArgs>({
  command: 'inspect job <job>',
  summary: 'Show one job',
  examples: [['inspect job 3f2a', 'The job whose id begins with 3f2a']],
  json: jobJson,
  options: (yargs) => yargs.positional('job', jobOption),
  async run({ job: text }, { settings, output }) {
    await using opened = await openProject(settings);
    const info = jobInfo(await jobNamed(await opened.project.snapshot(), text));
    await output.fields(info);
  },
});

export const waitJobVerb = verb<JobArgs>({
  command: 'wait job <job>',
  reads: true,
  summary: 'Wait until a job ends',
  examples: [['wait job 3f2a', 'Exit code 1 if it did not succeed']],
  json: jobJson,
  options: (yargs) => yargs.positional('job', jobOption),
  async run({ job: text }, { settings, output, signal }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    let job = await jobNamed(await project.snapshot(), text);
    while (job.state === 'running') {
      const lease = await maybeLease(await project.snapshot(), job);
      job = await findJob(await project.snapshot(), job.id);
      if (job.state === 'running' && !(lease && isHeld(lease))) throw engineGone(job);
      if (job.state === 'running') await sleep(pollMs, undefined, { signal });
    }
    const info = jobInfo(job);
    await output.document(info, () => `${output.id(info.job)} ${info.state}`);
    return job.state === 'success' ? 0 : 1;
  },
});

export const stopJobVerb = verb<JobArgs>({
  command: 'stop job <job>',
  summary: 'Stop a running job; the results that it has computed are kept',
  examples: [['stop job 3f2a', 'The job whose id begins with 3f2a']],
  json: jobJson,
  options: (yargs) => yargs.positional('job', jobOption),
  async run({ job: text }, { settings, output, signal }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const found = await jobNamed(await project.snapshot(), text);
    if (found.state !== 'running') {
      throw new PachError('conflict', { what: `job ${found.id}`, why: `it has already ended: ${found.state}` });
    }
    const job = await stop(project, found, signal);
    const info = jobInfo(job);
    await output.document(info, () => `${output.id(info.job)} ${info.state}`);
  },
});

/** Asks the engine to stop, and waits until it has; a job whose engine is gone is ended here. */
async function stop(project: Project, found: Job, signal: AbortSignal): Promise<Job> {
  for (;;) {
    const job = await project.update(`stop job ${found.id}`, async (change) => {
      const now = await findJob(change.snapshot, found.id);
      const lease = await maybeLease(change.snapshot, now);
      if (now.state !== 'running') return now;
      const isAlive = lease !== undefined && isHeld(lease);
      const next: Job = isAlive
        ? { ...now, stopping: true }
        : { ...now, state: 'killed', reason: 'its engine is gone', finished: Date.now() };
      if (!isAlive || !now.stopping) setJob(change, next);
      return next;
    });
    if (job.state !== 'running') return job;
    await sleep(pollMs, undefined, { signal });
  }
}

function engineGone(job: Job): PachError {
  return new PachError('failed', {
    what: `job ${job.id}`,
    why: 'the engine that ran it is gone; the next run continues its work',
    next: `pach run pipeline ${job.pipeline}`,
  });
}

export const profileVerb = verb<JobArgs & { format: string }>({
  command: 'profile <job>',
  summary: 'Show how long each datum of a job took',
  examples: [
    ['profile 3f2a', 'List the datums that it ran, longest first'],
    ['profile 3f2a --format svg > job.svg', 'Draw them as a timeline'],
  ],
  json: '{datum, state, totalMs, startedMs, downloadMs, processMs, uploadMs, cpuMs, inputBytes, outputBytes, memoryBytesPeak} a datum, longest first',
  options: (yargs) =>
    yargs
      .positional('job', { type: 'string', demandOption: true, describe: 'Id of a job, or a pipeline: its newest job' })
      .option('format', { choices: ['table', 'svg'], default: 'table', describe: 'A table, or a timeline' }),
  async run({ job: text, format }, { settings, output }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const job = await jobNamed(await project.snapshot(), text);
    const rows: ProfileRow[] = [];
    for await (const datum of datumsOf(project.reader, job)) {
      const state = datumState(job, datum);
      const { stats } = datum.outcome;
      const totalMs = stats.downloadMs + stats.processMs + stats.uploadMs;
      if (datum.outcome.job === job.id) rows.push({ datum: datum.id, state, totalMs, ...stats });
    }
    rows.sort((a, b) => b.totalMs - a.totalMs);
    if (format === 'svg') return await output.write(timelineSvg(`job ${job.id} of ${job.pipeline}`, job.started, rows));
    const seconds = (ms: number): string => (ms / 1000).toFixed(3);
    await output.rows(rows, [
      ['DATUM', (row, { id }) => id(row.datum.slice(0, 16))],
      ['STATE', (row) => row.state],
      ['SECONDS', (row) => seconds(row.totalMs)],
      ['INPUT', (row) => seconds(row.downloadMs)],
      ['COMMAND', (row) => seconds(row.processMs)],
      ['OUTPUT', (row) => seconds(row.uploadMs)],
      ['CPU', (row) => seconds(row.cpuMs)],
      ['IN', (row) => sizeText(row.inputBytes)],
      ['OUT', (row) => sizeText(row.outputBytes)],
      ['MEMORY', (row) => sizeText(row.memoryBytesPeak)],
    ]);
  },
});
