/**
 * Paths that go from a version, each directory written once. Folders in which nothing is left go too:
 * git and DVC have none.
 */
import { directoryOf } from '../model/tree.ts';
import type { Directories, Directory, DirectoryEdit } from '../versions/directories.ts';
import type { Path } from './git.ts';

/** `root` without what lies at these paths; what is not there is not missed. */
export async function withoutPaths(
  directories: Directories,
  root: Directory,
  paths: readonly Path[],
): Promise<Directory> {
  /** By the first name: what goes below it; an empty path is the name itself. */
  const below = new Map<string, Path[]>();
  for (const path of paths) {
    const slash = path.indexOf('/');
    const name = slash < 0 ? path : path.slice(0, slash);
    const rest = below.get(name) ?? [];
    rest.push(slash < 0 ? '' : path.slice(slash + 1));
    below.set(name, rest);
  }
  const edits: DirectoryEdit[] = [];
  for (const key of [...below.keys()].sort()) {
    const name = Buffer.from(key, 'latin1');
    const rest = below.get(key) ?? [];
    const entry = await directories.reader(root).find(name);
    if (!entry) continue;
    const folder = directoryOf(entry);
    if (rest.includes('')) edits.push({ name });
    else if (folder) {
      const content = await withoutPaths(directories, folder, rest);
      if (content.ref.hash.equals(folder.ref.hash)) continue;
      const isEmpty = (await directories.reader(content).items().next()).done === true;
      edits.push(isEmpty ? { name } : { ...entry, content });
    }
  }
  return edits.length > 0 ? directories.apply(root, edits) : root;
}
