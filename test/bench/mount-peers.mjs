/**
 * The mounts that ours is compared with, all of one bucket of an S3 server, each with a cache on
 * disk of its own; and what curl does with the same object.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mebibyte } from './inputs.mjs';
import { run } from './place.mjs';
import { rcloneEnv } from './references.mjs';

/** @typedef {Record<string, string>} Env */

export const bucket = 'plain';
export const peers = /** @type {const} */ (['rclone', 's3fs']);
const curlRangeMiB = 8;

/** As the table says it. @param {string} peer */
export const titleOf = (peer) => `${peer} mount`;

export class Peers {
  #caches = 0;

  /** @param {import('./place.mjs').Place} place @param {Env} env */
  constructor(place, env) {
    this.place = place;
    this.env = env;
    // curl reads what everybody may read, so that signing is not of its work.
    this.rclone = { ...rcloneEnv(env), RCLONE_CONFIG_CEPH_ACL: 'public-read' };
    this.passwords = join(place.dir, 'passwd-s3fs');
    writeFileSync(this.passwords, `${env['AWS_ACCESS_KEY_ID']}:${env['AWS_SECRET_ACCESS_KEY']}\n`, { mode: 0o600 });
  }

  /** The same bucket by another way. @param {Env} env */
  through(env) {
    return new Peers(this.place, env);
  }

  /** @param {string} name */
  makeBucket(name) {
    return run(['rclone', 'mkdir', `ceph:${name}`], { env: this.rclone });
  }

  /** A file or folder of this machine, as objects. @param {string} path @param {string} key */
  async upload(path, key) {
    await run(['rclone', 'copyto', '--transfers', '16', path, `ceph:${bucket}/${key}`], {
      env: this.rclone,
      seconds: 900,
    });
  }

  /** Removes the objects of a bucket below a name. @param {string} from @param {string} key */
  async remove(from, key) {
    await run(['rclone', 'purge', `ceph:${from}/${key}`], { env: this.rclone, seconds: 900 });
  }

  /** Runs `use` while one of them is mounted, with an empty cache. @param {'rclone' | 's3fs'} who @param {(path: string) => Promise<void>} use */
  async mounted(who, use) {
    const mountpoint = this.place.folder(`mnt-${who}`);
    const cache = this.place.folder(`cache-${who}${this.#caches++}`);
    if (who === 'rclone') {
      const words = ['--read-only', '--vfs-cache-mode', 'full', '--cache-dir', cache, '--daemon'];
      await run(['rclone', 'mount', `ceph:${bucket}`, mountpoint, ...words], { env: this.rclone });
    } else {
      const words = [`url=${this.env['AWS_ENDPOINT_URL']}`, 'use_path_request_style', `passwd_file=${this.passwords}`];
      const options = [...words, 'ro', `use_cache=${cache}`, `tmpdir=${cache}`].flatMap((word) => ['-o', word]);
      await run(['s3fs', bucket, mountpoint, ...options], { env: this.env });
    }
    try {
      await use(mountpoint);
    } finally {
      await run(['umount', mountpoint], { last: true }).catch(() => run(['umount', '-l', mountpoint], { last: true }));
      await run(['rm', '-rf', cache], { last: true });
    }
  }

  /** Seconds that curl takes for an object, in ranges, 16 at a time, written to files. @param {string} key @param {number} bytes */
  async secondsToCurl(key, bytes) {
    const dir = this.place.folder('curl');
    const config = join(this.place.dir, 'curl.conf');
    const parts = Math.ceil(bytes / (curlRangeMiB * mebibyte));
    const requests = Array.from({ length: parts }, (_, part) => {
      const from = part * curlRangeMiB * mebibyte;
      const to = Math.min(bytes, from + curlRangeMiB * mebibyte) - 1;
      return `url = "${this.env['AWS_ENDPOINT_URL']}/${bucket}/${key}"\noutput = "${dir}/${part}"\nrange = "${from}-${to}"\nfail\n`;
    });
    writeFileSync(config, requests.join('next\n'));
    const words = ['--no-progress-meter', '--parallel', '--parallel-max', '16', '--config', config];
    const { seconds } = await run(['curl', ...words]);
    const { stdout } = await run(['du', '-sb', '--apparent-size', dir], { keep: true });
    if (Number.parseInt(stdout, 10) < bytes) throw new Error(`curl left ${stdout} for ${bytes} bytes`);
    await run(['rm', '-rf', dir]);
    return seconds;
  }
}
