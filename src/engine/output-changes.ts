/**
 * What a job changed in its output.
 */
import type { BlobReader } from '../cache/blobs.ts';
import { entrySize } from '../model/tree.ts';
import type { Project } from '../versions/project.ts';
import { Files, type FileChange } from '../versions/reading/files.ts';
import { rootOf, type Commit } from '../versions/snapshot.ts';
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

export type ChangeCounts = Omit<OutputChanges, 'becameEmpty'>;

/** Undefined for a job without an output. */
export async function outputChanges(
  project: Project,
  { before, after, job }: JobResult,
): Promise<OutputChanges | undefined> {
  if (!after || job.state !== 'success') return undefined;
  const counts = await countChanges(changesBetween(project.reader, before, after));
  return { ...counts, becameEmpty: after.files === 0 && (before?.files ?? 0) > 0 };
}

/** What differs between two commits' files; all of them where there was none before. */
export async function* changesBetween(
  reader: BlobReader,
  before: Commit | undefined,
  after: Commit,
): AsyncGenerator<FileChange> {
  if (before?.id === after.id) return;
  const old = before && new Files(reader, rootOf(before), before.repo);
  yield* new Files(reader, rootOf(after), after.repo).diff(old, '/');
}

/** Counts changes, and gives each of them to `seen`. */
export async function countChanges(
  changes: AsyncIterable<FileChange>,
  seen: (change: FileChange) => void = () => undefined,
): Promise<ChangeCounts> {
  const counts = { added: 0, changed: 0, removed: 0 };
  let bytes = 0;
  for await (const each of changes) {
    counts[each.change] += 1;
    bytes += bytesMore(each);
    seen(each);
  }
  return { ...counts, bytes };
}

/** Less than 0 for fewer. */
export function bytesMore({ old, new: now }: FileChange): number {
  return (now ? entrySize(now) : 0) - (old ? entrySize(old) : 0);
}
