/**
 * Versions in memory and inputs that read them, for tests of datums.
 */
import { parsePath } from '../../src/model/paths.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import type { TreeEntry } from '../../src/model/tree.ts';
import type { Datum } from '../../src/pipelines/datums/datum.ts';
import type { InputVersion } from '../../src/pipelines/datums/pfs.ts';
import type { Input, PfsInput } from '../../src/pipelines/spec/spec.ts';
import { planDatums, type VersionOf } from '../../src/pipelines/datums/plan.ts';
import { Directories, type Directory, type DirectoryEdit } from '../../src/versions/directories.ts';
import { collect, MemoryNodes } from '../model/nodes.ts';

/** Text of a file, true for an empty directory. */
export type Contents = Readonly<Record<string, string | true>>;

export function fileEntry(name: Buffer, text: string, executable = false): TreeEntry {
  const content = { form: 'inline' as const, bytes: Buffer.from(text) };
  return { name, kind: 'file', executable, mtimeSeconds: 1, mtimeNanoseconds: 0, content };
}

export function directoryEntry(name: Buffer, content: Directory): TreeEntry {
  return { name, kind: 'directory', executable: false, mtimeSeconds: 1, mtimeNanoseconds: 0, content };
}

export function pfs(repo: string, glob: string, more: Partial<PfsInput> = {}): PfsInput {
  const flags = { outerJoin: false, lazy: false, emptyFiles: false, reference: false };
  return { kind: 'pfs', name: repo, repo, branch: 'master', glob, ...flags, ...more };
}

let commits = 0;

export function versionOf(root: Directory): InputVersion {
  commits += 1;
  return { commit: commits.toString(16).padStart(32, '0') as CommitId, root };
}

/** Versions by repo; others have no commits. */
export function readsFrom(versions: Readonly<Record<string, InputVersion | undefined>>): VersionOf {
  return ({ repo }) => versions[repo];
}

export class World {
  readonly nodes = new MemoryNodes();
  readonly directories = new Directories(this.nodes, this.nodes);

  /** A directory of many entries, in the order of their names. */
  directory(entries: Iterable<DirectoryEdit>, base?: Directory): Promise<Directory> {
    return this.directories.apply(base, entries);
  }

  async version(contents: Contents): Promise<InputVersion> {
    const empty = await this.directory([]);
    let root = empty;
    for (const [path, text] of Object.entries(contents)) {
      const name = parsePath(path).at(-1) ?? Buffer.alloc(0);
      const entry = text === true ? directoryEntry(name, empty) : fileEntry(name, text);
      root = await this.directories.set(root, parsePath(path), entry, 0);
    }
    return versionOf(root);
  }

  plan(input: Input, versions: Readonly<Record<string, InputVersion | undefined>>): Promise<Datum[]> {
    return collect(planDatums(this.nodes, input, readsFrom(versions)));
  }
}

/** A datum's files as people would write them: `/a` and, where several inputs take part, `x:/a y:/b`. */
export function shown({ files }: Datum): string {
  const names = new Set(files.map(({ input }) => input.name));
  return files.map(({ input, path }) => (names.size > 1 ? `${input.name}:${path}` : path)).join(' ');
}
