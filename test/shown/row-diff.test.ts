/**
 * Tables against a comparison by brute force, and how they are cut into rows.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { rowsOf } from '../../src/shown/csv.ts';
import { rowDiff } from '../../src/shown/row-diff.ts';
import type { FileBytes } from '../../src/versions/reading/files.ts';
import { fileTime } from '../../src/base/file-time.ts';
import type { TreeEntry } from '../../src/model/tree.ts';

/** A file whose bytes come in parts of so many. */
function table(text: string): TreeEntry {
  const content = { form: 'inline', bytes: Buffer.from(text) } as const;
  return { name: Buffer.from('t.csv'), kind: 'file', executable: false, ...fileTime(0), content };
}

function inParts(length: number): FileBytes {
  const read = async function* ({ content }: TreeEntry): AsyncGenerator<Buffer> {
    if (content.form !== 'inline') throw new Error('not inline');
    for (let at = 0; at < content.bytes.length; at += length) yield content.bytes.subarray(at, at + length);
  };
  return { read } as FileBytes;
}

const quoted = (cell: string): string =>
  /[",\r\n]/.test(cell) || cell === '' ? `"${cell.replaceAll('"', '""')}"` : cell;
const written = (rows: readonly (readonly string[])[]): string =>
  rows.map((row) => `${row.map(quoted).join(',')}\n`).join('');

const cell = fc.oneof(fc.constantFrom('', 'a', '1', '"', ',', '\n', 'ü', '\r\n'), fc.string({ maxLength: 3 }));
const rows = fc.array(fc.tuple(cell, cell), { maxLength: 8 });

test('rows come out as they were written, wherever the bytes are cut', async () => {
  await fc.assert(
    fc.asyncProperty(rows, fc.integer({ min: 1, max: 7 }), async (given, part) => {
      const found: string[][] = [];
      const of = { path: '/t.csv', entry: table(written(given)) };
      for await (const batch of rowsOf(inParts(part), of)) found.push(...batch);
      expect(found).toEqual(given);
    }),
  );
});

test('without a key, what differs is the difference of two multisets', async () => {
  await fc.assert(
    fc.asyncProperty(rows, rows, async (old, now) => {
      const all = (body: typeof old): TreeEntry => table(written([['x', 'y'], ...body]));
      const diff = await rowDiff(inParts(5), { path: '/t.csv', old: all(old), new: all(now) }, undefined);
      const left = old.map((row) => JSON.stringify(row));
      const added: string[] = [];
      for (const row of now.map((each) => JSON.stringify(each))) {
        const at = left.indexOf(row);
        if (at < 0) added.push(row);
        else left.splice(at, 1);
      }
      const shown = (change: string): string[] =>
        diff.rows
          .filter((row) => row.change === change)
          .map((row) => JSON.stringify(Object.values(row.new ?? row.old ?? {})))
          .toSorted();
      expect(shown('added')).toEqual(added.toSorted());
      expect(shown('removed')).toEqual(left.toSorted());
      expect(diff).toMatchObject({ added: added.length, removed: left.length, changed: 0 });
    }),
  );
});

test('what is no table, and a key that does not name one row, are refused', async () => {
  const diff = (old: string, key?: string): Promise<unknown> =>
    rowDiff(inParts(100), { path: '/t.csv', old: table(old), new: undefined }, key);
  await expect(diff('x\n"no end')).rejects.toThrow('a quote is missing');
  await expect(diff('x,x\n1,2\n')).rejects.toThrow('two columns of one name');
  await expect(diff('x,y\n1,2\n1,3\n', 'x')).rejects.toThrow('"1" is twice in its column "x"');
  await expect(diff(`x\n${'a'.repeat(1_100_000)}\n`)).rejects.toThrow('a row has more than');
  expect(await diff('\ufeffx,y\n1,2\n', 'x')).toMatchObject({ removed: 1, rows: [{ old: { x: '1', y: '2' } }] });
});
