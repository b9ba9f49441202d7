/**
 * The datums of a union: those of one side after the other. A datum that several sides have counts
 * once, as the first of them has it.
 */
import type { PfsInput } from '../spec/spec.ts';
import { isChanged, isMadeOf, isThere, type Files, type Pair, type Source, type Which } from './source.ts';

export class UnionSource implements Source {
  readonly leaves: readonly PfsInput[];
  private readonly sides: readonly Source[];

  constructor(sides: readonly Source[]) {
    this.sides = sides;
    this.leaves = sides.flatMap((side) => side.leaves);
  }

  async *pairs(which: Which): AsyncGenerator<Pair> {
    for (const side of this.sides) {
      const others = this.sides.filter((other) => other !== side && other.leaves.some((leaf) => isMadeOf(side, leaf)));
      if (others.length === 0) yield* side.pairs(which);
      else yield* this.shared(side, which);
    }
  }

  async find(files: Files): Promise<Pair> {
    let whole: Pair = {};
    for (const side of this.sides) whole = firstOf(whole, await findIn(side, files));
    return whole;
  }

  /** Datums of this side that no earlier side has yielded; other sides may have the same ones. */
  private async *shared(from: Source, which: Which): AsyncGenerator<Pair> {
    for await (const pair of from.pairs(which)) {
      const whole = await this.merge(pair, from, which);
      if (whole && (which === 'all' || isChanged(whole))) yield whole;
    }
  }

  /** A pair of one side, merged with the same datum of the others; undefined when an earlier side has yielded it. */
  private async merge(pair: Pair, from: Source, which: Which): Promise<Pair | undefined> {
    let whole: Pair = {};
    let isEarlier = true;
    for (const side of this.sides) {
      if (side === from) isEarlier = false;
      const found = side === from ? pair : await findIn(side, pair.after ?? pair.before ?? []);
      if (isEarlier && (which === 'all' ? isThere(found) : isChanged(found))) return undefined;
      whole = firstOf(whole, found);
    }
    return whole;
  }
}

async function findIn(side: Source, files: Files): Promise<Pair> {
  return files.every(({ input }) => isMadeOf(side, input)) ? side.find(files) : {};
}

function firstOf(a: Pair, b: Pair): Pair {
  return { before: a.before ?? b.before, after: a.after ?? b.after };
}
