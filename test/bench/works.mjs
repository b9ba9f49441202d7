/**
 * The works that are measured, each ours beside its references, in turn, several times over.
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { dropCaches, pach, run } from './place.mjs';

/** ROUNDS=1 is for a quick look. */
const rounds = Number(process.env['ROUNDS'] ?? 3);
const fileMiB = 1024;
const kernelSource = '/usr/src/linux-source-6.1.tar.xz';
const kernelFolder = 'linux-source-6.1';

/** @typedef {Record<string, string>} Env */
/** @typedef {{ work: string, unit: string, ours: number, against: string, reference: number, ratio: number }} Row */

/** @param {number[]} values */
function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Speeds by work and by who did it; the medians make the rows. */
class Speeds {
  /** @type {Map<string, Map<string, number[]>>} */
  #seen = new Map();
  #units = new Map();

  /** @param {string} work @param {string} unit @param {string} who @param {number} amount @param {number} seconds */
  add(work, unit, who, amount, seconds) {
    const byWho = this.#seen.get(work) ?? new Map();
    this.#seen.set(work, byWho);
    this.#units.set(work, unit);
    byWho.set(who, [...(byWho.get(who) ?? []), amount / seconds]);
  }

  /** @returns {Row[]} */
  rows() {
    return [...this.#seen].flatMap(([work, byWho]) => {
      const ours = median(byWho.get('ours') ?? []);
      return [...byWho]
        .filter(([who]) => who !== 'ours')
        .map(([against, values]) => {
          const reference = median(values);
          return { work, unit: this.#units.get(work), ours, against, reference, ratio: ours / reference };
        });
    });
  }
}

/** Bytes that no compressor helps with. @param {string} path */
function writeRandomFile(path) {
  const file = openSync(path, 'w');
  const block = Buffer.alloc(1 << 20);
  for (let n = 0; n < fileMiB; n++) writeSync(file, randomFillSync(block));
  closeSync(file);
}

/** @param {string} dir @param {number} folders @param {number} files in all */
function writeSmallFiles(dir, folders, files) {
  for (let n = 0; n < folders; n++) {
    const folder = join(dir, `folder-${String(n).padStart(4, '0')}`);
    mkdirSync(folder, { recursive: true });
    for (let m = 0; m < files / folders; m++)
      writeFileSync(join(folder, `file-${String(m).padStart(3, '0')}`), `${n} ${m}\n`);
  }
}

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
    this.rclone = {
      ...env,
      RCLONE_CONFIG: '/dev/null',
      RCLONE_CONFIG_CEPH_TYPE: 's3',
      RCLONE_CONFIG_CEPH_PROVIDER: 'Ceph',
      RCLONE_CONFIG_CEPH_ENV_AUTH: 'true',
      RCLONE_CONFIG_CEPH_ENDPOINT: env['AWS_ENDPOINT_URL'] ?? '',
    };
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

/** @param {import('./place.mjs').Place} place @param {Speeds} speeds @param {string} plain path of the file */
async function readFromFolder(place, speeds, plain) {
  const store = join(place.dir, 'store-big');
  const first = place.freshHome(store);
  await pach(first, 'create', 'repo', 'big');
  await pach(first, 'put', 'file', 'big@master:/big', '-f', plain);
  const cold = 'read 1 GiB, folder store, cold';
  const warm = 'read 1 GiB, folder store, again';
  for (let round = 0; round < rounds; round++) {
    await dropCaches();
    speeds.add(cold, 'MiB/s', 'cat, raw disk', fileMiB, await secondsToRead(plain));
    speeds.add(warm, 'MiB/s', 'cat, raw disk', fileMiB, await secondsToRead(plain));
    await withOurs(place.folder('mnt'), place.freshHome(store), 'big', async (path) => {
      await dropCaches();
      speeds.add(cold, 'MiB/s', 'ours', fileMiB, await secondsToRead(join(path, 'big')));
      speeds.add(warm, 'MiB/s', 'ours', fileMiB, await secondsToRead(join(path, 'big')));
      if (round === 0) await run(['cmp', plain, join(path, 'big')]);
    });
  }
  await run(['rm', '-rf', store]);
}

/** @param {S3Mounts} mounts @param {Speeds} speeds @param {string} plain path of the file */
async function readFromS3(mounts, speeds, plain) {
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
        speeds.add(work, 'MiB/s', 'ours', fileMiB, await secondsToRead(join(path, 'big')));
        if (round === 0) await run(['cmp', plain, join(path, 'big')]);
      });
    }
    await run(['rm', '-rf', home.PACH_HOME]);
    for (const who of /** @type {const} */ (['rclone', 's3fs'])) {
      const cache = place.folder(`cache-${who}`);
      for (const work of works) {
        await mounts.withReference(who, cache, async (path) => {
          await dropCaches();
          speeds.add(work, 'MiB/s', `${who} mount`, fileMiB, await secondsToRead(join(path, 'big')));
        });
      }
      await run(['rm', '-rf', cache]);
    }
  }
}

/** @param {import('./place.mjs').Place} place @param {Speeds} speeds */
async function listFromFolder(place, speeds) {
  const files = 100_000;
  const plain = place.folder('many');
  writeSmallFiles(plain, 1000, files);
  const store = join(place.dir, 'store-many');
  const first = place.freshHome(store);
  await pach(first, 'create', 'repo', 'many');
  await pach(first, 'put', 'file', 'many@master:/', '-r', '-f', `${plain}/`);
  const works = ['ls -lR of 100,000 files, folder store, first', 'ls -lR of 100,000 files, folder store, again'];
  for (let round = 0; round < rounds; round++) {
    await dropCaches();
    for (const work of works) speeds.add(work, 'files/s', 'raw disk', files, await secondsToList(plain));
    await withOurs(place.folder('mnt'), place.freshHome(store), 'many', async (path) => {
      await dropCaches();
      for (const work of works) speeds.add(work, 'files/s', 'ours', files, await secondsToList(path));
    });
  }
  await run(['rm', '-rf', store, plain]);
}

/**
 * Fewer files: as objects of their own, 100,000 take too long to upload and to list.
 *
 * @param {S3Mounts} mounts @param {Speeds} speeds
 */
async function listFromS3(mounts, speeds) {
  const { place } = mounts;
  const files = 2000;
  const plain = place.folder('some');
  writeSmallFiles(plain, 20, files);
  const store = 's3://ours/some';
  const first = place.freshHome(store, mounts.env);
  await pach(first, 'create', 'repo', 'some');
  await pach(first, 'put', 'file', 'some@master:/', '-r', '-f', `${plain}/`);
  await run(['rclone', 'copy', '--transfers', '16', plain, 'ceph:plain/some'], { env: mounts.rclone });
  const works = ['ls -lR of 2,000 files, S3, first', 'ls -lR of 2,000 files, S3, again'];
  for (let round = 0; round < rounds; round++) {
    await withOurs(place.folder('mnt'), place.freshHome(store, mounts.env), 'some', async (path) => {
      for (const work of works) speeds.add(work, 'files/s', 'ours', files, await secondsToList(path));
    });
    for (const who of /** @type {const} */ (['rclone', 's3fs'])) {
      await mounts.withReference(who, place.folder(`cache-ls-${who}`), async (path) => {
        for (const work of works)
          speeds.add(work, 'files/s', `${who} mount`, files, await secondsToList(join(path, 'some'), 60));
      });
      await run(['rm', '-rf', place.folder(`cache-ls-${who}`)]);
    }
  }
}

/** @param {import('./place.mjs').Place} place @param {Speeds} speeds */
async function putTree(place, speeds) {
  const work = `put of ${kernelFolder}`;
  await run(['tar', '-xJf', kernelSource, '-C', place.dir]);
  const tree = join(place.dir, kernelFolder);
  const files = Number(
    (await run(['sh', '-c', `find ${kernelFolder} ! -type d | wc -l`], { keep: true, cwd: place.dir })).stdout,
  );
  const hasRestic = await run(['restic', 'version']).then(
    () => true,
    () => false,
  );
  if (!hasRestic) console.error('bench: restic is not installed: put is compared with cp only');
  const target = join(place.dir, 'target');
  /** @param {string} who @param {string[]} words @param {Env} [env] */
  const time = async (who, words, env = {}) => {
    await run(['sync']);
    const { seconds } = await run(words, { env });
    speeds.add(work, 'files/s', who, files, seconds);
    await run(['rm', '-rf', target]);
  };
  const restic = {
    RESTIC_REPOSITORY: target,
    RESTIC_PASSWORD: 'bench',
    RESTIC_CACHE_DIR: join(place.dir, 'cache-restic'),
  };
  for (let round = 0; round < rounds; round++) {
    await time('cp -r', ['cp', '-r', tree, target]);
    const home = place.freshHome(target);
    await pach(home, 'create', 'repo', 'linux');
    await run(['sync']);
    const { seconds } = await pach(home, 'put', 'file', 'linux@master:/', '-r', '-f', `${tree}/`).then(
      (result) => result,
    );
    speeds.add(work, 'files/s', 'ours', files, seconds);
    await run(['rm', '-rf', target]);
    // It takes longer than all the rest: once.
    if (hasRestic && round === 0) {
      await run(['restic', 'init', '-q'], { env: restic });
      await time('restic backup', ['restic', 'backup', '-q', tree], restic);
    }
  }
  await run(['rm', '-rf', tree]);
}

/** Measures everything; resolves to the rows of the table. @param {import('./place.mjs').Place} place @param {(what: string) => void} say */
export async function measure(place, say) {
  const speeds = new Speeds();
  const plain = join(place.dir, 'big');
  say('put of a big tree');
  await putTree(place, speeds);
  say('listing, folder store');
  await listFromFolder(place, speeds);
  say('reading, folder store');
  writeRandomFile(plain);
  await readFromFolder(place, speeds, plain);
  say('reading, S3 (a Ceph gateway in memory, on this machine)');
  const mounts = new S3Mounts(place, await place.startCeph());
  for (const bucket of ['ours', 'plain']) await run(['rclone', 'mkdir', `ceph:${bucket}`], { env: mounts.rclone });
  await readFromS3(mounts, speeds, plain);
  say('listing, S3');
  await listFromS3(mounts, speeds);
  return speeds.rows();
}
