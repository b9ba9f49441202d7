/**
 * Datums: what a command sees at a time.
 */
import type { CommitId } from '../../model/records/commit.ts';
import type { TreeEntry } from '../../model/tree.ts';
import type { PfsInput } from '../spec/spec.ts';

/** What one pfs input gives to a datum: a file, or a directory with all in it. */
export interface DatumFile {
  readonly input: PfsInput;
  readonly commit: CommitId;
  /** Absolute, as text; `/` is the whole of the version. */
  readonly path: string;
  readonly entry: TreeEntry;
  /** The values of the input's `joinOn` and `groupBy` for this path. */
  readonly joinOn?: string | undefined;
  readonly groupBy?: string | undefined;
}

export interface Datum {
  /** 64 hex digits: of inputs, repos, branches and paths; the same from commit to commit. */
  readonly id: string;
  /** In the order of the inputs in the spec; a group has several of one input, in order of paths. */
  readonly files: readonly DatumFile[];
}
