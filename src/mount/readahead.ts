/**
 * Sees sequential reading, per file, and says what to fetch next: a window that doubles when the
 * reader has to wait, so that a random read fetches its chunk and a scan keeps the store busy.
 */

interface Stream {
  /** Where the next sequential read begins, in bytes. */
  next: number;
  /** Up to where has been asked for ahead. */
  fetched: number;
  window: number;
  /** A reader who waits at this offset or later lets the window grow: once for what was asked for at a time. */
  growsAt: number;
}

/** What to fetch beside a read, and the offset whose reading is to be told next. All in bytes. */
export interface Ahead {
  readonly offset: number;
  readonly length: number;
  readonly mark: number;
}

const mebibyte = 1024 * 1024;
const windowBytesFirst = 4 * mebibyte;
/** The kernel reads ahead with several requests at once, which arrive in any order. */
const slackBytes = 8 * mebibyte;
const largeReadBytes = 128 * 1024;
const filesMax = 64;
const streamsMax = 4;

export class Readahead {
  private readonly windowBytesMax: number;
  /** The streams of each file, the newest last. */
  private readonly files = new Map<number, Stream[]>();

  /** `windowBytesMax`: bytes to fetch ahead of a reader at most; 0 turns it off. */
  constructor(windowBytesMax: number) {
    this.windowBytesMax = windowBytesMax;
  }

  /**
   * Notes a read of a file; `waits` when its bytes were not here. Returns what to fetch beside it, if
   * anything.
   */
  next(file: number, offset: number, length: number, size: number, waits = true): Ahead | undefined {
    if (this.windowBytesMax === 0 || size <= length) return undefined;
    const streams = this.files.get(file) ?? [];
    this.files.delete(file);
    this.files.set(file, streams);
    const [oldest] = this.files.keys();
    if (this.files.size > filesMax && oldest !== undefined) this.files.delete(oldest);
    const index = streams.findLastIndex((stream) => goesOn(stream, offset, length));
    const [stream] = index < 0 ? [] : streams.splice(index, 1);
    if (!stream) {
      const end = offset + length;
      streams.push({ next: end, fetched: end, window: windowBytesFirst, growsAt: end + windowBytesFirst / 2 });
      if (streams.length > streamsMax) streams.shift();
      return undefined;
    }
    streams.push(stream);
    stream.next = Math.max(stream.next, offset + length);
    if (waits && offset >= stream.growsAt) {
      stream.window = Math.min(this.windowBytesMax, stream.window * 2);
      stream.growsAt = stream.fetched;
    }
    const end = Math.min(size, stream.next + stream.window);
    const from = Math.max(stream.fetched, stream.next);
    if (end <= from || (end - from < stream.window / 2 && end < size)) return undefined;
    stream.fetched = end;
    return { offset: from, length: end - from, mark: Math.max(stream.next, end - stream.window / 2) };
  }
}

/**
 * The kernel asks for much at once only of who reads on; a little is a part of a stream when it
 * follows, or lies in what was fetched ahead.
 */
function goesOn({ next, fetched }: Stream, offset: number, length: number): boolean {
  if (length >= largeReadBytes || length === 0) return offset >= next - slackBytes && offset <= fetched + slackBytes;
  return offset === next || (offset > next && offset <= fetched);
}
