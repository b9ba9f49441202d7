/**
 * Packs that the store said it does not have. Most were collected, and what lay in them is found by the
 * indexes; but a server may say so in passing, so each is asked for again after a pause, which grows.
 */
import type { PackId } from '../model/refs.ts';

const pauseMsFirst = 1_000;
const pauseMsMax = 30_000;

interface Missing {
  /** When it was seen, by performance.now(). */
  readonly at: number;
  readonly pauseMs: number;
}

export class MissingPacks {
  private readonly packs = new Map<PackId, Missing>();

  /** When the store said that it lacks a pack. Undefined if it never did, or is to be asked again. */
  since(pack: PackId): number | undefined {
    const known = this.packs.get(pack);
    return known && performance.now() - known.at < known.pauseMs ? known.at : undefined;
  }

  /** Notes that the store does not have it; returns when that was seen. */
  add(pack: PackId): number {
    // Several readers may have asked at once: that counts as one answer.
    const seen = this.since(pack);
    if (seen !== undefined) return seen;
    const before = this.packs.get(pack)?.pauseMs;
    const at = performance.now();
    this.packs.set(pack, { at, pauseMs: before === undefined ? pauseMsFirst : Math.min(pauseMsMax, before * 2) });
    return at;
  }

  /** Notes that the store has it. */
  found(pack: PackId): void {
    this.packs.delete(pack);
  }
}
