import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildList, listRange, type ListItem } from '../../src/model/list.ts';
import type { Ref } from '../../src/model/refs.ts';
import { chunkRef, collect, MemoryNodes } from './nodes.ts';

const mebibyte = 1024 * 1024;

function pieces(count: number): ListItem[] {
  return Array.from({ length: count }, (_, index) =>
    index % 50 === 7 ? { length: 3 * mebibyte + index } : { length: 1000 + (index % 13), ref: chunkRef(String(index)) },
  );
}

describe('lists', () => {
  const nodes = new MemoryNodes();
  const items = pieces(20_000);
  const starts: number[] = [];
  const size = items.reduce((sum, { length }) => (starts.push(sum), sum + length), 0);
  const list = buildList(nodes, items);

  it('know their size', async () => {
    expect((await list).size).toBe(size);
    expect(await buildList(nodes, [])).toMatchObject({ size: 0 });
    expect(await collect(listRange(nodes, (await buildList(nodes, [])).ref, 0, 0))).toEqual([]);
  });

  it('depend on their pieces alone', async () => {
    async function* streamed(): AsyncGenerator<ListItem> {
      yield* items;
    }
    expect((await buildList(new MemoryNodes(), streamed())).ref.hash.equals((await list).ref.hash)).toBe(true);
  });

  it('give the pieces of any range', async () => {
    const { ref } = await list;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: size - 1 }),
        fc.integer({ min: 1, max: 200_000 }),
        async (from, most) => {
          const length = Math.min(most, size - from);
          const found = await collect(listRange(nodes, ref, from, length));
          const first = starts.findLastIndex((start) => start <= from);
          const last = starts.findLastIndex((start) => start < from + length);
          expect(found.map(({ offset }) => offset)).toEqual(starts.slice(first, last + 1));
          expect(found.map((piece) => piece.length)).toEqual(items.slice(first, last + 1).map((item) => item.length));
          expect(found.map((piece) => piece.ref?.hash.toString('hex'))).toEqual(
            items.slice(first, last + 1).map((item) => item.ref?.hash.toString('hex')),
          );
        },
      ),
    );
  });

  it('read as many nodes as they are high', async () => {
    const { ref } = await list;
    nodes.reads = 0;
    await collect(listRange(nodes, ref, Math.floor(size / 2), 10));
    expect(nodes.reads).toBeLessThanOrEqual(3);
  });

  it('share what did not change', async () => {
    await list;
    nodes.added = 0;
    const changed = items.with(10_000, { length: 999, ref: chunkRef('changed') });
    await buildList(nodes, changed);
    expect(nodes.added).toBeLessThanOrEqual(4);
  });

  it('are damaged when they end before the file or lie about their parts', async () => {
    const { ref } = await list;
    await expect(collect(listRange(nodes, ref, size, 1))).rejects.toThrow(/shorter/);
    const root = await nodes.node(ref);
    const forged = async (level: number, refs: readonly Ref[], body = root.body): Promise<unknown> =>
      collect(listRange(nodes, nodes.add({ kind: 'list', level, refs, body }), 0, 10 * mebibyte));
    await expect(forged(root.level, root.refs)).resolves.toBeDefined();
    await expect(forged(root.level + 1, root.refs)).rejects.toThrow(/parent says/);
    await expect(forged(root.level, [ref, ...root.refs.slice(1)])).rejects.toThrow(/parent says/);
    await expect(forged(0, root.refs)).rejects.toThrow(/wrong type/);
    await expect(forged(root.level, root.refs.slice(1))).rejects.toThrow(/reference is missing/);
    await expect(forged(0, [], Buffer.from('0101', 'hex'))).rejects.toThrow(/0 bytes/);
    await expect(forged(1, [], Buffer.from('00', 'hex'))).rejects.toThrow(/empty/);
    const huge = Buffer.from('03ffffffffffffff0fffffffffffffff0fffffffffffffff0f', 'hex');
    await expect(forged(0, [], huge)).rejects.toThrow(/too large/);
  });
});
