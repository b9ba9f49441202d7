/**
 * The datums of joins and groups: files with the same key, which their inputs define. As in Pachyderm,
 * the datums of a nested input count as their single files.
 */
import { nameOfText } from '../../model/paths.ts';
import type { DatumFile } from './datum.ts';
import type { PfsInput } from '../spec/spec.ts';
import { datumId } from './id.ts';
import { PfsSource } from './pfs.ts';
import { isChanged, sameLeaf, type Files, type Pair, type Source, type Which } from './source.ts';

/** For each key the files of each side, in order of inputs and paths. */
type Table = Map<string, DatumFile[][]>;

interface Tables {
  readonly before: Table;
  readonly after: Table;
}

export class KeyedSource implements Source {
  readonly leaves: readonly PfsInput[];
  private readonly sides: readonly Source[];
  private readonly kind: 'join' | 'group';
  private all: Promise<Tables> | undefined;
  private byId: Promise<ReadonlyMap<string, Pair>> | undefined;

  /** No two sides have an input of the same name. */
  constructor(kind: 'join' | 'group', sides: readonly Source[]) {
    this.kind = kind;
    this.sides = sides;
    this.leaves = sides.flatMap((side) => side.leaves);
  }

  /** Costs by all files of all sides, unless nothing differs; keeps in memory those of the keys that differ. */
  async *pairs(which: Which): AsyncGenerator<Pair> {
    const keys = which === 'all' ? undefined : await this.changedKeys();
    if (keys?.size === 0) return;
    const { before, after } = await (keys ? this.tables(keys) : (this.all ??= this.tables()));
    for (const key of new Set([...after.keys(), ...before.keys()])) {
      const pairs = new Map<string, Pair>();
      for (const files of this.datums(before.get(key))) pairs.set(datumId(files), { before: files });
      for (const files of this.datums(after.get(key))) {
        const id = datumId(files);
        pairs.set(id, { before: pairs.get(id)?.before, after: files });
      }
      for (const pair of pairs.values()) if (which === 'all' || isChanged(pair)) yield pair;
    }
  }

  /** Keeps all datums in memory: only unions ask, of sides whose inputs others have too. */
  async find(files: Files): Promise<Pair> {
    this.byId ??= (async () => {
      const byId = new Map<string, Pair>();
      for await (const pair of this.pairs('all')) byId.set(datumId(pair.after ?? pair.before ?? []), pair);
      return byId;
    })();
    return (await this.byId).get(datumId(files)) ?? {};
  }

  private async changedKeys(): Promise<ReadonlySet<string>> {
    const keys = new Set<string>();
    for (const side of this.sides) {
      for await (const { before = [], after = [] } of side.pairs('changed')) {
        for (const file of [...before, ...after]) keys.add(this.keyOf(file));
      }
    }
    return keys;
  }

  private async tables(keys?: ReadonlySet<string>): Promise<Tables> {
    const tables = { before: new Map<string, DatumFile[][]>(), after: new Map<string, DatumFile[][]>() };
    for (const [index, side] of this.sides.entries()) {
      const add = (table: Table, files: Files = []): void => {
        for (const file of files) {
          const key = this.keyOf(file);
          if (keys && !keys.has(key)) continue;
          let lists = table.get(key);
          if (!lists) table.set(key, (lists = this.sides.map(() => [])));
          lists[index]?.push(file);
        }
      };
      for await (const { before, after } of side.pairs('all')) {
        add(tables.before, before);
        add(tables.after, after);
      }
      if (side instanceof PfsSource) continue;
      for (const lists of [...tables.before.values(), ...tables.after.values()]) {
        lists[index] = inOrder(lists[index] ?? [], side.leaves);
      }
    }
    return tables;
  }

  private keyOf({ joinOn, groupBy }: DatumFile): string {
    return (this.kind === 'join' ? joinOn : groupBy) ?? '';
  }

  /** The datums of one key. */
  private datums(sides: readonly Files[] | undefined): Iterable<Files> {
    if (!sides) return [];
    if (this.kind === 'group') return [sides.flat()];
    if (sides.every((files) => files.length > 0)) return choices(sides.map((files) => files.map((file) => [file])));
    // One side has no file of this key: only sides with an outer join remain.
    return choices(sides.filter((files) => files.length > 0).map(outerChoices));
  }
}

function outerChoices(files: Files): Files[] {
  const outer = files.filter(({ input }) => input.outerJoin);
  return [...outer.map((file) => [file]), ...(outer.length < files.length ? [[]] : [])];
}

/** One choice of each side, in every combination but the one with nothing in it. */
function* choices(sides: readonly (readonly Files[])[], start: Files = []): Generator<Files> {
  const [first, ...rest] = sides;
  if (first) for (const files of first) yield* choices(rest, [...start, ...files]);
  else if (start.length > 0) yield start;
}

/** By inputs and paths, and each file once. */
function inOrder(files: Files, leaves: readonly PfsInput[]): DatumFile[] {
  const placed = files.map((file) => ({
    file,
    leaf: leaves.findIndex((leaf) => sameLeaf(leaf, file.input)),
    side: leaves.indexOf(file.input),
    // A slash sorts before every byte of a name: the order in which directories are walked.
    path: nameOfText(file.path.replaceAll('/', '\0')),
  }));
  placed.sort((a, b) => a.leaf - b.leaf || a.path.compare(b.path) || a.side - b.side);
  return placed
    .filter(({ leaf, path }, index) => {
      const last = placed[index - 1];
      return !last || last.leaf !== leaf || !last.path.equals(path);
    })
    .map(({ file }) => file);
}
