/**
 * list|inspect|wait|stop job, draw and profile of them.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { stopJob, waitForJob } from '../../engine/stop.ts';
import { jobNamed, listJobs } from '../../pipelines/jobs/jobs.ts';
import { hasPipeline, missing } from '../../pipelines/pipelines.ts';
import { jobInfo, jobJson } from '../../shown/jobs.ts';
import { profileJson, profileOf, timelineSvg } from '../../shown/profile.ts';
import { jobColumns, profileColumns } from '../pipeline-columns.ts';
import { verb } from '../verb.ts';

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
    const job = await waitForJob(project, await jobNamed(await project.snapshot(), text), signal);
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
    const job = await stopJob(project, await jobNamed(await project.snapshot(), text), signal);
    const info = jobInfo(job);
    await output.document(info, () => `${output.id(info.job)} ${info.state}`);
  },
});

export const profileVerb = verb<JobArgs & { format: string }>({
  command: 'profile <job>',
  summary: 'Show how long each datum of a job took',
  examples: [
    ['profile 3f2a', 'List the datums that it ran, longest first'],
    ['profile 3f2a --format svg > job.svg', 'Draw them as a timeline'],
  ],
  json: profileJson,
  options: (yargs) =>
    yargs
      .positional('job', { type: 'string', demandOption: true, describe: 'Id of a job, or a pipeline: its newest job' })
      .option('format', { choices: ['table', 'svg'], default: 'table', describe: 'A table, or a timeline' }),
  async run({ job: text, format }, { settings, output }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const job = await jobNamed(await project.snapshot(), text);
    const rows = await profileOf(project.reader, job);
    if (format === 'svg') return await output.write(timelineSvg(`job ${job.id} of ${job.pipeline}`, job.started, rows));
    await output.rows(rows, profileColumns);
  },
});
