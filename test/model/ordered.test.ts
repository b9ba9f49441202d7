import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeNode } from '../../src/model/node.ts';
import { mapFormat, type MapItem } from '../../src/model/map.ts';
import { diffOrdered } from '../../src/model/ordered-diff.ts';
import { applyEdits, type Edit } from '../../src/model/ordered-edit.ts';
import { loadOrdered, type OrderedFormat, type Summary } from '../../src/model/ordered-format.ts';
import { OrderedReader } from '../../src/model/ordered.ts';
import type { Ref } from '../../src/model/refs.ts';
import { treeFormat, type TreeEntry } from '../../src/model/tree.ts';
import { chunkRef, collect, hashOf, MemoryNodes, must } from './nodes.ts';

const build = <Item, S extends Summary>(
  nodes: MemoryNodes,
  format: OrderedFormat<Item, S>,
  items: readonly Item[],
): Promise<S & { ref: Ref }> =>
  applyEdits(
    { source: nodes, sink: nodes },
    format,
    undefined,
    items.map((item) => ({ key: format.keyOf(item), item })),
  );

function mapItem(number: number, value = ''): MapItem {
  return { key: Buffer.from(`key/${String(number).padStart(7, '0')}`), value: Buffer.from(value), refs: [] };
}

function treeEntry(number: number, text = `content ${number}`): TreeEntry {
  const name = Buffer.from(`file-${String(number).padStart(7, '0')}.txt`);
  const content = { form: 'inline' as const, bytes: Buffer.from(text) };
  return { name, kind: 'file', executable: false, mtimeSeconds: 1_700_000_000, mtimeNanoseconds: 5, content };
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Walks all of a tree and checks its form; number of nodes by level, root last. */
async function shapeOf(nodes: MemoryNodes, root: Ref): Promise<number[]> {
  const counts: number[] = [];
  const visit = async (ref: Ref): Promise<void> => {
    const node = await loadOrdered(nodes, mapFormat, ref);
    counts[node.level] = (counts[node.level] ?? 0) + 1;
    if (!node.items) for (const inner of node.nodes) await visit(inner.ref);
  };
  await visit(root);
  return counts;
}

const numbers = fc.uniqueArray(fc.integer({ min: 0, max: 3000 }), { minLength: 0, maxLength: 1500, size: 'max' });
const edits = fc.array(fc.tuple(fc.integer({ min: 0, max: 3100 }), fc.constantFrom('a', 'b', '')), { maxLength: 40 });

/** Long runs that are deleted make whole subtrees vanish. */
const cuts = fc.option(fc.tuple(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 1, max: 3000 })));

/** The same rules in small, so that trees become high. */
const small: OrderedFormat<MapItem> = { ...mapFormat, min: 2, avg: 4, max: 8 };

describe('edits', () => {
  it.each([
    ['maps', mapFormat],
    ['high trees', small],
  ])('of %s give the tree that building anew gives', async (_, format) => {
    const nodes = new MemoryNodes();
    await fc.assert(
      fc.asyncProperty(numbers, edits, cuts, async (old, changes, cut) => {
        const before = new Map(old.map((number) => [number, mapItem(number)]));
        const { ref } = await build(nodes, format, sorted(before));
        const after = new Map(before);
        const changed = new Map<number, MapItem | undefined>();
        const [from, length] = cut ?? [0, 0];
        for (const number of range(length)) changed.set(from + number, undefined);
        for (const [number, value] of changes) changed.set(number, value ? mapItem(number, value) : undefined);
        for (const [number, item] of changed) {
          if (item) after.set(number, item);
          else after.delete(number);
        }
        const list: Edit<MapItem>[] = [...changed]
          .sort(([a], [b]) => a - b)
          .map(([number, item]) => ({ key: mapItem(number).key, item }));
        const edited = await applyEdits({ source: nodes, sink: nodes }, format, ref, list);
        const rebuilt = await build(nodes, format, sorted(after));
        expect(edited.ref.hash.equals(rebuilt.ref.hash)).toBe(true);
        expect(edited.entries).toBe(after.size);
        const found = await collect(diffOrdered(nodes, format, ref, edited.ref));
        expect(
          found.map(({ key, old: a, new: b }) => [key.toString(), a?.value.toString(), b?.value.toString()]),
        ).toEqual(naiveDiff(before, after));
      }),
      { numRuns: 60 },
    );
  });

  it('collapse to a lower root when only the end stays', async () => {
    const nodes = new MemoryNodes();
    const items = range(8000).map((number) => mapItem(number));
    const { ref } = await build(nodes, mapFormat, items);
    const shape = await shapeOf(nodes, ref);
    expect(shape.length).toBe(3);
    for (const left of [1, 5, 30, 300]) {
      const removed = items.slice(0, -left).map(({ key }) => ({ key, item: undefined }));
      const edited = await applyEdits({ source: nodes, sink: nodes }, mapFormat, ref, removed);
      const rebuilt = await build(nodes, mapFormat, items.slice(-left));
      expect(edited.ref.hash.equals(rebuilt.ref.hash)).toBe(true);
    }
  });

  it('add few nodes to a directory of 100,000 entries', async () => {
    const nodes = new MemoryNodes();
    const root = await build(
      nodes,
      treeFormat,
      range(100_000).map((number) => treeEntry(number)),
    );
    expect(root.entries).toBe(100_000);
    nodes.added = 0;
    nodes.reads = 0;
    const changed = treeEntry(50_000, 'other');
    const edited = await applyEdits({ source: nodes, sink: nodes }, treeFormat, root.ref, [
      { key: changed.name, item: changed },
    ]);
    expect(nodes.added).toBeLessThanOrEqual(3);
    expect(nodes.reads).toBeLessThanOrEqual(8);
    nodes.reads = 0;
    const [difference, ...more] = await collect(diffOrdered(nodes, treeFormat, root.ref, edited.ref));
    expect(more).toEqual([]);
    expect(difference?.key.equals(changed.name)).toBe(true);
    expect(nodes.reads).toBeLessThanOrEqual(6);
  });

  it('change nothing when there are none', async () => {
    const nodes = new MemoryNodes();
    const root = await build(
      nodes,
      treeFormat,
      range(1000).map((number) => treeEntry(number)),
    );
    const { name } = treeEntry(5000);
    expect(await applyEdits({ source: nodes, sink: nodes }, treeFormat, root.ref, [])).toEqual(root);
    const same = await applyEdits({ source: nodes, sink: nodes }, treeFormat, root.ref, [
      { key: name, item: undefined },
    ]);
    expect(same.ref.hash.equals(root.ref.hash)).toBe(true);
    expect({ ...same, ref: 0 }).toEqual({ ...root, ref: 0 });
  });

  it('let their generator clean up when the sink fails', async () => {
    const nodes = new MemoryNodes();
    let cleaned = false;
    async function* generated(): AsyncGenerator<Edit<MapItem>> {
      try {
        for (const number of range(1000)) yield { key: mapItem(number).key, item: mapItem(number) };
      } finally {
        cleaned = true;
      }
    }
    const sink = {
      add(): Promise<Ref> {
        throw new Error('full');
      },
    };
    await expect(applyEdits({ source: nodes, sink }, mapFormat, undefined, generated())).rejects.toThrow('full');
    expect(cleaned).toBe(true);
  });
});

describe('reading', () => {
  const nodes = new MemoryNodes();
  const items = range(5000).map((number) => mapItem(number * 2, String(number)));
  const reader = build(nodes, mapFormat, items).then(({ ref }) => new OrderedReader(nodes, mapFormat, ref));

  it('finds by key and by ordinal', async () => {
    const map = await reader;
    expect(await map.count()).toBe(5000);
    for (const ordinal of [0, 1, 17, 2500, 4998, 4999]) {
      const { key } = must(items[ordinal]);
      expect((await map.at(ordinal))?.key.equals(key)).toBe(true);
      expect((await map.locate(key))?.ordinal).toBe(ordinal);
      expect((await map.find(key))?.value.toString()).toBe(String(ordinal));
      expect(await map.find(mapItem(ordinal * 2 + 1).key)).toBeUndefined();
      expect(await map.rank(key)).toBe(ordinal);
      expect(await map.rank(mapItem(ordinal * 2 + 1).key)).toBe(ordinal + 1);
      expect((await map.seek(mapItem(ordinal * 2 - 1).key))?.ordinal).toBe(ordinal === 0 ? 0 : ordinal);
    }
    expect(await map.at(5000)).toBeUndefined();
    expect(await map.at(-1)).toBeUndefined();
    expect(await map.seek(Buffer.from('z'))).toBeUndefined();
    expect((await map.page(5000)).items).toEqual([]);
  });

  it('goes in order from both ends', async () => {
    const map = await reader;
    const keys = items.map(({ key }) => key.toString());
    expect((await collect(map.items())).map(({ key }) => key.toString())).toEqual(keys);
    expect((await collect(map.items(4321))).map(({ key }) => key.toString())).toEqual(keys.slice(4321));
    expect((await collect(map.backward())).map(({ key }) => key.toString())).toEqual(keys.toReversed());
    const some = keys.filter((key) => key.startsWith('key/00012'));
    expect((await collect(map.prefix(Buffer.from('key/00012')))).map(({ key }) => key.toString())).toEqual(some);
  });

  it('takes as many reads as the tree is high', async () => {
    const map = await reader;
    const height = (await shapeOf(nodes, (await build(nodes, mapFormat, items)).ref)).length;
    for (const look of [() => map.find(must(items[777]).key), () => map.at(4000), () => map.rank(must(items[3]).key)]) {
      nodes.reads = 0;
      await look();
      expect(nodes.reads).toBe(height);
    }
  });

  it('of an empty tree finds nothing', async () => {
    const empty = await build(nodes, mapFormat, []);
    const map = new OrderedReader(nodes, mapFormat, empty.ref);
    expect(await map.count()).toBe(0);
    expect(await map.at(0)).toBeUndefined();
    expect(await map.find(Buffer.from('a'))).toBeUndefined();
    expect(await collect(map.items())).toEqual([]);
    expect(await collect(map.backward())).toEqual([]);
  });
});

describe('trees', () => {
  it('sum up what is below and hash it without times', async () => {
    const nodes = new MemoryNodes();
    const directory = await build(nodes, treeFormat, [treeEntry(1, 'abc'), treeEntry(2, 'de')]);
    expect(directory).toMatchObject({ entries: 2, files: 2, bytes: 5 });
    const outer: TreeEntry = {
      ...treeEntry(7),
      kind: 'directory',
      content: { form: 'directory', ...directory },
    };
    const big: TreeEntry = { ...treeEntry(8), content: { form: 'chunk', size: 1000, ref: chunkRef('x') } };
    const root = await build(nodes, treeFormat, [outer, big]);
    expect(root).toMatchObject({ entries: 2, files: 3, bytes: 1005 });
    const later = await build(nodes, treeFormat, [outer, { ...big, mtimeSeconds: -7 }]);
    expect(later.contentHash.equals(root.contentHash)).toBe(true);
    expect(later.ref.hash.equals(root.ref.hash)).toBe(false);
    const runnable = await build(nodes, treeFormat, [outer, { ...big, executable: true }]);
    expect(runnable.contentHash.equals(root.contentHash)).toBe(false);
    const read = new OrderedReader(nodes, treeFormat, root.ref);
    expect(await read.find(outer.name)).toMatchObject({ kind: 'directory', content: { files: 2, bytes: 5 } });
    expect((await read.find(big.name))?.content).toMatchObject({ form: 'chunk', size: 1000 });
  });
});

describe('what does not fit together', () => {
  it('is damaged, never a loop', async () => {
    const nodes = new MemoryNodes();
    const { ref } = await build(
      nodes,
      mapFormat,
      range(1000).map((number) => mapItem(number)),
    );
    const root = await nodes.node(ref);
    const decoded = await loadOrdered(nodes, mapFormat, ref);
    const child = must(decoded.items ? undefined : decoded.nodes[0]).ref;
    const forged = async (refs: readonly Ref[], level: number, body = root.body): Promise<unknown> => {
      const made = nodes.add({ kind: 'map', level, refs, body });
      return collect(new OrderedReader(nodes, mapFormat, made).items());
    };
    const refs = [...root.refs];
    await expect(forged(refs, 1)).resolves.toHaveLength(1000);
    await expect(forged(refs, 2)).rejects.toThrow(/wrong level/);
    await expect(forged([ref, ...refs.slice(1)], 1)).rejects.toThrow(/damaged/);
    await expect(forged([must(refs[1]), ...refs.slice(1)], 1)).rejects.toThrow(/damaged/);
    await expect(forged(refs.slice(1), 1)).rejects.toThrow(/reference is missing/);
    await expect(forged([...refs, must(refs[0])], 1)).rejects.toThrow(/nothing in it names/);
    await expect(forged([chunkRef('x'), ...refs.slice(1)], 1)).rejects.toThrow(/wrong type/);
    await expect(forged([], 1, Buffer.from('00', 'hex'))).rejects.toThrow(/inner node is empty/);
    const wrongKind = new OrderedReader(nodes, treeFormat, child);
    await expect(wrongKind.count()).rejects.toThrow(/it is a map/);
  });

  it('is refused in names', async () => {
    const nodes = new MemoryNodes();
    const entry = (name: string): Buffer =>
      Buffer.concat([Buffer.from([1, 0, name.length]), Buffer.from(name), Buffer.from([0, 0, 0, 0])]);
    for (const name of ['..', '.', 'a/b', '/', 'a\0b', '']) {
      const ref = nodes.add({ kind: 'tree', level: 0, refs: [], body: entry(name) });
      await expect(collect(new OrderedReader(nodes, treeFormat, ref).items())).rejects.toThrow(/not allowed|order/);
    }
    const ref = nodes.add({ kind: 'tree', level: 0, refs: [], body: entry('...') });
    await expect(collect(new OrderedReader(nodes, treeFormat, ref).items())).resolves.toHaveLength(1);
  });

  it('is refused in totals', async () => {
    const nodes = new MemoryNodes();
    const huge: TreeEntry = {
      ...treeEntry(1),
      content: { form: 'list', size: Number.MAX_SAFE_INTEGER, ref: { type: 'node', hash: hashOf('a') } },
    };
    await expect(build(nodes, treeFormat, [huge, { ...huge, name: Buffer.from('z') }])).rejects.toThrow(/too large/);
  });

  it('can not be written', async () => {
    const bad = { ...treeEntry(1), name: Buffer.from('a/b') };
    await expect(build(new MemoryNodes(), treeFormat, [bad])).rejects.toThrow(/assertion/);
    expect(() => encodeNode({ kind: 'map', level: 0, refs: [], body: Buffer.alloc(17 * 1024 * 1024) })).toThrow(
      /assertion/,
    );
    const wide = { ...mapItem(1), value: Buffer.alloc(40_000) };
    await expect(build(new MemoryNodes(), mapFormat, [wide])).rejects.toThrow(/more than 32768/);
  });
});

function sorted(items: ReadonlyMap<number, MapItem>): MapItem[] {
  return [...items].sort(([a], [b]) => a - b).map(([, item]) => item);
}

function naiveDiff(before: ReadonlyMap<number, MapItem>, after: ReadonlyMap<number, MapItem>): unknown[] {
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort((a, b) => a - b);
  return keys.flatMap((number) => {
    const [a, b] = [before.get(number)?.value.toString(), after.get(number)?.value.toString()];
    return a === b ? [] : [[mapItem(number).key.toString(), a, b]];
  });
}
