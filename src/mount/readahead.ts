/**
 * Recognizes how a file is read, and says what to fetch ahead. A sequential reader gets a window ahead,
 * which doubles when the reader had to wait. One who goes backwards, or takes pieces at a fixed
 * distance, gets the next pieces, twice as many each time. Random reads get nothing, until a good part of
 * the file was asked for by them: then their surroundings come, too. For large reads in shuffled order a
 * smaller part is enough.
 */

interface Stream {
  /** Where the next sequential read begins, in bytes. */
  next: number;
  /** End of what was fetched ahead. */
  fetched: number;
  window: number;
  /** A wait at this offset or later doubles the window, so each fetch can double it once. */
  growsAt: number;
  /** Time of the last fetch ahead, in milliseconds; -Infinity: none yet. */
  asked: number;
}

/** Reads that had to wait and continue no stream: backwards, or at a fixed distance. */
interface Jumps {
  /** Offset of the last one, or of the last piece that was fetched ahead. */
  last: number;
  /** Distance from the one before; negative backwards. */
  stride: number;
  /** Pieces fetched ahead at once; 0 until two distances were alike. */
  count: number;
  /** Bytes of reads that had to wait and were part of nothing. */
  scattered: number;
  /**
   * The fewest passes, each from the beginning to the end, that the large ones of these can be taken apart into:
   * where each pass is. And the same from the end to the beginning, as negative numbers. No more are counted
   * than `passesMax` and one.
   */
  readonly forward: number[];
  readonly back: number[];
  /** Surroundings that were fetched of the file, by number, and the first of those after it that may not have been. */
  readonly fetched: Set<number>;
  firstLeft: number;
}

export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** What to fetch beside a read. `mark`: `next` is to be called when a read goes beyond this offset. */
export interface Ahead {
  readonly ranges: readonly Range[];
  readonly mark: number | undefined;
  /** The ranges lie around reads at random: their bytes will be read in parts, at any time. */
  readonly isScattered?: boolean;
}

const mebibyte = 1024 * 1024;
/** Fetched at once for a sequential reader. Small, so that requests to the store never pause. */
const stepBytes = 8 * mebibyte;
const windowBytesFirst = 4 * mebibyte;
/** The kernel reads ahead with several requests at once, which arrive in any order. */
const slackBytes = 8 * mebibyte;
const largeReadBytes = 128 * 1024;
const filesMax = 64;
const streamsMax = 4;
const jumpsFirst = 2;
const jumpsMax = 64;
/** A backward reader waits about once for each chunk, which is no longer than this. */
const backBytesMax = 4 * mebibyte;
/** Who has waited for such a part of a file at random, each time for a chunk that is longer, reads all of it. */
const scatteredPart = 1 / 16;
/** The same for large reads in no order: they are more passes over the file than any few threads make. */
const shuffledPart = 1 / 64;
const passesMax = 8;
/** What is fetched around a read at random then. */
const aroundBytes = 8 * mebibyte;
/** Who has waited for such a part of these in shuffled order will come to the others, of which one is fetched beside. */
const otherPart = 1 / 4;
/** Streams that fetched ahead within this time share the window. */
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
  /** The largest window that any reader needed. New readers begin with a quarter: the store is as far for them. */
  private needed = windowBytesFirst;

  /** `windowBytesMax`: bytes to fetch ahead of all readers at most; 0 turns it off. `now`: milliseconds. */
  constructor(windowBytesMax: number, now: () => number = () => performance.now()) {
    this.windowBytesMax = windowBytesMax;
    this.now = now;
  }

  /**
   * Notes a read of a file. `waits`: its bytes were not on this machine. Returns what to fetch beside it,
   * if anything.
   */
  next(file: number, offset: number, length: number, size: number, waits = true): Ahead | undefined {
    if (this.windowBytesMax === 0 || size <= length) return undefined;
    const reads = this.files.get(file) ?? { streams: [], jumps: noJumps() };
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
    const scattered = waits && ranges.length === 0 ? around(reads.jumps, { offset, length }, size) : [];
    if (scattered.length > 0) return { ranges: scattered, mark: undefined, isScattered: true };
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

  /** The part of the window that one stream may have beside the other active ones. */
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
 * True if a read continues a stream. The kernel makes large requests for sequential readers only, and
 * sends them in any order. A small read must follow exactly, or lie in what was fetched ahead.
 */
function goesOn({ next, fetched, asked }: Stream, offset: number, length: number): boolean {
  if (length < largeReadBytes && length > 0) return offset === next || (offset > next && offset <= fetched);
  const slack = asked > -Infinity ? slackBytes : 0;
  return offset >= next - slack && offset <= fetched + slack;
}

/** Returns the next pieces, if a read is as far from the last one as that from the one before. */
function jump(jumps: Jumps, { offset, length }: Range, size: number, window: number): Range[] {
  const distance = offset - jumps.last;
  // A backward reader waits where a chunk begins, and chunks differ in length: any short distance will do.
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

/**
 * What lies around a read that is part of nothing, once all of the file is worth fetching, and then a part of it
 * that nobody has come to yet.
 */
function around(jumps: Jumps, { offset, length }: Range, size: number): Range[] {
  jumps.scattered += length;
  if (length >= largeReadBytes) {
    follow(jumps.forward, offset);
    follow(jumps.back, -offset);
  }
  const isShuffled = Math.min(jumps.forward.length, jumps.back.length) > passesMax;
  if (jumps.scattered < size * (isShuffled ? shuffledPart : scatteredPart)) return [];
  const { fetched } = jumps;
  const own = Math.floor(offset / aroundBytes);
  const count = Math.ceil(size / aroundBytes);
  const numbers = [own];
  fetched.add(own);
  if (isShuffled && fetched.size > count * otherPart) {
    while (fetched.has(jumps.firstLeft)) jumps.firstLeft += 1;
    if (jumps.firstLeft < count) numbers.push(jumps.firstLeft);
    fetched.add(jumps.firstLeft);
  }
  return numbers.map((number) => {
    const from = number * aroundBytes;
    return { offset: from, length: Math.min(aroundBytes, size - from) };
  });
}

/** Puts a read into the pass that is nearest before it. Of reads in no order that makes about twice the root of their number. */
function follow(passes: number[], at: number): void {
  const before = Math.max(...passes.filter((each) => each < at));
  if (before > -Infinity) passes[passes.indexOf(before)] = at;
  else if (passes.length <= passesMax) passes.push(at);
}

function noJumps(): Jumps {
  return { last: -1, stride: 0, count: 0, scattered: 0, forward: [], back: [], fetched: new Set(), firstLeft: 0 };
}

function isBack(distance: number): boolean {
  return distance < 0 && -distance <= backBytesMax;
}
