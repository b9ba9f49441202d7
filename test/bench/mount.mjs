/**
 * The works of a mount: reading and listing, beside the raw disk and other mounts of S3. Cold: the
 * page cache was dropped and ours was mounted anew with an empty cache of its own.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mebibyte, writeRandomFile, writeTree } from './inputs.mjs';
import { dropCaches, pach, run } from './place.mjs';
import { rcloneEnv } from './references.mjs';
import { rounds, Samples } from './rows.mjs';

const fileMiB = 1024;

/**
 * They guard against collapse, not against noise: about half, or less, of what two cores with
 * other work measured.
 *
 * @type {import('./rows.mjs').Limits}
 */
export const mountLimits = {
  'ls -lR of 100,000 files, folder store, first / raw disk': { least: 0.7 },
  'ls -lR of 100,000 files, folder store, again / raw disk': { least: 0.8 },
  'read 1 GiB, folder store, cold / cat, raw disk': { least: 0.15 },
  'read 1 GiB, folder store, again / cat, raw disk': { least: 0.3 },
  'read 1 GiB, S3, cold / rclone mount': { least: 0.35 },
  'read 1 GiB, S3, cold / s3fs mount': { least: 0.12 },
  'read 1 GiB, S3, from disk cache / rclone mount': { least: 0.35 },
  'read 1 GiB, S3, from disk cache / s3fs mount': { least: 0.12 },
  'ls -lR of 2,000 files, S3, first / rclone mount': { least: 15 },
  'ls -lR of 2,000 files, S3, first / s3fs mount': { least: 8 },
  'ls -lR of 2,000 files, S3, again / rclone mount': { least: 4 },
  'ls -lR of 2,000 files, S3, again / s3fs mount': { least: 4 },
};

/** @typedef {Record<string, string>} Env */
/** @param {string} path */
async function secondsToRead(path) {
  return (await run(['cat', path])).seconds;
}

/** @param {string} path @param {number} [seconds] at most */
async function secondsToList(path, seconds = 120) {
  return (await run(['ls', '-lR', path], { seconds })).seconds;
}

/** The mounts compared, all of one bucket: each is given a folder for its cache, and a mountpoint. */
class S3Mounts {
  /** @param {import('./place.mjs').Place} place @param {Env} env */
  constructor(place, env) {
    this.place = place;
    this.env = env;
    this.rclone = rcloneEnv(env);
    this.passwords = join(place.dir, 'passwd-s3fs');
    writeFileSync(this.passwords, `${env['AWS_ACCESS_KEY_ID']}:${env['AWS_SECRET_ACCESS_KEY']}\n`, { mode: 0o600 });
  }

  /** @param {string} cache @param {string} mountpoint */
  async mountRclone(cache, mountpoint) {
    const words = ['--read-only', '--vfs-cache-mode', 'full', '--cache-dir', cache, '--daemon'];
    await run(['rclone', 'mount', 'ceph:plain', mountpoint, ...words], { env: this.rclone });
  }

  /** @param {string} cache @param {string} mountpoint */
  async mountS3fs(cache, mountpoint) {
    const words = [`url=${this.env['AWS_ENDPOINT_URL']}`, 'use_path_request_style', `passwd_file=${this.passwords}`];
    const options = [...words, 'ro', `use_cache=${cache}`, `tmpdir=${cache}`].flatMap((word) => ['-o', word]);
    await run(['s3fs', 'plain', mountpoint, ...options], { env: this.env });
  }

  /** Runs `use` while a reference is mounted. @param {'rclone'|'s3fs'} who @param {string} cache @param {(path: string) => Promise<void>} use */
  async withReference(who, cache, use) {
    const mountpoint = this.place.folder(`mnt-${who}`);
    if (who === 'rclone') await this.mountRclone(cache, mountpoint);
    else await this.mountS3fs(cache, mountpoint);
    try {
      await use(mountpoint);
    } finally {
      await run(['umount', mountpoint], { last: true }).catch(() => run(['umount', '-l', mountpoint], { last: true }));
    }
  }
}

/** Runs `use` while ours is mounted. @param {string} mountpoint @param {Env} env @param {string} source @param {(path: string) => Promise<void>} use */
async function withOurs(mountpoint, env, source, use) {
  await pach(env, 'mount', source, mountpoint);
  try {
    await use(join(mountpoint, source));
  } finally {
    if (env['PACH_HOME']) await pach(env, 'unmount', mountpoint).catch(() => undefined); // the sweep tries again
  }
}

/** @param {import('./place.mjs').Place} place @param {Samples} samples @param {string} plain path of the file */
async function readFromFolder(place, samples, plain) {
  const store = join(place.dir, 'store-big');
  const first = place.freshHome(store);
  await pach(first, 'create', 'repo', 'big');
  await pach(first, 'put', 'file', 'big@master:/big', '-f', plain);
  const cold = 'read 1 GiB, folder store, cold';
  const warm = 'read 1 GiB, folder store, again';
  for (let round = 0; round < rounds; round++) {
    await dropCaches();
    samples.add(cold, 'MiB/s', 'cat, raw disk', fileMiB / (await secondsToRead(plain)));
    samples.add(warm, 'MiB/s', 'cat, raw disk', fileMiB / (await secondsToRead(plain)));
    await withOurs(place.folder('mnt'), place.freshHome(store), 'big', async (path) => {
      await dropCaches();
      samples.add(cold, 'MiB/s', 'ours', fileMiB / (await secondsToRead(join(path, 'big'))));
      samples.add(warm, 'MiB/s', 'ours', fileMiB / (await secondsToRead(join(path, 'big'))));
      if (round === 0) await run(['cmp', plain, join(path, 'big')]);
    });
  }
  await run(['rm', '-rf', store]);
}

/** @param {S3Mounts} mounts @param {Samples} samples @param {string} plain path of the file */
async function readFromS3(mounts, samples, plain) {
  const { place } = mounts;
  const store = 's3://ours/big';
  const first = place.freshHome(store, mounts.env);
  await pach(first, 'create', 'repo', 'big');
  await pach(first, 'put', 'file', 'big@master:/big', '-f', plain);
  await run(['rclone', 'copyto', plain, 'ceph:plain/big'], { env: mounts.rclone });
  /** Cold with nothing anywhere; then mounted anew with only what lies in the cache on disk. */
  const works = ['read 1 GiB, S3, cold', 'read 1 GiB, S3, from disk cache'];
  for (let round = 0; round < rounds; round++) {
    const home = place.freshHome(store, mounts.env);
    for (const work of works) {
      await withOurs(place.folder('mnt'), home, 'big', async (path) => {
        await dropCaches();
        samples.add(work, 'MiB/s', 'ours', fileMiB / (await secondsToRead(join(path, 'big'))));
        if (round === 0) await run(['cmp', plain, join(path, 'big')]);
      });
    }
    await run(['rm', '-rf', home.PACH_HOME]);
    for (const who of /** @type {const} */ (['rclone', 's3fs'])) {
      const cache = place.folder(`cache-${who}`);
      for (const work of works) {
        await mounts.withReference(who, cache, async (path) => {
          await dropCaches();
          samples.add(work, 'MiB/s', `${who} mount`, fileMiB / (await secondsToRead(join(path, 'big'))));
        });
      }
      await run(['rm', '-rf', cache]);
    }
  }
}

/** @param {import('./place.mjs').Place} place @param {Samples} samples */
async function listFromFolder(place, samples) {
  const files = 100_000;
  const plain = place.folder('many');
  await writeTree(plain, { folders: 1000, files, content: String });
  const store = join(place.dir, 'store-many');
  const first = place.freshHome(store);
  await pach(first, 'create', 'repo', 'many');
  await pach(first, 'put', 'file', 'many@master:/', '-r', '-f', `${plain}/`);
  const works = ['ls -lR of 100,000 files, folder store, first', 'ls -lR of 100,000 files, folder store, again'];
  for (let round = 0; round < rounds; round++) {
    await dropCaches();
    for (const work of works) samples.add(work, 'files/s', 'raw disk', files / (await secondsToList(plain)));
    await withOurs(place.folder('mnt'), place.freshHome(store), 'many', async (path) => {
      await dropCaches();
      for (const work of works) samples.add(work, 'files/s', 'ours', files / (await secondsToList(path)));
    });
  }
  await run(['rm', '-rf', store, plain]);
}

/**
 * Fewer files: as objects of their own, 100,000 take too long to upload and to list.
 *
 * @param {S3Mounts} mounts @param {Samples} samples
 */
async function listFromS3(mounts, samples) {
  const { place } = mounts;
  const files = 2000;
  const plain = place.folder('some');
  await writeTree(plain, { folders: 20, files, content: String });
  const store = 's3://ours/some';
  const first = place.freshHome(store, mounts.env);
  await pach(first, 'create', 'repo', 'some');
  await pach(first, 'put', 'file', 'some@master:/', '-r', '-f', `${plain}/`);
  await run(['rclone', 'copy', '--transfers', '16', plain, 'ceph:plain/some'], { env: mounts.rclone });
  const works = ['ls -lR of 2,000 files, S3, first', 'ls -lR of 2,000 files, S3, again'];
  for (let round = 0; round < rounds; round++) {
    await withOurs(place.folder('mnt'), place.freshHome(store, mounts.env), 'some', async (path) => {
      for (const work of works) samples.add(work, 'files/s', 'ours', files / (await secondsToList(path)));
    });
    for (const who of /** @type {const} */ (['rclone', 's3fs'])) {
      await mounts.withReference(who, place.folder(`cache-ls-${who}`), async (path) => {
        for (const work of works)
          samples.add(work, 'files/s', `${who} mount`, files / (await secondsToList(join(path, 'some'), 60)));
      });
      await run(['rm', '-rf', place.folder(`cache-ls-${who}`)]);
    }
  }
}

/** @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measureMount(place, say) {
  const samples = new Samples();
  const plain = join(place.dir, 'big');
  say('listing, folder store');
  await listFromFolder(place, samples);
  say('reading, folder store');
  await writeRandomFile(plain, fileMiB * mebibyte, 1);
  await readFromFolder(place, samples, plain);
  say('reading, S3 (a Ceph gateway in memory, on this machine)');
  const mounts = new S3Mounts(place, await place.startCeph());
  for (const bucket of ['ours', 'plain']) await run(['rclone', 'mkdir', `ceph:${bucket}`], { env: mounts.rclone });
  await readFromS3(mounts, samples, plain);
  say('listing, S3');
  await listFromS3(mounts, samples);
  return samples.rows();
}
