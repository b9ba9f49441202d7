/**
 * Which paths a commit changed, in few bytes: an entry of a branch's map of changed paths (FORMAT.md
 * section 6). It may take a path for one that was changed, and never the other way round.
 */
import { native } from '../../base/native.ts';
import type { CommitId } from './commit.ts';

/** A commit that changed more has no entry. */
export const changedPathsMax = 128;
const idBytes = 16;
const markBytes = 2;

/** `paths`: absolute; those of the folders above are among them. */
export function encodeChangedPaths(commit: CommitId, paths: readonly Buffer[]): Buffer {
  const marks = [...new Set(paths.map(markOf))].toSorted((a, b) => a - b);
  const bytes = Buffer.alloc(idBytes + marks.length * markBytes);
  bytes.write(commit, 'hex');
  for (const [at, mark] of marks.entries()) bytes.writeUInt16BE(mark, idBytes + at * markBytes);
  return bytes;
}

/** False where an entry says that a commit did not change the path of a mark. One of another commit says nothing. */
export function mayHaveChanged(entry: Buffer, commit: CommitId, mark: number): boolean {
  if (entry.toString('hex', 0, idBytes) !== commit) return true;
  for (let at = idBytes; at < entry.length; at += markBytes) if (entry.readUInt16BE(at) === mark) return true;
  return false;
}

/** Why bytes are no such entry, or undefined. */
export function changedPathsProblem(entry: Buffer): string | undefined {
  const marks = (entry.length - idBytes) / markBytes;
  if (!Number.isInteger(marks) || marks < 0) return `it has ${entry.length} bytes`;
  return marks > changedPathsMax ? `it names ${marks} paths` : undefined;
}

/** What stands for a path in entries. Others may have the same. */
export function markOf(path: Buffer): number {
  return native().hash('plain', path).readUInt16BE(0);
}
