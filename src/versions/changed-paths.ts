/**
 * The paths at which two trees differ, where these are few.
 */
import { isPachError } from '../base/errors.ts';
import type { NodeSource } from '../model/node.ts';
import { directoryOf } from '../model/tree.ts';
import { Directories, sameContent, type Directory } from './directories.ts';

const slash = Buffer.from('/');

/**
 * Paths, absolute, with something that is in one of the trees only or has another content, folders too;
 * without the root. Undefined for more than `most`, and where nodes of the newer tree are on their way to the
 * store and no longer in memory.
 */
export async function changedPaths(
  source: NodeSource,
  { before, after, most }: { readonly before: Directory | undefined; readonly after: Directory; readonly most: number },
): Promise<Buffer[] | undefined> {
  // Each file that came or went is a path.
  if (Math.abs(after.files - (before?.files ?? 0)) > most) return undefined;
  const directories = new Directories(source);
  const found: Buffer[] = [];
  const collect = async (path: Buffer, a: Directory | undefined, b: Directory | undefined): Promise<boolean> => {
    for await (const { key, old, new: now } of directories.diff(a, b)) {
      if (old && now && sameContent(old, now)) continue;
      const below = Buffer.concat([path, slash, key]);
      found.push(below);
      if (found.length > most) return false;
      const [from, to] = [directoryOf(old), directoryOf(now)];
      if ((from || to) && !(await collect(below, from, to))) return false;
    }
    return true;
  };
  try {
    return (await collect(Buffer.alloc(0), before, after)) ? found : undefined;
  } catch (error) {
    if (isPachError(error, 'damaged', 'not-found')) return undefined;
    throw error;
  }
}
