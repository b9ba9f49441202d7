/**
 * Fills files of the cache with the chunks that a reader needs, each fetched once however many
 * wait for it. The bytes go from the store to the disk in native threads; what they can't get is
 * read and judged chunk by chunk by the BlobReader, whose errors readers see.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Deadline } from '../base/deadline.ts';
import { assert, isPachError } from '../base/errors.ts';
import { packKey } from '../model/keys.ts';
import { type Ref } from '../model/refs.ts';
import type { DirectSource, Store } from '../store/store.ts';
import { Addresses } from './addresses.ts';
import type { BlobReader } from './blobs.ts';
import type { LocalFile } from './local-file.ts';
import type { DiskSpace } from './space.ts';
import {
  isThere,
  storedBytes,
  Transfers,
  type FileChunk,
  type Purpose,
  type Transfer,
  type TransferCounters,
  type Wanted,
} from './transfers.ts';

export type { FileChunk } from './transfers.ts';

/** Chunks in order, with no gap: those of a range, and their neighbours where there are any. */
export interface Stretch {
  readonly chunks: readonly FileChunk[];
  /** Index of the first chunk of the range, and of the first beyond it. */
  readonly from: number;
  readonly to: number;
}

/** A request for chunks of a file: by whom, what for, and how long it may take. */
interface Asked {
  readonly reader: BlobReader;
  readonly project: string;
  readonly file: LocalFile;
  readonly purpose: Purpose;
  readonly deadline: Deadline;
}

/** A chunk that was asked for in this turn of the event loop. */
interface Gathered {
  /** By whom; by one who waits for it, if there is any. */
  asked: Asked;
  readonly chunk: Wanted;
  readonly begun: (fetched: Promise<void>) => void;
}

/** Who has read so much of a file in order, and reads on, reads it again. The rest was read singly. */
const onceRead = 0.9;
const nearFilesMax = 10_000;
const pauseMsMax = 100;
const runBytesMax = 10 * 1024 * 1024;
/** A gap between two chunks is fetched along, up to this and while the gaps are at most a quarter of all. */
const gapBytesMax = 512 * 1024;

export class Filler {
  private readonly store: Store;
  private readonly space: DiskSpace;
  private readonly timeoutMs: number;
  readonly transfers: Transfers;
  readonly addresses: Addresses;
  /** By file and offset: chunks that can't be read yet, and chunks that are not on the disk yet. */
  private readonly underWay = new Map<string, Promise<void>>();
  private readonly unwritten = new Map<string, Promise<void>>();
  private gathered = new Map<string, Gathered>();
  /**
   * False where a second copy of packs on this machine is of less use: what is read of them in order is then
   * written to the disk cache only when a file is read for a second time.
   */
  copiesNear = true;
  /** Bytes that were fetched of each file of such packs by who read in order. */
  private readonly fetchedNear = new Map<string, number>();

  /** `timeoutMs`: how long a reader waits for a store that does not answer. */
  constructor(store: Store, space: DiskSpace, timeoutMs: number, memoryBytes: number) {
    this.store = store;
    this.space = space;
    this.timeoutMs = timeoutMs;
    this.transfers = new Transfers(timeoutMs, memoryBytes, (bytes) => space.wrote(bytes));
    this.addresses = new Addresses(store);
  }

  get counters(): Readonly<TransferCounters> {
    return this.transfers.counters;
  }

  /**
   * Resolves when all chunks of the range can be read from the file. Rejects as BlobReader.chunk does, or with
   * a system error when the disk does not take them.
   */
  async fill(reader: BlobReader, project: string, file: LocalFile, stretch: Stretch, purpose: Purpose): Promise<void> {
    const deadline = new Deadline(this.timeoutMs);
    const ask = (): ReturnType<Filler['ask']> => this.ask({ reader, project, file, purpose, deadline }, stretch);
    const { joined, begun } = ask();
    try {
      await Promise.all([...joined, ...begun]);
    } catch (error) {
      // It was begun by another reader, whose time was over earlier.
      if (joined.length === 0 || !isPachError(error, 'unreachable') || deadline.isOver) throw error;
      const again = ask();
      await Promise.all([...again.joined, ...again.begun]);
    }
  }

  /** Promises for chunks that others have under way, and for those that begin now. */
  private ask(asked: Asked, stretch: Stretch): { joined: Promise<void>[]; begun: Promise<void>[] } {
    const { file } = asked;
    const joined: Promise<void>[] = [];
    const begun: Promise<void>[] = [];
    for (let index = stretch.from; index < stretch.to; index += 1) {
      const chunk = stretch.chunks[index] as FileChunk;
      if (!chunk.ref || isThere(file, chunk)) continue;
      const key = keyOf(file, chunk);
      const gathered = this.gathered.get(key);
      if (gathered && asked.purpose === 'read') gathered.asked = asked;
      const under = this.underWay.get(key);
      if (under) joined.push(under);
      else begun.push(this.gather(asked, wantedOf(stretch, index, file.size)));
    }
    return { joined, begun };
  }

  /**
   * What is asked for in one turn of the event loop is fetched together: the parts of a read for which the
   * kernel asks at once, and what is to come beside it.
   */
  private gather(asked: Asked, chunk: Wanted): Promise<void> {
    if (this.gathered.size === 0) setImmediate(() => this.beginGathered());
    const key = keyOf(asked.file, chunk);
    const fetched = new Promise<void>((begun) => this.gathered.set(key, { asked, chunk, begun }));
    const promise = fetched.finally(() => this.underWay.delete(key));
    promise.catch(() => undefined);
    this.underWay.set(key, promise);
    return promise;
  }

  private beginGathered(): void {
    let left = [...this.gathered.values()];
    this.gathered = new Map();
    for (let first = left[0]; first; first = left[0]) {
      const { asked } = first;
      const together = left.filter((each) => comesWith(each.asked, asked));
      left = left.filter((each) => !comesWith(each.asked, asked));
      for (const run of runsOf(together.toSorted((a, b) => a.chunk.offset - b.chunk.offset))) this.begin(run);
    }
  }

  /** Resolves when what is under way of these chunks, and of the neighbours given, is on the disk, or failed. */
  async written(file: LocalFile, { chunks }: Stretch): Promise<void> {
    await Promise.all(chunks.flatMap((chunk) => this.unwritten.get(keyOf(file, chunk)) ?? []));
  }

  /** Writes the whole blocks of [begin, end), which lie in the range of `stretch`. For blocks that two chunks share. */
  async mend(reader: BlobReader, file: LocalFile, stretch: Stretch, begin: number, end: number): Promise<void> {
    const parts: Buffer[] = [];
    for (const { offset, length, ref } of stretch.chunks.slice(stretch.from, stretch.to)) {
      assert(ref, 'a hole has no bytes');
      const bytes = await reader.chunk(ref, length);
      parts.push(bytes.subarray(Math.max(0, begin - offset), Math.min(length, end - offset)));
    }
    await file.bytes.put(begin, Buffer.concat(parts), false, false);
    file.sealSoon(false);
  }

  /** Fetches chunks with one request, under the deadline of one who waits for some of them. */
  private begin(run: readonly Gathered[]): void {
    const lead = run.find((each) => each.asked.purpose === 'read') ?? run[0];
    assert(lead, 'a run has chunks');
    const { asked } = lead;
    const { project, file, purpose, deadline } = asked;
    const chunks = run.map(({ chunk }) => chunk);
    const isUrgent = purpose === 'read' || purpose === 'keep';
    const isHeld = run.every((each) => each.asked.purpose === 'read' || each.asked.purpose === 'ahead');
    const isInOrder = isHeld && run.some((each) => each.asked.purpose === 'ahead');
    const isKept = !isInOrder || this.copies(file, chunks);
    const landed: (() => void)[] = [];
    const landings = chunks.map(() => new Promise<void>((resolve) => landed.push(resolve)));
    let isOvertaken = false;
    let failed: Transfer['failed'] = () => undefined;
    const failure = new Promise<void>((resolve) => {
      failed = (nothing) => {
        isOvertaken = nothing;
        resolve();
      };
    });
    let ended: () => void = () => undefined;
    const end = new Promise<void>((resolve) => (ended = resolve));
    const all = deadline.run(this.store.url, (stop) => {
      const transfer = { file, isUrgent, isHeld, isKept, chunks, landed, deadline, stop, failed, ended };
      void this.transfer(project, transfer).catch(() => {
        failed(false);
        ended();
      });
      return Promise.race([purpose === 'keep' ? end : Promise.all(landings), failure]).then(() => undefined);
    });
    const promises = run.map(({ chunk, begun }, index) => {
      // A chunk that has landed may be in memory only, which is not enough for `keep`. It may have been read there
      // already, and be gone.
      const landing = landings[index]?.then(() => purpose !== 'keep');
      const promise = Promise.race([...(purpose === 'keep' ? [] : [landing]), all]).then(async (isEnough) => {
        if (isEnough || isThere(file, chunk)) return;
        await this.readOne(asked, chunk);
        if (isOvertaken) this.transfers.isOvertaken();
        isOvertaken = false;
      });
      begun(promise);
      const key = keyOf(file, chunk);
      const written = Promise.allSettled([promise, end]).then(() => void this.unwritten.delete(key));
      this.unwritten.set(key, written);
      return promise;
    });
    void Promise.allSettled([...promises, end]).then(() => file.sealSoon(false));
  }

  /** True when chunks that are read in order are to be on the disk, too. */
  private copies({ name, size }: LocalFile, chunks: readonly FileChunk[]): boolean {
    if (this.copiesNear || !this.store.isLocal) return true;
    const before = this.fetchedNear.get(name) ?? 0;
    // Of a tree of very many large files it forgets, and copies later.
    if (this.fetchedNear.size >= nearFilesMax) this.fetchedNear.clear();
    this.fetchedNear.set(name, before + chunks.reduce((sum, { length }) => sum + length, 0));
    return before >= size * onceRead;
  }

  private async transfer(project: string, asked: Transfer): Promise<void> {
    const transfer = await claim(asked);
    if (!transfer) return asked.ended();
    const { file, chunks, ended } = transfer;
    const place = (chunks[0] as Wanted).ref.place;
    const key = place && packKey(project, 'data', place.pack);
    const source = key && !this.transfers.areFailing && (await this.addresses.of(key));
    if (!key || !source) {
      ended();
      return transfer.failed(false);
    }
    file.from(key);
    const again = (): Promise<DirectSource | undefined> => this.addresses.again(key, source);
    this.transfers.send({ ...transfer, again }, source);
  }

  private async readOne(
    { reader, file, deadline }: Asked,
    { offset, length, ref, left, right }: Wanted,
  ): Promise<void> {
    const bytes = await reader.chunk(ref, length, deadline);
    await file.bytes.put(offset, bytes, left, right);
    this.space.wrote(length);
  }
}

/**
 * Claims these chunks, so that no other process fetches them, too. Waits while one that has claimed a
 * part of them fetches it, until it is done or dead. Resolves to what is then left to fetch; undefined
 * when that is nothing, or nobody waits any more.
 */
async function claim(transfer: Transfer): Promise<Transfer | undefined> {
  const { file, chunks, landed, stop } = transfer;
  const [first, last] = [chunks[0] as Wanted, chunks.at(-1) as Wanted];
  const range = [first.offset, last.offset + last.length - first.offset] as const;
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMsMax, pauseMs * 2)) {
    const claimed = file.bytes.claim(...range);
    const left = chunks.flatMap((chunk, index) => (isThere(file, chunk) ? [] : [index]));
    chunks.forEach((_, index) => {
      if (!left.includes(index)) landed[index]?.();
    });
    if (!claimed && left.length > 0 && !stop.aborted) {
      await sleep(pauseMs);
      continue;
    }
    const unclaim = (): void => file.bytes.unclaim(...range);
    if (left.length > 0 && !stop.aborted) {
      const pick = <T>(of: readonly T[]): T[] => left.map((index) => of[index] as T);
      const ended = (): void => {
        unclaim();
        transfer.ended();
      };
      return { ...transfer, chunks: pick(chunks), landed: pick(landed), ended };
    }
    if (claimed) unclaim();
    return undefined;
  }
}

/** A chunk, and whether holes or ends of the file are beside it. */
function wantedOf({ chunks }: Stretch, index: number, fileBytes: number): Wanted {
  const chunk = chunks[index] as FileChunk & { ref: Ref };
  const [before, after] = [chunks[index - 1], chunks[index + 1]];
  assert(before || chunk.offset === 0, 'a chunk is given with the one before it');
  assert(after || chunk.offset + chunk.length === fileBytes, 'a chunk is given with the one after it');
  return { ...chunk, left: !before?.ref, right: !after?.ref };
}

/** True for what one request may bring. */
function comesWith(a: Asked, b: Asked): boolean {
  const isSame = a.file === b.file && a.reader === b.reader && a.project === b.project;
  return isSame && (a.purpose === 'keep') === (b.purpose === 'keep');
}

/** Requests for chunks: each for neighbours in one pack, and of about the same size as the others. */
function* runsOf(chunks: readonly Gathered[]): Generator<Gathered[]> {
  for (const near of nearOf(chunks)) {
    const count = Math.ceil(storedBytes(near.map(({ chunk }) => chunk)) / runBytesMax);
    for (let part = 0; part < count; part += 1) {
      const run = near.slice(Math.round((near.length * part) / count), Math.round((near.length * (part + 1)) / count));
      if (run.length > 0) yield run;
    }
  }
}

/**
 * Groups of chunks of one pack that are so near each other that the gaps are fetched, too. What a reader
 * waits for comes first: a group ends before it.
 */
function* nearOf(chunks: readonly Gathered[]): Generator<Gathered[]> {
  let near: Gathered[] = [];
  let wasted = 0;
  let isWaitedFor = false;
  for (const gathered of chunks) {
    const { place } = gathered.chunk.ref;
    const [first, last] = [near[0]?.chunk.ref.place, near.at(-1)?.chunk.ref.place];
    const gap = place && last && place.pack === last.pack ? place.offset - (last.offset + last.length) : -1;
    const length = place && first ? place.offset + place.length - first.offset : 0;
    const isRead = gathered.asked.purpose === 'read';
    if (gap < 0 || gap > gapBytesMax || (wasted + gap) * 4 > length || (isRead && !isWaitedFor)) {
      if (near.length > 0) yield near;
      near = [];
      wasted = 0;
      isWaitedFor = false;
    } else wasted += gap;
    isWaitedFor ||= isRead;
    near.push(gathered);
  }
  if (near.length > 0) yield near;
}

function keyOf(file: LocalFile, chunk: FileChunk): string {
  return `${file.name}/${chunk.offset}`;
}
