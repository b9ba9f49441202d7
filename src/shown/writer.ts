/**
 * Which datum wrote a path of a pipeline's output.
 */
import { parsePath } from '../model/paths.ts';
import { Directories } from '../versions/directories.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { maybeJob, readResult } from '../pipelines/jobs/jobs.ts';
import { JobPaths } from '../pipelines/jobs/paths.ts';
import { datumFiles, type DatumFile } from './datums.ts';

export interface Writer {
  readonly pipeline: string;
  /** The job that ran it. */
  readonly job: string;
  readonly datum: string;
  readonly files: readonly DatumFile[];
}

export const writerJson = 'writer: {pipeline, job, datum, files: [{repo, commit, path}]} or null';

/**
 * The datum that wrote the file at a path of a commit; undefined where no job made the commit or
 * nothing lies there but folders.
 */
export async function writerOf(snapshot: Snapshot, commit: string, path: string): Promise<Writer | undefined> {
  const { reader } = snapshot;
  const job = await maybeJob(snapshot, commit);
  const paths = job && (await JobPaths.of(snapshot, job));
  if (!paths) return undefined;
  const directories = new Directories(reader);
  const names = parsePath(path);
  for await (const datum of paths.writersOf(path)) {
    const { out } = await readResult(reader, datum.result);
    const entry = out && (await directories.find(out, names));
    if (!entry || entry.kind === 'directory') continue;
    const files = await datumFiles(reader, job, datum);
    return { pipeline: job.pipeline, job: datum.outcome.job, datum: datum.id, files };
  }
  return undefined;
}
