/**
 * What a job changed in its output.
 */
import { entrySize } from '../model/tree.ts';
import type { Project } from '../versions/project.ts';
import { Files } from '../versions/reading/files.ts';
import { rootOf } from '../versions/snapshot.ts';
import type { JobResult } from './job-end.ts';

export interface OutputChanges {
  /** Files and symlinks. */
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  /** Bytes more than before; less than 0 for fewer. */
  readonly bytes: number;
  readonly becameEmpty: boolean;
}

/** Undefined for a job without an output. */
export async function outputChanges(
  project: Project,
  { before, after, job }: JobResult,
): Promise<OutputChanges | undefined> {
  if (!after || job.state !== 'success') return undefined;
  const counts = { added: 0, changed: 0, removed: 0 };
  let bytes = 0;
  if (before?.id !== after.id) {
    const old = before && new Files(project.reader, rootOf(before), before.repo);
    for await (const { change, old: was, new: is } of new Files(project.reader, rootOf(after), after.repo).diff(
      old,
      '/',
    )) {
      counts[change] += 1;
      bytes += (is ? entrySize(is) : 0) - (was ? entrySize(was) : 0);
    }
  }
  return { ...counts, bytes, becameEmpty: after.files === 0 && (before?.files ?? 0) > 0 };
}
