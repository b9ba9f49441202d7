/**
 * The works of storing: puts, what they leave in a store, and a long history.
 */
import { statfsSync } from 'node:fs';
import { askHistory, limits as ofHistory } from './history.mjs';
import { insertByte, limits as ofHugeFiles, putSparse } from './huge-files.mjs';
import { limits as ofManyFiles, putManyFiles } from './many-files.mjs';
import { limits as ofRates, putToFolder, putToS3 } from './rates.mjs';
import { Samples, scale } from './rows.mjs';
import { limits as ofSizes, storeLibraries, storeTrees } from './sizes.mjs';

const freeBytesNeeded = 28e9 * scale;

/** @type {import('./rows.mjs').Limits} As the issues name them. */
export const storageLimits = { ...ofManyFiles, ...ofSizes, ...ofRates, ...ofHugeFiles, ...ofHistory };

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measureStorage(place, say) {
  const { bavail, bsize } = statfsSync(place.dir);
  if (bavail * bsize < freeBytesNeeded)
    throw new Error(`${place.dir}: ${freeBytesNeeded / 1e9} GB of free space are needed`);
  const samples = new Samples();
  say('a long history');
  await askHistory(place, samples);
  say('huge files');
  await putSparse(place, samples);
  await insertByte(place, samples);
  say('put of 4 GiB');
  await putToFolder(place, samples);
  say('put to S3 (a Ceph gateway in memory, on this machine)');
  await putToS3(place, samples);
  say('two versions of libraries and of a source tree');
  await storeLibraries(place, samples);
  await storeTrees(place, samples);
  say('many small files');
  await putManyFiles(place, samples);
  return samples.rows();
}
