import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type HashDomain, native } from '../../src/base/native.ts';
import { referenceGear, referenceHash } from './native-reference.ts';

/** The input of BLAKE3's published vectors: 0, 1, ... 250, again and again. */
const counted = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => i % 251));

/** Published vectors: input length, hash, and key derived in the published context. */
const published: readonly (readonly [number, string, string])[] = [
  [
    0,
    'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    '2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d',
  ],
  [
    1,
    '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213',
    'b3e2e340a117a499c6cf2398a19ee0d29cca2bb7404c73063382693bf66cb06c',
  ],
  [
    1023,
    '10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11',
    '74a16c1c3d44368a86e1ca6df64be6a2f64cce8f09220787450722d85725dea5',
  ],
  [
    1025,
    'd00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444',
    'effaa245f065fbf82ac186839a249707c3bddf6d3fdda22d1b95a3c970379bcb',
  ],
  [
    3073,
    '7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3',
    '72613c9ec9ff7e40f8f5c173784c532ad852e827dba2bf85b2ab4b76f7079081',
  ],
  [
    7169,
    'a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817',
    '554b0a5efea9ef183f2f9b931b7497995d9eb26f5c5c6dad2b97d62fc5ac31d9',
  ],
];

const contexts: readonly (readonly [HashDomain, string | undefined])[] = [
  ['plain', undefined],
  ['gear', 'pachmount 2026 gear v1'],
  ['node', 'pachmount 2026 node v1'],
  ['content', 'pachmount 2026 content v1'],
  ['reference', 'pachmount 2026 reference v1'],
];

describe('hash', () => {
  test('has the published vectors, and so has the reference', () => {
    for (const [length, hash, derived] of published) {
      expect(native().hash('plain', counted(length)).toString('hex')).toBe(hash);
      expect(referenceHash(counted(length)).toString('hex')).toBe(hash);
      const context = 'BLAKE3 2019-12-27 16:29:52 test vectors context';
      expect(referenceHash(counted(length), context).toString('hex')).toBe(derived);
    }
  });

  test.each(contexts)('domain %s is what the reference has, at once and on the pool', async (domain, context) => {
    for (const length of [0, 1, 64, 65, 1024, 1025, 5000, 70_001]) {
      const expected = referenceHash(counted(length), context);
      expect(native().hash(domain, counted(length))).toEqual(expected);
      expect(await native().hashAsync(domain, counted(length))).toEqual(expected);
    }
  });

  test('parts are one input', () => {
    const bytes = counted(3000);
    const parts = [
      bytes.subarray(0, 1),
      bytes.subarray(1, 1),
      bytes.subarray(1, 2100),
      new Uint8Array(bytes.subarray(2100)),
    ];
    expect(native().hash('node', ...parts)).toEqual(native().hash('node', bytes));
    expect(native().hash('plain')).toEqual(referenceHash(Buffer.alloc(0)));
  });

  test('the gear table is the one of the format', () => {
    const { gear } = JSON.parse(readFileSync('fixtures/format/gear.json', 'utf8')) as { gear: string[] };
    expect(referenceGear).toEqual(gear);
    const words = gear.map((_, k) => native().hash('gear', Uint8Array.of(k)).readBigUInt64LE());
    expect(words.map((word) => word.toString(16).padStart(16, '0'))).toEqual(gear);
  });
});

describe('arguments of the wrong type', () => {
  const wrong: readonly unknown[] = [
    undefined,
    null,
    'text',
    -1,
    1.5,
    Number.NaN,
    {},
    [1],
    new Uint16Array(4),
    new ArrayBuffer(8),
  ];
  /** Called with anything at all, to see that C++ looks before it takes. */
  const call = (name: string, ...given: unknown[]): unknown =>
    (native() as unknown as Record<string, (...all: unknown[]) => unknown>)[name]!(...given);

  test('throw a TypeError', () => {
    const bytes = Buffer.alloc(32);
    const path = Buffer.from('x');
    const cutter = native().createCutter() as unknown as Record<string, (...all: unknown[]) => unknown>;
    for (const value of wrong) {
      expect(() => call('hash', value, bytes)).toThrow(TypeError);
      expect(() => call('hash', 'plain', value)).toThrow(TypeError);
      expect(() => call('hashAsync', 'node', value)).toThrow(TypeError);
      expect(() => call('encodeBlobs', value)).toThrow(TypeError);
      expect(() => call('encodeBlobs', [bytes, value])).toThrow(TypeError);
      for (const decode of ['decodeBlob', 'decodeBlobSync']) {
        expect(() => call(decode, value, 10, 'plain', bytes)).toThrow(TypeError);
        expect(() => call(decode, bytes, value, 'plain', bytes)).toThrow(TypeError);
        expect(() => call(decode, bytes, 10, value, bytes)).toThrow(TypeError);
        expect(() => call(decode, bytes, 10, 'plain', value)).toThrow(TypeError);
        expect(() => call(decode, bytes, 10, 'plain', Buffer.alloc(31))).toThrow(TypeError);
      }
      expect(() => call('listFolder', value, path, 0)).toThrow(TypeError);
      expect(() => call('listFolder', path, value, 0)).toThrow(TypeError);
      expect(() => call('listFolder', path, path, value)).toThrow(TypeError);
      expect(() => call('readLink', path, path, value)).toThrow(TypeError);
      expect(() => call('openFile', path, value)).toThrow(TypeError);
      expect(() => call('readSmallFiles', value, path, [], 1)).toThrow(TypeError);
      expect(() => call('readSmallFiles', path, value, [], 1)).toThrow(TypeError);
      expect(() => call('readSmallFiles', Buffer.from('/'), path, [value], 1)).toThrow(TypeError);
      expect(() => call('readSmallFiles', Buffer.from('/'), path, [], value)).toThrow(TypeError);
      expect(() => call('lockExclusive', value)).toThrow(TypeError);
      expect(() => cutter['push']!(value)).toThrow(TypeError);
      expect(() => cutter['pushFile']!(value, 0, 1)).toThrow(TypeError);
      expect(() => cutter['pushFile']!(0, value, 1)).toThrow(TypeError);
      expect(() => cutter['pushFile']!(0, 0, value)).toThrow(TypeError);
    }
    for (const name of ['', '.a/b', '..\0', '/']) {
      expect(() => call('readSmallFiles', Buffer.from('/'), path, [Buffer.from(name)], 1)).toThrow(TypeError);
    }
    expect(() => call('hash')).toThrow(TypeError);
    expect(() => call('listFolder', Buffer.from('/\0'), Buffer.alloc(0), 0)).toThrow(TypeError);
  });
});
