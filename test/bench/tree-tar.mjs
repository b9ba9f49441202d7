/**
 * A tree of small files as a tar archive on stdout: a million of them need not lie on the disk.
 *
 *   tree-tar.mjs FOLDERS FILES      FILES in all; named as writeTree of inputs.mjs does
 */
import { once } from 'node:events';

const blockBytes = 512;
const [folders = 1, files = 1] = process.argv.slice(2).map(Number);

/** @param {string} name @param {string} type @param {number} size */
function header(name, type, size) {
  const block = Buffer.alloc(blockBytes);
  block.write(name);
  block.write(type === '5' ? '0000755' : '0000644', 100);
  for (const at of [108, 116]) block.write('0000000', at);
  block.write(size.toString(8).padStart(11, '0'), 124);
  block.write('14000000000', 136);
  block.fill(' ', 148, 156); // what the checksum counts in its own place
  block.write(type, 156);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** @param {number} number */
function fileOf(number) {
  const block = Buffer.alloc(blockBytes);
  const bytes = block.write(`content ${String(number).padStart(12, '0')}\n`);
  return { block, bytes };
}

for (let n = 0; n < folders; n++) {
  const folder = `folder-${String(n).padStart(4, '0')}`;
  const parts = [header(`${folder}/`, '5', 0)];
  const [first = 0, next = 0] = [n, n + 1].map((number) => Math.floor((files / folders) * number));
  for (let m = first; m < next; m++) {
    const { block, bytes } = fileOf(m);
    parts.push(header(`${folder}/file-${String(m - first).padStart(4, '0')}`, '0', bytes), block);
    if (parts.length < 2048 && m + 1 < next) continue;
    if (!process.stdout.write(Buffer.concat(parts.splice(0)))) await once(process.stdout, 'drain');
  }
}
process.stdout.write(Buffer.alloc(2 * blockBytes));
