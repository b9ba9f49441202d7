/**
 * What an input gives, for two sets of versions at once: a plan of all datums and the difference
 * between two plans are one walk. The parts of an input that it is made of are its sources.
 */
import { sameContent } from '../../versions/directories.ts';
import type { DatumFile } from './datum.ts';
import type { PfsInput } from '../spec/spec.ts';

/** A datum's files, in their order. */
export type Files = readonly DatumFile[];

/** A datum before and after; absent where there is none. */
export interface Pair {
  readonly before?: Files | undefined;
  readonly after?: Files | undefined;
}

export type Which = 'all' | 'changed';

export interface Source {
  /** The pfs inputs that it is made of, in the order of the spec. */
  readonly leaves: readonly PfsInput[];
  /** Every datum once, or those that differ: there `before` is absent for new ones, `after` for those that are gone. */
  pairs(which: Which): AsyncGenerator<Pair>;
  /** The datum that is made of the same files; nothing in it when there is none. */
  find(files: Files): Promise<Pair>;
}

/** True when it is a datum before, after or both. */
export function isThere({ before, after }: Pair): boolean {
  return Boolean(before ?? after);
}

/** True when a datum is new, gone, or made of other content. */
export function isChanged({ before, after }: Pair): boolean {
  if (!before || !after) return isThere({ before, after });
  return before.some((file, index) => {
    const other = after[index];
    return !other || file.input !== other.input || !sameForKey(file, other);
  });
}

/** True when nothing that counts in a datum's key differs between two files of one input and path. */
function sameForKey(a: DatumFile, b: DatumFile): boolean {
  const [{ input, entry: old }, { entry: now }] = [a, b];
  if (sameContent(old, now)) return true;
  const unread = input.reference || (input.emptyFiles && now.kind === 'file');
  return unread && old.kind === now.kind && old.executable === now.executable;
}

/** Equal for the same files of a repo under the same input name, whatever they hold. */
export function sameLeaf(a: PfsInput, b: PfsInput): boolean {
  return a.name === b.name && a.repo === b.repo && a.branch === b.branch;
}

export function isMadeOf(source: Source, input: PfsInput): boolean {
  return source.leaves.some((leaf) => sameLeaf(leaf, input));
}

export async function isEmpty(pairs: AsyncIterable<Pair>): Promise<boolean> {
  for await (const pair of pairs) if (isThere(pair)) return false;
  return true;
}
