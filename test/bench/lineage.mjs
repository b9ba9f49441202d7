/**
 * Lineage in a project with a job of very many datums.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, pach, run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./rows.mjs').Samples} Samples */
/** @typedef {import('./place.mjs').Place} Place */

const work = '100,000 datums';

/** @type {import('./rows.mjs').Limits} As the issues name them. */
export const limits = {
  [`${work}: lineage of one file`]: { most: 0.3 },
  [`${work}: lineage of one file --down`]: { most: 0.3 },
  [`${work}: lineage of a commit`]: { most: 1 },
  [`${work}: lineage of a commit --down`]: { most: 1 },
};

/** @param {Place} place @param {Samples} samples */
export async function askLineage(place, samples) {
  const datums = Math.round(100_000 * scale);
  const home = place.freshHome(join(place.dir, 'store-lineage'));
  const spec = join(place.dir, 'lineage.json');
  const transform = { cmd: ['sh', '-c', 'cp /pfs/data/* /pfs/out'] };
  writeFileSync(
    spec,
    JSON.stringify({ pipeline: { name: 'p' }, transform, input: { pfs: { repo: 'data', glob: '/*' } } }),
  );
  await pach(home, 'create', 'repo', 'data');
  await pach(home, 'create', 'pipeline', '-f', spec);
  const putDatums = join(checkout, 'test/bench/put-datums.mjs');
  await run([process.execPath, putDatums, 'data', 'p', String(datums)], { env: home, seconds: 3600 });
  const job = await place.measuredPach(home, 'run', 'pipeline', 'p', '-o', 'json');
  samples.add(`${work}: the job that finds them all done, and makes its index`, 's', 'ours', job.seconds, job);
  const path = `/f${String(Math.floor(datums / 2)).padStart(7, '0')}`;
  for (let round = 0; round < rounds; round++) {
    /** @param {string} what @param {string[]} words */
    const ask = async (what, ...words) => {
      const taken = await place.measuredPach(home, 'lineage', ...words, '-o', 'json');
      if (taken.stdout.trim().split('\n').length !== 1) throw new Error(`${what}: not one edge: ${taken.stdout}`);
      samples.add(`${work}: ${what}`, 's', 'ours', taken.seconds, taken);
    };
    await ask('lineage of one file', `p@master:${path}`);
    await ask('lineage of one file --down', `data@master:${path}`, '--down');
    await ask('lineage of a commit', 'p@master');
    await ask('lineage of a commit --down', 'data@master', '--down');
  }
  await run(['rm', '-rf', join(place.dir, 'store-lineage')]);
}
