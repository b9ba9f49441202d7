/**
 * Sees sequential reading, per file, and says what to fetch next: a window that doubles while
 * the reader goes on, so that a random read fetches its chunk and a scan keeps the store busy.
 */

interface Stream {
  /** Where the next sequential read begins, in bytes. */
  next: number;
  /** Up to where has been asked for ahead. */
  fetched: number;
  window: number;
}

const mebibyte = 1024 * 1024;
const windowBytesFirst = 4 * mebibyte;
/** The kernel reads ahead with several requests at once, which arrive in any order. */
const slackBytes = 8 * mebibyte;
const streamsMax = 64;

export class Readahead {
  private readonly windowBytesMax: number;
  private readonly streams = new Map<number, Stream>();

  /** `windowBytesMax`: bytes to fetch ahead of a reader at most; 0 turns it off. */
  constructor(windowBytesMax: number) {
    this.windowBytesMax = windowBytesMax;
  }

  /** Notes a read of a file and returns the range to fetch beside it, if any. All in bytes. */
  next(file: number, offset: number, length: number, size: number): { offset: number; length: number } | undefined {
    if (this.windowBytesMax === 0 || size <= length) return undefined;
    const stream = this.streams.get(file);
    this.streams.delete(file);
    const goesOn = stream && offset >= stream.next - slackBytes && offset <= stream.next + slackBytes;
    if (!goesOn) {
      this.remember(file, { next: offset + length, fetched: offset + length, window: windowBytesFirst });
      return undefined;
    }
    stream.next = Math.max(stream.next, offset + length);
    this.remember(file, stream);
    const end = Math.min(size, stream.next + stream.window);
    const from = Math.max(stream.fetched, stream.next);
    if (end - from < stream.window / 2 && end < size) return undefined;
    if (end <= from) return undefined;
    stream.fetched = end;
    stream.window = Math.min(this.windowBytesMax, stream.window * 2);
    return { offset: from, length: end - from };
  }

  private remember(file: number, stream: Stream): void {
    this.streams.set(file, stream);
    if (this.streams.size > streamsMax) {
      const [oldest] = this.streams.keys();
      if (oldest !== undefined) this.streams.delete(oldest);
    }
  }
}
