/**
 * Names and attributes of 100,000 files in 1,000 folders: beside servers with nothing to do, and
 * how many requests are left when all of it was seen once.
 */
import { join } from 'node:path';
import { writeTree } from './inputs.mjs';
import { as } from './mount-ours.mjs';
import { cServer, fuseNative } from './mount-servers.mjs';
import { fileMiB } from './mount-sequential.mjs';
import { mebibyte } from './inputs.mjs';
import { dropCaches, pach, run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./mount.mjs').Bench} Bench */

const shape = {
  folders: Math.max(10, Math.round(1000 * scale)),
  files: Math.max(1000, Math.round(100_000 * scale)),
  zeros: fileMiB * mebibyte,
};
const walks = /** @type {Record<string, string[]>} */ ({
  find: ['find'],
  'ls -lR': ['ls', '-lR'],
});
const times = ['first', 'again'];
const again = 'stat of 100,000 files again: requests that reach us';
const zerosWork = 'read 1 GiB of zeros, page cache dropped, no cache of ours';

/** @param {string} walk @param {string} time */
const workOf = (walk, time) => `${walk} of 100,000 files in 1,000 folders, ${time}`;

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  ...Object.fromEntries(
    Object.keys(walks).flatMap((walk) =>
      // At most 1.5 times its time.
      times.map((time) => [`${workOf(walk, time)} / ${cServer}`, { least: 0.667 }]),
    ),
  ),
  [again]: { most: 0 },
};

/** The same walk twice, over what was never looked at. @param {Bench} bench @param {string} walk @param {string} who @param {string} path */
async function goThrough({ samples }, walk, who, path) {
  await dropCaches();
  for (const time of times) {
    const { seconds } = await run([...(walks[walk] ?? []), path]);
    samples.add(workOf(walk, time), 'files/s', who, shape.files / seconds);
  }
}

/** @param {Bench} bench @param {import('./mount-ours.mjs').Env} env */
async function walkAll(bench, env) {
  const { ours, servers } = bench;
  for (const walk of Object.keys(walks)) {
    await servers.withC(shape, (path) => goThrough(bench, walk, cServer, path));
    await ours.mounted({ env, source: 'many' }, ({ path }) => goThrough(bench, walk, 'ours', path));
    if (servers.hasFuseNative) {
      await servers.withFuseNative(shape, (path) => goThrough(bench, walk, fuseNative, path));
    }
  }
}

/** Reading where nothing may come from a cache of the kernel's or ours. @param {Bench} bench @param {string} plain of zeros */
async function readZeros({ ours, servers, samples, place }, plain) {
  const store = join(place.dir, 'store-zeros');
  const env = place.freshHome(store);
  await pach(env, 'create', 'repo', 'zeros');
  await pach(env, 'put', 'file', 'zeros@master:/zeros', '-f', plain);
  await run(['chmod', '-R', 'a+rX', store]);
  /** @param {string} who @param {string} path @param {import('./mount-ours.mjs').Who} [as_] */
  const read = async (who, path, as_ = 'root') => {
    await dropCaches();
    const { seconds } = await run(as(as_, 'cat', join(path, 'zeros')));
    samples.add(zerosWork, 'MiB/s', who, fileMiB / seconds);
  };
  for (let round = 0; round < rounds; round++) {
    await servers.withC(shape, (path) => read(cServer, path));
    // An ordinary user's: the kernel does not read past us there.
    const home = await ours.home(store, {}, 'user');
    await ours.mounted({ env: home, source: 'zeros', who: 'user' }, ({ path }) => read('ours', path, 'user'));
    if (servers.hasFuseNative) await servers.withFuseNative(shape, (path) => read(fuseNative, path));
  }
  await run(['rm', '-rf', store]);
}

/** @param {Bench} bench */
export async function walkFolders(bench) {
  const { place, ours, samples } = bench;
  const plain = place.folder('many');
  await writeTree(plain, { ...shape, content: (number) => String(number).padStart(2, '0').slice(-2) });
  const store = join(place.dir, 'store-many');
  const first = place.freshHome(store);
  await pach(first, 'create', 'repo', 'many');
  await pach(first, 'put', 'file', 'many@master:/', '-r', '-f', `${plain}/`);
  await run(['rm', '-rf', plain]);
  for (let round = 0; round < rounds; round++) {
    await walkAll(bench, await ours.home(store));
    await ours.mounted({ env: await ours.home(store), source: 'many' }, async (mounted) => {
      const stat = ['find', mounted.path, '-printf', '%s\n'];
      await run(stat);
      const before = await mounted.requests();
      await run(stat);
      samples.add(again, 'requests', 'ours', (await mounted.requests()) - before);
    });
  }
  await run(['rm', '-rf', store]);
  const zeros = join(place.dir, 'zeros');
  await run(['truncate', '-s', String(shape.zeros), zeros]);
  await readZeros(bench, zeros);
}
