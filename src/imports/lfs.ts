/**
 * The data of a git repository with LFS, commit by commit: blobs that are pointers stand for objects.
 * What git itself holds comes along only when it is asked for.
 */
import { shownPath, type GitChange, type GitFile, type GitHistory, type Path } from './git.ts';
import { nameProblem } from '../model/tree.ts';
import { wantedKey, type DataDifference, type DataReader, type LeftOut, type Wanted } from './reader.ts';

export interface LfsOptions {
  readonly git: GitHistory;
  /** Also the files that git itself holds. */
  readonly all: boolean;
  /** Told of what is not brought along; of the same thing once for each git commit. */
  leftOut(what: LeftOut): void;
}

/** A pointer is shorter than that. */
const pointerBytesMax = 1024;
/** Blobs whose sizes are asked for together. */
const groupMax = 1000;

export const lfsLayouts = [(hash: string): string => `${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`];

export class LfsReader implements DataReader {
  private readonly options: LfsOptions;
  /** What changed since the last answer. */
  private readonly changed = new Map<Path, GitFile | undefined>();
  private readonly given = new Map<Path, Wanted>();
  /** Files that git itself holds, and that are not brought along. */
  private readonly left = new Set<Path>();

  constructor(options: LfsOptions) {
    this.options = options;
  }

  async advance(changes: readonly GitChange[]): Promise<void> {
    for (const { path, file } of changes) this.changed.set(path, file);
  }

  async difference(): Promise<DataDifference | undefined> {
    const removed: Path[] = [];
    const added = new Map<Path, Wanted>();
    for await (const [path, wanted, file] of this.wanted()) {
      if (file && file.kind !== 'submodule' && !wanted) this.left.add(path);
      else this.left.delete(path);
      const before = this.given.get(path);
      if (!wanted) {
        if (this.given.delete(path)) removed.push(path);
      } else if (!before || wantedKey(before) !== wantedKey(wanted)) {
        this.given.set(path, wanted);
        added.set(path, wanted);
      }
    }
    return removed.length + added.size > 0 ? { removed, added, lost: [] } : undefined;
  }

  async settle(): Promise<void> {
    await this.difference();
  }

  async all(): Promise<DataDifference> {
    return { removed: [], added: new Map(this.given), lost: [] };
  }

  /** How many files of the commit are not brought along, since git itself holds them. */
  get leftCount(): number {
    return this.left.size;
  }

  /** What is wanted at each path that changed (undefined: nothing), and what git has there. */
  private async *wanted(): AsyncGenerator<readonly [Path, Wanted | undefined, GitFile | undefined]> {
    const changed = [...this.changed];
    this.changed.clear();
    for (let at = 0; at < changed.length; at += groupMax) {
      const group = changed.slice(at, at + groupMax);
      const files = group.flatMap(([, file]) => (file?.kind === 'file' ? [file.id] : []));
      const sizes = (await this.options.git.blobSizes(files)).values();
      for (const [path, file] of group) {
        const size = file?.kind === 'file' ? (sizes.next().value as number) : 0;
        yield [path, file && this.mayLie(path) ? await this.wantedOf(path, file, size) : undefined, file];
      }
    }
  }

  private mayLie(path: Path): boolean {
    const problem = path
      .split('/')
      .map((name) => nameProblem(Buffer.from(name, 'latin1')))
      .find((each) => each !== undefined);
    if (problem !== undefined) this.options.leftOut({ path: shownPath(path), why: `it can not be stored: ${problem}` });
    return problem === undefined;
  }

  private async wantedOf(path: Path, file: GitFile, size: number): Promise<Wanted | undefined> {
    const { id, executable } = file;
    if (file.kind === 'submodule') {
      const why = 'it is a submodule, whose history is its own';
      this.options.leftOut({ path: shownPath(path), why });
      return undefined;
    }
    if (file.kind === 'symlink') return this.options.all ? { kind: 'symlink', id } : undefined;
    const text = size < pointerBytesMax ? await this.options.git.small(id, pointerBytesMax) : undefined;
    const pointer = text && parsePointer(text.toString('latin1'));
    if (pointer)
      return { kind: 'object', object: { algorithm: 'sha256', hash: pointer.hash }, executable, size: pointer.size };
    return this.options.all ? { kind: 'blob', id, executable } : undefined;
  }
}

/** What a pointer points to; undefined for a text that is none. */
function parsePointer(text: string): { readonly hash: string; readonly size: number } | undefined {
  if (
    !/^version https?:\/\/(?:git-lfs\.github\.com\/spec|hawser\.github\.com\/spec|git-media\.io)\/v\d+\n/.test(text)
  ) {
    return undefined;
  }
  const hash = /^oid sha256:([0-9a-f]{64})$/m.exec(text)?.[1];
  const size = /^size (\d{1,15})$/m.exec(text)?.[1];
  return hash === undefined || size === undefined ? undefined : { hash, size: Number(size) };
}
