// Opens files of a mount, all of them at once, and reads a byte of each twice, beside the files that
// it was made from. Usage: open-many.mjs MOUNTED SOURCE COUNT
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';

const [mounted, source, count] = process.argv.slice(2);
const names = readdirSync(source, { recursive: true }).filter((name) => statSync(join(source, name)).isFile());

function byteOf(fd, at) {
  const byte = Buffer.alloc(1);
  return readSync(fd, byte, 0, 1, at) === 1 ? byte[0] : undefined;
}

const open = names.slice(0, Number(count)).map((name) => ({ name, fd: openSync(join(mounted, name)) }));
let wrong = 0;
for (const part of [0.3, 0.9]) {
  for (const { name, fd } of open) {
    const at = Math.floor(statSync(join(source, name)).size * part);
    const expected = openSync(join(source, name));
    if (byteOf(fd, at) !== byteOf(expected, at)) wrong += 1;
    closeSync(expected);
  }
}
for (const { fd } of open) closeSync(fd);
console.log(`${open.length} open, ${wrong} wrong`);
