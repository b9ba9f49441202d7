/**
 * The portable native addon (`native/data`): hashing, cutting, compression and batched
 * file reading. Everything that returns a promise runs on libuv's thread pool, off the main
 * thread; buffers handed in must not change until it settles.
 */
import { createRequire } from 'node:module';

/** Domain of a hash: `plain` for chunks, derive-key contexts of FORMAT.md for the rest. */
export type HashDomain = 'plain' | 'gear' | 'node' | 'content';

/** A piece of a file's content: a hole (no bytes), or a chunk with its name. */
export type CutPiece =
  | { readonly length: number; readonly bytes?: undefined; readonly hash?: undefined }
  | { readonly length: number; readonly bytes: Buffer; readonly hash: Buffer };

/** Cuts one byte stream into chunks and holes (FORMAT.md section 2). Calls must not overlap; after an error it is over. */
export interface Cutter {
  /** Feeds the next bytes; resolves to the pieces that are now certain. */
  push(bytes: Uint8Array): Promise<CutPiece[]>;
  /**
   * Feeds up to `length` bytes of a file from `offset`, skipping its holes by SEEK_DATA.
   * `consumed` < `length` means end of file. Resolves to the pieces that are now certain.
   */
  pushFile(fd: number, offset: number, length: number): Promise<{ consumed: number; pieces: CutPiece[] }>;
  /** Ends the stream and resolves to the rest. */
  end(): Promise<CutPiece[]>;
}

/** What the native side tells of a folder; `Listing` in listing.ts reads it. */
export interface NativeListing {
  /** Names one after another. */
  readonly names: Buffer;
  readonly rows: Buffer;
  /** 16 bytes for each regular file, in order: see `Listing.fingerprints`. */
  readonly fingerprints: Buffer;
  /** errno names of those that could not be looked at, by their number. */
  readonly errors: Readonly<Record<number, string>>;
}

/** One small file read whole, with its stat taken from the open descriptor. */
export interface SmallFile {
  readonly bytes?: Buffer;
  readonly hash?: Buffer;
  readonly executable: boolean;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  /** errno name; `EFBIG` when it has grown beyond the limit, `EINVAL` when it is no regular file now. */
  readonly error?: string;
}

export interface NativeData {
  /** BLAKE3-256 of the parts one after another, on the calling thread: for small inputs. */
  hash(domain: HashDomain, ...parts: Uint8Array[]): Buffer;
  /** The same on the thread pool. */
  hashAsync(domain: HashDomain, bytes: Uint8Array): Promise<Buffer>;
  createCutter(): Cutter;
  /** Blobs (FORMAT.md section 3: codec byte and payload) of plain bytes, in one call. */
  encodeBlobs(plain: readonly Uint8Array[]): Promise<Buffer[]>;
  /**
   * Plain bytes of a blob, verified against `hash`.
   * Throws an Error whose `code` is 'DAMAGED' when the blob is malformed, longer than `plainMax`
   * or has another hash. With domain `node` the hash is not checked here (only part is hashed).
   */
  decodeBlob(stored: Uint8Array, plainMax: number, domain: 'plain' | 'node', hash: Uint8Array): Promise<Buffer>;
  decodeBlobSync(stored: Uint8Array, plainMax: number, domain: 'plain' | 'node', hash: Uint8Array): Buffer;
  /**
   * lstat of everything in a folder except `.` and `..`, sorted by the names' bytes. Here and below, a
   * symlink in place of the folder is not followed (ENOTDIR), unless the path ends with a slash.
   * Files that changed at `settledMs` (since 1970) or later get no fingerprint.
   */
  listFolder(path: Buffer, settledMs: number): Promise<NativeListing>;
  /** Opens (O_NOFOLLOW), fstats and reads each of `names` in `folder` that has at most `maxBytes`. */
  readSmallFiles(folder: Buffer, names: readonly Buffer[], maxBytes: number): Promise<SmallFile[]>;
  /**
   * Sorts rows of `rowBytes` bytes by their first 32 bytes, in place; of rows with equal ones the
   * first stays. Resolves to the number of rows left, which are the first ones in `rows`.
   */
  sortRows(rows: Uint8Array, rowBytes: number): Promise<number>;
  /** Takes an exclusive flock(2), waiting for it; released by `close` of the fd or by death. */
  lockExclusive(fd: number): Promise<void>;
}

const require = createRequire(import.meta.url);

let loaded: NativeData | undefined;

/** The addon, loaded on first use. */
export function native(): NativeData {
  loaded ??= require('../../native/build/data.node') as NativeData;
  return loaded;
}
