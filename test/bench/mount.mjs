/**
 * The works of a mount: reading and listing, beside the raw disk, curl, servers with nothing to do
 * and other mounts of S3. PARTS=names,sequential measures only those; training is shuffled, far and formats.
 */
import { join } from 'node:path';
import { mebibyte, writeRandomFile } from './inputs.mjs';
import { limits as ofFormats, readFormats } from './mount-formats.mjs';
import { limits as ofMillion, lookAtMillion, memoryMiBMax } from './mount-million.mjs';
import { limits as ofNames, walkFolders } from './mount-names.mjs';
import { Ours } from './mount-ours.mjs';
import { bucket, Peers } from './mount-peers.mjs';
import { fetchAtRandom, limits as ofRandom, readAtRandom } from './mount-random.mjs';
import { fileMiB, limits as ofSequential, readFromFolder, readFromS3 } from './mount-sequential.mjs';
import { Servers } from './mount-servers.mjs';
import { limits as ofShared, readTogether } from './mount-shared.mjs';
import { limits as ofSmall, readFar, readSmallNear, storeSmall } from './mount-small.mjs';
import { limits as ofShuffled, limitsFar as ofFar, train, trainFar } from './mount-training.mjs';
import { pach, run } from './place.mjs';
import { Samples, tableText } from './rows.mjs';

/** @typedef {{ place: import('./place.mjs').Place, ours: Ours, servers: Servers, samples: Samples, say: (what: string) => void }} Bench */

const all = {
  names: ofNames,
  million: ofMillion,
  sequential: ofSequential,
  random: ofRandom,
  shared: ofShared,
  small: ofSmall,
  shuffled: ofShuffled,
  far: ofFar,
  formats: ofFormats,
};
const training = ['shuffled', 'far', 'formats'];
const chosen = (process.env['PARTS'] || Object.keys(all).join())
  .split(',')
  .flatMap((part) => (part === 'training' ? training : [part]));
/** @param {string[]} names */
const wants = (...names) => names.some((name) => chosen.includes(name));
const memory = 'memory of the server, the most under all of this';

/** @type {import('./rows.mjs').Limits} As the issues name them. */
export const mountLimits = {
  ...Object.fromEntries(Object.entries(all).flatMap(([name, limits]) => (wants(name) ? Object.entries(limits) : []))),
  [memory]: { most: memoryMiBMax },
};

/** @param {Bench} bench */
async function measureFolders(bench) {
  const { servers, say } = bench;
  if (wants('names')) {
    say('names and attributes, folder store');
    const missing = await servers.installFuseNative();
    if (missing) say(`without fuse-native, which can not be installed: ${missing}`);
    await walkFolders(bench);
  }
  if (wants('million')) {
    say('a million files, folder store');
    await lookAtMillion(bench);
  }
}

/** @param {Bench} bench @param {string} plain */
async function measureS3(bench, plain) {
  const { place, say } = bench;
  const env = await place.startCeph();
  const peers = new Peers(place, env);
  for (const name of ['ours', bucket]) await peers.makeBucket(name);
  const first = place.freshHome('s3://ours/big', env);
  await pach(first, 'create', 'repo', 'big');
  await pach(first, 'put', 'file', 'big@master:/big', '-f', plain);
  await peers.upload(plain, 'big');
  if (wants('sequential')) {
    say('reading, S3 (a Ceph gateway in memory, on this machine)');
    await readFromS3(bench, peers, plain);
  }
  if (wants('random')) {
    say('reading at random places, S3');
    await readAtRandom(bench, env, plain);
    await fetchAtRandom(bench, env, plain);
  }
  if (wants('shared')) {
    say('many readers, S3');
    await readTogether(bench, env);
  }
  if (wants('small')) {
    say('many small files, S3');
    await storeSmall(bench, peers);
    await readSmallNear(bench, peers);
    say('S3 with a delay');
    await readFar(bench, peers);
  }
  if (wants('shuffled')) {
    say('training: blocks at random, S3');
    await train(bench, peers, plain);
  }
  if (wants('far')) await trainFar(bench, peers);
  if (wants('formats')) await readFormats(bench, peers);
}

/** @param {Bench} bench */
async function measureAll(bench) {
  const { place, say } = bench;
  await measureFolders(bench);
  if (wants('sequential', 'random', 'shared', 'small', ...training)) {
    const plain = join(place.dir, 'big');
    await writeRandomFile(plain, fileMiB * mebibyte, 1);
    if (wants('sequential')) {
      say('reading, folder store');
      await readFromFolder(bench, plain);
    }
    await measureS3(bench, plain);
    await run(['rm', plain]);
  }
}

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measureMount(place, say) {
  const samples = new Samples();
  const ours = new Ours(place);
  const bench = { place, ours, servers: new Servers(place), samples, say };
  try {
    await measureAll(bench);
  } catch (error) {
    say(`it has failed; until then:\n${tableText(samples.rows(), [])}`);
    throw error;
  }
  samples.add(memory, 'MiB', 'ours', ours.peakMiB);
  return samples.rows();
}
