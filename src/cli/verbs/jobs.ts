/**
 * list|inspect|wait|stop job, draw and profile of them.
 */
import { openProject } from '../../app/open.ts';
import { stopJob, waitForJob } from '../../engine/stop.ts';
import { jobNamed, listJobs } from '../../pipelines/jobs/jobs.ts';
import { hasPipeline, missing } from '../../pipelines/pipelines.ts';
import { jobInfo, jobJson } from '../../shown/jobs.ts';
import { profileJson, profileOf, timelineSvg } from '../../shown/profile.ts';
import { jobColumns, profileColumns } from '../pipeline-columns.ts';
import { jobArgument, jobOrPipeline, pipelineOption } from '../parameters.ts';
import { verb } from '../verb.ts';

export const listJobVerb = verb({
  name: 'list job',
  summary: 'List jobs, newest first',
  examples: [['list job -p edges', 'List the jobs of one pipeline']],
  json: jobJson,
  options: {
    pipeline: { ...pipelineOption, describe: 'Only jobs of this pipeline' },
    number: { type: 'count', alias: 'n', least: 0, describe: 'Show at most this many' },
  },
  async run({ pipeline, number }, { settings, output }) {
    await using opened = await openProject(settings);
    const snapshot = await opened.project.snapshot();
    if (pipeline !== undefined && !(await hasPipeline(snapshot, pipeline))) throw await missing(snapshot, pipeline);
    await output.rows((await listJobs(snapshot, pipeline, number)).map(jobInfo), jobColumns);
  },
});

export const inspectJobVerb = verb({
  name: 'inspect job',
  summary: 'Show one job',
  examples: [['inspect job 3f2a', 'The job whose id begins with 3f2a']],
  json: jobJson,
  arguments: { job: jobArgument },
  async run({ job: text }, { settings, output }) {
    await using opened = await openProject(settings);
    const info = jobInfo(await jobNamed(await opened.project.snapshot(), text));
    await output.fields(info);
  },
});

export const waitJobVerb = verb({
  name: 'wait job',
  reads: true,
  summary: 'Wait until a job ends',
  examples: [['wait job 3f2a', 'Exit code 1 if it did not succeed']],
  json: jobJson,
  arguments: { job: jobArgument },
  async run({ job: text }, { settings, output, signal }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const job = await waitForJob(project, await jobNamed(await project.snapshot(), text), signal);
    const info = jobInfo(job);
    await output.document(info, () => `${output.id(info.job)} ${info.state}`);
    return job.state === 'success' ? 0 : 1;
  },
});

export const stopJobVerb = verb({
  name: 'stop job',
  summary: 'Stop a running job; the results that it has computed are kept',
  examples: [['stop job 3f2a', 'The job whose id begins with 3f2a']],
  json: jobJson,
  arguments: { job: jobArgument },
  async run({ job: text }, { settings, output, signal }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const job = await stopJob(project, await jobNamed(await project.snapshot(), text), signal);
    const info = jobInfo(job);
    await output.document(info, () => `${output.id(info.job)} ${info.state}`);
  },
});

export const profileVerb = verb({
  name: 'profile',
  summary: 'Show how long each datum of a job took',
  examples: [
    ['profile 3f2a', 'List the datums that it ran, longest first'],
    ['profile 3f2a --format svg > job.svg', 'Draw them as a timeline'],
  ],
  json: profileJson,
  arguments: { job: jobOrPipeline },
  options: {
    format: { type: 'text', choices: ['table', 'svg'], default: 'table', describe: 'A table, or a timeline' },
  },
  async run({ job: text, format }, { settings, output }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const job = await jobNamed(await project.snapshot(), text);
    const rows = await profileOf(project.reader, job);
    if (format === 'svg') return await output.write(timelineSvg(`job ${job.id} of ${job.pipeline}`, job.started, rows));
    await output.rows(rows, profileColumns);
  },
});
