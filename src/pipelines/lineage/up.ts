/**
 * One step of lineage towards the sources.
 */
import { textOfName } from '../../model/paths.ts';
import { covers, declaredFor } from '../../versions/provenance.ts';
import type { Commit } from '../../versions/snapshot.ts';
import { rowsOf, type Job } from '../jobs/jobs.ts';
import { writtenPaths, type JobPaths } from '../jobs/paths.ts';
import { thing, type Edge, type Thing } from './edges.ts';
import type { Walk } from './walk.ts';

/** What a thing was made of. */
export async function* edgesUp(walk: Walk, { repo, commit: id, path }: Thing): AsyncGenerator<Edge> {
  const { commit, job } = await walk.known(repo, id);
  if (!commit) return;
  if (commit.provenance.length > 0) {
    const paths = path === undefined || !job ? undefined : await walk.pathsOf(job);
    if (path === undefined || !job || !paths) yield* commitEdges(walk, commit, job);
    else yield* datumEdges(walk, { job, paths, path });
  }
  for await (const declared of declaredFor(walk.snapshot, commit, path ?? '/')) {
    // All of a computed commit was computed anew: what was declared of one before says nothing of it.
    if (commit.provenance.length > 0 && declared.commit.id !== commit.id) continue;
    const { from, fromPath, path: of } = declared.declaration;
    if (!walk.isNew('declared', from.repo, from.commit, fromPath, repo, id, of)) continue;
    yield { from: thing(from.repo, from.commit, fromPath), to: thing(repo, id, of), kind: 'declared' };
  }
}

async function* commitEdges(walk: Walk, commit: Commit, job: Job | undefined): AsyncGenerator<Edge> {
  const { repo, id, provenance } = commit;
  if (!walk.isNew('commit', repo, id)) return;
  const ran = await walk.ran.ofCommit(repo, id, job);
  for (const from of provenance) {
    yield { from: thing(from.repo, from.commit, undefined), to: thing(repo, id, undefined), kind: 'computed', ...ran };
  }
}

/** Of all that lies at a path of a job's output, the rows of the datums that wrote it. */
async function* datumEdges(
  walk: Walk,
  { job, paths, path }: { readonly job: Job; readonly paths: JobPaths; readonly path: string },
): AsyncGenerator<Edge> {
  const { reader } = walk.snapshot;
  for await (const datum of paths.writersOf(path)) {
    // A datum may read the same thing twice, as two inputs.
    const sources = new Map<string, Thing>();
    for (const row of await rowsOf(reader, datum)) {
      const input = job.inputs[row.input];
      if (input) sources.set(`${input.repo}@${input.commit}:${row.path}`, thing(input.repo, input.commit, row.path));
    }
    const ran = await walk.ran.ofDatum(job, datum);
    for await (const bytes of writtenPaths(reader, datum)) {
      const written = textOfName(bytes);
      if (!covers(path, written) || !walk.isNew('written', job.id, datum.id, written)) continue;
      const to = thing(job.pipeline, job.id, written);
      for (const from of sources.values()) yield { from, to, kind: 'computed', ...ran };
    }
  }
}
