/**
 * The datums of a pfs input: every match of its pattern, a file or a directory with all in it.
 */
import { compileGlob, type Glob } from '../../model/glob.ts';
import { parsePath } from '../../model/paths.ts';
import type { CommitId } from '../../model/records/commit.ts';
import type { TreeEntry } from '../../model/tree.ts';
import type { Directories, Directory } from '../../versions/directories.ts';
import { isMeant, matchFiles } from '../../versions/reading/match.ts';
import type { DatumFile } from './datum.ts';
import type { PfsInput } from '../spec/spec.ts';
import { isChanged, isThere, sameLeaf, type Files, type Pair, type Source, type Which } from './source.ts';

/** The version that a pfs input reads. */
export interface InputVersion {
  readonly commit: CommitId;
  readonly root: Directory;
}

export class PfsSource implements Source {
  readonly leaves: readonly PfsInput[];
  private readonly directories: Directories;
  private readonly input: PfsInput;
  private readonly glob: Glob;
  private readonly before: InputVersion | undefined;
  private readonly after: InputVersion | undefined;

  constructor(
    directories: Directories,
    input: PfsInput,
    versions: { readonly before: InputVersion | undefined; readonly after: InputVersion | undefined },
  ) {
    this.leaves = [input];
    this.directories = directories;
    this.input = input;
    this.glob = compileGlob(input.glob);
    this.before = versions.before;
    this.after = versions.after;
  }

  async *pairs(which: Which): AsyncGenerator<Pair> {
    const { glob, before, after } = this;
    for await (const match of matchFiles(this.directories, { glob, before: before?.root, after: after?.root, which })) {
      const pair = this.pair(match.path, match.before, match.after);
      if (which === 'all' ? isThere(pair) : isChanged(pair)) yield pair;
    }
  }

  async find(files: Files): Promise<Pair> {
    const [file] = files;
    if (!file || files.length > 1 || !sameLeaf(file.input, this.input) || !this.glob.matches(file.path)) return {};
    return this.at(file.path);
  }

  /** What lies at a path that the pattern matches. */
  async at(path: string): Promise<Pair> {
    const names = parsePath(path);
    const [before, after] = await Promise.all(
      [this.before, this.after].map(async (version) => {
        const entry = version && (await this.directories.find(version.root, names));
        return entry && isMeant(this.glob, entry) ? entry : undefined;
      }),
    );
    return this.pair(path, before, after);
  }

  private pair(path: string, before: TreeEntry | undefined, after: TreeEntry | undefined): Pair {
    const { input } = this;
    const captures = input.joinOn === undefined && input.groupBy === undefined ? [] : (this.glob.captures(path) ?? []);
    const file = (version: InputVersion | undefined, entry: TreeEntry | undefined): [DatumFile] | undefined => {
      if (!version || !entry || isHollow(entry)) return undefined;
      const bare = { input, commit: version.commit, path, entry };
      if (input.joinOn === undefined && input.groupBy === undefined) return [bare];
      const joinOn = input.joinOn === undefined ? undefined : fillIn(input.joinOn, path, captures);
      const groupBy = input.groupBy === undefined ? undefined : fillIn(input.groupBy, path, captures);
      return [{ ...bare, joinOn, groupBy }];
    };
    return { before: file(this.before, before), after: file(this.after, after) };
  }
}

/** As in Pachyderm, where directories are there for what is in them: one without files is no datum. */
function isHollow({ content }: TreeEntry): boolean {
  return content.form === 'directory' && content.files === 0;
}

/**
 * A template with what a pattern's groups took in place of `$1` or `${1}`; `$0` is the path, `$$` a
 * dollar. Numbers that no group has stay as they are, which is what Pachyderm's templates do.
 */
function fillIn(template: string, path: string, captures: readonly string[]): string {
  const taken = [path, ...captures];
  return template.replaceAll(/\$(?:\$|(\d+)|\{(\d+)\})/g, (all: string, plain?: string, braced?: string) =>
    all === '$$' ? '$' : (taken[Number(plain ?? braced)] ?? all),
  );
}
