/**
 * The Linux addon (`native/fuse`): a kernel connection, its inode table, mounting. The only file
 * that loads it.
 */
import { createRequire } from 'node:module';
import type { Piece } from './view.ts';

/** A request that needs a decision. Offsets and sizes in bytes, or a directory's cookie. */
export interface FuseRequest {
  readonly opcode: number;
  /** Ours, not the kernel's: that one does not fit into a number. */
  readonly id: number;
  readonly ino: number;
  readonly offset: number;
  readonly size: number;
  readonly name: Buffer;
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

export interface FuseCounters {
  /** By the kernel's opcode. */
  readonly requests: readonly number[];
  readonly replies: number;
  /** Replies that the kernel refused: always a defect. */
  readonly replyErrors: number;
  /** Signals to processes that waited for an answer. */
  readonly interrupts: number;
  readonly bytesRead: number;
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
  /** The root directory as `encodeEntry` writes it. */
  readonly root: Buffer;
}

export interface SessionHandlers {
  requests(batch: readonly FuseRequest[]): void;
  /** Once the kernel and this server, or the one before, agree on a protocol. */
  ready(): void;
  /** Once, when the mount is gone; an error carries `code`. */
  end(error: NodeJS.ErrnoException | undefined): void;
}

/**
 * Each request is answered once, by one of the replies; what comes later is dropped. Entries as
 * `encodeEntry` writes them.
 */
export interface FuseSession {
  replyError(id: number, errno: number): void;
  /** Without an entry the name is absent for good. */
  replyEntry(id: number, parent: number, entry?: Buffer): void;
  /** Formats the entries that fit; the kernel asks for the rest. */
  replyDirectory(request: FuseRequest, entries: Buffer): void;
  replyBytes(id: number, bytes: Buffer): void;
  /** Written by another thread: the buffers must not change, descriptors may be closed at once. */
  replyPieces(id: number, pieces: readonly Piece[]): void;
  node(ino: number): TableNode | undefined;
  counters(): FuseCounters;
}

export interface FuseAddon {
  /** The descriptor of a new, empty inode table. Errors carry `code`. */
  createTable(): number;
  /** Mounts and returns the device's descriptor; `helper` uses fusermount3. Blocks for a moment. */
  mount(mountpoint: string, allowOther: boolean, helper: boolean): number;
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
