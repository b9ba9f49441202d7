/**
 * The kernel's side of the protocol, spoken to a server over a socket: what no real kernel says,
 * or says only sometimes, can be said. One request at a time, so that reads don't run together.
 */
import { closeSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { fuseAddon } from '../../src/mount/fuse-addon.ts';
import { serverOf, type Server, type ViewName } from './synthetic.ts';

export interface Answer {
  /** errno. */
  readonly error: number;
  readonly body: Buffer;
}

export interface Offer {
  readonly major?: number;
  readonly minor?: number;
  readonly flags?: number;
  readonly flags2?: number;
  /** Bytes of the request's body. */
  readonly length?: number;
}

const headerBytes = 40;
const silenceMs = 150;

export class FakeKernel implements AsyncDisposable {
  readonly table: number;
  readonly server: Server;
  private readonly owned: boolean;
  private readonly socket: Duplex;
  private readonly waiting = new Map<bigint, (answer: Answer) => void>();
  private received = Buffer.alloc(0);
  private unique = 2n;

  /** With a table, a successor of the kernel that owns it. */
  constructor(table?: number, view: ViewName = 'synthetic') {
    this.owned = table === undefined;
    this.table = table ?? fuseAddon().createTable();
    this.server = serverOf(this.table, view);
    this.socket = this.server.child.stdio[4] as Duplex;
    this.socket.on('error', () => undefined).on('data', (bytes: Buffer) => this.receive(bytes));
  }

  /** As after INIT with the newest kernel. */
  static async ready(view: ViewName = 'synthetic'): Promise<FakeKernel> {
    const kernel = new FakeKernel(undefined, view);
    await kernel.init({});
    return kernel;
  }

  /** Sends a request and waits for its answer. `unique` beyond 2^53 is what kernels may send. */
  ask(opcode: number, ino: number | bigint, body: Buffer = Buffer.alloc(0)): Promise<Answer> {
    this.unique += 2n;
    const unique = this.unique | (1n << 63n);
    const answer = new Promise<Answer>((done) => this.waiting.set(unique, done));
    this.send(opcode, unique, BigInt(ino), body);
    return answer;
  }

  /** The same for what may get no answer: undefined after a moment of silence. */
  async tell(opcode: number, ino: number | bigint, body: Buffer = Buffer.alloc(0)): Promise<Answer | undefined> {
    const silence = new Promise<undefined>((done) => setTimeout(() => done(undefined), silenceMs));
    return Promise.race([this.ask(opcode, ino, body), silence]);
  }

  init(offer: Offer): Promise<Answer> {
    const body = Buffer.alloc(64);
    body.writeUInt32LE(offer.major ?? 7, 0);
    body.writeUInt32LE(offer.minor ?? 45, 4);
    body.writeUInt32LE(128 * 1024, 8);
    body.writeUInt32LE(offer.flags ?? 0x73fffffb, 12);
    body.writeUInt32LE(offer.flags2 ?? 0x5fd, 16);
    return this.ask(26, 0, body.subarray(0, offer.length ?? 64));
  }

  lookup(parent: number, name: string): Promise<Answer> {
    return this.ask(1, parent, Buffer.from(`${name}\0`));
  }

  async forget(ino: bigint, lookups: number): Promise<void> {
    const body = Buffer.alloc(8);
    body.writeBigUInt64LE(BigInt(lookups));
    await this.tell(2, ino, body);
  }

  /** Bytes as they are, without a header. */
  raw(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  private send(opcode: number, unique: bigint, ino: bigint, body: Buffer): void {
    const header = Buffer.alloc(headerBytes);
    header.writeUInt32LE(headerBytes + body.length, 0);
    header.writeUInt32LE(opcode, 4);
    header.writeBigUInt64LE(unique, 8);
    header.writeBigUInt64LE(ino, 16);
    header.writeUInt32LE(process.pid, 32);
    this.raw(Buffer.concat([header, body]));
  }

  private receive(bytes: Buffer): void {
    this.received = Buffer.concat([this.received, bytes]);
    while (this.received.length >= 16) {
      const length = this.received.readUInt32LE(0);
      if (this.received.length < length) return;
      const unique = this.received.readBigUInt64LE(8);
      this.waiting.get(unique)?.({
        error: Math.abs(this.received.readInt32LE(4)),
        body: this.received.subarray(16, length),
      });
      this.waiting.delete(unique);
      this.received = this.received.subarray(length);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.kill();
    this.socket.destroy();
    if (this.owned) closeSync(this.table);
  }
}
