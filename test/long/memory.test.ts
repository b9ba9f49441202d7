/**
 * What commands have in memory at most while they go through very many small files: a part of it grows with the
 * files (the table of what was stored), by so many bytes for each.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const folders = 100;
const filesOfFolder = 2000;
/** In MiB. With a million files that is less than 400. */
const peakMax = 255 + (folders * filesOfFolder * 150) / 2 ** 20;

test('a put and a push of many small files hold to their memory', { timeout: 1_800_000 }, async () => {
  await using place = await Place.make('root');
  for (let n = 0; n < folders; n += 1) {
    const folder = join(place.dir, 'tree', `folder-${n}`);
    await mkdir(folder, { recursive: true });
    const half = randomBytes(700).toString('hex');
    for (let m = 0; m < filesOfFolder; m += 1) {
      const bytes = m % 2 === 0 ? randomBytes(1024 + (m % 1024)) : Buffer.from(`${n} ${m} ${half}`);
      await writeFile(join(folder, `file-${m}`), bytes);
    }
  }
  const report = `require('fs').writeFileSync(process.env.PEAK, String(process.resourceUsage().maxRSS))`;
  await writeFile(join(place.dir, 'report.cjs'), `process.on('exit', () => ${report});\n`);
  /** The most memory that a command had, in MiB. */
  const peakOf = async (name: string, command: string): Promise<number> => {
    const path = join(place.dir, name);
    await place.must(`PEAK=${path} NODE_OPTIONS=--require=${place.dir}/report.cjs ${command}`, 800);
    return Number(await readFile(path, 'utf8')) / 1024;
  };
  await place.must('pach create repo many');
  const put = await peakOf('put', 'pach put file many@master:/ -r -f tree/');
  const pushed = await peakOf('push', 'pach push many --to "$PWD/pushed"');
  console.log(JSON.stringify({ put, pushed, peakMax }));
  expect(Math.max(put, pushed)).toBeLessThan(peakMax);
});
