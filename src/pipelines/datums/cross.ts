/**
 * The datums of a cross: every combination of one datum of each side. A difference costs as much as
 * there are combinations with something different in them.
 */
import type { PfsInput } from '../spec/spec.ts';
import { isChanged, isEmpty, isMadeOf, isThere, type Files, type Pair, type Source, type Which } from './source.ts';

/** Datums of a side that are kept in memory, as a side is walked many times. A side with more is read anew each time. */
const heldMax = 10_000;

export class CrossSource implements Source {
  readonly leaves: readonly PfsInput[];
  private readonly sides: readonly Source[];

  /** No two sides have an input of the same name. */
  constructor(sides: readonly Source[]) {
    this.sides = sides;
    this.leaves = sides.flatMap((side) => side.leaves);
  }

  async *pairs(which: Which): AsyncGenerator<Pair> {
    const all = this.sides.map((side) => new Repeatable(() => side.pairs('all')));
    if (which === 'all') yield* combineAll(all);
    else {
      // Each changed combination once: under the first side that is changed in it.
      for (const [index, side] of this.sides.entries()) {
        const changed = new Repeatable(() => side.pairs('changed'));
        if (await isEmpty(changed)) continue;
        yield* combineAll([...all.slice(0, index).map(unchanged), changed, ...all.slice(index + 1)]);
      }
    }
  }

  async find(files: Files): Promise<Pair> {
    let pair: Pair = { before: [], after: [] };
    let at = 0;
    for (const side of this.sides) {
      const from = at;
      for (let file = files[at]; file && isMadeOf(side, file.input); file = files[at]) at += 1;
      pair = concat(pair, await side.find(files.slice(from, at)));
      if (!isThere(pair)) return {};
    }
    return at === files.length ? pair : {};
  }
}

/** Pairs that can be walked many times, from memory when they are few. */
class Repeatable implements AsyncIterable<Pair> {
  private readonly open: () => AsyncIterable<Pair>;
  private held: readonly Pair[] | undefined;

  constructor(open: () => AsyncIterable<Pair>) {
    this.open = open;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Pair> {
    if (this.held) {
      yield* this.held;
      return;
    }
    let held: Pair[] | undefined = [];
    for await (const pair of this.open()) {
      if (held && held.length < heldMax) held.push(pair);
      else held = undefined;
      yield pair;
    }
    this.held = held;
  }
}

function unchanged(pairs: AsyncIterable<Pair>): AsyncIterable<Pair> {
  return {
    async *[Symbol.asyncIterator]() {
      for await (const pair of pairs) if (!isChanged(pair)) yield pair;
    },
  };
}

/** Every combination of one of each side that was or is there; the last side changes fastest. */
async function* combineAll(sides: readonly AsyncIterable<Pair>[]): AsyncGenerator<Pair> {
  // Otherwise an empty side would be walked for each combination of the sides before it.
  for (const side of sides) if (await isEmpty(side)) return;
  yield* combine(sides, { before: [], after: [] });
}

async function* combine(sides: readonly AsyncIterable<Pair>[], start: Pair): AsyncGenerator<Pair> {
  const [first, ...rest] = sides;
  if (!first) {
    yield start;
    return;
  }
  for await (const pair of first) {
    const joined = concat(start, pair);
    if (isThere(joined)) yield* combine(rest, joined);
  }
}

function concat(a: Pair, b: Pair): Pair {
  return {
    before: a.before && b.before && [...a.before, ...b.before],
    after: a.after && b.after && [...a.after, ...b.after],
  };
}
