/**
 * run pipeline.
 */
import { openProject } from '../../app/open.ts';
import { runPipelines } from '../../app/run-pipelines.ts';
import { PachError } from '../../base/errors.ts';
import { checkBranchName } from '../../model/address.ts';
import type { Counting } from '../../engine/counts.ts';
import { forgetResults, setPipelines } from '../../pipelines/editing/edit-pipelines.ts';
import { datumsOf, type Job } from '../../pipelines/jobs/jobs.ts';
import { outputChanges, type OutputChanges } from '../../shown/output-changes.ts';
import type { GraphStep } from '../../engine/run-graph.ts';
import { isNone } from '../../pipelines/jobs/plan.ts';
import { outsideText } from '../../results/links.ts';
import type { Rechecked } from '../../results/recheck.ts';
import { readSpecs } from '../../pipelines/spec/specs.ts';
import type { Project } from '../../versions/project.ts';
import type { Output } from '../output.ts';
import { secondsOf } from '../../shown/jobs.ts';
import { countText, sizeText } from '../text.ts';
import { standardInput } from '../stdin.ts';
import { executorOption, pipelineArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

const failuresShown = 5;
const namesShown = 5;

export const runPipelineVerb = verb({
  name: 'run pipeline',
  summary: 'Run the pipelines that a pipeline depends on, then the pipeline itself',
  examples: [
    ['run pipeline edges', 'Compute what changed since its last job'],
    ['run pipeline -f edges.json', 'Create or update it from its spec, then run it'],
    ['run pipeline -f pipelines/ --branch exp', 'Run all pipelines of a folder on a branch beside production'],
    ['run pipeline edges --executor docker --workers 4', 'Run in Docker containers, four datums at a time'],
    ['run pipeline edges --recompute 10', 'Compute ten datums again and compare the results'],
  ],
  json: '{job, pipeline, state, commit, datums: {total, processed, skipped, failed, recovered}, seconds, output: {added, changed, removed, bytes, becameEmpty} or null, different, recomputed: [{id, files: [{repo, commit, path}], now}] or null, outside, reason} a pipeline; state: success, failure, killed or unrunnable; reason: of a job that did not succeed; recomputed: the datums that --recompute has run again, now: same, different or failed; different: ids of those that are not the same; outside: links in /pfs/out that lead out of /pfs',
  arguments: { pipeline: { type: 'text', names: pipelineArgument.names, describe: pipelineArgument.describe } },
  options: {
    file: {
      alias: 'f',
      type: 'text',
      names: ['local'],
      describe: 'Create or update pipelines first: a spec file, a folder or -',
    },
    input: {
      type: 'list',
      names: ['commit'],
      describe: 'An input version to read instead of the newest: images@ID',
    },
    executor: executorOption,
    workers: {
      type: 'count',
      least: 1,
      describe: 'Number of datums to run at a time, instead of the number in the spec',
    },
    branch: { type: 'text', describe: 'Branch for all output, instead of those in the specs' },
    recompute: {
      type: 'count',
      least: 0,
      default: 0,
      describe: 'Run this many computed datums again and compare the results',
    },
    reprocess: {
      type: 'flag',
      describe: 'Ignore earlier results and compute everything again',
    },
  },
  async run(args, { settings, output, signal }) {
    if ((args.pipeline === undefined) === (args.file === undefined)) {
      const next = 'pach run pipeline NAME';
      const or = 'pach run pipeline -f SPEC';
      throw new PachError('usage', { what: 'run pipeline', why: 'name a pipeline, or give specs with -f', next, or });
    }
    const { branch, reprocess } = args;
    if (branch !== undefined) checkBranchName(branch);
    const source = { path: args.file ?? '', project: settings.project, stdin: () => standardInput(signal), signal };
    const specs = args.file === undefined ? [] : await readSpecs(source);
    await using opened = await openProject(settings, { create: args.file !== undefined });
    const { project } = opened;
    const skipped = (what: string, why: string): void => output.note(`${what}: left out: ${why}`);
    if (specs.length > 0) await setPipelines(project, specs, { update: true, branch, reprocess, signal, skipped });
    if (args.pipeline !== undefined && reprocess) await forgetResults(project, args.pipeline, branch);
    const names = args.pipeline === undefined ? specs.map(({ name }) => name) : [args.pipeline];
    let code = 0;
    const steps = runPipelines(settings, opened, {
      names,
      branch,
      inputs: args.input,
      executor: args.executor,
      workers: args.workers,
      recompute: args.recompute,
      signal,
      begins: ({ name }) => output.progress(`${name}: planning`),
      progress: ({ name }, counting) => output.progress(() => progressLine(name, counting)),
      note: (line) => output.note(line),
    });
    for await (const step of steps) {
      const { job } = step;
      const changes = step.result && (await outputChanges(project, step.result));
      const { reason } = job;
      const row = {
        job: job.id,
        pipeline: job.pipeline,
        state: job.state,
        commit: job.output ?? null,
        datums: job.counts,
        seconds: secondsOf(job),
        output: changes ?? null,
        different: differing(step).map(({ id }) => id),
        recomputed: step.result?.recomputed?.map(recomputedInfo) ?? null,
        outside: step.result?.outside?.links ?? 0,
        ...(reason && { reason }),
      };
      await output.document(row, () => resultText(step, changes, output));
      await explain(step, changes, project, output);
      if (job.state !== 'success') code = 1;
      if (code === 0 && row.different.length > 0) code = 10;
    }
    return code;
  },
});

function progressLine(name: string, counting: Counting): string {
  const { done, total, skips, failures, secondsLeft } = counting;
  const more = counting.isPlanned ? '' : '+';
  const left = secondsLeft === undefined ? '' : `, ${Math.ceil(secondsLeft)} s left`;
  const failed = failures > 0 ? `, ${failures} failed` : '';
  return `${name}: ${done} of ${total}${more} datums, ${skips} skipped${failed}${left}`;
}

function resultText(step: GraphStep, changes: OutputChanges | undefined, { id }: Pick<Output, 'id'>): string[] {
  const { job } = step;
  const { total, processed, skipped, failed, recovered } = job.counts;
  const counts = [`${processed} processed`, `${skipped} skipped`];
  if (failed > 0) counts.push(`${failed} failed`);
  if (recovered > 0) counts.push(`${recovered} recovered`);
  const seconds = secondsOf(job)?.toFixed(2);
  const lines = [
    `${job.pipeline}: ${job.state}: ${countText(total, 'datum')}: ${counts.join(', ')}; ${seconds} s; job ${id(job.id)}`,
  ];
  if (changes) {
    const { added, changed, removed, bytes } = changes;
    const size = `${bytes < 0 ? '-' : '+'}${sizeText(Math.abs(bytes))}`;
    lines.push(`${job.pipeline}: files: ${added} added, ${changed} changed, ${removed} removed; ${size}`);
  }
  const again = step.result?.recomputed;
  if (again) {
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
    lines.push(`${job.pipeline}: computed again to compare: ${countText(again.length, 'datum')}: ${shown.join(', ')}`);
  }
  return lines;
}

/** Datums that did not give the same when they were run again. */
function differing({ result }: GraphStep): readonly Rechecked[] {
  return (result?.recomputed ?? []).filter(({ now }) => now !== 'same');
}

function recomputedInfo({ id, files, now }: Rechecked): object {
  return { id, files: files.map(({ input, commit, path }) => ({ repo: input.repo, commit, path })), now };
}

/** What a datum is made of, for people. */
function namesOf(files: Rechecked['files']): string {
  const names = files.slice(0, namesShown).map(({ input, path }) => `${input.repo}:${path}`);
  return `${names.join(' ')}${files.length > namesShown ? ' …' : ''}`;
}

function noDatums({ inputs }: Job): string {
  const empty = inputs.find(({ commit }) => isNone(commit));
  return empty ? `${empty.repo}@${empty.branch} has no commits` : 'no files in its inputs match';
}

/** What went wrong, and what is odd, on stderr. */
async function explain(
  step: GraphStep,
  changes: OutputChanges | undefined,
  project: Project,
  output: Output,
): Promise<void> {
  const { job } = step;
  const note = (line: string): void => output.note(line);
  const datumText = (id: string): string => output.id(id.slice(0, 16));
  if (job.state === 'success' && job.counts.total === 0) note(`${job.pipeline} has no datums: ${noDatums(job)}`);
  if (job.state !== 'success') note(`job ${output.id(job.id)} of ${job.pipeline}: ${job.reason}`);
  if (job.counts.failed > 0) {
    let shown = 0;
    for await (const { id, outcome } of datumsOf(project.reader, job)) {
      if (outcome.state !== 'failed') continue;
      note(`datum ${datumText(id)}: ${outcome.reason}; pach logs -j ${output.id(job.id)} --datum ${datumText(id)}`);
      shown += 1;
      if (shown === failuresShown) break;
    }
  }
  for (const { id, files, now } of differing(step)) {
    const what = now === 'failed' ? 'failed' : 'gave a different result';
    note(`datum ${datumText(id)} (${namesOf(files)}) ${what} when it was run again`);
  }
  if (step.result?.outside) note(`output of ${job.pipeline}: ${outsideText(step.result.outside)}`);
  if (changes?.becameEmpty) note(`the output of ${job.pipeline} is empty, and it had files before`);
}
