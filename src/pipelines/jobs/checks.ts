/**
 * The command that checks a job's output before its branch moves. It runs as a datum does: as that of a
 * pipeline that reads the whole output, in the environment of the pipeline itself.
 */
import { hashOf } from '../../model/canonical.ts';
import type { Job } from './jobs.ts';
import type { JobId } from '../../model/records/pipelines.ts';
import type { Directory } from '../../versions/directories.ts';
import type { OutputCheck, PfsInput, PipelineSpec } from '../spec/spec.ts';
import { rowsFor, type PlannedDatum } from './planned.ts';

/** How a check is called among the datums of a job. */
export const checkName = 'check';

export interface CheckSpec extends PipelineSpec {
  readonly input: PfsInput;
}

/** What its worker is told of a check. `branch`: where the output goes. */
export function checkSpec(spec: PipelineSpec, { cmd, timeoutMs }: OutputCheck, branch: string): CheckSpec {
  const { name, transform } = spec;
  const plain = { outerJoin: false, lazy: false, emptyFiles: false, reference: false };
  return {
    ...spec,
    input: { kind: 'pfs', name, repo: name, branch, glob: '/', ...plain },
    datumTries: 1,
    datumTimeoutMs: timeoutMs,
    transform: {
      ...transform,
      cmd,
      stdin: undefined,
      errCmd: undefined,
      errStdin: undefined,
      acceptReturnCode: [],
      datumBatching: false,
    },
  };
}

/** The id that the check of a job has where datums are told apart: 64 hex digits. */
export function checkId(job: JobId): string {
  return hashOf(Buffer.from(`check of job ${job}`)).toString('hex');
}

/** The check of a job, to be run. Its result is kept under no key. */
export function checkDatum({ id: job }: Pick<Job, 'id'>, input: PfsInput, output: Directory): PlannedDatum {
  const id = checkId(job);
  const plain = { name: Buffer.alloc(0), executable: false, mtimeSeconds: 0, mtimeNanoseconds: 0 };
  const entry = { ...plain, kind: 'directory', content: output } as const;
  const datum = { id, files: [{ input, commit: job, path: '/', entry }] };
  return { datum, key: hashOf(Buffer.from(id)), rows: rowsFor(datum, [input]), isRecheck: true };
}
