/**
 * The Linux addon (`native/fuse`): a kernel connection, its inode table, mounting. The only file
 * that loads it.
 */
import { createRequire } from 'node:module';
import type { BlobsHere } from '../cache/blobs-here.ts';
import type { LocalView, Piece } from './view.ts';

/** A request that needs a decision. Offsets and sizes in bytes, or a directory's cookie. */
export interface FuseRequest {
  readonly opcode: number;
  /** Our own id: the kernel's does not fit into a number. */
  readonly id: number;
  readonly ino: number;
  readonly offset: number;
  readonly size: number;
  readonly name: Buffer;
  /** How often `replyLocal` found that the bytes were not there. */
  readonly tries: number;
}

/** A record of the inode table, as stored. */
export interface TableNode {
  readonly ino: number;
  readonly parent: number;
  readonly ordinal: number;
  readonly kind: number;
  readonly executable: boolean;
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly ref: number;
  readonly place: boolean;
  readonly hash: Buffer;
  readonly pack: Buffer;
  readonly placeOffset: number;
  readonly placeLength: number;
}

/** A record, and where it is at the moment. */
export interface FoundNode extends TableNode {
  /** Ordinal of the entry of the root directory that it lies under, or is. */
  readonly top: number;
  /** The directory that has its content or describes it; absent where the ref leads to it, and for directories. */
  readonly directory?: TableNode;
}

export interface FuseCounters {
  /** By the kernel's opcode. */
  readonly requests: readonly number[];
  readonly replies: number;
  /** Replies that the kernel refused: always a defect. */
  readonly replyErrors: number;
  /** Signals to processes that waited for an answer. */
  readonly interrupts: number;
  readonly bytesRead: number;
  /** Reads answered from the disk cache without JavaScript, and those that found damaged bytes there. */
  readonly localReads: number;
  readonly damagedReads: number;
  /** Lookups, listings and reads of small files answered without JavaScript. */
  readonly keptAnswers: number;
  /** Those of the reads for which the disk was read. */
  readonly storedReads: number;
  /** Requests that only JavaScript could answer. */
  readonly decided: number;
  /** Whether the kernel reads files lent to it by itself (passthrough), and for how many opens it does. */
  readonly passthrough: boolean;
  readonly passthroughOpens: number;
  /** The most requests that waited at once. */
  readonly ringMax: number;
  /** Inodes that the kernel knows. */
  readonly inodes: number;
}

export interface SessionOptions {
  /** An open `/dev/fuse` of this mount; it may come from another process. */
  readonly device: number;
  /** A table from `createTable`; with content when another server had it before. */
  readonly table: number;
  readonly uid: number;
  readonly gid: number;
  readonly totalBytes: number;
  readonly totalFiles: number;
  /**
   * The depth at which the kernel counts this mount in a stack of file systems. Files of the disk cache
   * can be lent to the kernel if their file system lies less deep. 0: none is lent.
   */
  readonly stackDepth: number;
  /** A file is one inode in all versions in which its path has the same content. For a view whose names move. */
  readonly sharesFiles: boolean;
  /** The root directory as `encodeEntry` writes it. It may change if it is valid for a bounded time. */
  readonly root: Buffer;
  /** Where stored blobs lie on this machine: native threads read them from there, and verify each. */
  readonly blobs?: BlobsHere | undefined;
}

export interface SessionHandlers {
  requests(batch: readonly FuseRequest[]): void;
  /** A read that was answered from an attached file went beyond its mark. */
  progress(ino: number, offset: number): void;
  /**
   * Native threads answered a request for what was watched (`isWatched`), or from the disk while that was
   * to be heard. The kernel may have forgotten the inode. The request has no id: it can't be answered.
   */
  met(request: FuseRequest, isWatched: boolean): void;
  /** Once the kernel and this server, or the one before, agree on a protocol. */
  ready(): void;
  /** Once, when the mount is gone; an error carries `code`. */
  end(error: NodeJS.ErrnoException | undefined): void;
}

/**
 * Each request is answered by one of the replies; a second one is dropped. Entries are as `encodeEntry`
 * writes them.
 */
export interface FuseSession {
  replyError(id: number, errno: number): void;
  /** Milliseconds in place of an entry: for so long there is no such name. */
  replyEntry(id: number, parent: number, entry: Buffer | number): void;
  /** Answers a `getattr` of the root; only a root that changes is asked for. */
  replyRoot(id: number, root: Buffer): void;
  /** Formats the entries that fit; the kernel asks for the rest. */
  replyDirectory(request: FuseRequest, entries: Buffer): void;
  /**
   * The same from the verified bytes of a stored leaf, whose first entry has the ordinal `first`. False,
   * and the request is not answered, when the addon does not understand them.
   */
  replyLeaf(request: FuseRequest, leaf: Buffer, first: number): boolean;
  /**
   * Keeps the verified bytes of a directory that is a single leaf, under the directory's hash, while there
   * is room. Lookups and listings are then answered from them. False when the addon does not understand them.
   */
  keepLeaf(hash: Buffer, leaf: Buffer): boolean;
  /** Keeps the verified bytes of a chunk while there is room. Files that are this one chunk are read from them. */
  keepChunk(hash: Buffer, bytes: Buffer): void;
  /** Calls `met`, once, when native threads answer a request for the directory or file with this hash. */
  watch(hash: Buffer): void;
  /** Calls `met` for the next so many requests that native threads answer from the disk. */
  hear(count: number): void;
  /** Answers a lookup or listing from a kept leaf. False, and it is not answered, when there is none. */
  replyKept(request: FuseRequest): boolean;
  replyBytes(id: number, bytes: Buffer): void;
  /** Another thread writes the answer: the buffers must not change any more, descriptors may be closed at once. */
  replyPieces(id: number, pieces: readonly Piece[]): void;
  /**
   * Reads of this inode are answered from the disk cache from now on, where that has the bytes; not
   * if its content has another hash. Descriptors may be closed at once. Errors carry `code`.
   */
  attach(ino: number, local: LocalView): void;
  /** False also once the kernel has forgotten the inode. */
  isAttached(ino: number): boolean;
  detach(ino: number): void;
  /** Calls `progress`, once, when a read of the attached file goes beyond `offset`. */
  setMark(ino: number, offset: number): void;
  /** Answers a read from the attached file, in another thread. Where that lacks bytes, the request comes again. */
  replyLocal(request: FuseRequest): void;
  /** Answers an open. Lends the attached file to the kernel if that is sealed (cache/sealing). */
  replyOpen(id: number, ino: number): void;
  node(ino: number): FoundNode | undefined;
  counters(): FuseCounters;
}

export interface MountOptions {
  /** What the system shows as the mount's source. */
  readonly source: string;
  readonly allowOther: boolean;
  /** No file of the mount may be run. */
  readonly noExec: boolean;
}

export interface FuseAddon {
  /** The descriptor of a new, empty inode table. Errors carry `code`. */
  createTable(): number;
  /** The descriptor of a device that serves no mount yet. Errors carry `code`. */
  openDevice(): number;
  /** Mounts, to be served through `device`; `helper` uses fusermount3. Blocks for a moment. */
  mount(device: number, mountpoint: string, options: MountOptions, helper: boolean): void;
  unmount(mountpoint: string, lazy: boolean, helper: boolean): void;
  readonly FuseSession: new (options: SessionOptions, handlers: SessionHandlers) => FuseSession;
}

const require = createRequire(import.meta.url);

let loaded: FuseAddon | undefined;

/** The addon, loaded on first use. */
export function fuseAddon(): FuseAddon {
  loaded ??= require('../../native/build/fuse.node') as FuseAddon;
  return loaded;
}
