/**
 * Sees how a file is read and says what to fetch next. Whoever reads on gets a window ahead, which
 * doubles when he has to wait; so does who reads from the end to the beginning, or takes a piece
 * every so many bytes. A read here and there gets nothing beside.
 */

interface Stream {
  /** Where the next sequential read begins, in bytes. */
  next: number;
  /** Up to where has been asked for ahead. */
  fetched: number;
  window: number;
  /** A reader who waits at this offset or later lets the window grow: once for what was asked for at a time. */
  growsAt: number;
  /** When something was asked for ahead, in milliseconds; -Infinity: never. */
  asked: number;
}

/** Reads that had to wait and do not follow those before: those of who goes back, or takes a piece every so many bytes. */
interface Jumps {
  /** Where the last one was, or what was fetched ahead ends. */
  last: number;
  /** How far that is from the one before; negative for who goes back. */
  stride: number;
  /** How many were fetched ahead; 0 until the stride has held. */
  count: number;
}

export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** What to fetch beside a read, and the offset whose reading is to be told next, if any. All in bytes. */
export interface Ahead {
  readonly ranges: readonly Range[];
  readonly mark: number | undefined;
}

const mebibyte = 1024 * 1024;
/** What is asked for at once when the reader goes on: often, so that the store never waits for the reader. */
const stepBytes = 8 * mebibyte;
const windowBytesFirst = 4 * mebibyte;
/** The kernel reads ahead with several requests at once, which arrive in any order. */
const slackBytes = 8 * mebibyte;
const largeReadBytes = 128 * 1024;
const filesMax = 64;
const streamsMax = 4;
const jumpsFirst = 2;
const jumpsMax = 64;
/** Of who goes back, the reads that wait are about a chunk from each other. */
const backBytesMax = 4 * mebibyte;
/** Streams that asked for something in this time share what may be fetched ahead. */
const activeMs = 1000;

interface FileReads {
  /** The newest last. */
  readonly streams: Stream[];
  readonly jumps: Jumps;
}

export class Readahead {
  private readonly windowBytesMax: number;
  private readonly now: () => number;
  private readonly files = new Map<number, FileReads>();
  /** The most that a reader needed, who had to wait until he got it: the store is as far for the next one. */
  private needed = windowBytesFirst;

  /** `windowBytesMax`: bytes to fetch ahead of all readers at most; 0 turns it off. `now`: milliseconds. */
  constructor(windowBytesMax: number, now: () => number = () => performance.now()) {
    this.windowBytesMax = windowBytesMax;
    this.now = now;
  }

  /**
   * Notes a read of a file; `waits` when its bytes were not here. Returns what to fetch beside it, if
   * anything.
   */
  next(file: number, offset: number, length: number, size: number, waits = true): Ahead | undefined {
    if (this.windowBytesMax === 0 || size <= length) return undefined;
    const reads = this.files.get(file) ?? { streams: [], jumps: { last: -1, stride: 0, count: 0 } };
    this.files.delete(file);
    this.files.set(file, reads);
    const [oldest] = this.files.keys();
    if (this.files.size > filesMax && oldest !== undefined) this.files.delete(oldest);
    const { streams } = reads;
    const index = streams.findLastIndex((stream) => goesOn(stream, offset, length));
    const [stream] = index < 0 ? [] : streams.splice(index, 1);
    if (stream) {
      streams.push(stream);
      return this.goOn(stream, { offset, length, size, waits });
    }
    const end = offset + length;
    const window = Math.max(windowBytesFirst, this.needed / 4);
    streams.push({ next: end, fetched: end, window, growsAt: end + window / 2, asked: -Infinity });
    if (streams.length > streamsMax) streams.shift();
    const ranges = waits ? jump(reads.jumps, { offset, length }, size, this.windowShare()) : [];
    return ranges.length > 0 ? { ranges, mark: undefined } : undefined;
  }

  private goOn(stream: Stream, read: Range & { readonly size: number; readonly waits: boolean }): Ahead | undefined {
    const { offset, length, size, waits } = read;
    stream.next = Math.max(stream.next, offset + length);
    if (waits && offset >= stream.growsAt) {
      stream.window *= 2;
      stream.growsAt = stream.fetched;
    }
    stream.window = Math.min(stream.window, this.windowShare(stream));
    this.needed = Math.max(this.needed, stream.window);
    const end = Math.min(size, stream.next + stream.window);
    const from = Math.max(stream.fetched, stream.next);
    const step = Math.min(stepBytes, stream.window / 2);
    if (end <= from || (end - from < step && end < size)) return undefined;
    stream.fetched = end;
    stream.asked = this.now();
    const mark = Math.max(stream.next, end - stream.window + step);
    return { ranges: [{ offset: from, length: end - from }], mark };
  }

  /** What one of those that are active may have. */
  private windowShare(own?: Stream): number {
    const since = this.now() - activeMs;
    let others = 0;
    for (const { streams } of this.files.values()) {
      others += streams.filter((stream) => stream !== own && stream.asked > since).length;
    }
    return Math.max(Math.min(windowBytesFirst, this.windowBytesMax), this.windowBytesMax / (1 + others));
  }
}

/**
 * The kernel asks for much at once only of who reads on, and then in any order; a little is a part of
 * a stream when it follows, or lies in what was fetched ahead.
 */
function goesOn({ next, fetched, asked }: Stream, offset: number, length: number): boolean {
  if (length < largeReadBytes && length > 0) return offset === next || (offset > next && offset <= fetched);
  const slack = asked > -Infinity ? slackBytes : 0;
  return offset >= next - slack && offset <= fetched + slack;
}

/** Returns what comes next, when a read goes on as those before. */
function jump(jumps: Jumps, { offset, length }: Range, size: number, window: number): Range[] {
  const distance = offset - jumps.last;
  // Where those who go back have to wait is told by the chunks, which are of any length.
  const goesBack = isBack(distance) && isBack(jumps.stride);
  if (!goesBack && (distance !== jumps.stride || distance === 0)) {
    Object.assign(jumps, { last: offset, stride: distance, count: 0 });
    return [];
  }
  jumps.count = Math.min(Math.max(jumpsFirst, jumps.count * 2), jumpsMax, Math.max(1, window / mebibyte));
  if (goesBack) {
    jumps.last = Math.max(0, offset - jumps.count * mebibyte);
    return offset > 0 ? [{ offset: jumps.last, length: offset - jumps.last }] : [];
  }
  jumps.last = offset + distance * jumps.count;
  const ranges = Array.from({ length: jumps.count }, (_, index) => ({
    offset: offset + distance * (index + 1),
    length,
  }));
  return ranges.filter((range) => range.offset >= 0 && range.offset < size);
}

function isBack(distance: number): boolean {
  return distance < 0 && -distance <= backBytesMax;
}
