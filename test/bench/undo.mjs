/**
 * Taking back the last change of a long history.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, pach, run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

const work = 'after 10,000 commits';

/** @type {import('./rows.mjs').Limits} As the issues name them. */
export const limits = {
  [`${work}: undo`]: { most: 0.3 },
};

/** @param {import('./place.mjs').Place} place @param {import('./rows.mjs').Samples} samples */
export async function askUndo(place, samples) {
  const commits = Math.round(10_000 * scale);
  const store = join(place.dir, 'store-undo');
  const home = place.freshHome(store);
  await pach(home, 'create', 'repo', 'data');
  const putCommits = join(checkout, 'test/bench/put-commits.mjs');
  await run([process.execPath, putCommits, store, 'data', String(commits)], { seconds: 3600 });
  const small = join(place.dir, 'small');
  for (let round = 0; round < rounds; round++) {
    writeFileSync(small, `small ${round}\n`);
    await pach(home, 'put', 'file', 'data@master:/small', '-f', small);
    /** @param {string} what @param {string[]} words */
    const ask = async (what, ...words) => {
      const taken = await place.measuredPach(home, ...words);
      samples.add(`${work}: ${what}`, 's', 'ours', taken.seconds, taken);
    };
    await ask('undo', 'undo');
    await ask('redo', 'redo');
    await ask('op log -n 20', 'op', 'log', '-n', '20');
    await pach(home, 'delete', 'repo', 'data', '--force');
    await ask('undo of delete repo', 'undo');
  }
  await run(['rm', '-rf', store]);
}
