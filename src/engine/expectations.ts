/**
 * What a spec expects of a job's output (`dev.expect`), held against it before its branch moves.
 */
import { Queue } from '../base/queue.ts';
import { failureText, type DatumFailure } from '../execution/events.ts';
import { jobVariables } from '../execution/workers/environment.ts';
import type { Ref } from '../model/refs.ts';
import { checkDatum, checkSpec } from '../pipelines/jobs/checks.ts';
import type { PlannedDatum } from '../pipelines/jobs/planned.ts';
import type { Result } from '../pipelines/jobs/results.ts';
import type { OutputCheck, PipelineSpec } from '../pipelines/spec/spec.ts';
import type { Publisher } from '../results/publisher.ts';
import type { Directory } from '../versions/directories.ts';
import { tellOf } from './events.ts';
import type { JobOptions, JobStart } from './job-run.ts';

type Sizes = Pick<Directory, 'files' | 'bytes'>;

/**
 * What an output does not meet of what is expected of its size, in words. `before`: the last success of
 * its branch. A sample is not held against what is expected of all.
 */
export function unmetSizes(
  { expect, input }: Pick<PipelineSpec, 'expect' | 'input'>,
  output: Sizes,
  before: Sizes | undefined,
): string[] {
  const { notEmpty, filesMin = 0, shrinkPercentMax } = expect ?? {};
  const { files } = output;
  const unmet: string[] = [];
  if (notEmpty && files === 0) unmet.push('dev.expect.not_empty: expected files, found none');
  if (input.kind === 'sample') return unmet;
  if (files < filesMin) unmet.push(`dev.expect.min_files: expected ${filesMin} files or more, found ${files}`);
  if (before && shrinkPercentMax !== undefined) {
    for (const what of ['files', 'bytes'] as const) {
      if (output[what] >= before[what] * (1 - shrinkPercentMax / 100)) continue;
      const lost = ((1 - output[what] / before[what]) * 100).toFixed(1).replace('.0', '');
      unmet.push(
        `dev.expect.max_shrink: expected to lose at most ${shrinkPercentMax}% of ${before[what]} ${what}, found ${output[what]}, which is ${lost}% less`,
      );
    }
  }
  return unmet;
}

/** What a check has found. */
export interface Checked {
  /** In words; undefined where the output is as it should be. */
  readonly unmet: string | undefined;
  /** The result of the command. */
  readonly result: Ref;
}

/** An output that was tested. */
export interface Tested {
  /** Undefined where no command had to look at it. */
  readonly check?: Checked;
}

/** Runs the command that looks at an output which can be read and is in no commit yet. Throws the signal's reason. */
export async function checkOutput(
  { options, start: { job, begun } }: { readonly options: JobOptions; readonly start: JobStart },
  check: OutputCheck,
  { output, publisher }: { readonly output: Directory; readonly publisher: Publisher },
): Promise<Checked> {
  const { project, pipeline, pool, signal } = options;
  const tell = tellOf(options.tell, job);
  tell({ kind: 'waiting', for: 'check' });
  const spec = checkSpec(pipeline.spec, check, options.branch);
  const queue = new Queue<PlannedDatum>(1);
  await queue.add(checkDatum(job, spec.input, output));
  queue.end();
  let failure: DatumFailure | undefined;
  let result: Result | undefined;
  await pool.run({
    spec,
    job: job.id,
    env: jobVariables(spec, {
      job: job.id,
      project: project.options.name,
      specHash: pipeline.specRef.hash.toString('hex'),
    }),
    queue,
    reader: begun.snapshot.reader,
    isCommitted: false,
    publisher,
    logs: await options.logs(job.id),
    signal,
    // It is no datum of the job's.
    tell: (event) => {
      if (event.kind === 'note' || event.kind === 'waiting') tell(event);
      if (event.kind === 'datum-ended' && event.outcome.state === 'failed') failure = event.outcome.failure;
    },
    done: (_, ran) => (result = ran),
  });
  signal.throwIfAborted();
  await publisher.flush();
  if (!result) throw new Error('a check came to no end');
  return { unmet: failure && unmetCheck(check, failure, job.id), result: result.tree };
}

function unmetCheck({ cmd, timeoutMs }: OutputCheck, failure: DatumFailure, job: string): string {
  const isLate = failure.cause === 'ending' && failure.ending.kind === 'timeout';
  const how = isLate ? `the command took longer than ${timeoutMs / 1000} s` : failureText(failure, undefined);
  return `dev.expect.check: expected exit code 0 of ${cmd.join(' ')}, found: ${how}; pach logs -j ${job} --datum check`;
}
