/**
 * A stream of pieces, read by lengths of the reader's own.
 */
export class ByteReader {
  private readonly pieces: AsyncIterator<Uint8Array>;
  private current: Buffer = Buffer.alloc(0);

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.pieces = stream[Symbol.asyncIterator]();
  }

  /** At least one byte and at most `max`, in the stream's memory; none at its end. */
  async some(max: number): Promise<Buffer> {
    await this.fill();
    const bytes = this.current.subarray(0, max);
    this.current = this.current.subarray(bytes.length);
    return bytes;
  }

  /** The bytes before the next one that is `end`, which is read too; undefined where the stream ends before it. */
  async until(end: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    for (;;) {
      await this.fill();
      if (this.current.length === 0) return undefined;
      const at = this.current.indexOf(end);
      parts.push(await this.some(at < 0 ? Infinity : at + 1));
      if (at >= 0) return (parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)).subarray(0, -1);
    }
  }

  /** So many bytes, or fewer where the stream ends. */
  async read(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = length; left > 0; left -= parts.at(-1)?.length ?? 0) {
      const bytes = await this.some(left);
      if (bytes.length === 0) break;
      parts.push(bytes);
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  /** Puts back what was read last. */
  unread(bytes: Buffer): void {
    this.current = Buffer.concat([bytes, this.current]);
  }

  /** What is left. */
  async *rest(): AsyncGenerator<Buffer> {
    for (let bytes = await this.some(Infinity); bytes.length > 0; bytes = await this.some(Infinity)) yield bytes;
  }

  private async fill(): Promise<void> {
    while (this.current.length === 0) {
      const next = await this.pieces.next();
      if (next.done) return;
      this.current = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.length);
    }
  }

  /** Lets go of the stream. */
  async close(): Promise<void> {
    await this.pieces.return?.();
  }
}
