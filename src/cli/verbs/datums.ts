/**
 * list|inspect|restart datum, why, logs.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import {
  bytesOf,
  datumsOf,
  findDatum,
  findJob,
  readResult,
  rowsOf,
  type Job,
  type JobDatum,
} from '../../pipelines/jobs/jobs.ts';
import { hasPipeline, missing } from '../../pipelines/pipelines.ts';
import { restartDatum } from '../../engine/restart.ts';
import { readSpecs } from '../../pipelines/spec/specs.ts';
import { whyOf, whyText } from '../../shown/why.ts';
import { textOfName } from '../../model/paths.ts';
import type { Project } from '../../versions/project.ts';
import { dryRun, stepJson } from '../dry-run.ts';
import { datumJson, datumState, jobNamed, type DatumInfo } from '../pipeline-names.ts';
import type { Output } from '../output.ts';
import { standardInput } from '../stdin.ts';
import { verb } from '../verb.ts';

interface DatumArgs {
  readonly job: string;
  readonly datum: string;
}

const jobOption = {
  type: 'string',
  demandOption: true,
  describe: 'Id of a job, or a pipeline: its newest job',
} as const;
const datumOption = { type: 'string', demandOption: true, describe: 'Id of a datum, or its beginning' } as const;

/** A datum of a job as the command line names them. */
async function datumNamed(
  project: Project,
  text: string,
  id: string,
): Promise<{ project: Project; job: Job; datum: JobDatum }> {
  const job = await jobNamed(await project.snapshot(), text);
  return { project, job, datum: await findDatum(project.reader, job, id) };
}

async function filesOf(project: Project, job: Job, datum: JobDatum): Promise<DatumInfo['files']> {
  const rows = await rowsOf(project.reader, datum);
  return rows.map(({ input, path }) => {
    const { repo = '', commit = '' } = job.inputs[input] ?? {};
    return { repo, commit, path };
  });
}

async function infoOf(project: Project, job: Job, datum: JobDatum, { id }: Pick<Output, 'id'>): Promise<DatumInfo> {
  const state = datumState(job, datum);
  const { outcome } = datum;
  const why =
    outcome.reason ||
    (state === 'skipped' ? `job ${id(outcome.job)} already computed it with the same key` : 'this job computed it');
  return { id: datum.id, state, files: await filesOf(project, job, datum), why };
}

export const listDatumVerb = verb<{ job: string | undefined; file: string | undefined; executor: string }>({
  command: 'list datum [job]',
  summary: 'List the datums of a job, or the datums that a spec would create',
  examples: [
    ['list datum 3f2a', 'Show which datums a job computed, and which it reused from earlier jobs'],
    ['list datum -f edges.json', 'Show what a spec would compute'],
  ],
  json: `${datumJson}; with -f ${stepJson}`,
  options: (yargs) =>
    yargs
      .positional('job', { type: 'string', describe: 'Id of a job, or a pipeline: its newest job' })
      .option('file', { alias: 'f', type: 'string', describe: 'Specs: a file, folder or -' })
      .option('executor', {
        choices: ['process', 'docker'],
        default: 'process',
        describe: 'With -f: use the results of this executor',
      }),
  async run({ job: text, file, executor }, { settings, output, signal }) {
    if (file !== undefined) {
      const source = { path: file, project: settings.project, stdin: () => standardInput(signal), signal };
      return dryRun({ settings, output, signal }, await readSpecs(source), { executor, reprocess: false });
    }
    if (text === undefined) {
      throw new PachError('usage', {
        what: 'list datum',
        why: 'name a job, or give a spec with -f',
        next: 'pach list job',
      });
    }
    await using opened = await openProject(settings);
    const { project } = opened;
    const job = await jobNamed(await project.snapshot(), text);
    async function* rows(): AsyncGenerator<DatumInfo> {
      for await (const datum of datumsOf(project.reader, job)) yield infoOf(project, job, datum, output);
    }
    await output.rows(rows(), [
      ['DATUM', (row, { id }) => id(row.id.slice(0, 16))],
      ['STATE', (row) => row.state],
      ['FILES', (row, { name }) => row.files.map(({ repo, path }) => name(`${repo}:${path}`)).join(' ')],
      ['WHY', (row) => row.why],
    ]);
  },
});

export const inspectDatumVerb = verb<DatumArgs>({
  command: 'inspect datum <job> <datum>',
  summary: 'Show one datum of a job',
  examples: [['inspect datum 3f2a 9c01', 'Show its input, its result, and the time and memory it used']],
  json: '{id, state, files, why, job, key, stats: {startedMs, downloadMs, processMs, uploadMs, cpuMs, inputBytes, outputBytes, memoryBytesPeak}, output: {files, bytes, hash} or null}; job: the one that ran it',
  options: (yargs) => yargs.positional('job', jobOption).positional('datum', datumOption),
  async run({ job: text, datum: id }, { settings, output }) {
    await using opened = await openProject(settings);
    const { project, job, datum } = await datumNamed(opened.project, text, id);
    const { out } = await readResult(project.reader, datum.result);
    const { outcome, key } = datum;
    const info = {
      ...(await infoOf(project, job, datum, output)),
      job: outcome.job,
      key: key.toString('hex'),
      stats: outcome.stats,
      output: out ? { files: out.files, bytes: out.bytes, hash: out.contentHash.toString('hex') } : null,
    };
    await output.fields(info);
  },
});

export const restartDatumVerb = verb<DatumArgs>({
  command: 'restart datum <job> <datum>',
  summary: 'Forget the result of a datum, so that the next run computes it again',
  examples: [['restart datum 3f2a 9c01', 'Then: pach run pipeline']],
  json: '{id}',
  options: (yargs) => yargs.positional('job', jobOption).positional('datum', datumOption),
  async run({ job: text, datum: id }, { settings, output }) {
    await using opened = await openProject(settings);
    const { project, job, datum } = await datumNamed(opened.project, text, id);
    await restartDatum(project, job, datum);
    await output.document({ id: datum.id }, () => output.id(datum.id));
    output.note(`the next run computes it: pach run pipeline ${job.pipeline}`);
  },
});

export const whyVerb = verb<DatumArgs>({
  command: 'why <job> <datum>',
  summary: 'Explain why a datum was computed or skipped',
  examples: [['why 3f2a 9c01', 'Show which part of its key differs from the nearest earlier result']],
  json: '{id, state, computedBy, comparedWith, differs: [part of the key], why}',
  options: (yargs) => yargs.positional('job', jobOption).positional('datum', datumOption),
  async run({ job: text, datum: id }, { settings, output }) {
    await using opened = await openProject(settings);
    const { project } = opened;
    const snapshot = await project.snapshot();
    const job = await jobNamed(snapshot, text);
    const datum = await findDatum(project.reader, job, id);
    const state = datumState(job, datum);
    const why = await whyOf(snapshot, job, datum);
    const shown = whyText(state, why, output.id);
    const { computedBy, comparedWith = null, differs } = why;
    const row = { id: datum.id, state, computedBy, comparedWith, differs, why: shown };
    await output.document(row, () => `${state}: ${shown}`);
  },
});

interface LogArgs {
  readonly pipeline: string | undefined;
  readonly job: string | undefined;
  readonly datum: string | undefined;
  readonly follow: boolean;
}

const pollMs = 200;

export const logsVerb = verb<LogArgs>({
  command: 'logs',
  reads: true,
  summary: 'Print the logs of a job',
  examples: [
    ['logs -p edges', "Logs of a pipeline's newest job"],
    ['logs -j 3f2a --datum 9c01', 'Logs of one datum'],
    ['logs -p edges -f', 'Follow the logs until the job ends'],
  ],
  json: '{datum, line} a line',
  options: (yargs) =>
    yargs
      .option('pipeline', { alias: 'p', type: 'string', describe: 'Logs of the newest job of this pipeline' })
      .option('job', { alias: 'j', type: 'string', describe: 'Id of a job, or its beginning' })
      .option('datum', { type: 'string', describe: 'Only this datum' })
      .option('follow', { alias: 'f', type: 'boolean', default: false, describe: 'Follow the log until the job ends' }),
  async run({ pipeline, job: id, datum, follow }, { settings, output, signal }) {
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
    let job = await jobNamed(snapshot, text);
    const lines = new LogLines(async (row) => {
      if (output.format === 'table') await output.log(output.id(row.datum.slice(0, 16)), row.line);
      else await output.rows([row], []);
    });
    const folder = join(settings.home.logs, job.id);
    while (job.state === 'running') {
      if (!follow) return await spooled(folder, datum, lines.whole);
      await spooled(folder, datum, lines.growing);
      await sleep(pollMs, undefined, { signal });
      job = await findJob(await project.snapshot(), job.id);
    }
    if (!job.datums) return await spooled(folder, datum, lines.whole);
    const chosen = datum === undefined ? datumsOf(project.reader, job) : [await findDatum(project.reader, job, datum)];
    for await (const each of chosen) {
      const { log } = await readResult(project.reader, each.result);
      if (log && (datum !== undefined || each.outcome.job === job.id)) {
        await lines.whole(each.id, await bytesOf(project.reader, log));
      }
    }
  },
});

/** What datums have printed of a job that runs or was broken off, as far as this machine ran them. */
async function spooled(folder: string, datum: string | undefined, add: LogLines['whole']): Promise<void> {
  for (const name of (await readdir(folder).catch((): string[] => [])).sort()) {
    if (datum === undefined || name.startsWith(datum)) {
      await add(name, await readFile(join(folder, name)).catch(() => Buffer.alloc(0)));
    }
  }
}

/** Prints the lines of logs, each once, though they are read again and again. */
class LogLines {
  private readonly print: (row: { readonly datum: string; readonly line: string }) => Promise<void>;
  private readonly printed = new Map<string, number>();

  constructor(print: (row: { readonly datum: string; readonly line: string }) => Promise<void>) {
    this.print = print;
  }

  /** A log of which more may come: a line that has not ended waits. */
  readonly growing = (datum: string, log: Buffer): Promise<void> => this.add(datum, log, log.lastIndexOf('\n') + 1);

  /** All of a log: its last line may have no end. */
  readonly whole = (datum: string, log: Buffer): Promise<void> => this.add(datum, log, log.length);

  private async add(datum: string, log: Buffer, end: number): Promise<void> {
    const from = this.printed.get(datum) ?? 0;
    if (end <= from) return;
    this.printed.set(datum, end);
    const text = textOfName(log.subarray(from, end)).replace(/\n$/, '');
    for (const line of text.split('\n')) await this.print({ datum, line });
  }
}
