/**
 * The names under a mount and their bytes, without a word of the kernel's protocol: the seam between
 * versioned data and the transport that serves it. A view only reads. Its mount is read-only, so the
 * kernel itself refuses what would write (EROFS); writing will be an interface beside this one.
 *
 * A view may change its mind about which entry a name has, and says for how long the kernel need not
 * ask again (`validMs`). It never changes what it said of an entry: one with other content or other
 * attributes is another node with an inode number of its own. Whoever has the old one open, or works
 * in the old directory, goes on in what he opened. Only the root stays the same node.
 */
import type { Hash, Ref } from '../model/refs.ts';

/** Inode number of the root directory, which is its own parent. */
export const rootIno = 1;
/** `validMs` of what never changes, as everything in a commit. */
export const validForEver = Infinity;
/** `validMs` of an entry in a list of which only the name is told: the kernel must not keep what it leads to. */
export const nameOnly = -1;

/** One name in a directory, with all that the transport must know to answer for it. */
export interface ViewEntry {
  readonly name: Buffer;
  /** Position in the directory, from 0: unique there, and the same each time the name is listed. */
  readonly ordinal: number;
  readonly kind: 'file' | 'directory' | 'symlink';
  readonly executable: boolean;
  /** Bytes of content; 0 for directories. */
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  /** Content or subtree; absent for content that lies in the directory itself. */
  readonly ref?: Ref | undefined;
  /** The hash of content that lies outside of the store: a reference, which its directory describes. */
  readonly outside?: Hash | undefined;
  /** The hash of content that lies in the directory itself. */
  readonly within?: Hash | undefined;
  /**
   * For how many milliseconds the name has this entry for certain. In a directory with a `ref` to a
   * stored node, for ever: native threads answer from the stored bytes.
   */
  readonly validMs: number;
  /** Where `list` goes on after this entry, if that is not at the next ordinal. */
  readonly next?: number;
}

/** Says that a directory has no such name, and for how long. */
export interface AbsentName {
  readonly kind: 'absent';
  readonly validMs: number;
}

/** What the inode table remembers of an entry, under its inode number. */
export interface ViewNode extends Omit<ViewEntry, 'name' | 'validMs' | 'next'> {
  readonly ino: number;
  /** Inode number of the directory that holds it. */
  readonly parent: number;
  /** Ordinal of the entry of the root directory that it lies under, or is. */
  readonly top: number;
  /** The stored directory that has its content or describes it; absent where `ref` leads to it, and for directories. */
  readonly directory?: Ref | undefined;
}

/** The root directory at the moment. */
export interface ViewRoot extends ViewNode {
  /**
   * For how long its attributes and the list of its names hold. A root with other names has another
   * time: by that the kernel sees that the list which it keeps is old.
   */
  readonly validMs: number;
}

/**
 * A piece of an answer to a read, in order: a part of a verified buffer (not copied; it must not
 * change afterwards), a range of an open local file, or zeros.
 */
export type Piece =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'file'; readonly fd: number; readonly offset: number; readonly length: number }
  | { readonly kind: 'zeros'; readonly length: number };

/** A file of this machine that has, or will have, the bytes of one under the mount. */
export interface LocalView {
  /** The hash of what it holds, as in the node. */
  readonly hash: Buffer;
  readonly size: number;
  /** For native code that answers from what is there (native/common/cache_file.h). */
  readonly file: object | undefined;
  /** True once the bytes are there, false when they never will be; rejects as `read` does. */
  ensure(offset: number, length: number): Promise<boolean>;
  /**
   * Notes a read of a file and fetches what follows. `waits`: its bytes were not there. Returns an offset
   * if the next read beyond it is to be noted, too.
   */
  readAhead(ino: number, offset: number, length: number, waits: boolean): number | undefined;
  /** Calls `gone` when the file was removed from the disk. Its room is free only once this is closed. */
  onGone(gone: () => void): void;
  /** Closes the descriptors once what is under way has ended. From now on `ensure` resolves to false. */
  close(): void;
}

/** Files up to this size are fetched together with their neighbours. */
export const smallBytesMax = 64 * 1024;

/** The content of a small file. */
export interface SmallFile {
  readonly ordinal: number;
  readonly hash: Buffer;
  readonly bytes: Buffer;
}

/** Finds the node of an inode number that the transport has handed out and not forgotten. */
export type NodeOf = (ino: number) => ViewNode;

/**
 * Errors are PachErrors: `not-found` becomes ENOENT, `damaged` and `unreachable` EIO, others EIO.
 * `nodeOf` reaches parents where an answer lies in them (inline content).
 */
export interface View {
  /** Whether a file is one inode in all versions in which its path has the same content. */
  readonly sharesFiles: boolean;
  /** The root directory; its ino and parent are `rootIno`. Asked again when it is no longer valid. */
  root(): ViewRoot;
  lookup(directory: ViewNode, name: Buffer, nodeOf: NodeOf): Promise<ViewEntry | AbsentName>;
  /** Some entries with ordinals from `from` on, ascending, or from where `next` says; an empty page is the end. */
  list(directory: ViewNode, from: number, nodeOf: NodeOf): Promise<readonly ViewEntry[]>;
  /**
   * The stored leaf (FORMAT.md section 5) that has the entry with ordinal `from`, and the ordinal of its
   * first, for a transport that reads it by itself; `bytes` is empty beyond the last entry. Undefined
   * where `list` must be asked.
   */
  leaf(
    directory: ViewNode,
    from: number,
    nodeOf: NodeOf,
  ): Promise<{ readonly bytes: Buffer; readonly first: number } | undefined>;
  /** The stored leaf that is all of a directory. Undefined for directories of several, and for the root. */
  whole(directory: Pick<ViewEntry, 'ref'>): Promise<Buffer | undefined>;
  /** Bytes [offset, offset+length) of a file, fewer only at its end. `length` is at most 1 MiB. */
  read(file: ViewNode, offset: number, length: number, nodeOf: NodeOf): Promise<readonly Piece[]>;
  /**
   * True once bytes that were on their way lie on this machine as they are stored, where native threads find
   * them; false where they are not on their way.
   */
  arrives?(file: ViewNode, offset: number, length: number, nodeOf: NodeOf): Promise<boolean>;
  /**
   * A large file as a file of this machine that fills as it is read; undefined for others, and then
   * `read` answers. The caller closes it.
   */
  local(file: ViewNode): Promise<LocalView | undefined>;
  /** Bytes of those of some neighbours that are one small chunk, fetched together; others are left out. */
  small(files: readonly ViewEntry[]): Promise<readonly SmallFile[]>;
  readLink(link: ViewNode, nodeOf: NodeOf): Promise<Buffer>;
  /** Extended attributes by full name (`user.pach.hash`). */
  attributes(node: ViewNode, nodeOf: NodeOf): Promise<ReadonlyMap<string, Buffer>>;
  /** Total bytes and files under the mount, for statfs. */
  totals(): { readonly bytes: number; readonly files: number };
}
