/**
 * How the output of a job differs from other versions of it: counts, and the first files. Costs what differs.
 */
import { bytesMore, changesBetween, countChanges, type ChangeCounts } from '../engine/output-changes.ts';
import { maybeJob } from '../pipelines/jobs/jobs.ts';
import type { FileChange } from '../versions/reading/files.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';

export interface Difference extends ChangeCounts {
  /** The first ones, in the order of their paths. */
  readonly files: readonly DifferentFile[];
}

export interface DifferentFile {
  readonly path: string;
  readonly change: FileChange['change'];
  /** Bytes more than before; less than 0 for fewer. */
  readonly bytes: number;
}

export interface OutputDifferences {
  /** From what its branch had before; null where the job changed nothing. */
  readonly before: Difference | null;
  /** From production; null where that has no output. */
  readonly production: Difference | null;
}

interface Asked {
  readonly job: string;
  /** The branch of production. */
  readonly production: string;
  readonly signal: AbortSignal;
}

const filesShown = 200;

/** How a job's output differs from the one before it, and from production's. Undefined for a job without an output. */
export async function outputDifferences(
  snapshot: Snapshot,
  { job: id, production, signal }: Asked,
): Promise<OutputDifferences | undefined> {
  const job = await maybeJob(snapshot, id);
  const after = job?.output && (await snapshot.maybeCommit(job.pipeline, job.output));
  if (!after) return undefined;
  const { repo, parent } = after;
  const head = (await snapshot.maybeBranch(repo, production))?.head;
  const before = parent && (await snapshot.maybeCommit(repo, parent));
  return {
    // A job that changes nothing has the commit of the one before it.
    before: after.id === job.id ? await difference(snapshot, before, { after, signal }) : null,
    production: head ? await difference(snapshot, await snapshot.commitAt(head.commit), { after, signal }) : null,
  };
}

async function difference(
  { reader }: Snapshot,
  before: Commit | undefined,
  { after, signal }: { readonly after: Commit; readonly signal: AbortSignal },
): Promise<Difference> {
  const files: DifferentFile[] = [];
  const counts = await countChanges(changesBetween(reader, before, after), (change) => {
    signal.throwIfAborted();
    if (files.length < filesShown) files.push({ path: change.path, change: change.change, bytes: bytesMore(change) });
  });
  return { ...counts, files };
}
