/**
 * Members of a tar as they are written: ustar, with a record of pax for what does not fit into that.
 */
import type { FileTime } from '../base/file-time.ts';
import { blockBytes } from './tar-header.ts';

export interface TarMember {
  /** Relative, with slashes; text as UTF-8. */
  readonly path: string | Buffer;
  readonly type: 'file' | 'directory' | 'link';
  readonly mode: number;
  /** Of a file: so many bytes follow. */
  readonly size: number;
  /** Where a link leads. */
  readonly linkPath?: string | Buffer;
  /** 1970 where it is not said, so that the same files are the same tar. */
  readonly time?: FileTime;
}

const types = { file: '0', link: '2', directory: '5' } as const;
const nameBytesMax = 100;
/** A field of a header is octal digits: 11 of them. */
const octalMax = 8 ** 11 - 1;
const epoch: FileTime = { mtimeSeconds: 0, mtimeNanoseconds: 0 };

/** The end of an archive. */
export const tarEnd: Buffer = Buffer.alloc(2 * blockBytes);

/** All that stands before a member's bytes. It belongs to root. */
export function tarMember({ path, type, mode, size, linkPath = '', time = epoch }: TarMember): Buffer {
  const name = Buffer.from(path);
  const linkName = Buffer.from(linkPath);
  const records = Buffer.concat([
    ...(name.length > nameBytesMax ? [record('path', name)] : []),
    ...(linkName.length > nameBytesMax ? [record('linkpath', linkName)] : []),
    ...(size > octalMax ? [record('size', Buffer.from(String(size)))] : []),
    ...(fitsHeader(time) ? [] : [record('mtime', Buffer.from(decimalOf(time)))]),
  ]);
  const fitting = { size: Math.min(size, octalMax), seconds: fitsHeader(time) ? time.mtimeSeconds : 0 };
  const head = header({ name, type: types[type], mode, ...fitting, linkName });
  if (records.length === 0) return head;
  const own = { name: Buffer.from('PaxHeaders'), mode: 0o644, seconds: 0, linkName: Buffer.alloc(0) };
  const before = header({ ...own, type: 'x', size: records.length });
  return Buffer.concat([before, records, tarPadding(records.length), head]);
}

/** What follows on so many bytes. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);
}

function fitsHeader({ mtimeSeconds, mtimeNanoseconds }: FileTime): boolean {
  return mtimeNanoseconds === 0 && mtimeSeconds >= 0 && mtimeSeconds <= octalMax;
}

/** As pax writes a time: nanoseconds of one before 1970 count towards 1970. */
function decimalOf({ mtimeSeconds, mtimeNanoseconds }: FileTime): string {
  const isBefore = mtimeSeconds < 0 && mtimeNanoseconds > 0;
  const seconds = isBefore ? mtimeSeconds + 1 : mtimeSeconds;
  const nanoseconds = isBefore ? 1_000_000_000 - mtimeNanoseconds : mtimeNanoseconds;
  const sign = isBefore && seconds === 0 ? '-' : '';
  return `${sign}${seconds}.${String(nanoseconds).padStart(9, '0')}`;
}

function record(key: string, value: Buffer): Buffer {
  const rest = Buffer.byteLength(` ${key}=\n`) + value.length;
  // The number of bytes counts its own digits.
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from('\n')]);
}

function header(of: {
  name: Buffer;
  type: string;
  mode: number;
  size: number;
  seconds: number;
  linkName: Buffer;
}): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, length: number): unknown =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  of.name.copy(block, 0, 0, nameBytesMax);
  octal(of.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(of.size, 124, 12);
  octal(of.seconds, 136, 12);
  block.fill(' ', 148, 156);
  block.write(of.type, 156, 'latin1');
  of.linkName.copy(block, 157, 0, nameBytesMax);
  block.write('ustar\u000000', 257, 'latin1');
  const checksum = block.reduce((sum, byte) => sum + byte, 0);
  block.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
