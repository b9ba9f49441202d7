/**
 * Many readers at once: of many files, of one file, and through two mounts of one cache.
 */
import { join } from 'node:path';
import { mebibyte, writeRandomFile } from './inputs.mjs';
import { fileMiB } from './mount-sequential.mjs';
import { dropCaches, pach, run } from './place.mjs';
import { withProxy } from './proxy.mjs';
import { rounds } from './rows.mjs';

/** @typedef {import('./mount-ours.mjs').Env} Env */
/** @typedef {import('./mount.mjs').Bench} Bench */

const names = ['a', 'b', 'c', 'd'];
const works = {
  readers: '4 readers of 4 files, S3, cold, together',
  processes: '1 GiB read by 8 processes at once, S3, cold: fetched',
  mounts: '1 GiB read through 2 mounts of one cache at once, S3, cold: fetched',
};
const oneReader = 'one reader of the 4';
const itsBytes = 'bytes of the file';

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  // Not lower: what differs from run to run on such a machine is no loss.
  [`${works.readers} / ${oneReader}`]: { least: 0.95 },
  // Names and lists of chunks are fetched beside the bytes.
  [`${works.processes} / ${itsBytes}`]: { most: 1.01 },
  [`${works.mounts} / ${itsBytes}`]: { most: 1.01 },
};

/** Seconds until all of these are read, each by a process of its own. @param {readonly string[]} paths */
async function secondsTogether(paths) {
  const script =
    'for path; do cat "$path" & children="$children $!"; done; for child in $children; do wait $child || exit 1; done';
  return (await run(['sh', '-c', script, 'sh', ...paths])).seconds;
}

/** @param {Bench} bench @param {Env} env */
async function readFour({ place, ours, samples }, env) {
  const plain = place.folder('four');
  for (const [number, name] of names.entries())
    await writeRandomFile(join(plain, name), (fileMiB * mebibyte) / names.length, 10 + number);
  const store = 's3://ours/four';
  const first = place.freshHome(store, env);
  await pach(first, 'create', 'repo', 'four');
  await pach(first, 'put', 'file', 'four@master:/', '-r', '-f', `${plain}/`);
  await run(['rm', '-rf', plain]);
  /** @param {string} who @param {(paths: string[]) => Promise<number>} read */
  const measure = async (who, read) => {
    const home = await ours.home(store, env);
    await ours.mounted({ env: home, source: 'four' }, async ({ path }) => {
      await dropCaches();
      samples.add(works.readers, 'MiB/s', who, fileMiB / (await read(names.map((name) => join(path, name)))));
    });
    await run(['rm', '-rf', home['PACH_HOME'] ?? '']);
  };
  for (let round = 0; round < rounds; round++) {
    await measure(oneReader, async (paths) => (await run(['cat', ...paths])).seconds);
    await measure('ours', secondsTogether);
  }
}

/** @param {Bench} bench @param {Env} env `ours/big` is there */
export async function readTogether(bench, env) {
  const { ours, samples } = bench;
  await readFour(bench, env);
  for (let round = 0; round < rounds; round++) {
    await withProxy(env, async (through, proxy) => {
      /** @param {string} work @param {readonly string[]} paths */
      const measure = async (work, paths) => {
        await dropCaches();
        proxy.take();
        await secondsTogether(paths);
        samples.add(work, 'MiB', 'ours', proxy.take().bytes / mebibyte);
        samples.add(work, 'MiB', itsBytes, fileMiB);
      };
      const one = { env: await ours.home('s3://ours/big', through), source: 'big' };
      await ours.mounted(one, ({ path }) => measure(works.processes, Array(8).fill(join(path, 'big'))));
      await run(['rm', '-rf', one.env['PACH_HOME'] ?? '']);
      const two = { env: await ours.home('s3://ours/big', through), source: 'big' };
      await ours.mounted(two, (left) =>
        ours.mounted(two, (right) => measure(works.mounts, [join(left.path, 'big'), join(right.path, 'big')])),
      );
      await run(['rm', '-rf', two.env['PACH_HOME'] ?? '']);
    });
  }
}
