/**
 * What goes from one store to another: what little a small change moves, and rates beside those of a put
 * of the same bytes, and of a mount that reads them. PARTS=change,s3,clone,references,many measures only those.
 */
import { openSync, closeSync, writeSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { mebibyte, smallContents, writeRandomFile, writeTree } from './inputs.mjs';
import { Ours } from './mount-ours.mjs';
import { dropCaches, pach, run } from './place.mjs';
import { listingServer } from '../support/listing-server.mjs';
import { withProxy } from './proxy.mjs';
import { rcloneEnv } from './references.mjs';
import { rounds, Samples, scale } from './rows.mjs';

/** @typedef {import('./place.mjs').Place} Place */
/** @typedef {Record<string, string>} Env */

const works = {
  change: '1 GiB that is there but for one chunk',
  push: 'push of 4 GiB to S3',
  clone: 'clone of 1 GiB from S3 to a folder',
  many: '1,000,000 files of 2 KiB: push',
  references: '--reference of 100,000 objects',
};
const put = 'put of the same bytes';
const mounted = 'mount, cold read';
const memoryMost = 400;
const objects = Math.round(100_000 * scale);

/** @type {Record<string, { what: string, measure: (place: Place, samples: Samples) => Promise<void>, limits: import('./rows.mjs').Limits }>} */
const parts = {
  change: {
    what: 'one chunk of 1 GiB, S3 to S3',
    measure: pushChange,
    limits: { [`${works.change}: requests`]: { most: 20 }, [`${works.change}: moved`]: { most: 5 } },
  },
  s3: {
    what: 'push and put of 4 GiB to S3 (a Ceph gateway in memory, on this machine)',
    measure: pushToS3,
    limits: { [`${works.push} / ${put}`]: { least: 0.9 }, [`${works.push}: peak memory`]: { most: memoryMost } },
  },
  clone: {
    what: 'clone from S3, and a mount of the same',
    measure: cloneFromS3,
    limits: { [`${works.clone} / ${mounted}`]: { least: 0.8 }, [`${works.clone}: peak memory`]: { most: memoryMost } },
  },
  references: {
    what: 'a listing of many objects (a server that has nothing else)',
    measure: putReferences,
    limits: {
      [`${works.references}: requests`]: { most: Math.ceil(objects / 1000) + 1 },
      [`${works.references}: peak memory`]: { most: memoryMost },
    },
  },
  many: {
    what: 'many small files, folder to folder',
    measure: pushManyFiles,
    limits: { [`${works.many} / ${put}`]: { least: 0.7 }, [`${works.many}: peak memory`]: { most: memoryMost } },
  },
};
const wanted = (process.env['PARTS'] || Object.keys(parts).join()).split(',');
const chosen = Object.entries(parts).flatMap(([name, part]) => (wanted.includes(name) ? [part] : []));

/** @type {import('./rows.mjs').Limits} As the issue names them. */
export const storesLimits = Object.assign({}, ...chosen.map(({ limits }) => limits));

/** @param {Place} place @param {(what: string) => void} say */
export async function measureStores(place, say) {
  const samples = new Samples();
  for (const { what, measure } of chosen) {
    say(what);
    await measure(place, samples);
  }
  return samples.rows();
}

/** @type {Env | undefined} */
let started;

/** One server for all parts, and a bucket. @param {Place} place */
async function s3(place) {
  if (!started) {
    started = await place.startCeph();
    await run(['rclone', 'mkdir', 'ceph:stores'], { env: rcloneEnv(started) });
  }
  return started;
}

/** @param {Env} env @param {string} prefix */
async function forget(env, prefix) {
  await run(['rclone', 'purge', `ceph:stores/${prefix}`], { env: rcloneEnv(env), seconds: 600 });
}

/** @param {Place} place @param {Samples} samples */
async function pushChange(place, samples) {
  const file = join(place.dir, 'changing');
  const bytes = Math.round(1024 * scale) * mebibyte;
  await writeRandomFile(file, bytes, 6);
  await withProxy(await s3(place), async (env, proxy) => {
    const home = place.freshHome('s3://stores/change-from', env);
    const target = 's3://stores/change-to';
    await pach(home, 'create', 'repo', 'big');
    await pach(home, 'put', 'file', 'big@master:/big', '-f', file);
    await pach(home, 'push', 'big', '--to', target);
    for (let round = 0; round < rounds; round++) {
      const open = openSync(file, 'r+');
      writeSync(open, randomBytes(64), 0, 64, Math.floor((bytes / (rounds + 1)) * (round + 1)));
      closeSync(open);
      await pach(home, 'put', 'file', 'big@master:/big', '-f', file);
      proxy.take();
      const taken = await place.measuredPach(home, 'push', 'big', '--to', target);
      const moved = proxy.take();
      samples.add(`${works.change}: requests`, '', 'ours', moved.requests, taken);
      samples.add(`${works.change}: moved`, 'MiB', 'ours', (moved.bytes + moved.sent) / mebibyte);
      samples.add(`${works.change}: push`, 's', 'ours', taken.seconds, taken);
    }
  });
  await run(['rm', file]);
}

/** @param {Place} place @param {Samples} samples */
async function pushToS3(place, samples) {
  const bytes = Math.round(4096 * scale) * mebibyte;
  const file = join(place.dir, 'random');
  await writeRandomFile(file, bytes, 7);
  const env = await s3(place);
  const folder = place.freshHome(join(place.dir, 'store-push'), env);
  await pach(folder, 'create', 'repo', 'big');
  await pach(folder, 'put', 'file', 'big@master:/big', '-f', file);
  const puts = async () => {
    const home = place.freshHome('s3://stores/put', env);
    await pach(home, 'create', 'repo', 'big');
    const taken = await place.measuredPach(home, 'put', 'file', 'big@master:/big', '-f', file);
    await forget(env, 'put');
    samples.add(works.push, 'MiB/s', put, bytes / mebibyte / taken.seconds, taken);
  };
  const pushes = async () => {
    const taken = await place.measuredPach(folder, 'push', 'big', '--to', 's3://stores/push');
    await forget(env, 'push');
    samples.add(works.push, 'MiB/s', 'ours', bytes / mebibyte / taken.seconds, taken);
    samples.add(`${works.push}: peak memory`, 'MiB', 'ours', taken.peakMiB);
  };
  // The server keeps all in memory, what was deleted too for a while: who comes second has less of it.
  for (let round = 0; round < rounds; round++) {
    for (const measure of round % 2 === 0 ? [puts, pushes] : [pushes, puts]) await measure();
  }
  await run(['rm', '-rf', file, join(place.dir, 'store-push')]);
}

/** @param {Place} place @param {Samples} samples */
async function cloneFromS3(place, samples) {
  const bytes = Math.round(1024 * scale) * mebibyte;
  const file = join(place.dir, 'random');
  await writeRandomFile(file, bytes, 8);
  const env = await s3(place);
  const home = place.freshHome('s3://stores/clone', env);
  await pach(home, 'create', 'repo', 'big');
  await pach(home, 'put', 'file', 'big@master:/big', '-f', file);
  const mounts = new Ours(place);
  for (let round = 0; round < rounds; round++) {
    await dropCaches();
    const store = join(place.dir, 'store-clone');
    const own = place.freshHome(store, env);
    const ours = await place.measuredPach(own, 'clone', 's3://stores/clone/default/big');
    await run(['rm', '-rf', store]);
    await mounts.mounted(
      { env: await mounts.home('s3://stores/clone', env, 'root'), source: 'big', who: 'root' },
      async ({ path }) => {
        await dropCaches();
        const { seconds } = await run(['cat', join(path, 'big')]);
        samples.add(works.clone, 'MiB/s', mounted, bytes / mebibyte / seconds);
      },
    );
    samples.add(works.clone, 'MiB/s', 'ours', bytes / mebibyte / ours.seconds, ours);
    samples.add(`${works.clone}: peak memory`, 'MiB', 'ours', ours.peakMiB);
  }
  await forget(env, 'clone');
  await run(['rm', file]);
}

/** @param {Place} place @param {Samples} samples */
async function putReferences(place, samples) {
  for (let round = 0; round < rounds; round++) {
    const home = place.freshHome(join(place.dir, 'store-references'), {
      AWS_ACCESS_KEY_ID: 'a',
      AWS_SECRET_ACCESS_KEY: 'b',
    });
    await pach(home, 'create', 'repo', 'lake');
    const server = await listingServer(objects);
    const url = `s3://raw/all/?endpoint=${server.url}`;
    const taken = await place.measuredPach(home, 'put', 'file', 'lake@master:/', '-r', '-f', url, '--reference');
    server.close();
    samples.add(`${works.references}: requests`, '', 'ours', server.asked.length, taken);
    samples.add(works.references, 'objects/s', 'ours', objects / taken.seconds, taken);
    samples.add(`${works.references}: peak memory`, 'MiB', 'ours', taken.peakMiB);
    await run(['rm', '-rf', join(place.dir, 'store-references')]);
  }
}

/** @param {Place} place @param {Samples} samples */
async function pushManyFiles(place, samples) {
  const [files, folders] = [1_000_000, 1000].map((count) => Math.round(count * scale));
  const tree = place.folder('many');
  await writeTree(tree, { folders, files, content: smallContents(1) });
  const home = place.freshHome(join(place.dir, 'store-many'));
  await pach(home, 'create', 'repo', 'many');
  await run(['sync']);
  const theirs = await place.measuredPach(home, 'put', 'file', 'many@master:/', '-r', '-f', `${tree}/`);
  samples.add(works.many, 'files/s', put, files / theirs.seconds, theirs);
  for (let round = 0; round < rounds; round++) {
    const target = join(place.dir, 'store-pushed');
    await run(['sync']);
    const ours = await place.measuredPach(home, 'push', 'many', '--to', target);
    samples.add(works.many, 'files/s', 'ours', files / ours.seconds, ours);
    samples.add(`${works.many}: peak memory`, 'MiB', 'ours', ours.peakMiB);
    await run(['rm', '-rf', target]);
  }
  await run(['rm', '-rf', tree, join(place.dir, 'store-many')], { seconds: 1200 });
}
