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
  /** Bytes [offset, offset+length) of a file, fewer only at its end. `length` is at most 1 MiB. */
  read(file: ViewNode, offset: number, length: number, nodeOf: NodeOf): Promise<readonly Piece[]>;
  readLink(link: ViewNode, nodeOf: NodeOf): Promise<Buffer>;
  /** Extended attributes by full name (`user.pach.hash`). */
  attributes(node: ViewNode, nodeOf: NodeOf): Promise<ReadonlyMap<string, Buffer>>;
  /** Total bytes and files under the mount, for statfs. */
  totals(): { readonly bytes: number; readonly files: number };
}
