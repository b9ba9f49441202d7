/**
 * Transfers under way in native threads, which bring chunks from the store to files of the cache.
 * One that stands still for far longer than others take is requested a second time.
 */
import type { Deadline } from '../base/deadline.ts';
import { nativeFetch, type Fetcher, type FetchHandler } from '../base/native.ts';
import { Pace } from '../base/pace.ts';
import type { Ref } from '../model/refs.ts';
import type { DirectSource } from '../store/store.ts';
import type { LocalFile } from './local-file.ts';
import { InFlight } from './in-flight.ts';

/** A chunk of a file, or a hole (no ref). Bytes. */
export interface FileChunk {
  readonly offset: number;
  readonly length: number;
  readonly ref?: Ref | undefined;
}

/** A chunk to fetch; `left` and `right`: a hole or an end of the file is beside it. */
export interface Wanted extends FileChunk {
  readonly ref: Ref;
  readonly left: boolean;
  readonly right: boolean;
}

/**
 * What bytes are fetched for: a reader who waits, one who will come, one who will come for parts of them
 * at any time, or the disk only. The last two get no memory that is held until they were read.
 */
export type Purpose = 'read' | 'ahead' | 'around' | 'keep';

/** One range of one pack. */
export interface Transfer {
  readonly file: LocalFile;
  /** A reader waits for some of it: it starts before what nobody waits for. */
  readonly isUrgent: boolean;
  /** Readers will want all of it soon: it may stay in memory until then. */
  readonly isHeld: boolean;
  /** All of it goes to the disk; else what finds room in memory does not, and is gone once it was read. */
  readonly isKept: boolean;
  readonly chunks: readonly Wanted[];
  /** Called as each of the chunks can be read. */
  readonly landed: readonly (() => void)[];
  /** Called when the server refuses the address, at most once. Resolves to another one, if there is any. */
  readonly again?: () => Promise<DirectSource | undefined>;
  /** Of those who wait for it. It is told of bytes that come. */
  readonly deadline: Deadline;
  /** Aborted when nobody waits any more: then it is given up, unless all of it is there. */
  readonly stop: AbortSignal;
  /** Called when no more of them will be. `nothing`: native threads brought none. */
  readonly failed: (nothing: boolean) => void;
  /** Called when the file has what landed, and nothing more is done. */
  readonly ended: () => void;
}

/** All of an object from `from` on, as it is stored, into a file that has what comes before. */
export interface Download {
  readonly fd: number;
  readonly from: number;
  /** As for a transfer. */
  readonly again: () => Promise<DirectSource | undefined>;
  /** True while others wait for their turn. */
  readonly isFollowed: () => boolean;
  /** Called when the file has so many bytes of the object. */
  readonly moved: (bytes: number) => void;
  /** Called when nothing more comes. `whole`: the file has all of the object. */
  readonly ended: (bytes: number, whole: boolean) => void;
}

export interface TransferCounters {
  requests: number;
  bytes: number;
  failures: number;
  /** Requests made for a second time, since the first took too long. */
  hedged: number;
}

/** What a thread has been given to do. */
interface Sent extends Transfer {
  readonly source: DirectSource;
  /** Bytes of it that are in the counters, and bytes of it that deadlines were told of. */
  counted: number;
  moved: number;
  /** How many of its chunks are there. */
  count: number;
  /** When it began, and when something of it was last heard, in milliseconds; 0 while it waits its turn. */
  begun: number;
  heard: number;
  /** True when it is a second request, or there is one. */
  isHedged: boolean;
}

interface Downloading {
  readonly download: Download;
  /** Bytes of the object that the file has. */
  bytes: number;
}

/** What the native threads say when the server does not accept an address. */
export const refused = 'refused';
const pieceBytes = 64;
const watchMs = 250;
/**
 * After so many transfers in a row that brought nothing, though the store itself could read the same,
 * native threads get no more to do: for a second, and after each further failure for twice as long.
 */
const failuresMax = 3;
const closedMsFirst = 1_000;
const closedMsMax = 60_000;
/** A transfer may be silent for a third of the time that its readers wait: enough is left to ask the store itself. */
const silenceSecondsMax = 20;
const silencePart = 3;

export class Transfers {
  readonly counters: TransferCounters = { requests: 0, bytes: 0, failures: 0, hedged: 0 };
  private readonly timeoutSeconds: number;
  private readonly memoryBytes: number;
  private readonly wrote: (bytes: number) => void;
  private readonly sent = new Map<number, Sent>();
  private readonly downloads = new Map<number, Downloading>();
  private readonly ranges = new Map<number, (came: Buffer | string) => void>();
  private readonly pace = new Pace();
  private readonly inFlight = new InFlight();
  private fetcher: Fetcher | undefined;
  private watch: NodeJS.Timeout | undefined;
  private next = 1;
  /** Transfers in a row that brought nothing though the store could be read, and when the last of them failed. */
  private failures = 0;
  private failedAt = 0;

  /**
   * `timeoutMs`: how long readers wait. `memoryBytes`: for what is between the store and its readers. `wrote`
   * is told of bytes that went to the disk.
   */
  constructor(timeoutMs: number, memoryBytes: number, wrote: (bytes: number) => void) {
    this.timeoutSeconds = Math.min(silenceSecondsMax, Math.ceil(timeoutMs / 1000 / silencePart));
    this.memoryBytes = memoryBytes;
    this.wrote = wrote;
  }

  /** True while native threads get nothing to do. */
  get areFailing(): boolean {
    const closedMs = Math.min(closedMsMax, closedMsFirst * 2 ** (this.failures - failuresMax));
    return this.failures >= failuresMax && performance.now() - this.failedAt < closedMs;
  }

  /** Notes that the store has read what a transfer could not bring. */
  isOvertaken(): void {
    this.failures += 1;
    this.failedAt = performance.now();
  }

  /** How many requests should be under way at a time. */
  get limit(): number {
    return this.inFlight.limit;
  }

  /** Hands a download to the threads, which begin it after transfers that somebody waits for. */
  download(download: Download, source: DirectSource & { readonly url: string }): () => void {
    const id = this.next++;
    this.downloads.set(id, { download, bytes: download.from });
    this.counters.requests += 1;
    const from = { ...source, timeoutSeconds: this.timeoutSeconds };
    return this.threads().fetchWhole(id, download.fd, download.from, from, false);
  }

  /**
   * Hands one range of an object to the threads, which are to hear something of it every so many seconds.
   * Resolves to its bytes, or to what went wrong; never rejects.
   */
  range(
    { offset, length }: { readonly offset: number; readonly length: number },
    source: DirectSource & { readonly url: string },
    timeoutSeconds: number,
  ): Promise<Buffer | string> {
    const id = this.next++;
    this.counters.requests += 1;
    this.threads().fetchRange(id, offset, length, { ...source, timeoutSeconds });
    return new Promise((resolve) => this.ranges.set(id, resolve));
  }

  private threads(): Fetcher {
    return (this.fetcher ??= new (nativeFetch().Fetcher)(this.inFlight.limit, this.memoryBytes, (...event) =>
      this.tell(...event),
    ));
  }

  /** Hands a transfer to the threads. */
  send(transfer: Transfer, source: DirectSource, isHedged = false): void {
    const id = this.next++;
    this.sent.set(id, { ...transfer, source, counted: 0, moved: 0, count: 0, begun: 0, heard: 0, isHedged });
    this.counters.requests += 1;
    const from = { ...source, timeoutSeconds: this.timeoutSeconds };
    const giveUp = this.threads().fetch(
      id,
      transfer.file.bytes,
      from,
      rowsOf(transfer.chunks),
      transfer.isUrgent,
      transfer.isHeld,
      transfer.isKept,
    );
    transfer.stop.addEventListener('abort', giveUp, { once: true });
    if (transfer.stop.aborted) giveUp();
    this.watch ??= setInterval(() => this.lookForSlow(), watchMs).unref();
  }

  /** Makes a second request for what is missing of a transfer that stands still for far longer than its peers take. */
  private lookForSlow(): void {
    if (this.sent.size === 0) {
      clearInterval(this.watch);
      this.watch = undefined;
    }
    const now = performance.now();
    for (const transfer of this.sent.values()) {
      const { file, begun, heard, isHedged, isKept, count, source, deadline, stop } = transfer;
      const chunks = transfer.chunks.slice(count);
      const hedgeAfterMs = this.pace.hedgeAfterMs(storedBytes(chunks));
      if (begun === 0 || isHedged || chunks.length === 0 || now - heard < hedgeAfterMs) continue;
      transfer.isHedged = true;
      this.counters.hedged += 1;
      const nothing = (): void => undefined;
      const landed = transfer.landed.slice(count);
      const again = { file, chunks, landed, deadline, stop, failed: nothing, ended: nothing };
      this.send({ ...again, isUrgent: true, isHeld: true, isKept }, source, true);
    }
  }

  private tell(...[id, ended, count, bytes, failure, body]: Parameters<FetchHandler>): void {
    const range = this.ranges.get(id);
    if (range) {
      this.ranges.delete(id);
      this.counters.bytes += bytes;
      if (!body) this.counters.failures += 1;
      return range(body ?? failure);
    }
    const downloading = this.downloads.get(id);
    if (downloading) return this.tellOf(id, downloading, ended, bytes, failure);
    const transfer = this.sent.get(id);
    if (!transfer) return;
    if (!ended && count < 0 && transfer.begun > 0) return this.moved(transfer, bytes);
    transfer.heard = performance.now();
    if (!ended && count < 0) {
      transfer.begun = transfer.heard;
      return;
    }
    // Before the chunk is announced: whoever waits for the last one must find all bytes counted.
    const total = ended ? bytes : transfer.counted + (transfer.chunks[count]?.ref.place?.length ?? 0);
    this.counters.bytes += total - transfer.counted;
    transfer.counted = total;
    this.moved(transfer, total);
    if (!ended) {
      transfer.count = count + 1;
      transfer.landed[count]?.();
      if (transfer.count === transfer.chunks.length) this.came(transfer, total);
      return;
    }
    this.sent.delete(id);
    if (failure === refused && transfer.again) {
      const { again, ...rest } = transfer;
      void again()
        .catch(() => undefined)
        .then((source) => (source ? this.send(rest, source) : this.end(transfer, count, bytes, failure)));
      return;
    }
    this.end(transfer, count, bytes, failure);
  }

  private tellOf(id: number, downloading: Downloading, ended: boolean, bytes: number, failure: string): void {
    const { download } = downloading;
    const more = Math.max(0, bytes - downloading.bytes);
    downloading.bytes += more;
    this.counters.bytes += more;
    if (!ended) return more > 0 ? download.moved(bytes) : undefined;
    this.downloads.delete(id);
    if (failure !== '') this.counters.failures += 1;
    else this.adapt(bytes - download.from, download.isFollowed());
    if (failure !== refused) return download.ended(bytes, failure === '');
    void download
      .again()
      .catch(() => undefined)
      .then((source) => {
        if (source?.url === undefined) download.ended(bytes, false);
        else this.download({ ...download, from: bytes, again: () => Promise.resolve(undefined) }, source);
      });
  }

  private end(transfer: Sent, count: number, bytes: number, failure: string): void {
    transfer.ended();
    if (transfer.isKept) this.wrote(bytes);
    if (failure === '') {
      this.failures = 0;
      return;
    }
    // A second request may have brought all of it.
    if (transfer.chunks.every((chunk) => isThere(transfer.file, chunk))) return;
    this.counters.failures += 1;
    if (count > 0) this.failures = 0;
    transfer.failed(count === 0);
  }

  /** Tells deadlines that bytes have come, also those of transfers that wait for their turn behind this one. */
  private moved(transfer: Sent, bytes: number): void {
    const more = Math.max(0, bytes - transfer.moved);
    transfer.moved += more;
    transfer.deadline.moved(more);
    for (const { begun, deadline } of this.sent.values()) if (begun === 0) deadline.moved(more);
  }

  /** All of a transfer has come. */
  private came({ begun, heard }: Sent, bytes: number): void {
    this.pace.note(heard - begun, bytes);
    const waiting = [...this.sent.values()].filter((each) => each.begun === 0).length;
    this.adapt(bytes, waiting > 0);
  }

  /** So many bytes have come, while others waited for their turn or not. */
  private adapt(bytes: number, isBusy: boolean): void {
    if (this.inFlight.note(bytes, isBusy)) this.fetcher?.limit(this.inFlight.limit);
  }
}

export function isThere(file: LocalFile, { offset, length }: FileChunk): boolean {
  return file.bytes.has(offset, length);
}

function rowsOf(chunks: readonly Wanted[]): Buffer {
  const rows = Buffer.alloc(chunks.length * pieceBytes);
  chunks.forEach(({ ref, length, offset, left, right }, index) => {
    const at = index * pieceBytes;
    rows.writeDoubleLE(ref.place?.offset ?? 0, at);
    rows.writeDoubleLE(offset, at + 8);
    rows.writeUInt32LE(ref.place?.length ?? 0, at + 16);
    rows.writeUInt32LE(length, at + 20);
    rows[at + 24] = left ? 1 : 0;
    rows[at + 25] = right ? 1 : 0;
    ref.hash.copy(rows, at + 32);
  });
  return rows;
}

export function storedBytes(chunks: readonly Wanted[]): number {
  return chunks.reduce((sum, { ref }) => sum + (ref.place?.length ?? 0), 0);
}
