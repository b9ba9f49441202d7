/**
 * A million files: what the server needs to know them all, and how soon the first name comes.
 */
import { join } from 'node:path';
import { cServer } from './mount-servers.mjs';
import { checkout, dropCaches, pach, run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./mount.mjs').Bench} Bench */

const files = Math.max(1000, Math.round(1_000_000 * scale));
const trees = {
  deep: { folders: Math.max(10, Math.round(1000 * scale)), files, zeros: 0 },
  flat: { folders: 1, files, zeros: 0 },
};
/** What --memory is when nothing is said, 256 MB, and 256 MiB beside it. */
export const memoryMiBMax = 256e6 / (1 << 20) + 256;

const works = {
  size: 'du -sh of 1,000,000 files in 1,000 folders',
  sizeMemory: 'du -sh of 1,000,000 files: memory of the server',
  list: 'ls -U of a folder of 1,000,000 files',
  listMemory: 'ls -U of a folder of 1,000,000 files: memory of the server',
  firstLine: 'ls -U of a folder of 1,000,000 files: first line',
  mount: 'pachmount and ls, store of 1,000,000 files',
  mountCold: 'pachmount and ls, store of 1,000,000 files, page cache dropped',
};

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  [works.sizeMemory]: { most: memoryMiBMax },
  [works.listMemory]: { most: memoryMiBMax },
  [works.firstLine]: { most: 0.2 },
  [works.mount]: { most: 0.5 },
};

/** Both trees, from archives that never lie anywhere. @param {Bench} bench @param {string} store */
async function storeTrees({ place }, store) {
  const env = place.freshHome(store);
  for (const [repo, { folders }] of Object.entries(trees)) {
    await pach(env, 'create', 'repo', repo);
    const script = '"$0" "$1" "$2" "$3" | "$4" put file "$5@master:/" --untar -f -';
    const program = join(checkout, 'test/bench/tree-tar.mjs');
    const words = [process.execPath, program, String(folders), String(files), join(checkout, 'bin/pach'), repo];
    await run(['bash', '-o', 'pipefail', '-c', script, ...words], { env, seconds: 1800 });
  }
}

/** @param {string} folder */
function firstLine(folder) {
  return run(['sh', '-c', 'ls -U "$0" | head -n 1', folder]);
}

/** @param {Bench} bench @param {string} store */
async function lookAround({ ours, servers, samples }, store) {
  await servers.withC(trees.deep, async (path) => {
    await dropCaches();
    samples.add(works.size, 'files/s', cServer, files / (await run(['du', '-sh', path])).seconds);
  });
  await ours.mounted({ env: await ours.home(store), source: 'deep' }, async (mounted) => {
    await dropCaches();
    samples.add(works.size, 'files/s', 'ours', files / (await run(['du', '-sh', mounted.path])).seconds);
    samples.add(works.sizeMemory, 'MiB', 'ours', await mounted.peakMiB());
  });
  await servers.withC(trees.flat, async (path) => {
    await dropCaches();
    const folder = join(path, 'folder-0000');
    await firstLine('/'); // the programs themselves are no part of it
    samples.add(works.firstLine, 's', cServer, (await firstLine(folder)).seconds);
    samples.add(works.list, 'files/s', cServer, files / (await run(['ls', '-U', folder])).seconds);
  });
  await ours.mounted({ env: await ours.home(store), source: 'flat' }, async (mounted) => {
    await dropCaches();
    const folder = join(mounted.path, 'folder-0000');
    await firstLine('/');
    samples.add(works.firstLine, 's', 'ours', (await firstLine(folder)).seconds);
    samples.add(works.list, 'files/s', 'ours', files / (await run(['ls', '-U', folder])).seconds);
    samples.add(works.listMemory, 'MiB', 'ours', await mounted.peakMiB());
  });
}

/** From the command to the first answer. @param {Bench} bench @param {string} store @param {string} work @param {string} repo */
async function mountAndList({ place, ours, samples }, store, work, repo) {
  const env = await ours.home(store);
  const mountpoint = place.folder('mnt-timed');
  const pachmount = join(checkout, 'bin/pachmount');
  const words = ['sh', '-c', '"$0" "$1" "$2" && ls "$2/$1"', pachmount, repo, mountpoint];
  try {
    samples.add(work, 's', 'ours', (await run(words, { env })).seconds);
  } finally {
    await run([join(checkout, 'bin/pach'), 'unmount', mountpoint], { env, last: true }).catch(() => undefined);
  }
}

/** @param {Bench} bench */
export async function lookAtMillion(bench) {
  const store = join(bench.place.dir, 'store-million');
  await storeTrees(bench, store);
  for (let round = 0; round < rounds; round++) {
    await lookAround(bench, store);
    await mountAndList(bench, store, works.mount, 'deep');
    await dropCaches();
    await mountAndList(bench, store, works.mountCold, 'deep');
  }
  await run(['rm', '-rf', store]);
}
