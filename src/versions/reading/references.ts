/**
 * Which files of a version are references.
 */
import type { ReferenceContent } from '../../model/reference.ts';
import type { TreeEntry } from '../../model/tree.ts';
import type { Directories } from '../directories.ts';

export interface ReferencedFile {
  readonly path: readonly Buffer[];
  readonly entry: TreeEntry;
  readonly content: ReferenceContent;
}

/** The references at and below an entry, in order of paths. */
export async function* referencesIn(
  directories: Directories,
  entry: TreeEntry,
  path: readonly Buffer[],
): AsyncGenerator<ReferencedFile> {
  const { content } = entry;
  if (content.form === 'reference') yield { path, entry, content };
  if (content.form !== 'directory') return;
  for await (const below of directories.reader(content).items()) {
    const { form } = below.content;
    if (form === 'reference' || form === 'directory') yield* referencesIn(directories, below, [...path, below.name]);
  }
}

export async function hasReferences(directories: Directories, entry: TreeEntry): Promise<boolean> {
  for await (const _ of referencesIn(directories, entry, [])) return true;
  return false;
}
