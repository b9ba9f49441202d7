/**
 * run pipeline.
 */
import { openProject } from '../../app/open.ts';
import { storePatience } from '../../app/patience.ts';
import { poolNames, runPipelines } from '../../app/run-pipelines.ts';
import { PachError } from '../../base/errors.ts';
import { checkBranchName } from '../../model/address.ts';
import { readSpecs } from '../../pipelines/spec/specs.ts';
import { executorChoice } from '../cluster-options.ts';
import { explainEnvironment } from '../explain-env.ts';
import { RunPrinter } from '../run-printer.ts';
import { standardInput } from '../stdin.ts';
import { pipelineArgument, runOptions } from '../parameters.ts';
import { verb } from '../verb.ts';

export const runPipelineVerb = verb({
  name: 'run pipeline',
  summary: 'Run the pipelines that a pipeline depends on, then the pipeline itself',
  examples: [
    ['run pipeline edges', 'Compute what changed since its last job'],
    ['run pipeline -f edges.json', 'Create or update it from its spec, then run it'],
    ['run pipeline -f pipelines/ --branch exp', 'Run all pipelines of a folder on a branch beside production'],
    ['run pipeline edges --executor docker --workers 4', 'Run in Docker containers, four datums at a time'],
    ['run pipeline edges --executor kubernetes --context gpu-cluster', 'Run in pods of a cluster'],
    ['run pipeline edges --secrets-from file:.env', 'Take the secrets that its spec names from a file'],
    ['run pipeline edges --pool store', 'Have pach worker run the datums, here or on other machines'],
    ['run pipeline edges --explain-env', 'Show the variables that its commands would see, and where they come from'],
    ['run pipeline edges --recompute 10', 'Compute ten datums again and compare the results'],
  ],
  json: '{job, pipeline, state, commit, datums: {total, processed, skipped, failed, recovered}, seconds, output: {added, changed, removed, bytes, becameEmpty} or null, different, recomputed: [{id, files: [{repo, commit, path}], now}] or null, outside, reason} a pipeline; state: success, failure, killed, rejected (its output did not meet dev.expect) or unrunnable; reason: of a job that did not succeed; recomputed: the datums that --recompute has run again, now: same, different or failed; different: ids of those that are not the same; outside: links in /pfs/out that lead out of /pfs. With --explain-env {pipeline, executor, variables: [{name, value or null, from}], files: [{path, from}], cluster: [{name, why}]} a pipeline: value is null where each job or datum has its own, and *** for secrets; cluster: what only a cluster sets',
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
    ...runOptions,
    branch: { type: 'text', describe: 'Branch for all output, instead of those in the specs' },
    pool: {
      type: 'text',
      choices: poolNames,
      default: 'local',
      describe: 'Where datums run: local, in this process; store, wherever pach worker runs with the same store',
    },
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
    if (args.pool === 'store' && args.workers !== undefined) {
      const why = 'with --pool store there are as many workers as you start with pach worker';
      throw new PachError('usage', { what: '--workers', why, next: 'leave out --workers' });
    }
    if (args.pool === 'store' && args.executor === 'kubernetes') {
      const why = 'pods are workers of the store already';
      throw new PachError('usage', { what: '--pool store', why, next: 'leave out --pool' });
    }
    const choice = executorChoice(args, settings);
    if (branch !== undefined) checkBranchName(branch);
    const source = { path: args.file ?? '', project: settings.project, stdin: () => standardInput(signal), signal };
    const specs = args.file === undefined ? [] : await readSpecs(source);
    if (args['explain-env']) {
      const { executor, platform, 'secrets-from': secretsFrom } = args;
      return explainEnvironment({ settings, output, signal }, specs, {
        pipeline: args.pipeline,
        branch,
        executor,
        platform,
        secretsFrom,
      });
    }
    const isElsewhere = args.pool === 'store' || args.executor === 'kubernetes';
    await using opened = await openProject(settings, {
      create: args.file !== undefined,
      patience: isElsewhere ? storePatience((line) => output.note(line), signal) : undefined,
    });
    const printer = new RunPrinter(output);
    const running = runPipelines(settings, opened, {
      target: args.pipeline === undefined ? { kind: 'specs', specs } : { kind: 'pipeline', name: args.pipeline },
      branch,
      reprocess,
      inputs: args.input,
      ...choice,
      secretsFrom: args['secrets-from'],
      workers: args.workers,
      pool: args.pool,
      recompute: args.recompute,
      signal,
      listeners: [printer.listen],
    });
    // What has ended is printed before an error is.
    await running.catch(() => printer.end().catch(() => undefined));
    const steps = await running;
    await printer.end();
    if (steps.some(({ job }) => job.state !== 'success')) return 1;
    return steps.some(({ result }) => result?.recomputed?.some(({ now }) => now !== 'same')) ? 10 : 0;
  },
});
