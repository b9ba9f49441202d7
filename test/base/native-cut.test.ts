import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CutPiece, native } from '../../src/base/native.ts';
import { referenceCut, type StreamPart, streamOf } from './native-reference.ts';

const MIB = 1_048_576;

interface Vectors {
  readonly cases: readonly {
    readonly name: string;
    readonly stream: readonly StreamPart[];
    readonly pieces: readonly { readonly length: number; readonly hash?: string; readonly hole?: boolean }[];
  }[];
}

interface Told {
  readonly length: number;
  readonly hash?: string;
  readonly hole?: boolean;
}

/** Pieces as the vectors tell them. */
const told = (pieces: readonly CutPiece[]): Told[] =>
  pieces.map((piece) =>
    piece.bytes === undefined
      ? { length: piece.length, hole: true }
      : { length: piece.length, hash: piece.hash.toString('hex') },
  );

/** Pushes `bytes` in parts of the lengths that `sizes` yields again and again. */
async function pushed(bytes: Buffer, sizes: readonly number[]): Promise<CutPiece[]> {
  const cutter = native().createCutter();
  const pieces: CutPiece[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    pieces.push(...(await cutter.push(bytes.subarray(at, at + size))));
    at += size;
  }
  return [...pieces, ...(await cutter.end())];
}

async function pushedFile(path: string, step: number): Promise<{ pieces: CutPiece[]; length: number }> {
  const fd = openSync(path, 'r');
  try {
    const cutter = native().createCutter();
    const pieces: CutPiece[] = [];
    for (let at = 0; ;) {
      const took = await cutter.pushFile(fd, at, step);
      pieces.push(...took.pieces);
      at += took.consumed;
      if (took.consumed < step) return { pieces: [...pieces, ...(await cutter.end())], length: at };
    }
  } finally {
    closeSync(fd);
  }
}

/** Writes a stream's parts; with `sparse`, zeros are left out. */
function writeStream(path: string, parts: readonly StreamPart[], sparse: boolean): void {
  const fd = openSync(path, 'w');
  let at = 0;
  for (const part of parts) {
    if (!sparse || part.byte !== 0) writeSync(fd, streamOf([part]), 0, part.length, at);
    at += part.length;
  }
  ftruncateSync(fd, at);
  closeSync(fd);
}

/** What is wrong with the pieces of `bytes`: not the reference's, other bytes, another hash. */
function faults(pieces: readonly CutPiece[], bytes: Buffer): string[] {
  const reference = referenceCut(bytes);
  const found = pieces.length === reference.length ? [] : [`${pieces.length} pieces, not ${reference.length}`];
  for (const [i, { begin, length, hole }] of reference.entries()) {
    const piece = pieces[i];
    const right =
      piece?.bytes === undefined
        ? hole
        : !hole &&
          piece.bytes.equals(bytes.subarray(begin, begin + length)) &&
          piece.hash.equals(native().hash('plain', piece.bytes));
    if (!right || piece?.length !== length) found.push(`piece ${i} at ${begin} of ${length}`);
  }
  return found;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'native-cut-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(['cut-chunks', 'cut-holes'])('%s.json', (file) => {
  const { cases } = JSON.parse(readFileSync(`fixtures/format/${file}.json`, 'utf8')) as Vectors;

  test.each(cases)('$name', async ({ name, stream, pieces }) => {
    const bytes = streamOf(stream);
    expect(told(await pushed(bytes, [Math.max(1, bytes.length)]))).toEqual(pieces);
    expect(told(await pushed(bytes, [100_003]))).toEqual(pieces);
    expect(faults(await pushed(bytes, [1, MIB, 65_536]), bytes)).toEqual([]);
    for (const sparse of [false, true]) {
      const path = join(folder, `${file} ${name} ${sparse}`);
      writeStream(path, stream, sparse);
      for (const step of [64 * MIB, 777_777]) {
        const read = await pushedFile(path, step);
        expect(told(read.pieces)).toEqual(pieces);
        expect(read.length).toBe(bytes.length);
      }
      rmSync(path);
    }
  });
});

describe('properties', () => {
  const zeros = fc.oneof(
    fc.integer({ min: MIB - 2, max: MIB + 2 }),
    fc.integer({ min: 1, max: 200 }),
    fc.integer({ min: 1, max: 3 * MIB }),
  );
  const part: fc.Arbitrary<StreamPart> = fc.oneof(
    fc.record({ byte: fc.constant(0), length: zeros }),
    fc.record({ seed: fc.nat(), length: fc.integer({ min: 1, max: 1_500_000 }) }),
    fc.record({ byte: fc.integer({ min: 1, max: 255 }), length: fc.constant(1) }),
  );
  const stream = fc.array(part, { maxLength: 7 });

  test('however it is pushed, the pieces are the reference', async () => {
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 3 * MIB }), fc.integer({ min: 20_000, max: 70_000 })), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(stream, sizes, async (parts, lengths) => {
        const bytes = streamOf(parts);
        // Enough on average that a stream is not pushed byte by byte.
        expect(faults(await pushed(bytes, [...lengths, 200_000]), bytes)).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  test('a sparse file is cut as a dense one', async () => {
    await fc.assert(
      fc.asyncProperty(stream, fc.integer({ min: 30_000, max: 9 * MIB }), async (parts, step) => {
        const bytes = streamOf(parts);
        const path = join(folder, 'property');
        for (const sparse of [false, true]) {
          writeStream(path, parts, sparse);
          expect(faults((await pushedFile(path, step)).pieces, bytes)).toEqual([]);
        }
      }),
      { numRuns: 15 },
    );
  });
});

describe('a cutter', () => {
  test('takes pushes and files in turns', async () => {
    const bytes = streamOf([{ seed: 5, length: 3_000_000 }]);
    const path = join(folder, 'turns');
    writeStream(path, [{ seed: 5, length: 3_000_000 }], false);
    const fd = openSync(path, 'r');
    const cutter = native().createCutter();
    const pieces = [
      ...(await cutter.push(bytes.subarray(0, 1_000_000))),
      ...(await cutter.pushFile(fd, 1_000_000, 1_500_000)).pieces,
      ...(await cutter.push(bytes.subarray(2_500_000))),
      ...(await cutter.end()),
    ];
    closeSync(fd);
    expect(faults(pieces, bytes)).toEqual([]);
  });

  test('passes a hole of a terabyte in a moment', async () => {
    const path = join(folder, 'terabyte');
    const fd = openSync(path, 'w+');
    const length = 2 ** 40;
    ftruncateSync(fd, length);
    writeSync(fd, Buffer.from('end'), 0, 3, length - 3);
    const cutter = native().createCutter();
    const { consumed, pieces } = await cutter.pushFile(fd, 0, Number.MAX_SAFE_INTEGER);
    pieces.push(...(await cutter.end()));
    closeSync(fd);
    rmSync(path);
    expect(consumed).toBe(length);
    expect(pieces.map((piece) => piece.length)).toEqual([length - 3, 3]);
    expect(pieces[1]!.bytes?.toString()).toBe('end');
  });

  test('reads files that tell no size', async () => {
    const expected = readFileSync('/proc/self/maps').length;
    expect((await pushedFile('/proc/self/maps', 4 * MIB)).length).toBeGreaterThan(expected / 2);
  });

  test('refuses a second call at a time, and calls after its end or an error', async () => {
    const cutter = native().createCutter();
    const under = cutter.push(Buffer.alloc(8 * MIB, 1));
    expect(() => cutter.push(Buffer.alloc(1))).toThrow('under way');
    await under;
    await cutter.end();
    expect(() => cutter.end()).toThrow('ended');

    const failed = native().createCutter();
    const fd = openSync(folder, 'r');
    await expect(failed.pushFile(fd, 0, 100)).rejects.toMatchObject({ code: 'EISDIR', syscall: 'pread' });
    closeSync(fd);
    expect(() => failed.push(Buffer.alloc(1))).toThrow('ended');
    await expect(native().createCutter().pushFile(1_000_000, 0, 1)).rejects.toMatchObject({ code: 'EBADF' });
  });

  test('keeps what it works on, and its pieces live without it', async () => {
    const bytes = streamOf([{ seed: 9, length: 20 * MIB }]);
    const { pieces, ended } = await (async () => {
      const cutter = native().createCutter();
      return { pieces: await cutter.push(Buffer.from(bytes)), ended: await cutter.end() };
    })();
    // Enough garbage that the slabs would have been used again.
    for (let i = 0; i < 6; i++) await pushed(streamOf([{ seed: i, length: 10 * MIB }]), [3 * MIB]);
    expect(faults([...pieces, ...ended], bytes)).toEqual([]);
  });
});
