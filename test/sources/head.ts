/**
 * What a put has made.
 */
import type { CommitId } from '../../src/model/records/commit.ts';
import type { Directory } from '../../src/versions/directories.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import type { TestProject } from '../versions/project.ts';

/** The head of `data@master`; undefined while there is none. */
export async function headOf({
  project,
}: TestProject): Promise<{ id: CommitId; root: Directory; files: Files } | undefined> {
  const snapshot = await project.snapshot();
  const head = (await snapshot.maybeBranch('data', 'master'))?.head;
  if (!head) return undefined;
  const commit = await snapshot.commitAt(head.commit);
  const root = rootOf(commit);
  return { id: commit.id, root, files: new Files(project.reader, root, 'data@master') };
}
