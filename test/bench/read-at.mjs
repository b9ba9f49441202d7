/**
 * Reads 4 KiB at each of some places of a file, one after another.
 *
 *   read-at.mjs FILE OFFSET...
 */
import { closeSync, openSync, readSync } from 'node:fs';

const [path = '', ...offsets] = process.argv.slice(2);
const block = Buffer.alloc(4096);
const file = openSync(path, 'r');
for (const offset of offsets) {
  if (readSync(file, block, 0, block.length, Number(offset)) !== block.length)
    throw new Error(`${path}: ends too early`);
}
closeSync(file);
