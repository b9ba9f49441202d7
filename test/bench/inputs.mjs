/**
 * What is put: bytes and trees, the same on every machine and in every run.
 */
import { createCipheriv } from 'node:crypto';
import { closeSync, fstatSync, mkdirSync, openSync, readSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { throwIfStopping } from './place.mjs';

export const mebibyte = 1 << 20;

/** An endless sequence of random bytes that a seed determines; no compressor helps with them. */
export class RandomBytes {
  #stream;

  /** @param {number} seed */
  constructor(seed) {
    const key = Buffer.alloc(16);
    key.writeUInt32LE(seed);
    this.#stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  }

  /** @param {number} length */
  next(length) {
    return this.#stream.update(Buffer.alloc(length));
  }

  /** A whole number from 0, below a limit of at most 2^48. @param {number} limit */
  below(limit) {
    return this.next(6).readUIntLE(0, 6) % limit;
  }
}

/** Lets signals in, and ends what is no longer wanted. */
async function pause() {
  await setImmediate();
  throwIfStopping();
}

/** @param {string} path @param {number} bytes @param {number} seed */
export async function writeRandomFile(path, bytes, seed) {
  const random = new RandomBytes(seed);
  const file = openSync(path, 'w');
  try {
    for (let left = bytes; left > 0; left -= mebibyte) {
      writeSync(file, random.next(Math.min(left, mebibyte)));
      await pause();
    }
  } finally {
    closeSync(file);
  }
}

/**
 * A file of stretches of random bytes, evenly spread, and holes.
 *
 * @param {string} path
 * @param {{ bytes: number, stretches: number, stretchBytes: number, seed: number }} shape stretchBytes: whole MiB
 */
export async function writeSparseFile(path, { bytes, stretches, stretchBytes, seed }) {
  const random = new RandomBytes(seed);
  writeFileSync(path, '');
  truncateSync(path, bytes);
  const file = openSync(path, 'r+');
  try {
    for (let n = 0; n < stretches; n++) {
      const start = Math.floor((bytes / stretches) * n);
      for (let at = 0; at < stretchBytes; at += mebibyte)
        writeSync(file, random.next(mebibyte), 0, mebibyte, start + at);
      await pause();
    }
  } finally {
    closeSync(file);
  }
}

/**
 * Files in folders of equal size.
 *
 * @param {string} dir
 * @param {{ folders: number, files: number, content: (number: number) => string | Uint8Array }} shape files: in all
 */
export async function writeTree(dir, { folders, files, content }) {
  for (let n = 0; n < folders; n++) {
    const folder = join(dir, `folder-${String(n).padStart(4, '0')}`);
    mkdirSync(folder, { recursive: true });
    const [first, next] = [n, n + 1].map((number) => Math.floor((files / folders) * number));
    for (let m = first; m < next; m++)
      writeFileSync(join(folder, `file-${String(m - first).padStart(4, '0')}`), content(m));
    await pause();
  }
}

/** Contents of 1 to 3 KiB, half of them random bytes, half like text. @param {number} seed */
export function smallContents(seed) {
  const random = new RandomBytes(seed);
  const words = Array.from({ length: 2048 }, () => random.next(6).toString('hex').slice(random.below(9)));
  const sentences = Array.from({ length: 4096 }, () =>
    Array.from({ length: 12 }, () => words[random.below(2048)]).join(' '),
  );
  /** @param {number} number */
  return (number) => {
    const bytes = 1024 + random.below(2048);
    if (number % 2 === 0) return random.next(bytes);
    const picks = random.next(128);
    let text = `${number}`;
    for (let n = 0; text.length < bytes; n += 2) text += `. ${sentences[picks.readUInt16LE(n) % 4096]}`;
    return text.slice(0, bytes);
  };
}

/** @param {number} source @param {number} target @param {number} from @param {number} to of the source's bytes */
function copyRange(source, target, from, to) {
  const block = Buffer.alloc(mebibyte);
  for (let at = from; at < to;) {
    const got = readSync(source, block, 0, Math.min(to - at, block.length), at);
    if (got === 0) throw new Error('a file is shorter than it was');
    writeSync(target, block, 0, got);
    at += got;
  }
}

/**
 * Files one after another as one, up to a length. Resolves to its length.
 *
 * @param {readonly string[]} paths
 * @param {string} to
 * @param {number} bytesMax
 */
export async function concatenate(paths, to, bytesMax) {
  const target = openSync(to, 'w');
  let bytes = 0;
  try {
    for (const path of paths) {
      const source = openSync(path, 'r');
      const part = Math.min(fstatSync(source).size, bytesMax - bytes);
      copyRange(source, target, 0, part);
      closeSync(source);
      bytes += part;
      await pause();
    }
  } finally {
    closeSync(target);
  }
  return bytes;
}

/**
 * A copy of a file with small edits spread over it: bytes inserted, replaced and left out, in turn.
 *
 * @param {string} from
 * @param {string} to
 * @param {{ bytes: number, edits: number, seed: number }} shape bytes: the file's length
 */
export async function editedCopy(from, to, { bytes, edits, seed }) {
  const editBytesMax = 64;
  const random = new RandomBytes(seed);
  const places = Array.from({ length: edits }, () => random.below(bytes - editBytesMax)).sort((a, b) => a - b);
  const source = openSync(from, 'r');
  const target = openSync(to, 'w');
  try {
    let at = 0;
    for (const [number, place] of places.entries()) {
      copyRange(source, target, at, place);
      const length = 1 + random.below(editBytesMax);
      const kind = ['insert', 'replace', 'remove'][number % 3];
      if (kind !== 'remove') writeSync(target, random.next(length));
      at = kind === 'insert' ? place : Math.max(place, at) + length;
      await pause();
    }
    copyRange(source, target, at, bytes);
  } finally {
    closeSync(source);
    closeSync(target);
  }
}
