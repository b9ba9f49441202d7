/**
 * `make bench`: ours beside the references on this machine, a table for each group of works, and
 * bench.json.
 *
 * Ours and the reference run in turn in the same run; values are medians. BENCH=storage,
 * BENCH=mount, BENCH=pipelines, BENCH=dev, BENCH=history, BENCH=serve or BENCH=stores measures one group only, and so does BENCH=kubernetes,
 * which needs a cluster (kubernetes.mjs) and is left out otherwise. GATE=1 fails when something is beyond its limit. bench.json keeps
 * what was measured before of works that a run leaves out, and so does the chart of the mount's works
 * that the guide shows.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { chartText } from './chart.mjs';
import { devLimits, measureDev } from './dev.mjs';
import { kubernetesLimits, measureKubernetes } from './kubernetes.mjs';
import { measureMount, mountLimits } from './mount.mjs';
import { measurePast, pastLimits } from './past.mjs';
import { measurePipelines, pipelineLimits } from './pipelines.mjs';
import { checkout, dropCaches, Place } from './place.mjs';
import { referenceVersions } from './references.mjs';
import { judge, scale, tableText } from './rows.mjs';
import { measureServe, serveLimits } from './serve.mjs';
import { measureStorage, storageLimits } from './storage.mjs';
import { measureStores, storesLimits } from './stores.mjs';

const groups = {
  storage: { measure: measureStorage, limits: storageLimits },
  mount: { measure: measureMount, limits: mountLimits },
  pipelines: { measure: measurePipelines, limits: pipelineLimits },
  dev: { measure: measureDev, limits: devLimits },
  history: { measure: measurePast, limits: pastLimits },
  serve: { measure: measureServe, limits: serveLimits },
  stores: { measure: measureStores, limits: storesLimits },
  kubernetes: { measure: measureKubernetes, limits: kubernetesLimits },
};

const here = Object.keys(groups).filter((name) => name !== 'kubernetes');
const wanted = process.env['BENCH'] || here.join();
const chosen = Object.entries(groups).filter(([name]) => wanted.split(',').includes(name));
if (chosen.length === 0) {
  console.error(`bench: BENCH=${wanted}: there are ${Object.keys(groups).join(', ')}`);
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
  /** @type {(import('./rows.mjs').Row & { group: string, at: string })[]} */
  const rows = [];
  const failures = [];
  for (const [name, { measure, limits }] of chosen) {
    const measured = await measure(place, (what) =>
      console.error(`bench: ${((Date.now() - begun) / 1000).toFixed(0)} s: ${what}`),
    );
    const { verdicts, unseen, missing } = judge(measured, limits);
    console.log(`${name}\n${tableText(measured, verdicts)}\n`);
    if (missing.length > 0) console.log(`missing, since their readers are:\n${missing.join('\n')}\n`);
    rows.push(...measured.map((row) => ({ ...row, group: name, at: new Date().toISOString() })));
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
  const kept = join(checkout, 'bench.json');
  const before = existsSync(kept) ? JSON.parse(readFileSync(kept, 'utf8')) : {};
  const works = new Set(rows.map(({ work }) => work));
  const isSame = before.scale === scale && JSON.stringify(before.machine) === JSON.stringify(machine);
  const all = [
    ...(isSame ? before.rows : []).filter((/** @type {any} */ row) => row.group && !works.has(row.work)),
    ...rows,
  ];
  writeFileSync(kept, `${JSON.stringify({ machine, versions, scale, rows: all, failures }, null, 2)}\n`);
  const drawn = all.filter(({ group }) => group === 'mount');
  if (scale === 1 && drawn.length > 0) {
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
