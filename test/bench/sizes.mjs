/**
 * Two versions of real data: what is stored of both, here and by others.
 */
import { join } from 'node:path';
import { concatenate, editedCopy, mebibyte } from './inputs.mjs';
import { pach, run, usage } from './place.mjs';
import { openBorg, openRestic } from './references.mjs';
import { scale } from './rows.mjs';

/** @typedef {import('./rows.mjs').Samples} Samples */
/** @typedef {import('./place.mjs').Place} Place */
/** @typedef {import('./place.mjs').Taken} Taken */

const source = 'linux-source-6.1';
const archive = `usr/src/${source}.tar.xz`;
const works = {
  put: `put of ${source}`,
  trees: `two versions of ${source}: stored`,
  libraries: 'shared libraries, and with 50 small edits: stored',
};

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  [`${works.put} / cp -r`]: { least: 0.25 },
  [`${works.put} / restic (auto)`]: { least: 0.4 },
  ...Object.fromEntries(
    [works.trees, works.libraries].flatMap((work) =>
      ['restic (auto)', 'borg (lz4)', 'borg (zstd,3)'].map((name) => [`${work} / ${name}`, { most: 1.1 }]),
    ),
  ),
};

/** @param {Place} place @param {Samples} samples */
export async function storeTrees(place, samples) {
  const [older, newer] = [place.folder('tree-1'), place.folder('tree-2')];
  await unpackOlderSource(place, older);
  await run(['tar', '-xJf', `/${archive}`, '-C', newer]);
  const trees = [older, newer].map((dir) => `${join(dir, source)}/`);
  const first = await storeBoth(place, samples, works.trees, trees);

  const { stdout } = await run(['sh', '-c', 'find . ! -type d | wc -l'], { keep: true, cwd: older });
  const copy = join(place.dir, 'copy');
  first.set('cp -r', await place.measured(['cp', '-r', older, copy]));
  for (const who of ['ours', 'cp -r', 'restic (auto)']) {
    const taken = first.get(who);
    if (taken) samples.add(works.put, 'files/s', who, Number(stdout) / taken.seconds, taken);
  }
  await run(['rm', '-rf', older, newer, copy]);
}

/** Of the versions that the package servers have, the oldest that is not installed. @param {Place} place @param {string} dir */
async function unpackOlderSource(place, dir) {
  const { stdout: listed } = await run(['apt-cache', 'madison', source], { keep: true });
  const { stdout: installed } = await run(['dpkg-query', '-W', '-f', '${Version}', source], { keep: true });
  const versions = listed.split('\n').map((line) => line.split('|')[1]?.trim());
  const version = versions.findLast((other) => other && other !== installed);
  if (!version) throw new Error(`no package server offers a ${source} other than ${installed}: apt-get update?`);
  const packages = place.folder('packages');
  await run(['apt-get', 'download', '-q', `${source}=${version}`], { cwd: packages });
  const unpack = `dpkg-deb --fsys-tarfile *.deb | tar -xO ./${archive} | tar -xJ -C "$0"`;
  await run(['bash', '-c', `set -o pipefail; ${unpack}`, dir], { cwd: packages });
  await run(['rm', '-rf', packages]);
}

/** @param {Place} place @param {Samples} samples */
export async function storeLibraries(place, samples) {
  const list = ['find', '/usr/lib', '-type', 'f', '-name', '*.so*', '-size', '+64k'];
  const { stdout } = await run(list, { keep: true });
  const dir = place.folder('libraries');
  const [plain, edited] = [join(dir, 'plain'), join(dir, 'edited')];
  const bytes = await concatenate(stdout.trim().split('\n').toSorted(), plain, Math.round(1024 * mebibyte * scale));
  await editedCopy(plain, edited, { bytes, edits: Math.ceil(50 * scale), seed: 3 });
  await storeBoth(place, samples, works.libraries, [plain, edited]);
  await run(['rm', '-rf', dir]);
}

/**
 * Puts one version and then the other in the place of the first, everywhere. Resolves to what the
 * first took, by who did it.
 *
 * @param {Place} place
 * @param {Samples} samples
 * @param {string} work
 * @param {readonly string[]} versions folders that end in / or files
 */
async function storeBoth(place, samples, work, versions) {
  /** @type {Map<string, Taken>} */
  const first = new Map();
  const repositories = [ourStore, openRestic, borgOf('lz4'), borgOf('zstd,3')];
  for (const open of repositories) {
    const repository = await open(place);
    for (const version of versions) {
      await run(['sync']);
      const taken = await repository.backup(version);
      if (!first.has(repository.name)) first.set(repository.name, taken);
    }
    samples.add(work, 'MiB', repository.name, usage(repository.dir).bytes / mebibyte, first.get(repository.name));
    await repository.remove();
  }
  return first;
}

/** @param {string} compression @returns {(place: Place) => ReturnType<typeof openBorg>} */
function borgOf(compression) {
  return (place) => openBorg(place, compression);
}

/** @param {Place} place @returns {Promise<import('./references.mjs').Repository>} */
async function ourStore(place) {
  const dir = join(place.dir, 'store-both');
  const home = place.freshHome(dir);
  await pach(home, 'create', 'repo', 'both');
  return {
    name: 'ours',
    dir,
    backup: (path) =>
      path.endsWith('/')
        ? place.measuredPach(home, 'put', 'file', 'both@master:/', '-r', '-f', path)
        : place.measuredPach(home, 'put', 'file', 'both@master:/data', '-f', path),
    remove: () => run(['rm', '-rf', dir]),
  };
}
