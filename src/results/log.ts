/**
 * What a datum's commands print: kept to be stored, and written beside as it comes, so that it can
 * be followed. What is beyond the limit is left out, and said so.
 */
import { appendFile } from 'node:fs/promises';
import { visible } from '../base/visible.ts';

const newline = 0x0a;

export class DatumLog {
  private readonly spool: string;
  private readonly bytesMax: number;
  private readonly parts: Buffer[] = [];
  private bytes = 0;
  /** The byte that was added last. */
  private last: number | undefined;
  private writing: Promise<void> = Promise.resolve();

  /** `spool` is a file of this machine, made with the first byte. */
  constructor(spool: string, bytesMax: number) {
    this.spool = spool;
    this.bytesMax = bytesMax;
  }

  /** Returns what of it is kept: that which is within the limit. */
  add(bytes: Buffer): Buffer {
    const room = Math.max(0, this.bytesMax - this.bytes);
    const kept = bytes.subarray(0, room);
    if (this.bytes > this.bytesMax) return kept;
    this.bytes += bytes.length;
    this.keep(kept);
    if (bytes.length > room) this.remark(`the log ends here: it is longer than ${this.bytesMax} bytes`);
    return kept;
  }

  /** Adds one line of the engine's own, whatever the command has printed last and however much, and whatever names are in it. */
  remark(text: string): void {
    const isBegun = this.last !== undefined && this.last !== newline;
    this.keep(Buffer.from(`${isBegun ? '\n' : ''}[${visible(text)}]\n`));
  }

  /** All that was printed, once it is written out too. */
  async end(): Promise<Buffer> {
    await this.writing;
    return Buffer.concat(this.parts);
  }

  private keep(bytes: Buffer): void {
    const own = Buffer.from(bytes);
    this.parts.push(own);
    this.last = own.at(-1) ?? this.last;
    // Who follows a log can do without: what is stored does not depend on this disk.
    this.writing = this.writing.then(() => appendFile(this.spool, own, { mode: 0o600 }).catch(() => undefined));
  }
}
