/**
 * How fast bytes that are all new get into a store: a folder beside the disk itself, S3 beside
 * bare uploads.
 */
import { join } from 'node:path';
import { mebibyte, writeRandomFile } from './inputs.mjs';
import { checkout, pach, run } from './place.mjs';
import { openBorg, openRestic, rcloneEnv } from './references.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./rows.mjs').Samples} Samples */
/** @typedef {import('./place.mjs').Place} Place */
/** @typedef {import('./place.mjs').Taken} Taken */

const works = { folder: 'put of 4 GiB of random bytes', s3: 'put of 1 GiB of random bytes to S3' };
const disk = 'dd conv=fsync';
const uploads = 'parallel 16 MiB parts';

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  [`${works.folder} / ${disk}`]: { least: 0.5 },
  [`${works.folder} / restic (auto)`]: { least: 1 },
  [`${works.folder} / borg (lz4)`]: { least: 1 },
  [`${works.s3} / ${uploads}`]: { least: 0.6 },
};

/** @param {Samples} samples @param {string} work @param {string} who @param {number} bytes @param {Taken} taken */
function addRate(samples, work, who, bytes, taken) {
  samples.add(work, 'MiB/s', who, bytes / mebibyte / taken.seconds, taken);
  samples.add(`${work}: CPU`, 's/GiB', who, taken.cpuSeconds / (bytes / 1024 / mebibyte));
}

/** Pairs of the disk and ours in turn, as the disk's own speed varies. @param {Place} place @param {Samples} samples */
export async function putToFolder(place, samples) {
  const bytes = Math.round(4096 * scale) * mebibyte;
  const pairs = rounds + 2;
  const plain = join(place.dir, 'random');
  await writeRandomFile(plain, bytes, 4);
  const target = join(place.dir, 'target');
  /** @param {string} who @param {() => Promise<Taken>} work */
  const measure = async (who, work) => {
    await run(['sync']);
    addRate(samples, works.folder, who, bytes, await work());
    await run(['rm', '-rf', target]);
  };
  for (let pair = 0; pair < pairs; pair++) {
    await measure(disk, () =>
      place.measured(['dd', `if=${plain}`, `of=${target}`, 'bs=1M', 'conv=fsync', 'status=none']),
    );
    const home = place.freshHome(target);
    await pach(home, 'create', 'repo', 'random');
    await measure('ours', () => place.measuredPach(home, 'put', 'file', 'random@master:/file', '-f', plain));
  }
  for (const repository of [await openRestic(place), await openBorg(place, 'lz4')]) {
    await measure(repository.name, () => repository.backup(plain));
    await repository.remove();
  }
  await run(['rm', plain]);
}

/** @param {Place} place @param {Samples} samples */
export async function putToS3(place, samples) {
  const bytes = Math.round(1024 * scale) * mebibyte;
  const plain = join(place.dir, 'random');
  await writeRandomFile(plain, bytes, 5);
  const env = await place.startCeph();
  await run(['rclone', 'mkdir', 'ceph:rates'], { env: rcloneEnv(env) });
  const upload = join(checkout, 'test/bench/upload-parts.mjs');
  for (let round = 0; round < rounds; round++) {
    const home = place.freshHome(`s3://rates/${round}`, env);
    await pach(home, 'create', 'repo', 'random');
    const ours = await place.measuredPach(home, 'put', 'file', 'random@master:/file', '-f', plain);
    addRate(samples, works.s3, 'ours', bytes, ours);
    const theirs = await place.measured([process.execPath, upload, plain, 'rates', `plain-${round}`], { env });
    addRate(samples, works.s3, uploads, bytes, theirs);
  }
  await run(['rm', plain]);
}
