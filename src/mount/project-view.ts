/**
 * Versions as a tree of names: a project's repos as `/<repo>/…`, and beside what is listed any
 * `/<repo>@<ref>/…`, or the inputs of one datum as `/<input>/…`. All names resolve in one snapshot. So
 * all of it is valid for ever, but for the names of a datum in the root directory.
 */
import { textOfName } from '../model/paths.ts';
import { entryHash, entrySize, type FileContent, fileContentOf, type TreeEntry } from '../model/tree.ts';
import type { BlobReader } from '../cache/blobs.ts';
import type { PlainNodeSource } from '../model/node.ts';
import type { Hash, Ref } from '../model/refs.ts';
import { Directories } from '../versions/directories.ts';
import {
  isInPack,
  LocalContent,
  localBytesMin,
  packedBytesMax,
  type LargeContent,
  type LocalFiles,
} from '../versions/reading/local-content.ts';
import { arrivesInPacks, firstChunk, prefetchRange, readRange } from '../versions/reading/read.ts';
import { allProvenance } from '../versions/provenance.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { DatumNames } from './datum-names.ts';
import type { FollowNames } from './follow-names.ts';
import { MadeNodes } from './made-nodes.ts';
import { Readahead } from './readahead.ts';
import { ShuffledReads, type ShuffledCounters, type WholePacks } from './shuffled.ts';
import { RootNames, type MountSource, type Names, type Shown } from './root-names.ts';
import {
  rootIno,
  smallBytesMax,
  validForEver,
  type AbsentName,
  type LocalView,
  type NodeOf,
  type Piece,
  type SmallFile,
  type View,
  type ViewEntry,
  type ViewNode,
  type ViewRoot,
} from './view.ts';

export interface ViewOptions {
  /** Bytes to fetch ahead of a sequential reader at most; 0: none. */
  readonly readaheadBytesMax: number;
  /** Where large files are kept; without, they are read chunk by chunk. */
  readonly files?: LocalFiles | undefined;
  /** Brings whole packs for who reads small files in no order; without, nothing is brought so. */
  readonly packs?: WholePacks | undefined;
  /** Called when a reader needs bytes of a large file that are not on this machine. Must not throw. */
  readonly onWait?: ((hash: Buffer, offset: number, length: number) => void) | undefined;
}

interface Readers {
  readonly reader: BlobReader;
  /** For nodes of directories. */
  readonly nodes: PlainNodeSource;
  readonly directories: Directories;
}

const absent: AbsentName = { kind: 'absent', validMs: validForEver };

export class ProjectView implements View {
  readonly sharesFiles: boolean;
  private readonly project: string;
  private readonly names: Names;
  private readonly reader: BlobReader;
  private readonly nodes: PlainNodeSource;
  private readonly directories: Directories;
  private readonly readahead: Readahead;
  private readonly files: LocalFiles | undefined;
  private readonly shuffled: ShuffledReads | undefined;
  private readonly readsAhead: boolean;
  private readonly onWait: NonNullable<ViewOptions['onWait']>;

  private constructor(project: string, names: Names, { reader, nodes, directories }: Readers, options: ViewOptions) {
    const { readaheadBytesMax, files, packs, onWait = () => undefined } = options;
    this.project = project;
    this.sharesFiles = names.move;
    this.names = names;
    this.reader = reader;
    this.nodes = nodes;
    this.directories = directories;
    this.readahead = new Readahead(readaheadBytesMax);
    this.files = files;
    this.shuffled = packs && new ShuffledReads(packs);
    this.readsAhead = readaheadBytesMax > 0;
    this.onWait = onWait;
  }

  /** Throws `not-found` when a source does not exist. */
  static async open(
    snapshot: Snapshot,
    reader: BlobReader,
    sources: readonly MountSource[],
    options: ViewOptions,
  ): Promise<ProjectView> {
    const directories = new Directories(reader);
    const names = await RootNames.open(snapshot, directories, sources);
    return new ProjectView(snapshot.head.project, names, { reader, nodes: reader, directories }, options);
  }

  /** What names show, which may move. */
  static following(names: FollowNames, reader: BlobReader, options: ViewOptions): ProjectView {
    const readers = { reader, nodes: reader, directories: new Directories(reader) };
    return new ProjectView(names.snapshot.head.project, names, readers, options);
  }

  /** The datum that a record names (local/mounted-datum), which may name another at any time. */
  static async ofDatum(
    snapshot: Snapshot,
    reader: BlobReader,
    record: string,
    options: ViewOptions,
  ): Promise<ProjectView> {
    const nodes = new MadeNodes(reader);
    const directories = new Directories(nodes, nodes);
    const names = await DatumNames.open(snapshot, directories, record);
    return new ProjectView(snapshot.head.project, names, { reader, nodes, directories }, options);
  }

  /** What the root directory lists. */
  shown(): readonly Shown[] {
    return this.names.listed.flatMap(({ shown }) => shown ?? []);
  }

  /** What the name with this ordinal in the root directory shows. */
  shownAt(ordinal: number): Shown | undefined {
    return this.names.at(ordinal)?.shown;
  }

  root(): ViewRoot {
    return this.names.root();
  }

  async lookup(directory: ViewNode, name: Buffer): Promise<ViewEntry | AbsentName> {
    if (directory.ino === rootIno) {
      const found = await this.names.find(textOfName(name));
      return 'entry' in found ? found.entry : found;
    }
    if (!directory.ref) return absent;
    const found = await this.directories.readerAt(directory.ref).locate(name);
    return found ? viewEntryOf(found.item, found.ordinal) : absent;
  }

  async list(directory: ViewNode, from: number): Promise<readonly ViewEntry[]> {
    if (directory.ino === rootIno) return this.names.list(from);
    if (!directory.ref) return [];
    const { items } = await this.directories.readerAt(directory.ref).page(from);
    return items.map((item, index) => viewEntryOf(item, from + index));
  }

  async leaf(directory: ViewNode, from: number): Promise<{ bytes: Buffer; first: number } | undefined> {
    if (directory.ino === rootIno || !directory.ref) return undefined;
    const leaf = await this.directories.readerAt(directory.ref).plainLeaf(this.nodes, from);
    return leaf ?? { bytes: Buffer.alloc(0), first: from };
  }

  async whole({ ref }: Pick<ViewEntry, 'ref'>): Promise<Buffer | undefined> {
    return ref && this.directories.readerAt(ref).plainRoot(this.nodes);
  }

  async arrives(file: ViewNode, offset: number, length: number, nodeOf: NodeOf): Promise<boolean> {
    if (!this.shuffled?.isBringing) return false;
    const content = await this.contentOf(file, nodeOf);
    if (offset === 0) await this.note(file, content);
    return arrivesInPacks(this.reader, content, offset, length);
  }

  async read(file: ViewNode, offset: number, length: number, nodeOf: NodeOf): Promise<readonly Piece[]> {
    const content = await this.contentOf(file, nodeOf);
    if (offset === 0) await this.note(file, content);
    const ahead = this.readahead.next(file.ino, offset, length, file.size);
    for (const range of ahead?.ranges ?? []) {
      void prefetchRange(this.reader, content, range.offset, range.length).catch(() => undefined);
    }
    const parts = await readRange(this.reader, content, offset, length);
    return parts.map((part): Piece =>
      part.bytes ? { kind: 'bytes', bytes: part.bytes } : { kind: 'zeros', length: part.zeros },
    );
  }

  /** Notes that somebody begins to read a file, if it is not a large one. */
  private async note(file: ViewNode, content: FileContent): Promise<void> {
    const { shuffled } = this;
    if (!shuffled || content.form === 'inline' || content.form === 'reference' || file.size > packedBytesMax) return;
    const commit = this.names.at(file.top)?.commit;
    const chunk = await firstChunk(this.reader, content);
    if (commit && chunk?.place) shuffled.note(file.top, commit, content.ref.hash, chunk.place);
  }

  /** Of packs that are brought whole; undefined where none are. */
  get shuffledCounters(): ShuffledCounters | undefined {
    return this.shuffled?.counters;
  }

  async local(file: ViewNode): Promise<LocalView | undefined> {
    const { files, reader, readahead } = this;
    const { ref, size } = file;
    if (!files || !ref || file.kind !== 'file' || size < localBytesMin) return undefined;
    const found: LargeContent = { form: ref.type === 'chunk' ? 'chunk' : 'list', size, ref };
    // Reads that `read` answers are noted there.
    if (await isInPack(reader, found)) return undefined;
    await this.note(file, found);
    const content = await LocalContent.open(files, reader, this.project, found);
    if (!content) return undefined;
    return {
      hash: ref.hash,
      size,
      file: content.file.bytes.shared,
      ensure: (offset, length) => {
        if (!content.has(offset, length)) this.onWait(ref.hash, offset, length);
        return content.ensure(offset, length);
      },
      readAhead: (ino, offset, length, waits) => {
        const ahead = readahead.next(ino, offset, length, size, waits);
        const purpose = ahead?.isScattered ? 'around' : 'ahead';
        for (const range of ahead?.ranges ?? [])
          void content.prefetch(range.offset, range.length, purpose).catch(() => undefined);
        return ahead?.mark;
      },
      onGone: (gone) => content.onGone(gone),
      close: () => content.close(),
    };
  }

  async small(files: readonly ViewEntry[]): Promise<SmallFile[]> {
    const wanted = this.readsAhead ? files : [];
    const comes = ({ place }: Ref): boolean => place !== undefined && this.shuffled?.isDecided(place.pack) === true;
    const chunks = wanted.flatMap(({ kind, size, ref, ordinal }) =>
      kind === 'file' && size <= smallBytesMax && ref?.type === 'chunk' && !comes(ref)
        ? [{ ref, length: size, ordinal }]
        : [],
    );
    this.reader.prefetch(chunks);
    return Promise.all(
      chunks.map(async ({ ref, length, ordinal }) => {
        return { ordinal, hash: ref.hash, bytes: await this.reader.chunk(ref, length) };
      }),
    );
  }

  async readLink(link: ViewNode, nodeOf: NodeOf): Promise<Buffer> {
    if (link.parent === rootIno) return this.names.target(link.ordinal);
    const content = await this.contentOf(link, nodeOf);
    const parts = await readRange(this.reader, content, 0, link.size);
    return Buffer.concat(parts.map((part) => part.bytes ?? Buffer.alloc(part.zeros)));
  }

  async attributes(node: ViewNode, nodeOf: NodeOf): Promise<ReadonlyMap<string, Buffer>> {
    const commit = node.ino === rootIno ? undefined : this.names.at(node.top)?.commit;
    if (!commit) return new Map();
    const hash = node.parent === rootIno ? commit.contentHash : await this.hashOf(node, nodeOf);
    const sources = await allProvenance(this.names.snapshot, commit);
    const provenance = sources.map(({ repo, branch, commit: id }) => `${repo}@${branch}=${id}\n`).join('');
    return new Map([
      ['user.pach.commit', Buffer.from(commit.id)],
      ['user.pach.hash', Buffer.from(hash.toString('hex'))],
      ['user.pach.provenance', Buffer.from(provenance)],
    ]);
  }

  totals(): { bytes: number; files: number } {
    let bytes = 0;
    let files = 0;
    for (const { commit } of this.names.listed) {
      bytes += commit?.bytes ?? 0;
      files += commit?.files ?? 0;
    }
    return { bytes, files };
  }

  /** Content that the inode table refers to, or that lies in the directory itself. */
  private async contentOf(node: ViewNode, nodeOf: NodeOf): Promise<FileContent> {
    const { ref, size } = node;
    if (ref) return ref.type === 'chunk' ? { form: 'chunk', size, ref } : { form: 'list', size, ref };
    const entry = await this.entryOf(node, nodeOf);
    // A server that was killed may have left a node in one version with the directory of another.
    const hash = node.within ?? node.outside;
    if (hash && !entryHash(entry).equals(hash)) throw notAsNamed();
    return fileContentOf(entry);
  }

  private async hashOf(node: ViewNode, nodeOf: NodeOf): Promise<Hash> {
    const ofFile = node.ref?.hash ?? node.within ?? node.outside;
    return node.kind !== 'directory' && ofFile ? ofFile : entryHash(await this.entryOf(node, nodeOf));
  }

  private async entryOf(node: ViewNode, nodeOf: NodeOf): Promise<TreeEntry> {
    const tree = node.directory ?? nodeOf(node.parent).ref;
    const entry = tree && (await this.directories.readerAt(tree).at(node.ordinal));
    if (!entry) throw notAsNamed();
    return entry;
  }
}

function notAsNamed(): Error {
  return new Error('the inode table names an entry that its directory does not have');
}

function viewEntryOf(entry: TreeEntry, ordinal: number): ViewEntry {
  const { name, kind, executable, mtimeSeconds, mtimeNanoseconds, content } = entry;
  const size = kind === 'directory' ? 0 : entrySize(entry);
  const entryOf = { name, ordinal, kind, executable, size, mtimeSeconds, mtimeNanoseconds, validMs: validForEver };
  if (content.form === 'reference') return { ...entryOf, outside: content.hash };
  if (content.form === 'inline') return { ...entryOf, within: entryHash(entry) };
  return { ...entryOf, ref: content.ref };
}
