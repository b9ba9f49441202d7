/**
 * A long history: what one more commit and questions about old ones take.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, pach, run, usage } from './place.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./rows.mjs').Samples} Samples */
/** @typedef {import('./place.mjs').Place} Place */

const work = 'after 10,000 commits';
const secondsMost = 0.3;

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  [`${work}: put of a small file`]: { most: secondsMost },
  [`${work}: list commit -n 20`]: { most: secondsMost },
  [`${work}: inspect commit by time`]: { most: secondsMost },
  [`${work}: inspect commit by .N`]: { most: secondsMost },
  [`${work} and gc: objects`]: { most: 199 },
};

/** @param {Place} place @param {Samples} samples */
export async function askHistory(place, samples) {
  const commits = Math.round(10_000 * scale);
  const store = join(place.dir, 'store-history');
  const home = place.freshHome(store);
  await pach(home, 'create', 'repo', 'data');
  const putCommits = join(checkout, 'test/bench/put-commits.mjs');
  await run([process.execPath, putCommits, store, 'data', String(commits)], { seconds: 3600 });
  const middle = `data@master.${Math.floor(commits / 2)}`;
  const { stdout } = await pach(home, 'inspect', 'commit', middle, '-o', 'json');
  // Whole seconds: what follows a dot is taken for an ancestor's number.
  const second = new Date(Date.parse(JSON.parse(stdout).finished) + 1000).toISOString().slice(0, 19);
  const small = join(place.dir, 'small');
  for (let round = 0; round < rounds; round++) {
    writeFileSync(small, `small ${round}\n`);
    /** @param {string} what @param {string[]} words */
    const ask = async (what, ...words) => {
      const taken = await place.measuredPach(home, ...words);
      samples.add(`${work}: ${what}`, 's', 'ours', taken.seconds, taken);
    };
    await ask('put of a small file', 'put', 'file', 'data@master:/small', '-f', small);
    await ask('list commit -n 20', 'list', 'commit', 'data@master', '-n', '20');
    await ask('inspect commit by time', 'inspect', 'commit', `data@${second}Z`);
    await ask('inspect commit by .N', 'inspect', 'commit', middle);
  }
  await pach(home, 'gc', '--grace', '0');
  samples.add(`${work} and gc: objects`, '', 'ours', usage(store).objects);
  await run(['rm', '-rf', store]);
}
