/**
 * Recognizes who reads the small files of a repo in no order, as training does: he will read them all.
 * The packs that his files lie in are then worth a request each for all of it. Some at first; more as files
 * are read that came so, and no more where that does not happen. Where the repo does not fit the disk
 * cache, files come singly, without their neighbours.
 */
import type { PackId, Place } from '../model/refs.ts';

/** Brings packs to this machine. */
export interface WholePacks {
  /** The most bytes of a repo that may be brought whole. */
  readonly bytesMax: number;
  /** Brings all of a pack, of which bytes before `end` are wanted. False when that failed; never rejects. */
  fetch(pack: PackId, end: number): Promise<boolean>;
  /** From now on nothing comes beside what is read of it. */
  fetchNothingAround(pack: PackId): void;
  /** Reads that native threads have answered from this machine so far: of those nobody else hears. */
  readonly storedReads?: () => number;
}

/** A repo as it is shown. */
export interface ShownRepo {
  readonly files: number;
  readonly bytes: number;
}

export interface ShuffledCounters {
  /** Packs that were fetched whole, or are to be. */
  packs: number;
  /** Files that were read out of them since. */
  files: number;
}

/** So many distinct files, or one in a hundred if that is less, but some at least. */
const filesMax = 64;
const filesMin = 16;
const partRead = 0.01;
const rememberedMax = 4096;
/** Of two reads of one pack one after another, at least this part goes forward, and this part back. */
const partEither = 0.25;
const eitherMin = 3;
/** Packs to fetch whole at first, and how many more for each file that was read out of them. */
const packsFirst = 10;
const packsMore = 8;
/** After so many failures in a row nothing more is fetched whole. */
const failuresMax = 3;

interface SeenPack {
  /** Where the last file that was read begins, and where the last of them ends. */
  last: number;
  end: number;
  state: 'seen' | 'asked' | 'failed';
}

/** Of one repo. */
interface Reads {
  files: Set<string>;
  packs: Map<PackId, SeenPack>;
  forward: number;
  back: number;
  mode: 'unknown' | 'whole' | 'single';
}

export class ShuffledReads {
  readonly counters: ShuffledCounters = { packs: 0, files: 0 };
  private readonly packs: WholePacks;
  private readonly repos = new Map<number, Reads>();
  /** How many there were when the first packs were fetched whole. */
  private storedBefore: number | undefined;
  private failures = 0;

  constructor(packs: WholePacks) {
    this.packs = packs;
  }

  /** Notes that somebody begins to read a small file; `id` names the repo. */
  note(id: number, repo: ShownRepo, hash: Buffer, place: Place): void {
    const reads = this.repos.get(id) ?? newReads();
    this.repos.set(id, reads);
    if (reads.mode === 'unknown') {
      const name = hash.toString('latin1');
      if (reads.files.has(name)) return;
      // Whoever has read so many in order goes on so.
      if (reads.files.size >= rememberedMax) Object.assign(reads, newReads());
      reads.files.add(name);
    }
    const pack = reads.packs.get(place.pack);
    if (pack && place.offset !== pack.last) reads[place.offset > pack.last ? 'forward' : 'back'] += 1;
    if (pack?.state === 'asked') this.counters.files += 1;
    const seen = pack ?? { last: 0, end: 0, state: 'seen' };
    seen.last = place.offset;
    seen.end = Math.max(seen.end, place.offset + place.length);
    reads.packs.set(place.pack, seen);
    if (reads.mode === 'unknown' && isShuffled(reads, repo)) {
      reads.mode = repo.bytes <= this.packs.bytesMax ? 'whole' : 'single';
      reads.files.clear();
      for (const each of reads.packs.keys()) this.packs.fetchNothingAround(each);
    } else if (reads.mode !== 'unknown' && !pack) this.packs.fetchNothingAround(place.pack);
    if (reads.mode === 'whole') this.fetch(reads);
  }

  /** True once packs are fetched whole. */
  get isBringing(): boolean {
    return this.counters.packs > 0;
  }

  /** True when a pack comes whole, or its files come singly: nothing else is to be fetched ahead of it. */
  isDecided(pack: PackId): boolean {
    return [...this.repos.values()].some(({ mode, packs }) => mode !== 'unknown' && packs.has(pack));
  }

  /** Fetches packs as far as it has paid. */
  private fetch({ packs }: Reads): void {
    const stored = this.packs.storedReads?.() ?? 0;
    this.storedBefore ??= stored;
    const read = this.counters.files + stored - this.storedBefore;
    for (const [id, pack] of packs) {
      if (pack.state !== 'seen') continue;
      if (this.failures >= failuresMax || this.counters.packs >= packsFirst + packsMore * read) return;
      pack.state = 'asked';
      this.counters.packs += 1;
      void this.packs.fetch(id, pack.end).then((isThere) => {
        this.failures = isThere ? 0 : this.failures + 1;
        if (!isThere) pack.state = 'failed';
      });
    }
  }
}

function newReads(): Reads {
  return { files: new Set(), packs: new Map(), forward: 0, back: 0, mode: 'unknown' };
}

function isShuffled({ files, forward, back }: Reads, repo: ShownRepo): boolean {
  const enough = Math.max(filesMin, Math.min(filesMax, repo.files * partRead));
  const either = Math.max(eitherMin, (forward + back) * partEither);
  return files.size >= enough && forward >= either && back >= either;
}
