/**
 * One large file read from its beginning to its end: cold (nothing local), warm (in our cache on
 * disk, the page cache dropped) and hot (in the page cache), as root and as an ordinary user.
 */
import { join } from 'node:path';
import { mebibyte } from './inputs.mjs';
import { as } from './mount-ours.mjs';
import { peers, titleOf } from './mount-peers.mjs';
import { cServer } from './mount-servers.mjs';
import { dropCaches, pach, run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./mount-ours.mjs').Who} Who */
/** @typedef {import('./mount-ours.mjs').Mounted} Mounted */
/** @typedef {import('./mount.mjs').Bench} Bench */
/** @typedef {'cold' | 'warm' | 'hot'} State */

export const fileMiB = Math.max(8, Math.round(1024 * scale));
/** A hot file is gone through in no time: one `cat` reads it several times. */
const hotReads = 4;
const curl = 'curl, 16 ranges at once';
const packs = 'cat of the packs';
const plainFile = 'cat, plain file';

/** @param {'folder' | 'S3'} store @param {State} state @param {Who} [who] */
function workOf(store, state, who = 'root') {
  const name = store === 'folder' ? 'folder store' : 'S3';
  return `read 1 GiB, ${name}, ${state}${who === 'user' ? ', ordinary user' : ''}`;
}

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  [`${workOf('folder', 'cold')} / ${packs}`]: { least: 0.7 },
  [`${workOf('folder', 'hot')} / ${plainFile}`]: { least: 0.9 },
  [`${workOf('folder', 'hot', 'user')} / ${plainFile}`]: { least: 0.5 },
  [`${workOf('S3', 'cold')} / ${curl}`]: { least: 1 },
  ...Object.fromEntries(peers.map((peer) => [`${workOf('S3', 'cold')} / ${titleOf(peer)}`, { least: 1 }])),
  [`${workOf('S3', 'warm')} / ${plainFile}`]: { least: 0.9 },
  [`${workOf('S3', 'hot')} / ${plainFile}`]: { least: 0.9 },
  [`${workOf('S3', 'hot', 'user')} / ${plainFile}`]: { least: 0.5 },
};

/** Each, and once more in the other order: a disk that has slow moments must not favour one. @param {Record<string, string>} files */
export function thereAndBack(files) {
  const entries = Object.entries(files);
  return [...entries, ...entries.toReversed()];
}

/**
 * Drops the caches, with as much memory just freed as a file needs: what has been free for long a
 * virtual machine gives back to its host, and who needs it next pays for that more than for the disk.
 *
 * @param {string} plain a file of that size
 */
async function forget(plain) {
  await run(['cat', plain]);
  await dropCaches();
}

/** MiB a second of `cat`, of a file read so many times. @param {string} path @param {{ who?: Who, times?: number }} [how] */
export async function catRate(path, { who = 'root', times = 1 } = {}) {
  const { seconds } = await run(as(who, 'cat', ...Array.from({ length: times }, () => path)));
  return (fileMiB * times) / seconds;
}

/** @param {Bench} bench @param {string} plain path of the file */
export async function readFromFolder({ place, ours, samples }, plain) {
  const store = join(place.dir, 'store-big');
  const first = place.freshHome(store);
  await pach(first, 'create', 'repo', 'big');
  await pach(first, 'put', 'file', 'big@master:/big', '-f', plain);
  await run(['chmod', '-R', 'a+rX', store]);
  const catPacks = async () => {
    await forget(plain);
    const { seconds } = await run(['find', store, '-type', 'f', '-size', '+1M', '-exec', 'cat', '{}', '+']);
    return fileMiB / seconds;
  };
  for (let round = 0; round < rounds; round++) {
    for (const who of /** @type {const} */ (['root', 'user'])) {
      const cold = workOf('folder', 'cold', who);
      samples.add(cold, 'MiB/s', packs, await catPacks());
      await ours.mounted({ env: await ours.home(store, {}, who), source: 'big', who }, async ({ path }) => {
        const file = join(path, 'big');
        await forget(plain);
        samples.add(cold, 'MiB/s', 'ours', await catRate(file, { who }));
        samples.add(cold, 'MiB/s', packs, await catPacks());
        await forget(plain);
        samples.add(cold, 'MiB/s', plainFile, await catRate(plain, { who }));
        await catRate(file, { who });
        for (const [by, each] of thereAndBack({ [plainFile]: plain, ours: file })) {
          samples.add(workOf('folder', 'hot', who), 'MiB/s', by, await catRate(each, { who, times: hotReads }));
        }
        if (round === 0) await run(as(who, 'cmp', plain, file));
      });
    }
  }
  await run(['rm', '-rf', store]);
}

/**
 * What is left to an ordinary user's mount: the kernel asks it for little at a time, and keeps what it gets in
 * single pages. A server that has all its bytes in memory, and checks none.
 *
 * @param {Bench} bench @param {string} plain
 */
async function readLeast({ servers, samples }, plain) {
  const shape = { folders: 1, files: 0, zeros: fileMiB * mebibyte, readAheadKib: 0 };
  await servers.withC(shape, async (path) => {
    const file = join(path, 'zeros');
    await forget(plain);
    samples.add(workOf('S3', 'warm', 'user'), 'MiB/s', cServer, await catRate(file, { who: 'user' }));
    samples.add(workOf('S3', 'hot', 'user'), 'MiB/s', cServer, await catRate(file, { who: 'user', times: hotReads }));
  });
}

/** Cold, and then mounted anew with only what lies in our cache on disk. @param {Bench} bench @param {import('./mount-ours.mjs').Env} env @param {Who} who @param {string} plain */
async function readOurs({ ours, samples }, env, who, plain) {
  const what = { env, source: 'big', who };
  await ours.mounted(what, async ({ path }) => {
    await forget(plain);
    samples.add(workOf('S3', 'cold', who), 'MiB/s', 'ours', await catRate(join(path, 'big'), { who }));
    await run(as(who, 'cmp', plain, join(path, 'big')));
  });
  await ours.mounted(what, async ({ path }) => {
    const files = { [plainFile]: plain, ours: join(path, 'big') };
    for (const [by, file] of thereAndBack(files)) {
      await forget(plain);
      samples.add(workOf('S3', 'warm', who), 'MiB/s', by, await catRate(file, { who }));
    }
    for (const file of Object.values(files)) await catRate(file, { who });
    for (const [by, file] of thereAndBack(files)) {
      samples.add(workOf('S3', 'hot', who), 'MiB/s', by, await catRate(file, { who, times: hotReads }));
    }
  });
}

/** @param {Bench} bench @param {import('./mount-peers.mjs').Peers} others @param {string} plain of which the bucket has a copy */
export async function readFromS3(bench, others, plain) {
  const { ours, samples } = bench;
  for (let round = 0; round < rounds; round++) {
    await forget(plain);
    const curled = fileMiB / (await others.secondsToCurl('big', fileMiB * mebibyte));
    for (const who of /** @type {const} */ (['root', 'user'])) {
      samples.add(workOf('S3', 'cold', who), 'MiB/s', curl, curled);
      const home = await ours.home('s3://ours/big', others.env, who);
      await readOurs(bench, home, who, plain);
      await run(['rm', '-rf', home['PACH_HOME'] ?? '']);
    }
    await readLeast(bench, plain);
    for (const peer of peers) {
      await others.mounted(peer, async (path) => {
        await forget(plain);
        samples.add(workOf('S3', 'cold'), 'MiB/s', titleOf(peer), await catRate(join(path, 'big')));
      });
    }
  }
}
