/**
 * Versions of repos as folders below /pfs of a pod: what the manifest names is what its sidecar shows.
 */
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import type { Project } from '../versions/project.ts';
import { defaultBranch, emptyText, resolveCommit } from '../versions/resolve.ts';
import { rootOf } from '../versions/snapshot.ts';
import { Files, type File } from '../versions/reading/files.ts';
import { mountSources } from './mount-plan.ts';

/** Where the user's container writes its results. */
export const outFolder = 'out';

export interface PodData {
  /** Of the folder below /pfs. */
  readonly name: string;
  /** The version by its commit: `images@4f0c…:/2026`. */
  readonly pinned: string;
  readonly files: Files;
  readonly root: File;
}

/** Throws `not-found` where there is no such version, and `usage` for what is no folder or can't have its name. */
export async function podData(project: Project, sources: readonly string[]): Promise<PodData[]> {
  const snapshot = await project.snapshot();
  const found: PodData[] = [];
  for (const { name, address } of await mountSources(snapshot, sources)) {
    if (!address) continue;
    const { repo, path = '/' } = address;
    const branch = `${repo}@${address.ref ?? defaultBranch}`;
    if (name === outFolder) {
      throw new PachError('usage', { what: branch, why: `/pfs/${outFolder} is where results are written` });
    }
    const commit = await resolveCommit(snapshot, address);
    const pinned = `${repo}@${commit.id}${path === '/' ? '' : `:${path}`}`;
    const files = new Files(project.reader, rootOf(commit), branch);
    const root = await files.find(path);
    if (root.entry.kind !== 'directory') {
      const next = `name its folder: ${shellWord(`${branch}:${path.replace(/\/[^/]*$/, '') || '/'}`)}`;
      throw new PachError('usage', { what: `${branch}:${path}`, why: 'it is a file, and folders are shown', next });
    }
    found.push({ name, pinned, files, root });
  }
  if (found.length === 0) throw new PachError('not-found', { what: sources.join(' '), why: emptyText });
  return found;
}
