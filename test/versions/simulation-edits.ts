/**
 * What simulated writers do to the files of a branch; a commit's message says it, so that every
 * commit can be held against its parent.
 */
import type { CommitId } from '../../src/model/records/commit.ts';
import type { SourceEntry } from '../../src/sources/source.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import type { GcResult } from '../../src/versions/upkeep/gc-result.ts';
import type { Project } from '../../src/versions/project.ts';
import { deleteFiles, putFiles } from '../../src/versions/writing/put.ts';
import type { PutSource } from '../../src/versions/writing/put-source.ts';
import { silent, streamOf } from './project.ts';

/** Milliseconds. */
export const day = 24 * 3_600_000;

/** Some are chunks, some lie in their directory. */
export const contents = Array.from({ length: 8 }, (_, n) => `${n} `.repeat(n % 2 ? 20 : 80 + 20 * n));

/** Paths, and the number of the content that each of them gets; null: the only one is deleted. */
export type Edit = Readonly<Record<string, number | null>>;

/** Content by path. */
export type Files = Readonly<Record<string, string>>;

/** Commits an edit: one file as a stream, several as a folder whose files have fixed times. */
export async function put(project: Project, repo: string, branch: string, edit: Edit): Promise<CommitId> {
  const request = { repo, branch, message: JSON.stringify(edit) };
  const [first, ...more] = Object.entries(edit) as [[string, number | null], ...[string, number][]];
  const [path, content] = first;
  if (content === null) return (await deleteFiles(project, { ...request, paths: [path], recursive: false })).id;
  const source: PutSource =
    more.length === 0
      ? { kind: 'stream', stream: streamOf(contents[content] as string) }
      : { kind: 'entries', ahead: 1, entries: () => entriesOf([[path, content], ...more]) };
  const target = more.length === 0 ? path : '/';
  return (await putFiles(project, { ...request, sources: [source], target, watch: silent })).commit;
}

async function* entriesOf(files: readonly (readonly [string, number])[]): AsyncGenerator<SourceEntry> {
  const time = { mtimeSeconds: 1_000_000_000, mtimeNanoseconds: 0 };
  for (const [path, content] of files) {
    const bytes = Buffer.from(contents[content] as string);
    const names = path
      .split('/')
      .slice(1)
      .map((name) => Buffer.from(name));
    const open = async () => ({ ...time, executable: false, bytes: streamOf(bytes) });
    yield { kind: 'file', path: names, shown: path, size: bytes.length, open };
  }
}

/**
 * Files by path as they may be after an edit of the last of `versions`. A writer leaves alone what
 * it finds as it wants it, and then somebody else may change it before the writer commits: so what
 * an earlier version had as the edit wants it may be as in the last one too.
 */
export function edited(versions: readonly Files[], edit: Edit, actual: Files): Files {
  const last = versions.at(-1) ?? {};
  const result = { ...last };
  for (const [path, content] of Object.entries(edit)) {
    const wanted = content === null ? undefined : contents[content];
    const isLeft = actual[path] === last[path] && versions.some((files) => files[path] === wanted);
    if (isLeft) continue;
    if (wanted === undefined) delete result[path];
    else result[path] = wanted;
  }
  return result;
}

export function collect(project: Project, grace: number, dryRun = false): Promise<GcResult> {
  return collectGarbage(project, { grace, dryRun, progress: () => undefined });
}
