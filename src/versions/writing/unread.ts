/**
 * Which files of a folder need not be read, because they look as they did when they were last put,
 * and the version still has what was stored then.
 */
import { fingerprintBytes, type Listing } from '../../base/listing.ts';
import { contentBytes, type SeenFolder, type StatCache } from '../../local/stat-cache.ts';
import { entryHash, type TreeEntry } from '../../model/tree.ts';
import type { Directory } from '../directories.ts';

/** A file that changed so lately may change again and show the same times: file systems round them. */
export const timesSettleMs = 2000;

/** What is remembered of files, and the time (milliseconds since 1970) from which a file's times can't be relied on. */
export interface Seen {
  readonly cache: Pick<StatCache, 'find' | 'keep'>;
  readonly settledMs: number;
}

interface Looked {
  readonly listing: Listing;
  readonly base: Directory | undefined;
}

const noFingerprint = Buffer.alloc(fingerprintBytes);

export class Unread {
  private readonly seen: Seen | undefined;
  private readonly folder: Buffer;
  private readonly listing: Listing;
  private readonly fingerprints: Buffer;
  private readonly contents: Buffer;
  private readonly known: SeenFolder | undefined;
  /** Numbers of the known files by fingerprint, while the folder is not the same as a whole. */
  private readonly numbers = new Map<string, number>();
  /** True when all files look as they did, and the version has the directory that was made of them. */
  readonly whole: boolean;

  private constructor(
    seen: Seen | undefined,
    folder: Buffer,
    known: SeenFolder | undefined,
    { listing, base }: Looked,
  ) {
    this.seen = seen;
    this.folder = folder;
    this.listing = listing;
    this.known = known;
    this.fingerprints = listing.fingerprints;
    this.contents = seen
      ? Buffer.alloc((listing.fingerprints.length / fingerprintBytes) * contentBytes)
      : noFingerprint;
    this.whole =
      known !== undefined &&
      base !== undefined &&
      base.ref.hash.equals(known.tree) &&
      this.fingerprints.equals(known.fingerprints);
    if (!known || this.whole) return;
    for (let at = 0; at < known.fingerprints.length; at += fingerprintBytes) {
      this.numbers.set(known.fingerprints.toString('latin1', at, at + fingerprintBytes), at / fingerprintBytes);
    }
  }

  /** Looks up what is remembered of a folder. */
  static async of({ seen }: { readonly seen?: Seen | undefined }, folder: Buffer, looked: Looked): Promise<Unread> {
    const known = looked.base && (await seen?.cache.find(folder));
    return new Unread(seen, folder, known, looked);
  }

  /** True when the folder holds only files, and none of them must be read. */
  get all(): boolean {
    if (!this.whole || this.listing.count * fingerprintBytes !== this.fingerprints.length) return false;
    for (let file = 0; file < this.listing.count; file += 1) if (this.isUnsettled(file)) return false;
    return true;
  }

  /** False for a file that must be read, whatever the version has. */
  mayBeSame(file: number): boolean {
    if (!this.known || this.isUnsettled(file)) return false;
    return this.whole || this.numbers.has(this.fingerprintOf(file));
  }

  /** True when the n-th regular file is what the version has (`before`; not needed for the whole). */
  isSame(file: number, before: TreeEntry | undefined): boolean {
    if (!this.known) return false;
    const number = this.whole ? file : (this.numbers.get(this.fingerprintOf(file)) as number);
    const content = this.known.contents.subarray(number * contentBytes, (number + 1) * contentBytes);
    if (!this.whole && !(before?.kind === 'file' && startOf(before).equals(content))) return false;
    this.contents.set(content, file * contentBytes);
    return true;
  }

  /** Remembers the entry that a file became. A file that gave no entry, or was left out, is read the next time. */
  read(file: number | undefined, entry: TreeEntry | undefined): void {
    if (!this.seen || file === undefined) return;
    if (!entry) this.fingerprints.fill(0, file * fingerprintBytes, (file + 1) * fingerprintBytes);
    else if (entry.kind === 'file') this.contents.set(startOf(entry), file * contentBytes);
  }

  /** Keeps all this for the next time. */
  async keep({ ref }: Directory): Promise<void> {
    const { fingerprints } = this;
    const contents = this.known && this.all ? this.known.contents : this.contents;
    await this.seen?.cache.keep(this.folder, { tree: ref.hash, fingerprints, contents });
  }

  private isUnsettled(file: number): boolean {
    const at = file * fingerprintBytes;
    return this.fingerprints.compare(noFingerprint, 0, fingerprintBytes, at, at + fingerprintBytes) === 0;
  }

  private fingerprintOf(file: number): string {
    return this.fingerprints.toString('latin1', file * fingerprintBytes, (file + 1) * fingerprintBytes);
  }
}

function startOf(entry: TreeEntry): Buffer {
  return entryHash(entry).subarray(0, contentBytes);
}
