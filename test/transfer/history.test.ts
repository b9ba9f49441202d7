/**
 * How two branches of different stores stand to each other is found with a few reads, however long they are.
 */
import { expect, test } from 'vitest';
import type { BlobReader } from '../../src/cache/blobs.ts';
import { mapFormat, type MapItem } from '../../src/model/map.ts';
import { applyEdits } from '../../src/model/ordered-edit.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import type { Head } from '../../src/model/records/head.ts';
import type { Ref } from '../../src/model/refs.ts';
import { compare, type Line } from '../../src/transfer/history.ts';
import { timeKey } from '../../src/versions/ref-keys.ts';
import { Snapshot } from '../../src/versions/snapshot.ts';
import { hashOf, MemoryNodes } from '../model/nodes.ts';

const length = 20_000;

/** A commit of an index: its number, and of which of several lines, with which content. */
function item(n: number, line: string, content = ''): MapItem {
  const value = hashOf(`id ${n} ${line}`).subarray(0, 16);
  return {
    key: timeKey(1_700_000_000_000 + n),
    value,
    refs: [{ type: 'node', hash: hashOf(`${n} ${line} ${content}`) }],
  };
}

/** A store's nodes, and a branch in it; `reads` are counted. */
class World {
  readonly nodes = new MemoryNodes();
  reads = 0;

  async line(items: readonly MapItem[], base?: Ref): Promise<Line> {
    const edits = items.map((each) => ({ key: each.key, item: each }));
    const { ref: index } = await applyEdits({ source: this.nodes, sink: this.nodes }, mapFormat, base, edits);
    return this.lineAt(items.at(-1)!, index);
  }

  lineAt(last: MapItem, index: Ref): Line {
    const node = (ref: Ref): ReturnType<MemoryNodes['node']> => {
      this.reads += 1;
      return this.nodes.node(ref);
    };
    const id = last.value.toString('hex') as CommitId;
    const commit = last.refs[0]!;
    const snapshot = new Snapshot({ refs: index } as Head, { node } as unknown as BlobReader);
    return { snapshot, head: { id, commit, tree: commit, index } };
  }
}

test('of 20,000 commits, with a few reads', async () => {
  const [here, there] = [new World(), new World()];
  const all = Array.from({ length }, (_, n) => item(n, 'main'));
  const [own, other] = [await here.line(all), await there.line(all)];
  const index = (line: Line): Ref => line.head!.index;
  const [more, less, parted] = await Promise.all([
    here.line([item(length, 'main'), item(length + 1, 'main')], index(own)),
    there.line([item(length, 'other')], index(other)),
    there.line([item(9000, 'main', 'purged')], index(other)),
  ]);
  const purged = there.lineAt(all.at(-1)!, index(parted));
  const cases: readonly (readonly [Line, Line, object, readsMax?: number])[] = [
    [own, other, { relation: 'equal', ahead: 0, behind: 0, shared: length }],
    [more, other, { relation: 'ahead', ahead: 2, behind: 0, shared: length }],
    [other, more, { relation: 'behind', ahead: 0, behind: 2, shared: length }],
    [more, less, { relation: 'diverged', ahead: 2, behind: 1, shared: length }],
    [own, purged, { relation: 'rewritten', rewritten: all[9000]!.value.toString('hex') }, 150],
    [more, purged, { relation: 'rewritten', ahead: 2, behind: 0 }, 150],
    [own, { ...other, head: undefined }, { relation: 'ahead', ahead: length, shared: 0 }],
    [{ ...own, head: undefined }, other, { relation: 'behind', behind: length }],
    [{ ...own, head: undefined }, { ...other, head: undefined }, { relation: 'equal' }],
  ];
  for (const [a, b, expected, readsMax = 25] of cases) {
    here.reads = 0;
    there.reads = 0;
    expect(await compare(a, b)).toMatchObject(expected);
    // A few looks at indexes, each as many reads as these are high.
    expect(here.reads + there.reads).toBeLessThan(readsMax);
  }
  // Long lines that parted long ago.
  const early = await there.line(Array.from({ length: 12_000 }, (_, n) => item(n, n < 7 ? 'main' : 'other')));
  here.reads = 0;
  there.reads = 0;
  expect(await compare(own, early)).toMatchObject({
    relation: 'diverged',
    ahead: length - 7,
    behind: 11_993,
    shared: 7,
  });
  expect(here.reads + there.reads).toBeLessThan(25);
});
