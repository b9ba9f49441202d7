/**
 * A long history: when it went wrong, what changed a path, and what differs in a large version.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, pach, run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./rows.mjs').Samples} Samples */
/** @typedef {import('./place.mjs').Place} Place */

const work = '10,000 commits';
const large = '100,000 files, 10 changed';

/** @type {import('./rows.mjs').Limits} As the issues name them. */
export const limits = {
  [`${work}: steps of bisect`]: { most: 14 },
  [`${work}: log of a path`]: { most: 1 },
};

/** @param {Place} place @param {Samples} samples */
export async function askSearches(place, samples) {
  // What is looked for comes every 700th time.
  const commits = Math.max(1500, Math.round(10_000 * scale));
  const store = join(place.dir, 'store-searching');
  const home = place.freshHome(store);
  await pach(home, 'create', 'repo', 'data');
  const putCommits = join(checkout, 'test/bench/put-commits.mjs');
  await run([process.execPath, putCommits, store, 'data', String(commits)], { seconds: 3600 });
  // Every 700th commit writes this file, and its number into it.
  const path = '/folder-7/file-7';
  const wrong = 7 + 700 * Math.ceil(((commits - 7) / 700) * 0.6);
  const judge = `n=$(sed 's/content //' "$PACH_BISECT_DIR${path}"); test "$n" -lt ${wrong}`;
  for (let round = 0; round < rounds; round++) {
    const words = ['bisect', 'data@master.10..master', '-o', 'json', '--', 'sh', '-c', judge];
    const searched = await place.measuredPach(home, ...words);
    const { firstBad, steps } = JSON.parse(searched.stdout);
    if (firstBad.message !== `commit ${wrong}`) throw new Error(`bisect found ${firstBad.message}, not ${wrong}`);
    samples.add(`${work}: bisect`, 's', 'ours', searched.seconds, searched);
    samples.add(`${work}: steps of bisect`, '', 'ours', steps.length);
    const logged = await place.measuredPach(home, 'log', 'data@master', '-o', 'json', '--', path);
    const expected = Math.floor((commits - 7) / 700) + 1;
    if (logged.stdout.trim().split('\n').length !== expected)
      throw new Error('log has not as many commits as it should');
    samples.add(`${work}: log of a path`, 's', 'ours', logged.seconds, logged);
  }
  await differ(place, samples, home);
  await run(['rm', '-rf', store]);
}

/** @param {Place} place @param {Samples} samples @param {NodeJS.ProcessEnv} home */
async function differ(place, samples, home) {
  const folders = Math.round(1000 * scale);
  const files = join(place.dir, 'files-searching');
  for (let folder = 0; folder < folders; folder++) {
    const dir = join(files, String(folder));
    mkdirSync(dir, { recursive: true });
    for (let file = 0; file < 100; file++) writeFileSync(join(dir, String(file)), `${folder} ${file}\n`);
  }
  await pach(home, 'put', 'file', 'data@large:/', '-r', '-f', `${files}/`);
  for (let file = 0; file < 10; file++) writeFileSync(join(files, String(file % folders), '7'), 'changed\n');
  await pach(home, 'put', 'file', 'data@large:/', '-r', '-f', `${files}/`);
  for (let round = 0; round < rounds; round++) {
    // It ends with 10 where something differs.
    const words = ['sh', '-c', '"$@"; test $? = 10', 'sh', join(checkout, 'bin/pach')];
    const asked = ['diff', 'file', 'data@large', '--stat', '-o', 'json'];
    const taken = await place.measured([...words, ...asked], { env: home, keep: true });
    if (taken.stdout.trim().split('\n').length !== 10) throw new Error('diff has not as many files as it should');
    samples.add(`${large}: diff --stat`, 's', 'ours', taken.seconds, taken);
  }
  await run(['rm', '-rf', files]);
}
