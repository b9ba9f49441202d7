/**
 * The portable native addon (`native/data`): hashing, cutting, compression and batched
 * file reading. Everything that returns a promise runs on libuv's thread pool, off the main
 * thread; buffers handed in must not change until it settles.
 */
import { createRequire } from 'node:module';

/** Domain of a hash: `plain` for chunks, derive-key contexts of FORMAT.md for the rest. */
export type HashDomain = 'plain' | 'gear' | 'node' | 'content' | 'reference';

/** A piece of a file's content: a hole (no bytes), or a chunk with its name. */
export type CutPiece =
  | { readonly length: number; readonly bytes?: undefined; readonly hash?: undefined }
  | { readonly length: number; readonly bytes: Buffer; readonly hash: Buffer };

/** Cuts one byte stream into chunks and holes (FORMAT.md section 2). Calls must not overlap. Useless after an error. */
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

/**
 * A large file's plain bytes on this machine's disk, and which of them are present. Processes that
 * open the same two files (bytes and checksums) share what each of them has stored. All in bytes.
 */
export interface CacheFile {
  /** Where the bytes that are present from `offset` on end, at most `limit`; `offset` when none are. */
  presentUntil(offset: number, limit: number): number;
  /**
   * True when all of a chunk is present. It may still share a block of 4 KiB with a chunk that is
   * not, and then that block can't be read yet.
   */
  has(offset: number, length: number): boolean;
  /**
   * Stores a chunk that the caller has verified. `left` and `right`: a hole or an end of the file is
   * on that side. A chunk within a single block is stored only when both are true. Rejects with
   * `code` when the disk refuses it.
   */
  put(offset: number, bytes: Uint8Array, left: boolean, right: boolean): Promise<void>;
  /** The bytes, checked; undefined when not all are there or some were damaged. Damaged blocks are forgotten. */
  read(offset: number, length: number): Promise<Buffer | undefined>;
  drop(offset: number, length: number): void;
  /**
   * Tells other processes that this one fetches a range; false when another fetches a part of it.
   * The claim ends with `unclaim`, or with the process.
   */
  claim(offset: number, length: number): boolean;
  unclaim(offset: number, length: number): void;
  /** True when every byte is there, as the checksums say. */
  whole(): boolean;
  /**
   * Reads a range back and counts the bytes that are right and those that are damaged. Damaged blocks
   * are forgotten. `past`: reads past the page cache what it does not have.
   */
  check(offset: number, length: number, past: boolean): Promise<{ checked: number; damaged: number }>;
  /** Writes all to the disk; resolves to what the file looks like then. */
  sync(): Promise<Buffer>;
  /** Seals a file of which `check` found every byte right after this `sync`; false when it was written to since. */
  seal(stamp: Buffer): Promise<boolean>;
  /** True when the file looks as it did when it was sealed: then it outlives a crash, and is read without checks. */
  sealed(): boolean;
  /** Bytes; 0 once it is closed. */
  readonly size: number;
  /** Descriptor of the bytes; -1 once it is closed. */
  readonly data: number;
  /** This file for another addon; undefined once it is closed. */
  readonly shared: object | undefined;
  /**
   * Closes its descriptors once its threads are done, since they are too scarce to wait for the
   * garbage collector. From then on it holds nothing and takes nothing.
   */
  close(): void;
}

/** Threads that fetch chunks into cache files. */
export interface Fetcher {
  /**
   * Begins a transfer of one range of an object. `pieces` are ascending rows of 64 bytes, a chunk each:
   * at 0 a double, its offset in the object; at 8 a double, its offset in the file; at 16 and 20 its
   * stored and plain length (u32); at 24 and 25 `left` and `right` of `put`; at 32 its hash.
   * `urgent`: goes before transfers that are not. `held`: this process will read it, so it may stay in
   * memory until then. `kept`: all of it goes to the file; else what finds room in memory does not. The
   * function that is returned cancels it; it ends soon, unless it is complete.
   */
  fetch(
    id: number,
    file: CacheFile,
    source: {
      readonly path?: string | undefined;
      readonly url?: string | undefined;
      readonly proxy?: string;
      readonly certificates?: string;
      readonly timeoutSeconds: number;
    },
    pieces: Uint8Array,
    urgent: boolean,
    held: boolean,
    kept: boolean,
  ): () => void;
  /**
   * Begins to bring an object as it is stored into the file `fd`, which has its first `from` bytes, up to
   * the object's end. Nothing of it is verified. The handler hears how many bytes it has.
   */
  fetchWhole(
    id: number,
    fd: number,
    from: number,
    source: {
      readonly url: string;
      readonly proxy: string;
      readonly certificates: string;
      readonly timeoutSeconds: number;
    },
    urgent: boolean,
  ): () => void;
  /** Brings one range of an object, at most 8 MiB, at once. Its end says so with the bytes. */
  fetchRange(
    id: number,
    begin: number,
    length: number,
    source: {
      readonly url: string;
      readonly proxy: string;
      readonly certificates: string;
      readonly timeoutSeconds: number;
    },
  ): () => void;
  /** From now on so many transfers at a time. */
  limit(transfers: number): void;
}

/**
 * Called when a transfer begins and now and then with the `bytes` that came so far (`count` is -1),
 * for each piece that can be read (`count` is its number), and once at the end, when the file holds what
 * arrived: `count` pieces, `bytes` bytes. `failure` says what went wrong, if anything: "refused" when the
 * server does not accept the address. `body`: the bytes of a range that came.
 */
export type FetchHandler = (
  id: number,
  ended: boolean,
  count: number,
  bytes: number,
  failure: string,
  body: Buffer | undefined,
) => void;

/** What `verifyBlobs` says of a blob that is damaged. */
export const damagedLength = 0xffffffff;

export interface NativeData {
  /** A Buffer of `length` bytes (at most 8 MiB) with memory of its own, not initialised. It begins with a page. */
  allocate(length: number): Buffer;
  /**
   * Gives the memory of a Buffer back at once, if all of it is this Buffer's, or that of some which stand side by
   * side and have all of it together, none of it twice. They and all that was cut from it are empty then. The
   * collector would free it late: it only looks when much has come together, and goes through everything else then.
   */
  release(...bytes: readonly Uint8Array[]): void;
  /** BLAKE3-256 of the parts one after another, on the calling thread: for small inputs. */
  hash(domain: HashDomain, ...parts: Uint8Array[]): Buffer;
  /** The same on the thread pool. */
  hashAsync(domain: HashDomain, bytes: Uint8Array): Promise<Buffer>;
  /** True when these are a node's plain bytes that this hash names. */
  verifyNode(bytes: Uint8Array, hash: Uint8Array): boolean;
  createCutter(): Cutter;
  /**
   * Blobs (FORMAT.md section 3: codec byte and payload) of plain bytes, in one call. Undefined for a
   * long blob that does not compress: it is the byte 0 and the plain bytes, which need no copy.
   */
  encodeBlobs(plain: readonly Uint8Array[]): Promise<(Buffer | undefined)[]>;
  /**
   * Plain bytes of a blob, verified against `hash`.
   * Throws an Error whose `code` is 'DAMAGED' when the blob is malformed, longer than `plainMax`
   * or has another hash. With domain `node` the hash is not checked here (only part is hashed).
   */
  decodeBlob(stored: Uint8Array, plainMax: number, domain: 'plain' | 'node', hash: Uint8Array): Promise<Buffer>;
  decodeBlobSync(stored: Uint8Array, plainMax: number, domain: 'plain' | 'node', hash: Uint8Array): Buffer;
  /**
   * Verifies many chunks where they lie in `stored`, in one call. `rows` have 40 bytes each: u32 offset, u32
   * stored length, hash[32]. The plain length of each; `damagedLength` for one that `decodeBlob` would refuse.
   */
  verifyBlobs(stored: Uint8Array, rows: Uint8Array, plainMax: number): Promise<Uint32Array>;
  /**
   * lstat of everything in a folder except `.` and `..`, sorted by the names' bytes. Here and below,
   * `root` and `path` are a `Place`. A symlink in place of the folder is not followed (ENOTDIR), unless
   * it is the root and ends with a slash. Files that changed at `settledMs` (since 1970) or later get
   * no fingerprint.
   */
  listFolder(root: Buffer, path: Buffer, settledMs: number): Promise<NativeListing>;
  /** Opens (O_NOFOLLOW), fstats and reads each of `names` in a folder that has at most `maxBytes`. */
  readSmallFiles(root: Buffer, path: Buffer, names: readonly Buffer[], maxBytes: number): Promise<SmallFile[]>;
  /** What the symlink `name` in a folder leads to. */
  readLink(root: Buffer, path: Buffer, name: Buffer): Promise<Buffer>;
  /** A descriptor, to be closed by the caller. */
  openFile(root: Buffer, path: Buffer): Promise<number>;
  /**
   * Writes a new file of these parts (mode 0444) past the page cache, as far as the file system can;
   * on the disk when it resolves. Gives it `mode` and `group`, as far as the system lets it. Resolves to a
   * descriptor, to be closed by the caller, that has an exclusive flock(2) since before the first byte,
   * where there are locks. Errors carry `code`; the file may be there then.
   */
  writeNewFile(path: Buffer, parts: readonly Uint8Array[], mode?: number, group?: number): Promise<number>;
  /**
   * Removes what lies at the relative path `below` in `folder`: the `tree` is a file, a link itself, or a
   * folder with all in it; `contents` are what a folder holds, also `folder` itself where `below` is empty; a
   * `single` thing is a file, a link itself, or a folder that is empty, another one staying as it is.
   * No link is followed in place of `folder`, unless its path ends with a slash, and none below it. Another
   * mount below is not entered (EBUSY, EXDEV). What isn't there is no error. Errors carry `code` and `path`.
   */
  remove(folder: Buffer, below: Buffer, what: 'tree' | 'contents' | 'single'): void;
  removeAsync(folder: Buffer, below: Buffer, what: 'tree' | 'contents' | 'single'): Promise<void>;
  /**
   * Sorts rows of `rowBytes` bytes by their first 32 bytes, in place; of rows with equal ones the
   * first stays. Resolves to the number of rows left, which are the first ones in `rows`.
   */
  sortRows(rows: Uint8Array, rowBytes: number): Promise<number>;
  /** Loads a shared library for the rest of the process, so that later users find it loaded; false when that fails. */
  preload(path: Buffer): Promise<boolean>;
  /** Takes an exclusive flock(2) if that can be had now; false when others have one. */
  tryLock(fd: number): boolean;
  /** Takes an exclusive flock(2), waiting for it; released by `close` of the fd or by death. */
  lockExclusive(fd: number): Promise<void>;
}

export interface NativeFetch {
  /**
   * `data` and `sums` are descriptors, which the caller still owns. `size`: undefined to take the size
   * from the checksums. `content` is the hash that names the content, `boot` 16 bytes that differ from one
   * start of the machine to the next. Errors carry `code`: ESTALE when the checksums are of another
   * file or content, EPROTONOSUPPORT when they name no size that is understood.
   */
  readonly CacheFile: new (
    data: number,
    sums: number,
    size: number | undefined,
    content: Uint8Array,
    boot: Uint8Array,
  ) => CacheFile;
  /**
   * `memory`: bytes for chunks on their way from the store to their readers. Consecutive chunks stay
   * there until they are written and read; single chunks, and all when it is full, are read back from the file.
   */
  readonly Fetcher: new (threads: number, memory: number, handler: FetchHandler) => Fetcher;
}

const require = createRequire(import.meta.url);

let data: NativeData | undefined;
let fetching: NativeFetch | undefined;

/** The addon, loaded on first use. */
export function native(): NativeData {
  data ??= require('../../native/build/data.node') as NativeData;
  return data;
}

/** The addon that fetches with libcurl. Only readers of large files load it. */
export function nativeFetch(): NativeFetch {
  fetching ??= require('../../native/build/fetch.node') as NativeFetch;
  return fetching;
}

/** Loads it in the background: from a cold disk, with the libraries of libcurl, that takes 0.2 s. */
export async function preloadFetch(): Promise<void> {
  await native().preload(Buffer.from(require.resolve('../../native/build/fetch.node')));
}
