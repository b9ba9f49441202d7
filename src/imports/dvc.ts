/**
 * The data of a DVC project, commit by commit: what `.dvc` files and `dvc.lock` name, from the objects
 * of its cache and remotes, or from git where git itself tracks an output (`cache: false`).
 */
import { posix } from 'node:path';
import { isDvcFile, isLock, nestedOf, parseDvcFile, parseFolderList, type DvcFile, type Out } from './dvc-files.ts';
import { shownPath, type GitChange, type GitFile, type GitHistory, type Path } from './git.ts';
import { LostError, type Objects } from './objects.ts';
import { wantedKey, type DataDifference, type DataReader, type LeftOut, type Wanted } from './reader.ts';

export interface DvcOptions {
  readonly git: GitHistory;
  readonly objects: Objects;
  readonly signal?: AbortSignal | undefined;
  /** Told of what is not brought along; of the same thing once for each git commit. */
  leftOut(what: LeftOut): void;
}

/** What an output is in a git commit. */
type Content = { readonly key: string } & (
  | { readonly kind: 'files'; readonly files: ReadonlyMap<Path, Wanted> }
  /** Its files are listed by an object. */
  | { readonly kind: 'list'; readonly out: Out }
);

type Lost = DataDifference['lost'][number];
type Listing = ReadonlyMap<Path, Wanted>;

const dvcFileBytesMax = 4 * 1024 * 1024;
/** More than a text may have can't be parsed. */
const listBytesMax = 480 * 1024 * 1024;

export class DvcReader implements DataReader {
  private readonly options: DvcOptions;
  /** All of git, and how many files lie below each of its folders. */
  private readonly tree = new Map<Path, GitFile>();
  private readonly folders = new Map<Path, number>();
  private readonly files = new Map<Path, DvcFile>();
  /** What was answered last, by the output's path. */
  private given = new Map<Path, Content>();
  /** The files of outputs of `given`, as far as they were needed. */
  private readonly listings = new Map<Path, { readonly key: string; readonly files: Listing }>();
  private isChanged = false;

  constructor(options: DvcOptions) {
    this.options = options;
  }

  async advance(changes: readonly GitChange[]): Promise<void> {
    for (const { path, file } of changes) {
      this.count(path, file);
      if (file) this.tree.set(path, file);
      else this.tree.delete(path);
      if (isDvcFile(path)) await this.take(path, file);
      this.isChanged ||= isDvcFile(path) || this.isOfOutput(path);
    }
  }

  async difference(): Promise<DataDifference | undefined> {
    if (!this.isChanged) return undefined;
    this.isChanged = false;
    const before = this.given;
    this.given = this.outputs();
    const removed: Path[] = [];
    const added = new Map<Path, Wanted>();
    const lost: Lost[] = [];
    for (const path of before.keys()) {
      if (this.given.has(path)) continue;
      removed.push(path);
      this.listings.delete(path);
    }
    for (const [path, content] of this.given) {
      const old = before.get(path);
      if (old?.key === content.key) continue;
      const oldFiles = old && (await this.listing(path, old).catch(unlessLost));
      const files = await this.listing(path, content).catch(unlessLost);
      // Where it is not known what lies there, all of it goes.
      if (old && (!(oldFiles instanceof Map) || !(files instanceof Map))) removed.push(path);
      if (files instanceof LostError) {
        lost.push(lostOf(path, content, files));
        continue;
      }
      const stays = oldFiles instanceof Map ? (oldFiles as Listing) : new Map<Path, Wanted>();
      for (const below of stays.keys()) if (!files.has(below)) removed.push(joined(path, below));
      for (const [below, wanted] of files) {
        const there = stays.get(below);
        if (!there || wantedKey(there) !== wantedKey(wanted)) added.set(joined(path, below), wanted);
      }
    }
    return removed.length + added.size + lost.length > 0 ? { removed, added, lost } : undefined;
  }

  async settle(): Promise<void> {
    this.given = this.outputs();
    this.listings.clear();
    this.isChanged = false;
  }

  async all(): Promise<DataDifference> {
    const added = new Map<Path, Wanted>();
    const lost: Lost[] = [];
    for (const [path, content] of this.given) {
      const files = await this.listing(path, content).catch(unlessLost);
      if (files instanceof LostError) lost.push(lostOf(path, content, files));
      else for (const [below, wanted] of files) added.set(joined(path, below), wanted);
    }
    return { removed: [], added, lost };
  }

  /** The texts of files that say which stages there are, by path. */
  async stageFiles(): Promise<Map<Path, string>> {
    const texts = new Map<Path, string>();
    for (const [path, { kind, id }] of this.tree) {
      if (kind !== 'file' || !/(?:^|\/)dvc\.(?:yaml|lock)$/.test(path)) continue;
      texts.set(path, (await this.options.git.small(id, dvcFileBytesMax))?.toString() ?? '');
    }
    return texts;
  }

  /** Paths of outputs that no stage makes. */
  get data(): Path[] {
    return [...this.files].flatMap(([file, { outs }]) => (isLock(file) ? [] : outs.map(({ path }) => path)));
  }

  /** True for a file or folder that git itself holds. */
  isInGit(path: Path): boolean {
    return this.tree.has(path) || (this.folders.get(path) ?? 0) > 0;
  }

  private count(path: Path, file: GitFile | undefined): void {
    const more = Number(file !== undefined) - Number(this.tree.has(path));
    if (more === 0) return;
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      const folder = path.slice(0, at);
      this.folders.set(folder, (this.folders.get(folder) ?? 0) + more);
    }
  }

  /** Takes in a file of DVC as it is now. One that can't be read is as it was before. */
  private async take(path: Path, file: GitFile | undefined): Promise<void> {
    if (file?.kind !== 'file') {
      this.files.delete(path);
      return;
    }
    const text = await this.options.git.small(file.id, dvcFileBytesMax);
    const parsed = text
      ? await parseDvcFile(path, text.toString())
      : { why: `it has more than ${dvcFileBytesMax} bytes` };
    if ('why' in parsed) {
      const why = `${parsed.why}; what it says of data is left as it was before`;
      this.options.leftOut({ path: shownPath(path), why });
      return;
    }
    this.files.set(path, parsed);
    for (const each of parsed.leftOut) this.options.leftOut(each);
  }

  /** True for a path that belongs to an output which git itself holds. */
  private isOfOutput(path: Path): boolean {
    if (this.given.has(path)) return true;
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      if (this.given.has(path.slice(0, at))) return true;
    }
    return false;
  }

  /** All outputs of the git commit. */
  private outputs(): Map<Path, Content> {
    const outs = new Map<Path, Out>();
    const others = this.projectsBelow();
    for (const [file, { outs: found }] of this.files) {
      const other = others.find((folder) => file.startsWith(`${folder}/`));
      if (other !== undefined) {
        const why = `it belongs to the DVC project in ${shownPath(other)}, which is imported by itself`;
        this.options.leftOut({ path: shownPath(file), why });
      } else for (const out of found) outs.set(out.path, out);
    }
    for (let nested = nestedOf([...outs.keys()]); nested !== undefined; nested = nestedOf([...outs.keys()])) {
      outs.delete(nested);
      this.options.leftOut({ path: shownPath(nested), why: 'another output lies below it, which DVC does not allow' });
    }
    return new Map([...outs].map(([path, out]) => [path, this.contentOf(out)]));
  }

  private projectsBelow(): Path[] {
    return [...this.files.keys()].length === 0
      ? []
      : [...this.folders.keys()]
          .filter((folder) => folder.endsWith('/.dvc') && this.tree.has(`${folder}/config`))
          .map((folder) => posix.dirname(folder));
  }

  private contentOf(out: Out): Content {
    const { path, object, executable, size } = out;
    const inGit = this.tree.get(path);
    if (inGit) return filesOf([['', inGit]]);
    if ((this.folders.get(path) ?? 0) > 0) {
      const prefix = `${path}/`;
      const below = [...this.tree].filter(([each]) => each.startsWith(prefix));
      return filesOf(below.map(([each, file]) => [each.slice(prefix.length), file]));
    }
    if (out.isFolder) return { kind: 'list', key: `${object.hash}.dir`, out };
    const wanted: Wanted = { kind: 'object', object, executable, ...(size !== undefined && { size }) };
    return { kind: 'files', key: wantedKey(wanted), files: new Map([['', wanted]]) };
  }

  /** Throws `LostError` where the list can't be had. */
  private async listing(path: Path, content: Content): Promise<Listing> {
    if (content.kind === 'files') return content.files;
    const known = this.listings.get(path);
    if (known?.key === content.key) return known.files;
    const { object } = content.out;
    const bytes = await this.options.objects.read(object, listBytesMax, this.options.signal);
    let files: Listing;
    try {
      files = parseFolderList(bytes, object);
    } catch (error) {
      throw new LostError((error as Error).message, false, error);
    }
    this.listings.set(path, { key: content.key, files });
    return files;
  }
}

function filesOf(entries: readonly (readonly [Path, GitFile])[]): Content {
  const files = new Map<Path, Wanted>();
  for (const [path, { kind, id, executable }] of entries) {
    if (kind === 'file') files.set(path, { kind: 'blob', id, executable });
    else if (kind === 'symlink') files.set(path, { kind: 'symlink', id });
  }
  const key = [...files].map(([path, wanted]) => `${path}\0${wantedKey(wanted)}`).join('\0');
  return { kind: 'files', key, files };
}

function lostOf(path: Path, { key: hash }: Content, { message: why }: LostError): Lost {
  return { path, hash, why };
}

function joined(path: Path, below: Path): Path {
  return below === '' ? path : `${path}/${below}`;
}

function unlessLost(error: unknown): LostError {
  if (error instanceof LostError) return error;
  throw error;
}
