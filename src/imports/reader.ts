/**
 * What reads a project that keeps its data beside git. It is told of each git commit in turn, and says
 * which files of data differ from the last commit for which it was asked.
 */
import type { GitChange, Path } from './git.ts';
import type { ObjectName } from './objects.ts';

/** A file as a version is to have it. */
export type Wanted =
  | { readonly kind: 'object'; readonly object: ObjectName; readonly executable: boolean; readonly size?: number }
  /** Git itself holds the bytes. */
  | { readonly kind: 'blob'; readonly id: string; readonly executable: boolean }
  | { readonly kind: 'symlink'; readonly id: string };

/** Something that is not brought along, and why. */
export interface LeftOut {
  readonly path: string;
  readonly why: string;
}

/** What to change, in this order: paths that go (with all below them), then files that come. */
export interface DataDifference {
  readonly removed: readonly Path[];
  readonly added: ReadonlyMap<Path, Wanted>;
  /** Folders whose list of files can't be had. */
  readonly lost: readonly { readonly path: Path; readonly hash: string; readonly why: string }[];
}

export interface DataReader {
  /** Takes in what the next git commit changed. */
  advance(changes: readonly GitChange[]): Promise<void>;
  /** What differs from the last time, or from nothing the first time; undefined where nothing does. */
  difference(): Promise<DataDifference | undefined>;
  /** As if `difference` had been asked for, and its answer carried out. */
  settle(): Promise<void>;
  /** All files of the last answer, as a difference from nothing. */
  all(): Promise<DataDifference>;
}

/** Tells two versions of a file apart. */
export function wantedKey(wanted: Wanted): string {
  switch (wanted.kind) {
    case 'object':
      return `${wanted.object.hash} ${wanted.executable}`;
    case 'blob':
      return `${wanted.id} ${wanted.executable}`;
    case 'symlink':
      return `${wanted.id} symlink`;
  }
}
