/**
 * Fetches the neighbours of what is read in a directory: the next folders for whoever lists one folder
 * after another, the next small files for whoever reads one file after another. Native threads then
 * answer for them. Nobody waits for this, and nobody hears of its errors: a reader that comes to the
 * same bytes meets the same error.
 */
import type { FuseSession } from './fuse-addon.ts';
import { smallBytesMax, type NodeOf, type View, type ViewEntry, type ViewNode } from './view.ts';
import { Walk, type Ahead } from './walk.ts';

const foldersMax = 64;
/** One request to the store brings this many files of 2 KiB. */
const filesMax = 512;
/** A quarter of what native threads keep of small files. */
const filesBytesMax = 2 * 1024 * 1024;

export class Neighbours {
  private readonly view: View;
  private readonly session: Pick<FuseSession, 'keepLeaf' | 'keepChunk' | 'watch'>;
  private readonly nodeOf: NodeOf;
  private readonly folders = new Walk(foldersMax);
  private readonly files = new Walk(filesMax);

  constructor(view: View, session: Pick<FuseSession, 'keepLeaf' | 'keepChunk' | 'watch'>, nodeOf: NodeOf) {
    this.view = view;
    this.session = session;
    this.nodeOf = nodeOf;
  }

  /** Notes that native threads answered for what was left to JavaScript: it was on this machine by then. */
  met(node: ViewNode): void {
    if (node.kind === 'directory') this.enteredFolder(node);
    else this.beganFile(node);
  }

  /** Notes that somebody listed a folder, or looked up a name in it. */
  enteredFolder(folder: ViewNode): void {
    const ahead = this.folders.enter(folder.parent, folder.ordinal);
    if (ahead) void this.fetchFolders(folder, ahead).catch(() => undefined);
  }

  /** Notes that somebody began to read a file. */
  beganFile(file: ViewNode): void {
    const ahead = this.files.enter(file.parent, file.ordinal);
    if (ahead) void this.fetchFiles(file, ahead).catch(() => undefined);
  }

  private async fetchFolders(folder: ViewNode, ahead: Ahead): Promise<void> {
    const { next, turn } = await this.following(this.folders, folder, ahead, ({ kind }) => kind === 'directory');
    await Promise.all(
      next.map(async ({ ref, ordinal }) => {
        const leaf = await this.view.whole({ ref });
        if (leaf && ref && ordinal !== turn) this.session.keepLeaf(ref.hash, leaf);
      }),
    );
  }

  private async fetchFiles(file: ViewNode, ahead: Ahead): Promise<void> {
    let total = 0;
    const { next, turn } = await this.following(this.files, file, ahead, ({ kind, size }) => {
      if (kind === 'file' && size <= smallBytesMax) total += size;
      return kind === 'file' && total <= filesBytesMax;
    });
    for (const { ordinal, hash, bytes } of await this.view.small(next)) {
      if (ordinal !== turn) this.session.keepChunk(hash, bytes);
    }
  }

  /** The entries to fetch, and the ordinal of the one that is left for JavaScript to answer. */
  private async following(
    walk: Walk,
    { parent }: ViewNode,
    ahead: Ahead,
    isWanted: (entry: ViewEntry) => boolean,
  ): Promise<{ next: ViewEntry[]; turn: number | undefined }> {
    const entries = await this.view.list(this.nodeOf(parent), ahead.after + 1, this.nodeOf);
    const next = entries.filter(isWanted).slice(0, ahead.count);
    const ordinals = next.map(({ ordinal }) => ordinal);
    const turn = walk.fetched(parent, ahead, ordinals);
    const left = next.find(({ ordinal }) => ordinal === turn);
    if (left?.ref) this.session.watch(left.ref.hash);
    return { next, turn };
  }
}
