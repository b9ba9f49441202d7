/**
 * Archives as they come: plain, or packed with gzip, told apart by their first bytes.
 */
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { PachError } from '../base/errors.ts';
import { ByteReader } from './byte-reader.ts';

/** Up to this many unpacked bytes the ratio is not checked. */
const freeBytes = 64 * 1024 * 1024;
export const ratioMax = 200;

/** The first bytes of other formats, and the program that unpacks them. */
const otherFormats: readonly (readonly [magic: string, program: string])[] = [
  ['fd377a585a00', 'xz'],
  ['28b52ffd', 'zstd'],
  ['425a68', 'bzip2'],
];

/**
 * The plain bytes. Throws `unsupported` for other packings, and `failed` for a packed stream that
 * is damaged, cut, or so small for what it becomes that it is likely made to harm.
 */
export async function* unpacked(stream: AsyncIterable<Uint8Array>, shown: string): AsyncGenerator<Uint8Array> {
  const reader = new ByteReader(stream);
  try {
    const head = await reader.read(6);
    reader.unread(head);
    const hex = head.toString('hex');
    for (const [magic, program] of otherFormats) {
      if (!hex.startsWith(magic)) continue;
      const next = `${program} -dc ARCHIVE | pach put file TARGET --untar -f -`;
      throw new PachError('unsupported', { what: shown, why: `it is packed with ${program}`, next });
    }
    if (hex.startsWith('1f8b')) yield* gunzip(reader.rest(), shown);
    else yield* reader.rest();
  } finally {
    await reader.close();
  }
}

async function* gunzip(stream: AsyncIterable<Uint8Array>, shown: string): AsyncGenerator<Uint8Array> {
  const zip = createGunzip({ chunkSize: 256 * 1024 });
  let packed = 0;
  let plain = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const bytes of stream) {
      packed += bytes.length;
      yield bytes;
    }
  }
  // What goes wrong here destroys `zip` with that error, and comes out below.
  const feeding = pipeline(counted(), zip).catch(() => undefined);
  try {
    for await (const bytes of zip as AsyncIterable<Buffer>) {
      plain += bytes.length;
      if (plain > freeBytes && plain > packed * ratioMax) {
        throw new PachError('failed', {
          what: shown,
          why: `${packed} packed bytes unpack to more than ${plain} bytes; an archive packed tighter than 1:${ratioMax} may be made to fill the store, so unpack it yourself only if you trust it`,
          next: 'gzip -dc ARCHIVE | pach put file TARGET --untar -f -',
        });
      }
      yield bytes;
    }
  } catch (error) {
    if (error instanceof PachError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!code.startsWith('Z_')) throw error;
    const why = code === 'Z_BUF_ERROR' ? 'its gzip stream ends too early' : `its gzip stream is damaged (${code})`;
    throw new PachError('failed', { what: shown, why, cause: error });
  } finally {
    zip.destroy();
    await feeding;
  }
}
