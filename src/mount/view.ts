/**
 * What names exist under a mount and what bytes they have, without a word of the kernel's
 * protocol: the seam between versioned data and the transport that serves it. Everything a view
 * has once answered stays true for its life, so the transport may cache without end.
 */
import type { Ref } from '../model/refs.ts';

/** One name in a directory, with all that the transport must know to answer for it. */
export interface ViewEntry {
  readonly name: Buffer;
  /** Position in the directory: unique there, stable for the life of the view, from 0. */
  readonly ordinal: number;
  readonly kind: 'file' | 'directory' | 'symlink';
  readonly executable: boolean;
  /** Bytes of content; 0 for directories. */
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  /** Content or subtree; absent for content that lies in the directory itself. */
  readonly ref?: Ref | undefined;
}

/** What the inode table remembers of an entry, under its inode number. */
export interface ViewNode extends Omit<ViewEntry, 'name'> {
  readonly ino: number;
  /** Inode number of the directory that holds it; the root (1) is its own parent. */
  readonly parent: number;
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
  /** The hash of what it holds, as in the node's ref. */
  readonly hash: Buffer;
  readonly size: number;
  /** For native code that answers from what is there (native/common/cache_file.h). */
  readonly file: object | undefined;
  /** True once the bytes are there, false when they never will be; rejects as `read` does. */
  ensure(offset: number, length: number): Promise<boolean>;
  /**
   * Notes that a file was read, where `waits` says whether the bytes were not there, and fetches what
   * follows. Returns the offset whose reading is to be noted next, if any is.
   */
  readAhead(ino: number, offset: number, length: number, waits: boolean): number | undefined;
  /** Calls `gone` when the file was removed from the disk: what it takes there is free once this is closed. */
  onGone(gone: () => void): void;
  /** Lets go of the descriptors, once what is under way has ended; from then on `ensure` says false. */
  close(): void;
}

/** Files of at most so many bytes come along with their neighbours. */
export const smallBytesMax = 64 * 1024;

/** The content of one. */
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
  /** The root directory; its ino and parent are 1. */
  root(): ViewNode;
  /** The entry of that name, or undefined for good. */
  lookup(directory: ViewNode, name: Buffer, nodeOf: NodeOf): Promise<ViewEntry | undefined>;
  /** Some entries with ordinals from `from` on, ascending; an empty page is the end. */
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
  /** The same when all of a directory is one leaf; undefined for others. The root directory is not stored. */
  whole(directory: Pick<ViewEntry, 'ref'>): Promise<Buffer | undefined>;
  /** Bytes [offset, offset+length) of a file, fewer only at its end. `length` is at most 1 MiB. */
  read(file: ViewNode, offset: number, length: number, nodeOf: NodeOf): Promise<readonly Piece[]>;
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
