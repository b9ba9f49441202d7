import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { damagedLength, native } from '../../src/base/native.ts';
import { streamOf } from './native-reference.ts';

const MIB = 1_048_576;
const damaged = expect.objectContaining({ code: 'DAMAGED' }) as unknown;

/** The blobs, whole: those that are not copied, too. */
async function encodeAll(plain: readonly Uint8Array[]): Promise<Buffer[]> {
  const blobs = await native().encodeBlobs(plain);
  return blobs.map((blob, index) => {
    const bytes = plain[index]!;
    expect(blob !== undefined || bytes.length >= 65_536).toBe(true);
    return blob ?? Buffer.concat([Buffer.of(0), bytes]);
  });
}

const encode = async (plain: Uint8Array): Promise<Buffer> => (await encodeAll([plain]))[0]!;

/** Both ways to decode must agree; the bytes, or the error's code. */
async function decode(stored: Uint8Array, plainMax: number, hash: Uint8Array, domain: 'plain' | 'node' = 'plain') {
  const waited = await native()
    .decodeBlob(stored, plainMax, domain, hash)
    .catch((error: unknown) => error);
  let atOnce: unknown;
  try {
    atOnce = native().decodeBlobSync(stored, plainMax, domain, hash);
  } catch (error) {
    atOnce = error;
  }
  const agree =
    waited instanceof Error
      ? atOnce instanceof Error && atOnce.message === waited.message
      : Buffer.compare(atOnce as Buffer, waited as Buffer) === 0;
  expect(agree).toBe(true);
  return waited;
}

describe('blobs', () => {
  test('give back what was put in, many in one call', async () => {
    const inputs = [
      Buffer.alloc(0),
      Buffer.from('a'),
      Buffer.alloc(16, 'a'),
      Buffer.alloc(5000, 'text and '),
      randomBytes(5000),
      Buffer.alloc(4 * MIB),
      randomBytes(4 * MIB),
      Buffer.alloc(16 * MIB, 'a long node '),
      ...Array.from({ length: 300 }, (_, i) => Buffer.from(`entry ${i} `.repeat(i))),
    ];
    const blobs = await encodeAll(inputs);
    expect(blobs.length).toBe(inputs.length);
    for (const [i, plain] of inputs.entries()) {
      const back = await decode(blobs[i]!, plain.length, native().hash('plain', plain));
      expect(Buffer.compare(back as Buffer, plain)).toBe(0);
      // Codec 1 exactly when it saves 1/16.
      expect(blobs[i]!.length - 1).toSatisfy(
        (length: number) => length === plain.length || (blobs[i]![0] === 1 && length <= (plain.length * 15) / 16),
      );
    }
    expect(blobs.slice(0, 8).map((blob) => blob[0])).toEqual([0, 0, 0, 1, 0, 1, 0, 1]);
    expect(await encodeAll([])).toEqual([]);
  });

  test('are verified where they lie, many in one call', async () => {
    const plain = [Buffer.from('a'), Buffer.alloc(5000, 'text and '), randomBytes(200_000), Buffer.alloc(4 * MIB)];
    const blobs = await encodeAll(plain);
    const stored = Buffer.concat([Buffer.from('before'), ...blobs, Buffer.from('behind')]);
    const rowsOf = (change: (row: Buffer, n: number) => void) => {
      let offset = 6;
      return Buffer.concat(
        blobs.map((blob, n) => {
          const row = Buffer.alloc(40);
          row.writeUInt32LE(offset, 0);
          row.writeUInt32LE(blob.length, 4);
          row.set(native().hash('plain', plain[n]!), 8);
          offset += blob.length;
          change(row, n);
          return row;
        }),
      );
    };
    const lengths = async (change: (row: Buffer, n: number) => void, max = 4 * MIB) => [
      ...(await native().verifyBlobs(stored, rowsOf(change), max)),
    ];
    const right = plain.map(({ length }) => length);
    expect(await lengths(() => undefined)).toEqual(right);
    expect(await native().verifyBlobs(stored, Buffer.alloc(0), MIB)).toHaveLength(0);
    // Only the one that is wrong is told: another hash, place or length, beyond the end, or too long.
    for (const at of [8, 0, 4]) {
      for (let wrong = 0; wrong < blobs.length; wrong += 1) {
        const found = await lengths((row, n) => n === wrong && (row[at] = (row[at] as number) ^ 1));
        expect({ at, found }).toEqual({ at, found: right.map((length, n) => (n === wrong ? damagedLength : length)) });
      }
    }
    const beyond = await lengths((row, n) => n === 3 && row.writeUInt32LE(stored.length, 0));
    const over = await lengths((row, n) => n === 3 && row.writeUInt32LE(0xffffffff, 4));
    expect([beyond, over, await lengths(() => undefined, MIB)].map((found) => found[3])).toEqual([
      damagedLength,
      damagedLength,
      damagedLength,
    ]);
    expect(() => native().verifyBlobs(stored, Buffer.alloc(39), MIB)).toThrow(TypeError);
  });

  test('are the same each time, alone or in company', async () => {
    const inputs = [
      streamOf([
        { seed: 1, length: MIB },
        { byte: 7, length: MIB },
      ]),
      Buffer.alloc(70_000, 'abc'),
      randomBytes(300_000),
    ];
    const together = await encodeAll(inputs);
    for (const [i, plain] of inputs.entries()) expect((await encode(plain)).equals(together[i]!)).toBe(true);
  });

  test('of any bytes come back', async () => {
    const plain = fc
      .tuple(fc.uint8Array({ maxLength: 300 }), fc.nat(2000))
      .map(([bytes, times]) => Buffer.alloc(times, Buffer.from([1, ...bytes])));
    await fc.assert(
      fc.asyncProperty(fc.array(plain, { maxLength: 10 }), async (inputs) => {
        const blobs = await encodeAll(inputs);
        for (const [i, bytes] of inputs.entries()) {
          const back = await decode(blobs[i]!, 2000, native().hash('plain', bytes));
          expect(Buffer.compare(back as Buffer, bytes)).toBe(0);
        }
      }),
      { numRuns: 50 },
    );
  });
});

/** zstd's little-endian length fields. */
function u(bytes: 3 | 4 | 8, value: number): Buffer {
  const field = Buffer.alloc(8);
  field.writeBigUInt64LE(BigInt(value));
  return field.subarray(0, bytes);
}

/** A block that repeats one byte: 4 bytes that yield up to 128 KiB. */
const repeated = (length: number, last: boolean): Buffer =>
  Buffer.concat([u(3, length * 8 + 2 + Number(last)), Buffer.from('z')]);
const codec = (n: number, ...payload: Uint8Array[]): Buffer => Buffer.concat([Buffer.of(n), ...payload]);
const magic = Buffer.from('28b52ffd', 'hex');

/** A blob whose frame declares `declared` bytes and yields `blocks` times 100,000. */
const frame = (declared: number, blocks: number): Buffer =>
  codec(
    1,
    magic,
    Buffer.of(0xe0),
    u(8, declared),
    ...Array.from({ length: blocks }, (_, i) => repeated(100_000, i === blocks - 1)),
  );

describe('damage', () => {
  const plain = Buffer.alloc(3000, 'some text, ');
  const hash = native().hash('plain', plain);

  test('of the outside is told', async () => {
    const good = await encode(plain);
    const wrong = {
      empty: Buffer.alloc(0),
      'unknown codec': codec(2, good.subarray(1)),
      'another codec': codec(0, good.subarray(1)),
      'no payload': codec(1),
      'cut short': good.subarray(0, -1),
      'trailing byte': codec(1, good.subarray(1), Buffer.of(0)),
      'two frames': codec(1, good.subarray(1), good.subarray(1)),
      'skippable frame': codec(1, Buffer.from('502a4d18', 'hex'), u(4, 2), Buffer.of(1, 2)),
      'frame behind a skippable one': codec(1, Buffer.from('502a4d18', 'hex'), u(4, 0), good.subarray(1)),
    };
    for (const [name, stored] of Object.entries(wrong)) {
      expect([name, await decode(stored, 1e6, hash)]).toEqual([name, damaged]);
    }
    expect(await decode(good, plain.length - 1, hash)).toEqual(damaged);
    expect(await decode(codec(0, plain), plain.length - 1, hash)).toEqual(damaged);
    expect(await decode(good, plain.length, hash)).toEqual(plain);
    expect(await decode(codec(0, plain), plain.length, hash)).toEqual(plain);
  });

  test('of the hash is told, but left to the caller for nodes', async () => {
    const other = native().hash('plain', Buffer.from('other'));
    for (const stored of [await encode(plain), codec(0, plain)]) {
      expect(await decode(stored, 1e6, other)).toEqual(damaged);
      expect(await decode(stored, 1e6, other, 'node')).toEqual(plain);
    }
  });

  test('zstd frames that lie about their size', async () => {
    const two = Buffer.alloc(200_000, 'z');
    const right = native().hash('plain', two);
    expect(two.equals((await decode(frame(200_000, 2), 200_000, right)) as Buffer)).toBe(true);
    expect(await decode(frame(200_000, 2), 199_999, right)).toEqual(damaged);
    expect(await decode(frame(200_000, 3), 4 * MIB, right)).toEqual(damaged);
    expect(await decode(frame(200_000, 1), 4 * MIB, right)).toEqual(damaged);
    // A terabyte declared, and blocks without a declaration.
    expect(await decode(frame(2 ** 40, 200), 4 * MIB, right)).toEqual(damaged);
    const undeclared = codec(1, magic, Buffer.of(0x00, 0x58), repeated(100_000, false), repeated(100_000, true));
    expect(await decode(undeclared, 4 * MIB, right)).toEqual(damaged);
    // Legal for zstd, but an encoder writes such bytes with codec 0.
    const raw = codec(1, magic, Buffer.of(0x20, 3), u(3, 3 * 8 + 1), Buffer.from('abc'));
    expect(await decode(raw, 4 * MIB, native().hash('plain', Buffer.from('abc')))).toEqual(damaged);
  });

  test('anywhere is told, and nothing worse happens', async () => {
    const good = await encode(plain);
    const change = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 5 }),
        fc.nat(good.length),
        async (changes, length) => {
          const bad = Buffer.from(good);
          for (const [at, by] of changes) bad[at]! ^= by;
          for (const stored of [bad, good.subarray(0, length), bad.subarray(0, length)]) {
            const result = await decode(stored, 10_000, hash);
            expect(result instanceof Error || plain.equals(result as Buffer)).toBe(true);
          }
          await decode(bad, 10_000, hash, 'node');
        },
      ),
      { numRuns: 500 },
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (payload) => {
        expect(await decode(codec(1, magic, payload), MIB, hash)).toEqual(damaged);
      }),
      { numRuns: 500 },
    );
  });
});
