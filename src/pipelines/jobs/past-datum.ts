/**
 * A datum of a job, as its command saw it: made of the rows that the job stored and of the commits that
 * it read, or of these alone while the job has stored none.
 */
import { PachError } from '../../base/errors.ts';
import { candidatesMax, severalBegin } from '../../model/ids.ts';
import { entryHash } from '../../model/tree.ts';
import { Directories } from '../../versions/directories.ts';
import { rootOf, type Snapshot } from '../../versions/snapshot.ts';
import type { Datum, DatumFile } from '../datums/datum.ts';
import { PfsSource } from '../datums/pfs.ts';
import { planDatums } from '../datums/plan.ts';
import { pfsInputs } from '../spec/input.ts';
import type { PipelineSpec } from '../spec/spec.ts';
import { isNone, rowsOf, type Job, type JobDatum } from './jobs.ts';
import { versionsOf, type JobInputs } from './plan.ts';

export interface PastDatum {
  readonly datum: Datum;
  /** The versions that the job read. */
  readonly inputs: JobInputs;
}

/** `spec`: the one that the job ran. Throws `not-found` naming an input that is not there any more. */
export async function pastDatum(snapshot: Snapshot, job: Job, spec: PipelineSpec, datum: JobDatum): Promise<PastDatum> {
  const directories = new Directories(snapshot.reader);
  const leaves = pfsInputs(spec.input);
  const inputs = await versionsRead(snapshot, job);
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

/** The versions that a job read; without a commit where that is not there any more. */
async function versionsRead(snapshot: Snapshot, job: Job): Promise<JobInputs> {
  return Promise.all(
    job.inputs.map(async ({ repo, branch, commit }) => {
      return { repo, branch, commit: isNone(commit) ? undefined : await snapshot.maybeCommit(repo, commit) };
    }),
  );
}

/**
 * A datum of a job that has stored none, as it runs or was broken off: planned anew from the versions
 * that the job reads. `text`: the beginning of its id. Throws `not-found`.
 */
export async function datumInPlan(snapshot: Snapshot, job: Job, spec: PipelineSpec, text: string): Promise<PastDatum> {
  const inputs = await versionsRead(snapshot, job);
  for (const [index, { repo, commit }] of inputs.entries()) {
    const id = job.inputs[index]?.commit ?? '';
    if (!commit && !isNone(id)) throw gone(`${repo}@${id}`, 'the commit that the job read was deleted');
  }
  const versions = versionsOf(
    spec,
    inputs.map(({ commit }) => commit),
  );
  const found: Datum[] = [];
  for await (const datum of planDatums(snapshot.reader, spec.input, versions)) {
    if (datum.id.startsWith(text)) found.push(datum);
    if (found.length > candidatesMax) break;
  }
  const [datum, second] = found;
  if (datum && !second) return { datum, inputs };
  const ids = found.map(({ id }) => id);
  const why = second ? severalBegin('datums', text, ids) : `there is no such datum in job ${job.id}`;
  throw gone(`datum ${text}`, why);
}

function gone(what: string, why: string): PachError {
  return new PachError('not-found', { what, why });
}
