/**
 * `make bench`: ours beside the references on this machine, one table, and bench.json.
 *
 * Every row is the median of three, ours and the reference in turn in the same run. Cold: the page
 * cache was dropped and ours was mounted anew with an empty cache of its own, so root is needed.
 * GATE=1 fails when a ratio is below its floor.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { checkout, dropCaches, Place } from './place.mjs';
import { measure } from './works.mjs';

/**
 * Ours as a multiple of the reference's speed, at least. They guard against collapse, not against
 * noise: about half, or less, of what two cores with other work measured.
 *
 * @type {Record<string, number>}
 */
const floors = {
  'put of linux-source-6.1 / cp -r': 0.25,
  'put of linux-source-6.1 / restic backup': 0.4,
  'ls -lR of 100,000 files, folder store, first / raw disk': 0.7,
  'ls -lR of 100,000 files, folder store, again / raw disk': 0.8,
  'read 1 GiB, folder store, cold / cat, raw disk': 0.15,
  'read 1 GiB, folder store, again / cat, raw disk': 0.3,
  'read 1 GiB, S3, cold / rclone mount': 0.35,
  'read 1 GiB, S3, cold / s3fs mount': 0.12,
  'read 1 GiB, S3, from disk cache / rclone mount': 0.35,
  'read 1 GiB, S3, from disk cache / s3fs mount': 0.12,
  'ls -lR of 2,000 files, S3, first / rclone mount': 15,
  'ls -lR of 2,000 files, S3, first / s3fs mount': 8,
  'ls -lR of 2,000 files, S3, again / rclone mount': 4,
  'ls -lR of 2,000 files, S3, again / s3fs mount': 4,
};

/** @param {number} value */
const number = (value) => (value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3));

/** @param {import('./works.mjs').Row[]} rows @param {string[]} failures */
function print(rows, failures) {
  const cells = rows.map(({ work, unit, ours, against, reference, ratio }) => {
    const floor = floors[`${work} / ${against}`];
    const verdict = floor !== undefined && ratio < floor ? `below ${floor}` : '';
    if (verdict) failures.push(`${work}: ${ratio.toFixed(2)} of ${against}, floor ${floor}`);
    return [work, `${number(ours)} ${unit}`, `${number(reference)} ${unit}`, against, ratio.toFixed(2), verdict];
  });
  const table = [['work', 'ours', 'reference', '', 'ratio', ''], ...cells];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of table)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

const place = new Place();
await dropCaches().catch((error) => {
  console.error(`bench: the page cache can not be dropped, and nothing cold be measured: run it as root\n${error}`);
  process.exit(1);
});
let interrupted = false;
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.once(signal, () => {
    console.error('bench: interrupted, cleaning up');
    interrupted = true;
    void place.close().then(() => process.exit(130));
  });
}
try {
  await place.open();
  const begun = Date.now();
  const rows = await measure(place, (what) =>
    console.error(`bench: ${((Date.now() - begun) / 1000).toFixed(0)} s: ${what}`),
  );
  /** @type {string[]} */
  const failures = [];
  print(rows, failures);
  const machine = {
    cpus: cpus().length,
    cpu: cpus()[0]?.model,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  };
  writeFileSync(
    join(checkout, 'bench.json'),
    `${JSON.stringify({ at: new Date().toISOString(), machine, rows, failures }, null, 2)}\n`,
  );
  if (process.env['GATE'] === '1' && failures.length > 0) {
    console.error(`bench: below the floor:\n${failures.join('\n')}`);
    process.exitCode = 1;
  }
} catch (error) {
  if (!interrupted) throw error;
} finally {
  await place.close();
}
