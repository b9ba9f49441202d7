/**
 * The works of storing: puts, what they leave in a store, and a long history. PARTS=rates,many
 * measures only those.
 */
import { statfsSync } from 'node:fs';
import { askHistory, limits as ofHistory } from './history.mjs';
import { insertByte, limits as ofHugeFiles, putSparse } from './huge-files.mjs';
import { limits as ofManyFiles, putManyFiles } from './many-files.mjs';
import { limits as ofRates, putToFolder, putToS3 } from './rates.mjs';
import { Samples, scale } from './rows.mjs';
import { limits as ofSizes, storeLibraries, storeTrees } from './sizes.mjs';

const freeBytesNeeded = 28e9 * scale;

/** @typedef {(place: import('./place.mjs').Place, samples: Samples) => Promise<void>} Measure */

/** @type {Record<string, { what: string, measures: Measure[], limits: import('./rows.mjs').Limits }>} */
const parts = {
  history: { what: 'a long history', measures: [askHistory], limits: ofHistory },
  huge: { what: 'huge files', measures: [putSparse, insertByte], limits: ofHugeFiles },
  rates: {
    what: 'put of 4 GiB, and to S3 (a Ceph gateway in memory, on this machine)',
    measures: [putToFolder, putToS3],
    limits: ofRates,
  },
  sizes: {
    what: 'two versions of libraries and of a source tree',
    measures: [storeLibraries, storeTrees],
    limits: ofSizes,
  },
  many: { what: 'many small files', measures: [putManyFiles], limits: ofManyFiles },
};
const wanted = (process.env['PARTS'] || Object.keys(parts).join()).split(',');
const chosen = Object.entries(parts).flatMap(([name, part]) => (wanted.includes(name) ? [part] : []));

/** @type {import('./rows.mjs').Limits} As the issues name them. */
export const storageLimits = Object.assign({}, ...chosen.map(({ limits }) => limits));

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measureStorage(place, say) {
  const { bavail, bsize } = statfsSync(place.dir);
  if (bavail * bsize < freeBytesNeeded)
    throw new Error(`${place.dir}: ${freeBytesNeeded / 1e9} GB of free space are needed`);
  const samples = new Samples();
  for (const { what, measures } of chosen) {
    say(what);
    for (const measure of measures) await measure(place, samples);
  }
  return samples.rows();
}
