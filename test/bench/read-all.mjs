/**
 * Reads every file of a folder, one after another, for so many seconds at most, and prints how many
 * it has read and the seconds that it took.
 *
 *   read-all.mjs FOLDER SECONDS
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

const [folder = '', seconds = ''] = process.argv.slice(2);
const begun = performance.now();
const end = begun + Number(seconds) * 1000;
let count = 0;
for (const name of readdirSync(folder)) {
  if (readFileSync(join(folder, name)).length === 0) throw new Error(`${name}: empty`);
  count += 1;
  if (performance.now() > end) break;
}
console.log(count, (performance.now() - begun) / 1000);
