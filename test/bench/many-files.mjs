/**
 * Many small files: put, put again, put after a kill, and one of them changed.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mebibyte, smallContents, writeTree } from './inputs.mjs';
import { checkout, pach, run, usage } from './place.mjs';
import { openRestic } from './references.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./rows.mjs').Samples} Samples */
/** @typedef {import('./place.mjs').Place} Place */

const work = '1,000,000 files of 2 KiB';
const files = Math.round(1_000_000 * scale);
const folders = Math.round(1000 * scale);

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  [`${work}: put / restic (auto)`]: { least: 1 },
  [`${work}: peak memory of put`]: { most: 500 },
  [`${work}: objects`]: { most: 299 },
  [`${work}: put again, unchanged / restic (auto)`]: { least: 1 },
  [`${work}: stored after a kill at half / what was missing`]: { most: 1.25 },
  [`${work}: one changed`]: { most: 1 },
  [`${work}: one changed, new objects`]: { most: 19 },
  [`${work}: one changed, new bytes`]: { most: 1 },
};

/** @param {Place} place @param {Samples} samples */
export async function putManyFiles(place, samples) {
  const tree = place.folder('many');
  await writeTree(tree, { folders, files, content: smallContents(1) });
  const store = join(place.dir, 'store-many');
  const home = place.freshHome(store);
  const put = ['put', 'file', 'many@master:/', '-r', '-f', `${tree}/`, '-o', 'json'];
  await pach(home, 'create', 'repo', 'many');
  const restic = await openRestic(place);

  await run(['sync']);
  const first = await place.measuredPach(home, ...put);
  await run(['sync']);
  const theirs = await restic.backup(tree);
  samples.add(`${work}: put`, 'files/s', 'ours', files / first.seconds, first);
  samples.add(`${work}: put`, 'files/s', restic.name, files / theirs.seconds, theirs);
  samples.add(`${work}: peak memory of put`, 'MiB', 'ours', first.peakMiB);
  samples.add(`${work}: peak memory of put`, 'MiB', restic.name, theirs.peakMiB);
  const [held, heldByThem] = [usage(store), usage(restic.dir)];
  samples.add(`${work}: objects`, '', 'ours', held.objects);
  samples.add(`${work}: objects`, '', restic.name, heldByThem.objects);
  samples.add(`${work}: stored`, 'MiB', 'ours', held.bytes / mebibyte);
  samples.add(`${work}: stored`, 'MiB', restic.name, heldByThem.bytes / mebibyte);

  const again = await place.measuredPach(home, ...put);
  const theirsAgain = await restic.backup(tree);
  samples.add(`${work}: put again, unchanged`, 'files/s', 'ours', files / again.seconds, again);
  samples.add(`${work}: put again, unchanged`, 'files/s', restic.name, files / theirsAgain.seconds, theirsAgain);
  await restic.remove();

  await changeOne(place, samples, home);
  await run(['rm', '-rf', store]);
  await putAfterKill(place, samples, put, first);
  await run(['rm', '-rf', tree], { seconds: 1200 });
}

/** @param {Place} place @param {Samples} samples @param {Record<string, string>} home */
async function changeOne(place, samples, home) {
  const path = join(place.dir, 'changed');
  const store = home['PACH_STORE'] ?? '';
  for (let round = 0; round < rounds; round++) {
    writeFileSync(path, `changed ${round}\n`.repeat(100));
    const { objects } = usage(store);
    const target = 'many@master:/folder-0000/file-0000';
    const taken = await place.measuredPach(home, 'put', 'file', target, '-f', path, '-o', 'json');
    samples.add(`${work}: one changed`, 's', 'ours', taken.seconds, taken);
    samples.add(`${work}: one changed, new objects`, '', 'ours', usage(store).objects - objects);
    samples.add(`${work}: one changed, new bytes`, 'MiB', 'ours', JSON.parse(taken.stdout).storedBytes / mebibyte);
  }
}

/**
 * @param {Place} place @param {Samples} samples @param {readonly string[]} put
 * @param {import('./place.mjs').Taken} whole what the put took without a kill
 */
async function putAfterKill(place, samples, put, whole) {
  const store = join(place.dir, 'store-killed');
  const home = place.freshHome(store);
  await pach(home, 'create', 'repo', 'many');
  const half = ['timeout', '-s', 'KILL', String(whole.seconds / 2), join(checkout, 'bin/pach'), ...put];
  await run(half, { env: home, seconds: 3600 }).catch(() => undefined);
  const missing = JSON.parse(whole.stdout).storedBytes - usage(store).bytes;
  const rest = await place.measuredPach(home, ...put);
  const name = `${work}: stored after a kill at half`;
  samples.add(name, 'MiB', 'ours', JSON.parse(rest.stdout).storedBytes / mebibyte, rest);
  samples.add(name, 'MiB', 'what was missing', missing / mebibyte);
  await run(['rm', '-rf', store]);
}
