/**
 * The stored format's hash and cutter once more, slow and straight from their descriptions, to hold
 * the native ones against.
 */

const IV = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
const CHUNK_START = 1;
const CHUNK_END = 2;
const PARENT = 4;
const ROOT = 8;
const DERIVE_KEY_CONTEXT = 32;
const DERIVE_KEY_MATERIAL = 64;

const rotateRight = (word: number, by: number): number => (word >>> by) | (word << (32 - by));

function mix(v: Uint32Array, [a, b, c, d]: readonly [number, number, number, number], x: number, y: number): void {
  v[a] = v[a]! + v[b]! + x;
  v[d] = rotateRight(v[d]! ^ v[a], 16);
  v[c] = v[c]! + v[d];
  v[b] = rotateRight(v[b]! ^ v[c], 12);
  v[a] = v[a] + v[b] + y;
  v[d] = rotateRight(v[d] ^ v[a], 8);
  v[c] = v[c] + v[d];
  v[b] = rotateRight(v[b] ^ v[c], 7);
}

const COLUMNS_AND_DIAGONALS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

interface Block {
  readonly key: readonly number[];
  readonly words: readonly number[];
  readonly counter: number;
  readonly length: number;
  readonly flags: number;
}

/** The first eight words of the compression function. */
function compress({ key, words, counter, length, flags }: Block): number[] {
  const v = Uint32Array.from([...key, ...IV.slice(0, 4), counter, Math.floor(counter / 2 ** 32), length, flags]);
  let m = words;
  for (let round = 0; round < 7; round++) {
    for (const [i, quarter] of COLUMNS_AND_DIAGONALS.entries()) mix(v, quarter, m[2 * i]!, m[2 * i + 1]!);
    const before = m;
    m = PERMUTATION.map((from) => before[from]!);
  }
  return Array.from(v.subarray(0, 8), (word, i) => (word ^ v[i + 8]!) >>> 0);
}

function wordsOf(block: Uint8Array): number[] {
  const padded = Buffer.alloc(64);
  padded.set(block);
  return Array.from({ length: 16 }, (_, i) => padded.readUInt32LE(4 * i));
}

/** The last compression of a subtree, not done yet, for the root's has a flag more. */
function subtree(input: Uint8Array, first: number, key: readonly number[], flags: number): Block {
  if (input.length <= 1024) {
    let chain = key;
    const blocks = Math.max(1, Math.ceil(input.length / 64));
    for (let i = 0; ; i++) {
      const bytes = input.subarray(64 * i, 64 * i + 64);
      const started = flags | (i === 0 ? CHUNK_START : 0);
      const block = { key: chain, words: wordsOf(bytes), counter: first, length: bytes.length, flags: started };
      if (i === blocks - 1) return { ...block, flags: started | CHUNK_END };
      chain = compress(block);
    }
  }
  // The left one is full and a power of two; the right one has at least a byte.
  let left = 1024;
  while (2 * left < input.length) left *= 2;
  const halves = [
    ...compress(subtree(input.subarray(0, left), first, key, flags)),
    ...compress(subtree(input.subarray(left), first + left / 1024, key, flags)),
  ];
  return { key, words: halves, counter: 0, length: 64, flags: flags | PARENT };
}

function rootWords(input: Uint8Array, key: readonly number[], flags: number): number[] {
  const root = subtree(input, 0, key, flags);
  return compress({ ...root, counter: 0, flags: root.flags | ROOT });
}

/** BLAKE3-256, of `input` or with a context as its key derivation. */
export function referenceHash(input: Uint8Array, context?: string): Buffer {
  const words =
    context === undefined
      ? rootWords(input, IV, 0)
      : rootWords(input, rootWords(Buffer.from(context), IV, DERIVE_KEY_CONTEXT), DERIVE_KEY_MATERIAL);
  const hash = Buffer.alloc(32);
  for (const [i, word] of words.entries()) hash.writeUInt32LE(word, 4 * i);
  return hash;
}

/** The gear table: 64-bit words as hex. */
export const referenceGear: readonly string[] = Array.from({ length: 256 }, (_, k) =>
  referenceHash(Uint8Array.of(k), 'pachmount 2026 gear v1').readBigUInt64LE().toString(16).padStart(16, '0'),
);

const gearHigh = referenceGear.map((word) => Number.parseInt(word.slice(0, 8), 16));
const gearLow = referenceGear.map((word) => Number.parseInt(word.slice(8), 16));

export interface ReferencePiece {
  readonly begin: number;
  readonly length: number;
  readonly hole: boolean;
}

function chunkLength(bytes: Uint8Array, begin: number, end: number): number {
  let high = 0;
  let low = 0;
  for (let i = 262_144; begin + i < end; i++) {
    if (i === 4_194_304) return i;
    const byte = bytes[begin + i]!;
    const sum = low * 2 + gearLow[byte]!;
    low = sum >>> 0;
    high = (high * 2 + gearHigh[byte]! + Math.floor(sum / 2 ** 32)) >>> 0;
    if (high >>> (i < 1_048_576 ? 10 : 14) === 0) return i;
  }
  return end - begin;
}

/** Cuts bytes as FORMAT.md section 2 says. */
export function referenceCut(bytes: Uint8Array): ReferencePiece[] {
  const pieces: ReferencePiece[] = [];
  const cutStretch = (from: number, end: number): void => {
    let begin = from;
    while (begin < end) {
      const length = chunkLength(bytes, begin, end);
      pieces.push({ begin, length, hole: false });
      begin += length;
    }
  };
  let stretch = 0;
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] !== 0) continue;
    const begin = i;
    while (i < bytes.length && bytes[i] === 0) i++;
    if (i - begin < 1_048_576) continue;
    cutStretch(stretch, begin);
    pieces.push({ begin, length: i - begin, hole: true });
    stretch = i;
  }
  cutStretch(stretch, bytes.length);
  return pieces;
}

/** A part of a stream: `length` bytes that are all `byte`, or random ones from `seed`. */
export interface StreamPart {
  readonly length: number;
  readonly byte?: number;
  readonly seed?: number;
}

/** The random bytes: x begins as the seed; for each byte x = x * 1664525 + 1013904223 mod 2^32, and it is x >> 24. */
export function streamOf(parts: readonly StreamPart[]): Buffer {
  return Buffer.concat(
    parts.map(({ length, byte, seed }) => {
      const bytes = Buffer.alloc(length, byte ?? 0);
      if (seed === undefined) return bytes;
      let x = seed;
      for (let i = 0; i < length; i++) {
        x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
        bytes[i] = x >>> 24;
      }
      return bytes;
    }),
  );
}
