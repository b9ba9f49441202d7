/**
 * list|inspect|restart datum, why, logs.
 */
import { join } from 'node:path';
import { openProject, type OpenProject } from '../../app/open.ts';
import type { PodLogs, PodLogsRequest } from '../../app/pod-logs.ts';
import { clusterOf, type Settings } from '../../app/settings.ts';
import { isPachError, PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { restartDatum } from '../../engine/restart.ts';
import type { Address } from '../../model/address.ts';
import { findDatum, jobNamed, maybeJob, type Job, type JobDatum } from '../../pipelines/jobs/jobs.ts';
import { hasPipeline, missing } from '../../pipelines/pipelines.ts';
import { readSpecs } from '../../pipelines/spec/specs.ts';
import { datumDetails, datumDetailsJson, datumInfos, datumJson, failedInfos } from '../../shown/datums.ts';
import { logJson, logLines } from '../../shown/logs.ts';
import { previewJson } from '../../shown/preview.ts';
import { whyInfo, whyJson } from '../../shown/why.ts';
import type { Project } from '../../versions/project.ts';
import { resolveCommit } from '../../versions/resolve.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { addressOf } from '../addresses.ts';
import { clusterFieldOptions } from '../cluster-options.ts';
import { dryRun } from '../dry-run.ts';
import { datumColumns, datumText } from '../pipeline-columns.ts';
import { standardInput } from '../stdin.ts';
import { datumArgument, executorOption, jobOrPipeline, pipelineOption } from '../parameters.ts';
import { verb } from '../verb.ts';

/** A datum of a job as the command line names them. */
async function datumNamed(
  project: Project,
  text: string,
  id: string,
): Promise<{ snapshot: Snapshot; job: Job; datum: JobDatum }> {
  const snapshot = await project.snapshot();
  const job = await jobNamed(snapshot, text);
  return { snapshot, job, datum: await findDatum(project.reader, job, id) };
}

/** The job that made a commit. */
async function jobOf(snapshot: Snapshot, address: Address): Promise<Job> {
  const { id, repo } = await resolveCommit(snapshot, address);
  const job = await maybeJob(snapshot, id);
  if (job) return job;
  const why = 'no job made it, or its job was deleted';
  throw new PachError('not-found', { what: `${repo}@${id}`, why, next: `pach inspect commit ${repo}@${id}` });
}

export const listDatumVerb = verb({
  name: 'list datum',
  summary: 'List the datums of a job, or the datums that a spec would create',
  examples: [
    ['list datum 3f2a', 'Show which datums a job computed, and which it reused from earlier jobs'],
    ['list datum edges@master --failed', 'Show the datums that a commit was made without, because they failed'],
    ['list datum -f edges.json', 'Show what a spec would compute'],
  ],
  json: `${datumJson}; with -f ${previewJson}`,
  arguments: {
    job: {
      type: 'text',
      names: jobOrPipeline.names,
      describe: `${jobOrPipeline.describe}; or the commit that a job made: edges@master`,
    },
  },
  options: {
    failed: { type: 'flag', describe: 'Only those that failed' },
    file: { type: 'text', alias: 'f', names: ['local'], describe: 'Specs: a file, folder or -' },
    executor: { ...executorOption, describe: 'With -f: use the results of this executor' },
    platform: clusterFieldOptions.platform,
  },
  async run({ job: text, file, executor, platform, failed }, { settings, output, signal }) {
    if (file !== undefined) {
      if (failed) {
        throw new PachError('usage', {
          what: 'list datum -f --failed',
          why: 'a spec has no datums that failed; name a job',
        });
      }
      const source = { path: file, project: settings.project, stdin: () => standardInput(signal), signal };
      return dryRun({ settings, output, signal }, await readSpecs(source), {
        executor,
        platform,
        reprocess: false,
      });
    }
    if (text === undefined) {
      throw new PachError('usage', {
        what: 'list datum',
        why: 'name a job, or give a spec with -f',
        next: 'pach list job',
      });
    }
    const named = text.includes('@') ? addressOf(text, settings) : undefined;
    await using opened = await openProject(named?.settings ?? settings);
    const { project } = opened;
    const snapshot = await project.snapshot();
    const job = named ? await jobOf(snapshot, named.address) : await jobNamed(snapshot, text);
    const rows = failed ? failedInfos(snapshot, job, output.id) : datumInfos(project.reader, job, output.id);
    await output.rows(rows, [...datumColumns, ['WHY', (row) => row.why]]);
  },
});

export const inspectDatumVerb = verb({
  name: 'inspect datum',
  summary: 'Show one datum of a job',
  examples: [['inspect datum 3f2a 9c01', 'Show its input, its result, and the time and memory it used']],
  json: datumDetailsJson,
  arguments: { job: jobOrPipeline, datum: datumArgument },
  async run({ job: text, datum: id }, { settings, output }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const { job, datum } = await datumNamed(project, text, id);
    await output.fields(await datumDetails(project.reader, job, datum, output.id));
  },
});

export const restartDatumVerb = verb({
  name: 'restart datum',
  summary: 'Forget the result of a datum, so that the next run computes it again',
  examples: [['restart datum 3f2a 9c01', 'Then: pach run pipeline']],
  json: '{id}',
  arguments: { job: jobOrPipeline, datum: datumArgument },
  async run({ job: text, datum: id }, { settings, output }) {
    await using opened = await openProject(settings);
    const { job, datum } = await datumNamed(opened.project, text, id);
    await restartDatum(opened.project, job, datum);
    await output.document({ id: datum.id }, () => output.id(datum.id));
    output.note(`the next run computes it: pach run pipeline ${job.pipeline}`);
  },
});

export const whyVerb = verb({
  name: 'why',
  summary: 'Explain why a datum was computed or skipped',
  examples: [['why 3f2a 9c01', 'Show which part of its key differs from the nearest earlier result']],
  json: whyJson,
  arguments: { job: jobOrPipeline, datum: datumArgument },
  async run({ job: text, datum: id }, { settings, output }) {
    await using opened = await openProject(settings);
    const { snapshot, job, datum } = await datumNamed(opened.project, text, id);
    const info = await whyInfo(snapshot, job, datum, output.id);
    await output.document(info, () => [
      `${info.state}: ${info.why}`,
      ...(info.rejected === null ? [] : [`its job was rejected: ${info.rejected}`]),
    ]);
  },
});

export const logsVerb = verb({
  name: 'logs',
  reads: true,
  summary: 'Print the logs of a job',
  examples: [
    ['logs -p edges', "Logs of a pipeline's newest job"],
    ['logs -j 3f2a --datum 9c01', 'Logs of one datum'],
    ['logs -p edges -f', 'Follow the logs until the job ends'],
  ],
  json: logJson,
  options: {
    pipeline: { ...pipelineOption, describe: 'Logs of the newest job of this pipeline' },
    job: { type: 'text', alias: 'j', names: ['job'], describe: 'Id of a job, or its beginning' },
    datum: { type: 'text', describe: 'Only this datum' },
    follow: { alias: 'f', type: 'flag', describe: 'Follow the log until the job ends' },
    context: { type: 'text', describe: 'With -f, of a job in pods: a context of the kubeconfig' },
    namespace: { type: 'text', describe: 'With -f, of a job in pods: their namespace' },
  },
  async run({ pipeline, job: id, datum, follow, ...where }, { settings, output, signal }) {
    const text = id ?? pipeline;
    if (text === undefined) {
      const or = `pach logs -j JOB${datum === undefined ? '' : ` --datum ${shellWord(datum)}`}`;
      throw new PachError('usage', {
        what: 'logs',
        why: 'name a pipeline (-p) or a job (-j)',
        next: 'pach list job',
        or,
      });
    }
    await using opened = await openProject(settings);
    const { project } = opened;
    const snapshot = await project.snapshot();
    if (id === undefined && !(await hasPipeline(snapshot, text))) throw await missing(snapshot, text);
    const job = await jobNamed(snapshot, text);
    const note = (line: string): void => output.note(line);
    await using pods = follow ? await podLogs(settings, opened, job, { ...where, note }) : undefined;
    const folder = pods?.folder ?? join(settings.home.logs, job.id);
    for await (const row of logLines(project, job, { folder, datum, follow, signal })) {
      if (output.format === 'table') await output.log(output.id(datumText(row.datum)), row.line);
      else await output.rows([row], []);
    }
  },
});

/** What is printed in pods, where the job runs there; a cluster that can't be asked is no error. */
async function podLogs(
  settings: Settings,
  opened: OpenProject,
  job: Job,
  { context, namespace, note }: PodLogsRequest,
): Promise<PodLogs | undefined> {
  if (job.executor !== 'kubernetes' || job.state !== 'running') return undefined;
  const { PodLogs } = await import('../../app/pod-logs.ts');
  const fields = clusterOf(settings);
  const where = { context: context ?? fields.context, namespace: namespace ?? fields.namespace };
  try {
    return await PodLogs.open(settings, opened, job, { ...where, note });
  } catch (error) {
    if (!isPachError(error)) throw error;
    note(`${error.message}: what pods print is shown when their datums are done`);
    return undefined;
  }
}
