/**
 * A shell for images that have none: busybox of this machine, if it needs nothing beside itself.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { PachError } from '../base/errors.ts';

/** Where a program's head lies in an ELF file of 64 bits, and what it says of each segment. */
const headBytes = 4096;
const segmentsAt = 32;
const segmentBytesAt = 54;
const segmentCountAt = 56;
const interpreter = 3;

/** Its path. Throws `not-found` with what to install. */
export async function ownShell(): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'busybox');
    const file = folder === '' ? undefined : await open(path).catch(() => undefined);
    if (!file) continue;
    await using _ = file;
    if (await isStatic(file)) return path;
  }
  throw new PachError('not-found', {
    what: 'no shell',
    why: 'the image has none, and this machine has no static busybox to lend it',
    next: 'apt-get install busybox-static, or give a command after --',
  });
}

/** True for a program that asks for no interpreter, which an image may lack. */
async function isStatic(file: FileHandle): Promise<boolean> {
  const head = Buffer.alloc(headBytes);
  const { bytesRead } = await file.read(head, 0, headBytes, 0);
  if (bytesRead < headBytes || head.toString('latin1', 0, 5) !== '\x7fELF\x02') return false;
  const start = Number(head.readBigUInt64LE(segmentsAt));
  const bytes = head.readUInt16LE(segmentBytesAt);
  for (let n = 0; n < head.readUInt16LE(segmentCountAt); n += 1) {
    const at = start + n * bytes;
    if (at + 4 > headBytes || head.readUInt32LE(at) === interpreter) return false;
  }
  return true;
}
