/**
 * A datum of a job that has ended, as its command saw it: made of the rows that the job stored and of
 * the commits that it read.
 */
import { PachError } from '../../base/errors.ts';
import { entryHash } from '../../model/tree.ts';
import { Directories } from '../../versions/directories.ts';
import { rootOf, type Snapshot } from '../../versions/snapshot.ts';
import type { Datum, DatumFile } from '../datums/datum.ts';
import { PfsSource } from '../datums/pfs.ts';
import { pfsInputs } from '../spec/input.ts';
import type { PipelineSpec } from '../spec/spec.ts';
import { isNone, rowsOf, type Job, type JobDatum } from './jobs.ts';
import type { JobInputs } from './plan.ts';

export interface PastDatum {
  readonly datum: Datum;
  /** The versions that the job read. */
  readonly inputs: JobInputs;
}

/** `spec`: the one that the job ran. Throws `not-found` naming an input that is not there any more. */
export async function pastDatum(snapshot: Snapshot, job: Job, spec: PipelineSpec, datum: JobDatum): Promise<PastDatum> {
  const directories = new Directories(snapshot.reader);
  const leaves = pfsInputs(spec.input);
  const inputs = await Promise.all(
    job.inputs.map(async ({ repo, branch, commit }) => {
      return { repo, branch, commit: isNone(commit) ? undefined : await snapshot.maybeCommit(repo, commit) };
    }),
  );
  const files: DatumFile[] = [];
  for (const { input: number, path, hash } of await rowsOf(snapshot.reader, datum)) {
    const [leaf, input] = [leaves[number], inputs[number]];
    if (!leaf || !input) throw new PachError('damaged', { what: `datum ${datum.id}`, why: 'it names no input' });
    const { commit } = input;
    const what = `${input.repo}@${job.inputs[number]?.commit}:${path}`;
    if (!commit) throw gone(what, 'the commit that the datum read was deleted');
    const version = { commit: commit.id, root: rootOf(commit) };
    const source = new PfsSource(directories, leaf, { before: undefined, after: version });
    const [file] = (await source.at(path)).after ?? [];
    if (!file) throw gone(what, 'the file that the datum read was purged');
    if (!entryHash(file.entry).equals(hash)) throw gone(what, 'something that the datum read was purged');
    files.push(file);
  }
  return { datum: { id: datum.id, files }, inputs };
}

function gone(what: string, why: string): PachError {
  return new PachError('not-found', { what, why });
}
