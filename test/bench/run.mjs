/**
 * `make bench`: ours beside the references on this machine, a table for each group of works, and
 * bench.json.
 *
 * Ours and the reference run in turn in the same run; values are medians. BENCH=storage or
 * BENCH=mount measures one group only. GATE=1 fails when something is beyond its limit. A whole run
 * of the mount's works also draws the chart that the README shows.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { chartText } from './chart.mjs';
import { measureMount, mountLimits } from './mount.mjs';
import { checkout, dropCaches, Place } from './place.mjs';
import { referenceVersions } from './references.mjs';
import { judge, scale, tableText } from './rows.mjs';
import { measureStorage, storageLimits } from './storage.mjs';

const groups = {
  storage: { measure: measureStorage, limits: storageLimits },
  mount: { measure: measureMount, limits: mountLimits },
};

const wanted = process.env['BENCH'] || Object.keys(groups).join();
const chosen = Object.entries(groups).filter(([name]) => wanted.split(',').includes(name));
if (chosen.length === 0) {
  console.error(`bench: BENCH=${wanted}: there are ${Object.keys(groups).join(' and ')}`);
  process.exit(2);
}
if (chosen.some(([name]) => name === 'mount')) {
  await dropCaches().catch((error) => {
    console.error(`bench: the page cache can not be dropped, and nothing cold be measured: run it as root\n${error}`);
    process.exit(1);
  });
}
const place = new Place();
let interrupted = false;
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => {
    if (!interrupted) console.error('bench: interrupted, cleaning up');
    interrupted = true;
    void place.close().then(() => process.exit(130));
  });
}
try {
  await place.open();
  const begun = Date.now();
  const versions = await referenceVersions();
  const rows = [];
  const drawn = [];
  const failures = [];
  for (const [name, { measure, limits }] of chosen) {
    const measured = await measure(place, (what) =>
      console.error(`bench: ${((Date.now() - begun) / 1000).toFixed(0)} s: ${what}`),
    );
    const { verdicts, unseen } = judge(measured, limits);
    console.log(`${name}\n${tableText(measured, verdicts)}\n`);
    rows.push(...measured);
    if (name === 'mount') drawn.push(...measured);
    measured.forEach(({ work, against }, index) =>
      failures.push(...(verdicts[index] ?? []).map((verdict) => `${work}${against ? `, ${against}` : ''}: ${verdict}`)),
    );
    failures.push(...unseen.map((limit) => `${limit}: not measured`));
  }
  console.log(versions.join('\n'));
  if (scale !== 1) console.log(`SCALE=${scale}: sizes are that part of what the names say`);
  const machine = {
    cpus: cpus().length,
    cpu: cpus()[0]?.model,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  };
  writeFileSync(
    join(checkout, 'bench.json'),
    `${JSON.stringify({ at: new Date().toISOString(), machine, versions, scale, rows, failures }, null, 2)}\n`,
  );
  if (scale === 1 && !process.env['PARTS'] && drawn.length > 0) {
    const under = `${machine.cpus} cores (${machine.cpu}), Linux ${machine.kernel}, Node ${machine.node}`;
    writeFileSync(join(checkout, 'fixtures/bench.svg'), chartText(drawn, under));
  }
  if (process.env['GATE'] === '1' && failures.length > 0) {
    console.error(`bench: beyond the limits:\n${failures.join('\n')}`);
    process.exitCode = 1;
  }
} catch (error) {
  if (!interrupted) throw error;
} finally {
  await place.close();
}
