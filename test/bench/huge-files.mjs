/**
 * Files far larger than memory: cost follows what changed, and what is not a hole.
 */
import { join } from 'node:path';
import { mebibyte, writeRandomFile, writeSparseFile } from './inputs.mjs';
import { checkout, pach, run, usage } from './place.mjs';
import { scale } from './rows.mjs';

/** @typedef {import('./rows.mjs').Samples} Samples */
/** @typedef {import('./place.mjs').Place} Place */

const works = { insert: 'a byte before 10 GiB', sparse: '1 TiB, all but 1 GiB holes' };

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  [`${works.insert}: stored / the whole`]: { most: 0.01 },
  [`${works.insert}: peak memory`]: { most: 500 },
  [`${works.sparse}: stored / its data`]: { most: 1.05 },
  [`${works.sparse}: peak memory`]: { most: 500 },
};

/** @param {Place} place @param {Samples} samples */
export async function insertByte(place, samples) {
  const bytes = Math.round(10_240 * scale) * mebibyte;
  const plain = join(place.dir, 'huge');
  await writeRandomFile(plain, bytes, 6);
  const store = join(place.dir, 'store-huge');
  const home = place.freshHome(store);
  await pach(home, 'create', 'repo', 'huge');
  const put = [join(checkout, 'bin/pach'), 'put', 'file', 'huge@master:/file', '-o', 'json'];
  await place.measured([...put, '-f', plain], { env: home });
  const longer = ['sh', '-c', '{ printf x; cat "$0"; } | "$@" -f -', plain, ...put];
  const taken = await place.measured(longer, { env: home, keep: true });
  const { storedBytes } = JSON.parse(taken.stdout);
  samples.add(`${works.insert}: stored`, 'MiB', 'ours', storedBytes / mebibyte, taken);
  samples.add(`${works.insert}: stored`, 'MiB', 'the whole', bytes / mebibyte);
  samples.add(`${works.insert}: peak memory`, 'MiB', 'ours', taken.peakMiB);
  await run(['rm', '-rf', store, plain]);
}

/** @param {Place} place @param {Samples} samples */
export async function putSparse(place, samples) {
  const stretches = Math.ceil(64 * scale);
  const stretchBytes = 16 * mebibyte;
  const plain = join(place.dir, 'sparse');
  await writeSparseFile(plain, { bytes: 2 ** 40, stretches, stretchBytes, seed: 7 });
  const store = join(place.dir, 'store-sparse');
  const home = place.freshHome(store);
  await pach(home, 'create', 'repo', 'sparse');
  await run(['sync']);
  const taken = await place.measuredPach(home, 'put', 'file', 'sparse@master:/file', '-f', plain);
  samples.add(`${works.sparse}: put`, 's', 'ours', taken.seconds, taken);
  samples.add(`${works.sparse}: stored`, 'MiB', 'ours', usage(store).bytes / mebibyte);
  samples.add(`${works.sparse}: stored`, 'MiB', 'its data', (stretches * stretchBytes) / mebibyte);
  samples.add(`${works.sparse}: peak memory`, 'MiB', 'ours', taken.peakMiB);
  await run(['rm', '-rf', store, plain]);
}
