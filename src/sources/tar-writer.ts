/**
 * Members of a tar as they are written: ustar, with a record of pax for what does not fit into that.
 */
import { blockBytes } from './tar-header.ts';

export interface TarMember {
  /** Relative, with slashes. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'link';
  readonly mode: number;
  /** Of a file: so many bytes follow. */
  readonly size: number;
  /** Where a link leads. */
  readonly linkPath?: string;
}

const types = { file: '0', link: '2', directory: '5' } as const;
const nameBytesMax = 100;

/** The end of an archive. */
export const tarEnd: Buffer = Buffer.alloc(2 * blockBytes);

/** All that stands before a member's bytes. It belongs to root and is of 1970, so that the same files are the same tar. */
export function tarMember({ path, type, mode, size, linkPath = '' }: TarMember): Buffer {
  const records = [record('path', path), record('linkpath', linkPath)].join('');
  const head = header({ name: path, type: types[type], mode, size, linkName: linkPath });
  if (records === '') return head;
  const bytes = Buffer.from(records);
  const name = 'PaxHeaders';
  const before = header({ name, type: 'x', mode: 0o644, size: bytes.length, linkName: '' });
  return Buffer.concat([before, bytes, tarPadding(bytes.length), head]);
}

/** What follows on so many bytes. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);
}

/** Empty where a header has room. */
function record(key: string, value: string): string {
  if (Buffer.byteLength(value) <= nameBytesMax) return '';
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  // The number of bytes counts its own digits.
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function header(of: { name: string; type: string; mode: number; size: number; linkName: string }): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, length: number): unknown =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  Buffer.from(of.name).copy(block, 0, 0, nameBytesMax);
  octal(of.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(of.size, 124, 12);
  octal(0, 136, 12);
  block.fill(' ', 148, 156);
  block.write(of.type, 156, 'latin1');
  Buffer.from(of.linkName).copy(block, 157, 0, nameBytesMax);
  block.write('ustar\u000000', 257, 'latin1');
  const checksum = block.reduce((sum, byte) => sum + byte, 0);
  block.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
