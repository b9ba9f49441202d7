/**
 * create|update|list|inspect|delete|start|stop pipeline.
 */
import { openProject } from '../../app/open.ts';
import { listEngines } from '../../engine/presence.ts';
import { PachError } from '../../base/errors.ts';
import { keepJobs, withKept } from '../../pipelines/editing/keep.ts';
import { deletePipeline, setPipelines, stopPipeline } from '../../pipelines/editing/edit-pipelines.ts';
import { readSpecs } from '../../pipelines/spec/specs.ts';
import { pipelineInfo, pipelineInfos, pipelineJson, pipelineNamed } from '../../shown/pipelines.ts';
import { previewJson } from '../../shown/preview.ts';
import { clusterFieldOptions } from '../cluster-options.ts';
import { dryRun } from '../dry-run.ts';
import { pipelineColumns } from '../pipeline-columns.ts';
import { standardInput } from '../stdin.ts';
import { dryRunOption, executorOption, pipelineArgument, type ValuesOf } from '../parameters.ts';
import { verb, type VerbContext } from '../verb.ts';

const fileOption = {
  type: 'text',
  alias: 'f',
  names: ['local'],
  describe: 'JSON or YAML file, a folder of them, or - for standard input',
} as const;

const setOptions = {
  file: { ...fileOption, required: true },
  'dry-run': {
    ...dryRunOption,
    describe: 'Create nothing; show the datums, and which of them are already computed',
  },
  executor: { ...executorOption, describe: 'With --dry-run: use the results of this executor' },
  platform: clusterFieldOptions.platform,
} as const;

async function set(
  args: ValuesOf<typeof setOptions>,
  { settings, output, signal }: VerbContext,
  how: { readonly update: boolean; readonly reprocess: boolean; readonly kept?: number | undefined },
): Promise<void> {
  const { project: name } = settings;
  const read = await readSpecs({ path: args.file, project: name, stdin: () => standardInput(signal), signal });
  const { kept } = how;
  const specs = kept === undefined ? read : read.map((spec) => withKept(spec, kept));
  if (args['dry-run']) {
    const { executor, platform } = args;
    return dryRun({ settings, output, signal }, specs, { executor, platform, reprocess: how.reprocess });
  }
  await using opened = await openProject(settings, { create: true });
  const { project } = opened;
  const skipped = (what: string, why: string): void => output.note(`${what}: left out: ${why}`);
  const pipelines = await setPipelines(project, specs, { ...how, signal, skipped });
  const snapshot = await project.snapshot();
  for (const pipeline of pipelines) await output.document(await pipelineInfo(snapshot, pipeline), () => pipeline.name);
  const [first] = specs;
  const engines = await listEngines(project, Date.now());
  if (first && engines.every(({ branch }) => branch !== undefined)) {
    output.note(`no engine is running: try pach run pipeline ${first.name}, or pach serve`);
  }
}

export const createPipelineVerb = verb({
  name: 'create pipeline',
  summary: 'Create pipelines from specs',
  examples: [
    ['create pipeline -f edges.json', 'Create one pipeline'],
    ['create pipeline -f pipelines/ --dry-run', 'Show what the pipelines of a folder would compute'],
  ],
  json: `${pipelineJson} a pipeline; with --dry-run ${previewJson} a datum`,
  options: setOptions,
  run: (args, context) => set(args, context, { update: false, reprocess: false }),
});

export const updatePipelineVerb = verb({
  name: 'update pipeline',
  summary: 'Update pipelines, or create those that do not exist',
  examples: [
    ['update pipeline -f edges.json', 'The next run computes everything that the changes affect'],
    ['update pipeline -f edges.json --reprocess', 'The next run computes everything again'],
    ['update pipeline edges --keep-jobs 100', 'Of its jobs the newest hundred stay'],
  ],
  json: `${pipelineJson} a pipeline; with --dry-run ${previewJson} a datum`,
  arguments: {
    pipeline: { type: 'text', names: ['pipeline'], describe: 'Instead of -f: change only how many of its jobs stay' },
  },
  options: {
    ...setOptions,
    file: { ...fileOption, describe: `${fileOption.describe}; needed where no pipeline is named` },
    reprocess: {
      type: 'flag',
      describe: 'Ignore earlier results: the next run computes everything again',
    },
    'keep-jobs': {
      type: 'count',
      least: 1,
      describe: 'So many jobs stay on each branch, the newest (`dev.keep.jobs`)',
    },
  },
  async run({ pipeline: name, 'keep-jobs': kept, ...args }, context) {
    const { file, reprocess } = args;
    if ((file === undefined) === (name === undefined)) {
      const why = 'give a spec (-f SPEC), or a pipeline and how many of its jobs stay';
      throw new PachError('usage', {
        what: 'update pipeline',
        why,
        next: 'pach update pipeline edges --keep-jobs 100',
      });
    }
    if (file !== undefined) return set({ ...args, file }, context, { update: true, reprocess, kept });
    if (name === undefined || kept === undefined || reprocess || args['dry-run']) {
      const why = 'of a pipeline that is named only --keep-jobs can be changed; all else needs its spec';
      throw new PachError('usage', { what: `pipeline ${name}`, why, next: 'pach update pipeline -f SPEC' });
    }
    const { settings, output } = context;
    await using opened = await openProject(settings);
    const pipeline = await keepJobs(opened.project, name, kept);
    await output.document(await pipelineInfo(await opened.project.snapshot(), pipeline), () => name);
  },
});

export const listPipelineVerb = verb({
  name: 'list pipeline',
  summary: 'List the pipelines of the project',
  examples: [['list pipeline -o json', 'One object a line']],
  json: pipelineJson,
  async run(_, { settings, output }) {
    await using opened = await openProject(settings);
    const snapshot = await opened.project.snapshot();
    await output.rows(await pipelineInfos(snapshot), pipelineColumns);
  },
});

export const inspectPipelineVerb = verb({
  name: 'inspect pipeline',
  summary: 'Show one pipeline with its spec, now or in an earlier version',
  examples: [
    ['inspect pipeline edges', 'Show everything about the pipeline edges'],
    ['inspect pipeline edges@2', 'Show version 2, which is kept as long as one of its jobs exists'],
    ['inspect pipeline edges --branch exp', 'Show it on branch exp, after run pipeline -f SPEC --branch exp'],
  ],
  json: `${pipelineJson}; of a version that is not the newest without created, updated and state`,
  arguments: { pipeline: { ...pipelineArgument, describe: 'Name of a pipeline, or NAME@VERSION' } },
  options: { branch: { type: 'text', describe: 'Show the pipeline of this branch' } },
  async run({ pipeline: text, branch }, { settings, output }) {
    await using opened = await openProject(settings);
    const snapshot = await opened.project.snapshot();
    await output.fields(await pipelineNamed(snapshot, text, branch));
  },
});

export const deletePipelineVerb = verb({
  name: 'delete pipeline',
  summary: 'Delete a pipeline with its jobs and its output',
  examples: [['delete pipeline edges --keep-repo', 'Keep its results as a repo']],
  json: '{pipeline}',
  arguments: { pipeline: pipelineArgument },
  options: {
    'keep-repo': { type: 'flag', describe: 'Keep the results as an ordinary repo' },
    force: {
      type: 'flag',
      describe: 'Delete it even if other pipelines read its output',
    },
  },
  async run({ pipeline, force, 'keep-repo': keepRepo }, { settings, output }) {
    await using opened = await openProject(settings);
    await deletePipeline(opened.project, pipeline, { force, keepRepo });
    await output.document({ pipeline }, () => pipeline);
  },
});

export const startPipelineVerb = stopping('start', false, 'Let a stopped pipeline run again');
export const stopPipelineVerb = stopping('stop', true, "Stop a pipeline, so that it can't be run");

function stopping(word: string, stopped: boolean, summary: string): ReturnType<typeof verb> {
  return verb({
    name: `${word} pipeline`,
    summary,
    examples: [[`${word} pipeline edges`, summary]],
    json: pipelineJson,
    arguments: { pipeline: pipelineArgument },
    async run({ pipeline: name }, { settings, output }) {
      await using opened = await openProject(settings);
      const pipeline = await stopPipeline(opened.project, name, stopped);
      await output.document(await pipelineInfo(await opened.project.snapshot(), pipeline), () => name);
    },
  });
}
