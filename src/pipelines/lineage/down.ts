/**
 * One step of lineage towards what was made of something.
 */
import { textOfName } from '../../model/paths.ts';
import { covers, declaredFor, maybeDeclared } from '../../versions/provenance.ts';
import type { Commit, Snapshot } from '../../versions/snapshot.ts';
import { rowsOf, type Job } from '../jobs/jobs.ts';
import { writtenPaths, type JobPaths } from '../jobs/paths.ts';
import { thing, type Edge, type Thing } from './edges.ts';
import type { Walk } from './walk.ts';

/** What was made of a thing. */
export async function* edgesDown(walk: Walk, at: Thing): AsyncGenerator<Edge> {
  for (const user of await walk.uses.of(at.repo, at.commit)) {
    const { commit, job } = await walk.known(user.repo, user.commit);
    // An entry may outlive its commit.
    if (!commit) continue;
    if (commit.provenance.some(({ repo, commit: id }) => repo === at.repo && id === at.commit)) {
      yield* computedEdges(walk, at, { commit, job });
    }
    yield* declaredEdges(walk, at, commit);
  }
}

async function* computedEdges(
  walk: Walk,
  at: Thing,
  { commit, job }: { readonly commit: Commit; readonly job: Job | undefined },
): AsyncGenerator<Edge> {
  const { repo, id } = commit;
  const paths = at.path === undefined || !job ? undefined : await walk.pathsOf(job);
  if (at.path !== undefined && job && paths) {
    yield* datumEdges(walk, at, { job, paths, path: at.path });
    return;
  }
  if (!walk.isNew('commit', at.repo, at.commit, repo, id)) return;
  const ran = await walk.ran.ofCommit(repo, id, job);
  yield { from: thing(at.repo, at.commit, undefined), to: thing(repo, id, undefined), kind: 'computed', ...ran };
}

/** Of all datums that read a path, the files that they wrote. */
async function* datumEdges(
  walk: Walk,
  at: Thing,
  { job, paths, path }: { readonly job: Job; readonly paths: JobPaths; readonly path: string },
): AsyncGenerator<Edge> {
  const { reader } = walk.snapshot;
  const inputs = [...job.inputs.keys()].filter((index) => {
    return job.inputs[index]?.repo === at.repo && job.inputs[index]?.commit === at.commit;
  });
  for await (const datum of paths.readersOf(inputs, path)) {
    const rows = (await rowsOf(reader, datum)).filter((row) => {
      const isRead = inputs.includes(row.input) && (covers(row.path, path) || covers(path, row.path));
      return isRead && walk.isNew('read', job.id, datum.id, at.repo, at.commit, row.path);
    });
    if (rows.length === 0) continue;
    const ran = await walk.ran.ofDatum(job, datum);
    for await (const bytes of writtenPaths(reader, datum)) {
      for (const row of rows) {
        const from = thing(at.repo, at.commit, row.path);
        yield { from, to: thing(job.pipeline, job.id, textOfName(bytes)), kind: 'computed', ...ran };
      }
    }
  }
}

/** What was declared of a commit, and holds for later ones too: of these, those that something was made of. */
async function* declaredEdges(walk: Walk, at: Thing, commit: Commit): AsyncGenerator<Edge> {
  const { repo, finished, id } = commit;
  const record = await maybeDeclared(walk.snapshot, commit);
  const path = at.path ?? '/';
  for (const { path: to, from, fromPath } of record?.declarations ?? []) {
    if (from.repo !== at.repo || from.commit !== at.commit) continue;
    if (!covers(fromPath, path) && !covers(path, fromPath)) continue;
    const edgeTo = (made: string): Edge => {
      return { from: thing(from.repo, from.commit, fromPath), to: thing(repo, made, to), kind: 'declared' };
    };
    if (walk.isNew('declared', from.repo, from.commit, fromPath, repo, id, to)) yield edgeTo(id);
    for (const later of await walk.uses.ofRepo(repo)) {
      const { commit: other } = await walk.known(repo, later);
      if (!other || other.finished <= finished || other.provenance.length > 0) continue;
      if (!(await holds(walk.snapshot, other, { id, to, fromPath, from: from.commit }))) continue;
      if (walk.isNew('declared', from.repo, from.commit, fromPath, repo, later, to)) yield edgeTo(later);
    }
  }
}

/** True where what was declared of a path of an earlier commit holds for a later one. */
async function holds(
  snapshot: Snapshot,
  commit: Commit,
  of: { readonly id: string; readonly to: string; readonly from: string; readonly fromPath: string },
): Promise<boolean> {
  for await (const { declaration, commit: declared } of declaredFor(snapshot, commit, of.to)) {
    const { path, from, fromPath } = declaration;
    const isIt = declared.id === of.id && path === of.to && from.commit === of.from && fromPath === of.fromPath;
    if (isIt) return true;
  }
  return false;
}
