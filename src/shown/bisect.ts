/**
 * What a search for the first bad commit came to, as programs are shown it.
 */
import { bytesMore, changesBetween, countChanges } from '../engine/output-changes.ts';
import type { FileChange } from '../versions/reading/files.ts';
import { parentOf } from '../versions/reading/history.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';
import { lineageOf } from '../pipelines/lineage/lineage.ts';
import type { Edge } from '../pipelines/lineage/edges.ts';
import type { LineageOptions } from '../pipelines/lineage/walk.ts';
import { commitInfo, commitJson, type CommitInfo } from './commits.ts';
import type { Difference, DifferentFile } from './difference.ts';
import { edgeJson } from './lineage.ts';
import { commitCause, commitCauseJson, type CommitCause } from './why.ts';

interface BisectStep {
  readonly commit: string;
  readonly verdict: 'good' | 'bad' | 'skipped';
  readonly exit: number | null;
}

export interface BisectInfo {
  readonly good: string;
  readonly bad: string;
  readonly steps: readonly BisectStep[];
  /** Null where skipped commits hide which one it is. */
  readonly firstBad: CommitInfo | null;
  /** Oldest first. */
  readonly candidates: readonly string[];
  readonly changes: Difference | null;
  /** Back to the sources; empty for what was put. */
  readonly lineage: readonly Edge[];
  /** Null where it or the commit before it was not computed. */
  readonly cause: CommitCause | null;
}

export const bisectJson = `{good, bad, steps: [{commit, verdict: "good"|"bad"|"skipped", exit}], firstBad: ${commitJson} or null, candidates: [commit], changes: {added, changed, removed, bytes, files: [{path, change, bytes}]} or null, lineage: [${edgeJson}], cause: ${commitCauseJson} or null}; firstBad is null where it is one of several candidates; files: the first ones; cause: of a computed commit, what changed since the one before it`;

const filesShown = 20;

export async function bisectInfo(
  snapshot: Snapshot,
  end: Pick<BisectInfo, 'candidates' | 'steps'> & { readonly good: Commit; readonly bad: Commit },
  of: Pick<LineageOptions, 'signal' | 'note'>,
): Promise<BisectInfo> {
  const { good, bad, candidates, steps } = end;
  const [only, second] = candidates;
  const first = second === undefined ? await snapshot.maybeCommit(bad.repo, only as Commit['id']) : undefined;
  const before = first && (await parentOf(snapshot, first));
  return {
    good: good.id,
    bad: bad.id,
    steps,
    firstBad: first ? await commitInfo(snapshot, first) : null,
    candidates,
    lineage: first ? await lineage(snapshot, first, of) : [],
    changes: first ? await changesOf(snapshot, before, first) : null,
    cause: (first && before && (await commitCause(snapshot, before, first))) ?? null,
  };
}

async function lineage(
  snapshot: Snapshot,
  { repo, id }: Commit,
  of: Pick<LineageOptions, 'signal' | 'note'>,
): Promise<Edge[]> {
  const edges: Edge[] = [];
  const options = { ...of, down: false, depth: Infinity };
  for await (const edge of lineageOf(snapshot, { repo, commit: id }, options)) edges.push(edge);
  return edges;
}

async function changesOf({ reader }: Snapshot, before: Commit | undefined, after: Commit): Promise<Difference> {
  const files: DifferentFile[] = [];
  const seen = (change: FileChange): void => {
    if (files.length < filesShown) files.push({ path: change.path, change: change.change, bytes: bytesMore(change) });
  };
  return { ...(await countChanges(changesBetween(reader, before, after), seen)), files };
}
