/**
 * create|update|list|inspect|delete|start|stop pipeline.
 */
import { openProject } from '../../app/open.ts';
import { deletePipeline, setPipelines, stopPipeline } from '../../pipelines/editing/edit-pipelines.ts';
import { newestJob, type Job } from '../../pipelines/jobs/jobs.ts';
import { findPipeline, listPipelines, type Pipeline } from '../../pipelines/pipelines.ts';
import { readSpecs } from '../../pipelines/spec/specs.ts';
import { pfsInputs } from '../../pipelines/spec/input.ts';
import { findVersion, type OldVersion } from '../../pipelines/editing/versions.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { dryRun, stepJson } from '../dry-run.ts';
import { timeText } from '../text.ts';
import { standardInput } from '../stdin.ts';
import { verb, type VerbContext } from '../verb.ts';

const pipelineJson =
  '{pipeline, version, created, updated, state, image, inputs: [{name, repo, branch, glob}], outputBranch, lastJob: {job, state}, code: {origin, to: [path]} or null, spec}; state: running (it is ready) or stopped';

/** `own`: the branch on which it is this, and where its output goes then. */
async function infoOf(snapshot: Snapshot, pipeline: Pipeline, own?: string): Promise<PipelineInfo> {
  const { name, spec, version, created, updated, stopped } = pipeline;
  const outputBranch = own ?? spec.outputBranch;
  const { job } = await newestJob(snapshot, name, outputBranch);
  return {
    pipeline: name,
    version,
    created: new Date(created).toISOString(),
    updated: new Date(updated).toISOString(),
    state: stopped ? 'stopped' : 'running',
    ...versionInfo(pipeline, outputBranch, job),
  };
}

/** Of a version that is not the newest there is what its jobs have kept. */
function oldInfo({ version, spec, job }: OldVersion): OldInfo {
  const { pipeline, branch, codeOrigin } = job;
  return { pipeline, version, ...versionInfo({ spec, codeOrigin }, branch, job) };
}

function versionInfo(
  { spec, codeOrigin }: Pick<Pipeline, 'spec' | 'codeOrigin'>,
  outputBranch: string,
  job: Job | undefined,
): VersionInfo {
  return {
    image: spec.transform.image,
    inputs: pfsInputs(spec.input).map(({ name, repo, branch, glob }) => ({ name, repo, branch, glob })),
    outputBranch,
    lastJob: job ? { job: job.id, state: job.state } : null,
    code: spec.code.length > 0 ? { origin: codeOrigin || null, to: spec.code.map(({ to }) => to) } : null,
    spec: spec.document,
  };
}

interface VersionInfo {
  readonly image: string;
  readonly inputs: readonly object[];
  readonly outputBranch: string;
  readonly lastJob: { readonly job: string; readonly state: string } | null;
  readonly code: { readonly origin: string | null; readonly to: readonly string[] } | null;
  readonly spec: object;
}

interface OldInfo extends VersionInfo {
  readonly pipeline: string;
  readonly version: number;
}

interface PipelineInfo extends OldInfo {
  readonly created: string;
  readonly updated: string;
  readonly state: string;
}

interface SetArgs {
  readonly file: string;
  readonly 'dry-run': boolean;
  readonly executor: string;
}

async function set(
  args: SetArgs,
  { settings, output, signal }: VerbContext,
  how: { readonly update: boolean; readonly reprocess: boolean },
): Promise<void> {
  const { project: name } = settings;
  const specs = await readSpecs({ path: args.file, project: name, stdin: () => standardInput(signal), signal });
  if (args['dry-run']) {
    const { executor } = args;
    return dryRun({ settings, output, signal }, specs, { executor, reprocess: how.reprocess });
  }
  await using opened = await openProject(settings, { create: true });
  const { project } = opened;
  const skipped = (what: string, why: string): void => output.note(`${what}: left out: ${why}`);
  const pipelines = await setPipelines(project, specs, { ...how, signal, skipped });
  const snapshot = await project.snapshot();
  for (const pipeline of pipelines) await output.document(await infoOf(snapshot, pipeline), () => pipeline.name);
  const [first] = specs;
  if (first) output.note(`pipelines run only when you run them: pach run pipeline ${first.name}`);
}

const fileOption = {
  alias: 'f',
  type: 'string',
  demandOption: true,
  describe: 'JSON or YAML file, a folder of them, or - for standard input',
} as const;
const dryRunOption = {
  type: 'boolean',
  default: false,
  describe: 'Create nothing; show the datums, and which of them are already computed',
} as const;
const executorOption = {
  choices: ['process', 'docker'],
  default: 'process',
  describe: 'With --dry-run: use the results of this executor',
} as const;

export const createPipelineVerb = verb<SetArgs>({
  command: 'create pipeline',
  summary: 'Create pipelines from specs',
  examples: [
    ['create pipeline -f edges.json', 'Create one pipeline'],
    ['create pipeline -f pipelines/ --dry-run', 'Show what the pipelines of a folder would compute'],
  ],
  json: `${pipelineJson} a pipeline; with --dry-run ${stepJson} a datum`,
  options: (yargs) =>
    yargs.option('file', fileOption).option('dry-run', dryRunOption).option('executor', executorOption),
  run: (args, context) => set(args, context, { update: false, reprocess: false }),
});

export const updatePipelineVerb = verb<SetArgs & { reprocess: boolean }>({
  command: 'update pipeline',
  summary: 'Update pipelines, or create those that do not exist',
  examples: [
    ['update pipeline -f edges.json', 'The next run computes everything that the changes affect'],
    ['update pipeline -f edges.json --reprocess', 'The next run computes everything again'],
  ],
  json: `${pipelineJson} a pipeline; with --dry-run ${stepJson} a datum`,
  options: (yargs) =>
    yargs
      .option('file', fileOption)
      .option('dry-run', dryRunOption)
      .option('executor', executorOption)
      .option('reprocess', {
        type: 'boolean',
        default: false,
        describe: 'Ignore earlier results: the next run computes everything again',
      }),
  run: (args, context) => set(args, context, { update: true, reprocess: args.reprocess }),
});

export const listPipelineVerb = verb({
  command: 'list pipeline',
  summary: 'List the pipelines of the project',
  examples: [['list pipeline -o json', 'One object a line']],
  json: pipelineJson,
  async run(_, { settings, output }) {
    await using opened = await openProject(settings);
    const snapshot = await opened.project.snapshot();
    const rows = await Promise.all((await listPipelines(snapshot)).map((each) => infoOf(snapshot, each)));
    await output.rows(rows, [
      ['NAME', (row) => row.pipeline],
      ['VERSION', (row) => String(row.version)],
      ['UPDATED', (row) => timeText(row.updated)],
      ['STATE', (row) => row.state],
      ['LAST JOB', (row) => row.lastJob?.state ?? '-'],
    ]);
  },
});

interface NameArgs {
  readonly pipeline: string;
}

const nameOption = { type: 'string', demandOption: true, describe: 'Name of a pipeline' } as const;

export const inspectPipelineVerb = verb<NameArgs & { branch: string | undefined }>({
  command: 'inspect pipeline <pipeline>',
  summary: 'Show one pipeline with its spec, now or in an earlier version',
  examples: [
    ['inspect pipeline edges', 'Show everything about the pipeline edges'],
    ['inspect pipeline edges@2', 'Show version 2, which is kept as long as one of its jobs exists'],
    ['inspect pipeline edges --branch exp', 'Show it on branch exp, after run pipeline -f SPEC --branch exp'],
  ],
  json: `${pipelineJson}; of a version that is not the newest without created, updated and state`,
  options: (yargs) =>
    yargs
      .positional('pipeline', { ...nameOption, describe: 'Name of a pipeline, or NAME@VERSION' })
      .option('branch', { type: 'string', describe: 'Show the pipeline of this branch' }),
  async run({ pipeline: text, branch }, { settings, output }) {
    await using opened = await openProject(settings);
    const snapshot = await opened.project.snapshot();
    await output.fields(await inspected(snapshot, text, branch));
  },
});

async function inspected(snapshot: Snapshot, text: string, branch: string | undefined): Promise<object> {
  const [, name, version] = /^([^@]+)@(\d{1,15})$/.exec(text) ?? [];
  if (name === undefined) return infoOf(snapshot, await findPipeline(snapshot, text, branch), branch);
  const found = await findVersion(snapshot, name, { version: Number(version), branch });
  return 'old' in found ? oldInfo(found.old) : infoOf(snapshot, found.pipeline, found.own);
}

export const deletePipelineVerb = verb<NameArgs & { force: boolean; 'keep-repo': boolean }>({
  command: 'delete pipeline <pipeline>',
  summary: 'Delete a pipeline with its jobs and its output',
  examples: [['delete pipeline edges --keep-repo', 'Keep its results as a repo']],
  json: '{pipeline}',
  options: (yargs) =>
    yargs
      .positional('pipeline', nameOption)
      .option('keep-repo', { type: 'boolean', default: false, describe: 'Keep the results as an ordinary repo' })
      .option('force', {
        type: 'boolean',
        default: false,
        describe: 'Delete it even if other pipelines read its output',
      }),
  async run({ pipeline, force, 'keep-repo': keepRepo }, { settings, output }) {
    await using opened = await openProject(settings);
    await deletePipeline(opened.project, pipeline, { force, keepRepo });
    await output.document({ pipeline }, () => pipeline);
  },
});

export const startPipelineVerb = stopping('start', false, 'Let a stopped pipeline run again');
export const stopPipelineVerb = stopping('stop', true, "Stop a pipeline, so that it can't be run");

function stopping(word: string, stopped: boolean, summary: string): ReturnType<typeof verb> {
  return verb<NameArgs>({
    command: `${word} pipeline <pipeline>`,
    summary,
    examples: [[`${word} pipeline edges`, summary]],
    json: pipelineJson,
    options: (yargs) => yargs.positional('pipeline', nameOption),
    async run({ pipeline: name }, { settings, output }) {
      await using opened = await openProject(settings);
      const pipeline = await stopPipeline(opened.project, name, stopped);
      await output.document(await infoOf(await opened.project.snapshot(), pipeline), () => name);
    },
  });
}
