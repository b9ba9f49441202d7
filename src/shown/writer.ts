/**
 * Which datum wrote a path of a pipeline's output.
 */
import { parsePath } from '../model/paths.ts';
import { Directories } from '../versions/directories.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { datumsOf, maybeJob, readResult, rowsOf } from '../pipelines/jobs/jobs.ts';

export interface Writer {
  readonly pipeline: string;
  /** The job that ran it. */
  readonly job: string;
  readonly datum: string;
  readonly files: readonly { readonly repo: string; readonly commit: string; readonly path: string }[];
}

/**
 * The datum that wrote the file at a path of a commit; undefined where no job made the commit or
 * nothing lies there but folders. Looks through the datums of the job.
 */
export async function writerOf(snapshot: Snapshot, commit: string, path: string): Promise<Writer | undefined> {
  const { reader } = snapshot;
  const job = await maybeJob(snapshot, commit);
  if (!job) return undefined;
  const directories = new Directories(reader);
  const names = parsePath(path);
  for await (const datum of datumsOf(reader, job)) {
    const { out } = await readResult(reader, datum.result);
    const entry = out && (await directories.find(out, names));
    if (!entry || entry.kind === 'directory') continue;
    const rows = await rowsOf(reader, datum);
    const files = rows.map(({ input, path: from }) => {
      const { repo = '', commit: read = '' } = job.inputs[input] ?? {};
      return { repo, commit: read, path: from };
    });
    return { pipeline: job.pipeline, job: datum.outcome.job, datum: datum.id, files };
  }
  return undefined;
}
