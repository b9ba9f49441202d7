/**
 * Serves a view through a kernel connection. Only translates: what names and bytes there are is
 * the view's, what the kernel says is the addon's.
 */
import { constants } from 'node:os';
import { assert, isPachError, PachError } from '../base/errors.ts';
import type { BlobsHere } from '../cache/blobs-here.ts';
import { AttachedFiles } from './attached.ts';
import { encodeEntries, encodeEntry, formattedBytes, nextOf, viewNodeOf } from './entry-codec.ts';
import { errnoOf } from './errno.ts';
import { FailedReads } from './failed-reads.ts';
import { Neighbours } from './neighbours.ts';
import type { Recorder } from './recorder.ts';
import { fuseAddon, type FuseCounters, type FuseRequest, type FuseSession } from './fuse-addon.ts';
import { rootIno, type NodeOf, type Piece, type View, type ViewEntry, type ViewNode } from './view.ts';

export interface TransportCounters extends FuseCounters {
  /** Reads whose bytes were not on this machine, and how long those took, in milliseconds. */
  readonly waits: number;
  readonly waitMs: number;
  readonly waitMsMax: number;
}

export interface TransportOptions {
  /** Descriptors from `mountKernel`; another process may have served them before. */
  readonly device: number;
  readonly table: number;
  /** Who owns everything under the mount. */
  readonly uid: number;
  readonly gid: number;
  /** How deep the kernel is to count this mount in a stack of file systems; 0 lends it no files. */
  readonly stackDepth: number;
  /** Files of the disk cache that reads are answered from at a time, each with two descriptors more. */
  readonly attachedMax: number;
  /** Where stored blobs lie on this machine. */
  readonly blobs?: BlobsHere | undefined;
  /** Told of all that native threads can't answer. */
  readonly recorder?: Pick<Recorder, 'note'> | undefined;
  /** Told of every request that failed in a way the view does not announce. Must not throw. */
  onError(error: unknown): void;
}

const { errno } = constants;
const opcodes = {
  lookup: 1,
  getattr: 3,
  readlink: 5,
  open: 14,
  read: 15,
  getxattr: 22,
  listxattr: 23,
  readdir: 28,
  readdirplus: 44,
};
/** After so many tries a read does without the disk cache, which may lose bytes as fast as they come. */
const localTriesMax = 3;
/** `.` and `..` come before the first entry in the kernel's cookies. */
const dots = 2;
/** Requests that are answered from the disk of which the recorder hears: later ones are no first reads. */
const heardMax = 2048;
const attributePrefix = Buffer.from('user.pach.');

export class Transport {
  /** Settles when the kernel has agreed to talk to us; rejects as `finished` does. */
  readonly ready: Promise<void>;
  /**
   * Resolves when the mount is gone. Rejects when the connection was aborted, or, with
   * `unsupported`, when the kernel is too old.
   */
  readonly finished: Promise<void>;
  private readonly view: View;
  private readonly options: TransportOptions;
  private readonly session: FuseSession;
  private readonly nodeOf: NodeOf;
  private readonly waits = { waits: 0, waitMs: 0, waitMsMax: 0 };
  private readonly failed = new FailedReads();
  private readonly attached: AttachedFiles;
  private readonly neighbours: Neighbours;

  /** Starts to serve; keeps the process running until the mount is gone. */
  constructor(view: View, options: TransportOptions) {
    this.view = view;
    this.options = options;
    const { device, table, uid, gid, stackDepth } = options;
    const { bytes: totalBytes, files: totalFiles } = view.totals();
    const ready = settleable();
    const finished = settleable();
    this.ready = ready.promise;
    this.finished = finished.promise;
    this.session = new (fuseAddon().FuseSession)(
      {
        device,
        table,
        uid,
        gid,
        totalBytes,
        totalFiles,
        stackDepth,
        sharesFiles: view.sharesFiles,
        root: this.encodedRoot(),
        blobs: options.blobs,
      },
      {
        ready: () => ready.settle(undefined),
        requests: (batch) => {
          for (const request of batch) void this.answer(request);
        },
        progress: (ino, offset) => this.attached.readAhead(ino, offset, 0, false),
        met: (request, isWatched) => this.met(request, isWatched),
        end: (error) => {
          ready.settle(error && reasonOf(error));
          finished.settle(error && reasonOf(error));
        },
      },
    );
    this.attached = new AttachedFiles(view, this.session, options.attachedMax);
    this.nodeOf = (ino) => {
      const node = this.session.node(ino);
      assert(node, `the kernel asks for inode ${ino} only while it has it`);
      return viewNodeOf(node);
    };
    this.neighbours = new Neighbours(view, this.session, this.nodeOf);
    if (options.recorder) this.session.hear(heardMax);
  }

  counters(): TransportCounters {
    return { ...this.session.counters(), ...this.waits };
  }

  /** Native threads have answered a request, about which somebody here wants to know. */
  private met(request: FuseRequest, isWatched: boolean): void {
    const found = this.session.node(request.ino);
    if (!found) return;
    const node = viewNodeOf(found);
    this.note(request, node);
    if (isWatched) this.neighbours.met(node);
  }

  /** Answers one request; never throws. */
  private async answer(request: FuseRequest): Promise<void> {
    const { id, ino, opcode, offset, size } = request;
    const isRead = opcode === opcodes.read;
    try {
      if (isRead && this.failed.take(ino, offset, size)) return this.session.replyError(id, errno.EIO);
      const node = this.nodeOf(ino);
      this.note(request, node);
      await this.decide(request, node);
    } catch (error) {
      if (isRead && isPachError(error, 'unreachable')) this.failed.note(ino, offset, size);
      this.session.replyError(id, errnoOf(error));
      if (!isPachError(error, 'not-found', 'interrupted')) this.options.onError(error);
    }
  }

  /** Tells the recorder of a request before it is answered, so that the order of requests is kept. */
  private note(request: FuseRequest, node: ViewNode): void {
    try {
      this.record(request, node);
    } catch {
      // It, or the directory that had it, is forgotten meanwhile: nobody can say where it was.
    }
  }

  private record({ opcode, name, offset, size }: FuseRequest, node: ViewNode): void {
    const { recorder } = this.options;
    if (opcode === opcodes.lookup) recorder?.note({ kind: 'name', node, name, from: 0, to: 0 }, this.nodeOf);
    else if (opcode === opcodes.read && offset < node.size) {
      const to = Math.min(node.size, offset + size);
      recorder?.note({ kind: 'file', node, from: offset, to }, this.nodeOf);
    } else if (opcode === opcodes.readdir || opcode === opcodes.readdirplus) {
      // Whoever lists has seen all entries before this one.
      const to = Math.max(0, offset - dots) + 1;
      recorder?.note({ kind: 'list', node, from: 0, to }, this.nodeOf);
    }
  }

  private encodedRoot(): Buffer {
    return encodeEntry({ ...this.view.root(), name: Buffer.alloc(0) });
  }

  private async decide(request: FuseRequest, node: ViewNode): Promise<void> {
    const { view, session, nodeOf } = this;
    const { opcode, id } = request;
    switch (opcode) {
      case opcodes.lookup: {
        if (await this.isKept(request, node)) return;
        const found = await view.lookup(node, request.name, nodeOf);
        return session.replyEntry(id, node.ino, found.kind === 'absent' ? found.validMs : encodeEntry(found));
      }
      case opcodes.getattr:
        assert(node.ino === rootIno, 'only the attributes of the root are asked for');
        return session.replyRoot(id, this.encodedRoot());
      case opcodes.readdir:
      case opcodes.readdirplus:
        if (await this.isKept(request, node)) return;
        return this.readDirectory(request, node);
      case opcodes.open:
        await this.attached.of(node);
        return session.replyOpen(id, node.ino);
      case opcodes.read:
        return this.read(request, node);
      case opcodes.readlink:
        return session.replyBytes(id, await view.readLink(node, nodeOf));
      case opcodes.getxattr:
      case opcodes.listxattr:
        return this.attribute(request, node);
      default:
        return session.replyError(id, errno.ENOSYS);
    }
  }

  /** For a directory that is a single leaf: answers, and leaves later requests to native threads. False for others. */
  private async isKept(request: FuseRequest, node: ViewNode): Promise<boolean> {
    const leaf = await this.view.whole(node);
    if (!leaf || !node.ref) return false;
    const answered = this.session.keepLeaf(node.ref.hash, leaf) && this.session.replyKept(request);
    this.neighbours.enteredFolder(node);
    return answered;
  }

  private async readDirectory(request: FuseRequest, node: ViewNode): Promise<void> {
    const { session, view } = this;
    const leaf = await view.leaf(node, Math.max(0, request.offset - dots), this.nodeOf);
    if (leaf?.bytes.length === 0) return session.replyDirectory(request, leaf.bytes);
    // A leaf that the addon does not understand is decoded by `list`, whose errors say what is wrong.
    if (leaf && session.replyLeaf(request, leaf.bytes, leaf.first)) return;
    session.replyDirectory(request, await this.entries(request, node));
  }

  /** Entries from the cookie on, enough to fill the kernel's buffer. */
  private async entries(request: FuseRequest, node: ViewNode): Promise<Buffer> {
    const found: ViewEntry[] = [];
    let from = Math.max(0, request.offset - dots);
    for (let bytes = 0; bytes < request.size;) {
      const page = await this.view.list(node, from, this.nodeOf);
      if (page.length === 0) break;
      for (const entry of page) {
        bytes += formattedBytes(entry, request.opcode === opcodes.readdirplus);
        if (bytes > request.size) break;
        found.push(entry);
      }
      from = nextOf(page.at(-1) as ViewEntry);
    }
    return encodeEntries(found);
  }

  private async read(request: FuseRequest, node: ViewNode): Promise<void> {
    const begun = performance.now();
    const isLocal = request.tries < localTriesMax && (await this.isLocal(request, node));
    if (isLocal) this.session.replyLocal(request);
    else this.session.replyPieces(request.id, await this.pieces(request, node));
    const ms = performance.now() - begun;
    this.waits.waits += 1;
    this.waits.waitMs += ms;
    this.waits.waitMsMax = Math.max(this.waits.waitMsMax, ms);
    if (request.offset === 0) this.neighbours.beganFile(node);
  }

  /** True once the bytes are where native threads answer from: in a file of the disk cache, or in a pack. */
  private async isLocal({ offset, size }: FuseRequest, node: ViewNode): Promise<boolean> {
    const local = await this.attached.of(node);
    const length = Math.min(size, node.size - offset);
    if (length <= 0) return false;
    if (!local) return (await this.view.arrives?.(node, offset, length, this.nodeOf)) === true;
    const there = local.ensure(offset, length);
    this.attached.readAhead(node.ino, offset, length, true);
    return there;
  }

  /** The kernel takes fewer bytes than it asked for as the end of the file. */
  private async pieces(request: FuseRequest, node: ViewNode): Promise<readonly Piece[]> {
    const length = Math.max(0, Math.min(request.size, node.size - request.offset));
    if (length === 0) return [];
    const pieces = await this.view.read(node, request.offset, length, this.nodeOf);
    const got = pieces.reduce((sum, piece) => sum + (piece.kind === 'bytes' ? piece.bytes.length : piece.length), 0);
    assert(got === length, `a read of ${length} bytes got ${got}`);
    return pieces;
  }

  private async attribute(request: FuseRequest, node: ViewNode): Promise<void> {
    const { id, size, name } = request;
    const listing = request.opcode === opcodes.listxattr;
    // Any other name is refused for the whole file system: then `ls` asks for it once, not per file.
    if (!listing && !name.subarray(0, attributePrefix.length).equals(attributePrefix)) {
      return this.session.replyError(id, errno.EOPNOTSUPP);
    }
    const attributes = await this.view.attributes(node, this.nodeOf);
    const value = listing
      ? Buffer.from([...attributes.keys()].map((each) => `${each}\0`).join(''))
      : attributes.get(name.toString());
    if (!value) return this.session.replyError(id, errno.ENODATA);
    if (size === 0) {
      const length = Buffer.alloc(8);
      length.writeUInt32LE(value.length);
      return this.session.replyBytes(id, length);
    }
    if (value.length > size) return this.session.replyError(id, errno.ERANGE);
    return this.session.replyBytes(id, value);
  }
}

interface Settleable {
  readonly promise: Promise<void>;
  /** Only the first call counts. */
  settle(error: Error | undefined): void;
}

/** A promise and the function that settles it. Nobody has to await it: no rejection of it is unhandled. */
function settleable(): Settleable {
  let settle: Settleable['settle'] = () => undefined;
  const promise = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  promise.catch(() => undefined);
  return { promise, settle };
}

function reasonOf(error: NodeJS.ErrnoException): PachError {
  if (error.code !== 'EPROTONOSUPPORT') {
    const why = error.code === 'ECONNABORTED' ? 'the kernel connection was aborted' : error.message;
    return new PachError('failed', { what: 'mount', why, cause: error });
  }
  const why = 'its FUSE protocol is older than 7.31, which is needed (Linux 5.4)';
  return new PachError('unsupported', { what: 'kernel', why, cause: error });
}
