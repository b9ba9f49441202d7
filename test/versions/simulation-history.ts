/**
 * Holds all commits of a project against what their writers were told.
 */
import assert from 'node:assert/strict';
import type { CommitId } from '../../src/model/records/commit.ts';
import type { Project } from '../../src/versions/project.ts';
import type { Commit, Snapshot } from '../../src/versions/snapshot.ts';
import { contentOf } from './simulation-check.ts';
import { edited, type Edit, type Files } from './simulation-edits.ts';

/** An edit that was acknowledged as a commit of `data@master`. */
export interface Acknowledged {
  readonly commit: CommitId;
  readonly edit: Edit;
  /** When it was asked for and acknowledged, in steps of whatever clock. */
  readonly begun: number;
  readonly ended: number;
}

/**
 * Every commit is whole; each of `data@master` is its parent and the edit that its message tells;
 * all that were acknowledged are there, in order. Resolves to those of `data@master`, oldest first.
 */
export async function expectHistory(project: Project, acknowledged: readonly Acknowledged[]): Promise<CommitId[]> {
  const snapshot = await project.snapshot();
  for await (const repo of snapshot.repos()) {
    for await (const { refs } of snapshot.commitItems(repo.name)) {
      await contentOf(project, await snapshot.commitAt(refs[0]!));
    }
  }
  const versions: Files[] = [];
  const order = new Map<CommitId, number>();
  for (const commit of await line(snapshot)) {
    const files = await contentOf(project, commit);
    const expected = edited(versions, JSON.parse(commit.message) as Edit, files);
    assert.deepEqual(files, expected, `commit ${commit.id} is its parent and ${commit.message}`);
    order.set(commit.id, versions.push(files) - 1);
  }
  const positions = acknowledged.map(({ commit, edit, begun, ended }) => {
    const position = order.get(commit);
    if (position === undefined) throw new Error(`${commit} was acknowledged, and is not there`);
    const files = versions[position] as Files;
    assert.deepEqual(
      files,
      edited(versions.slice(0, position + 1), edit, files),
      `${commit} and ${JSON.stringify(edit)}`,
    );
    return { commit, position, begun, ended };
  });
  for (const first of positions) {
    const late = positions.find(({ begun, position }) => begun >= first.ended && position < first.position);
    if (late) throw new Error(`${late.commit} was begun after ${first.commit}, and is before it`);
  }
  return [...order.keys()];
}

/** The commits of `data@master`, oldest first; its index and the commits' parents agree. */
async function line(snapshot: Snapshot): Promise<Commit[]> {
  const head = (await snapshot.maybeBranch('data', 'master'))?.head;
  if (!head) return [];
  const indexed: Commit[] = [];
  for await (const commit of snapshot.history(head)) indexed.unshift(commit);
  const parents: CommitId[] = [];
  for await (const commit of snapshot.ancestors(await snapshot.commitAt(head.commit))) parents.unshift(commit.id);
  assert.deepEqual(
    indexed.map(({ id }) => id),
    parents,
  );
  return indexed;
}
