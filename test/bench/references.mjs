/**
 * The programs that ours is compared with, as Debian has them.
 *
 * @typedef {{ name: string, dir: string, backup: (path: string) => Promise<import('./place.mjs').Taken>,
 *   remove: () => Promise<unknown> }} Repository
 */
import { join } from 'node:path';
import { run } from './place.mjs';

let made = 0;

/** A new repository as it is without options: version 2, encrypted, compression auto. @param {import('./place.mjs').Place} place @returns {Promise<Repository>} */
export async function openRestic(place) {
  const base = join(place.folder('restic'), String(made++));
  const env = {
    RESTIC_REPOSITORY: join(base, 'repository'),
    RESTIC_CACHE_DIR: join(base, 'cache'),
    RESTIC_PASSWORD: 'bench',
  };
  await run(['restic', 'init', '-q'], { env });
  return {
    name: 'restic (auto)',
    dir: env.RESTIC_REPOSITORY,
    backup: (path) => place.measured(['restic', 'backup', '-q', path], { env }),
    remove: () => run(['rm', '-rf', base]),
  };
}

/** A new repository, not encrypted. @param {import('./place.mjs').Place} place @param {string} compression @returns {Promise<Repository>} */
export async function openBorg(place, compression) {
  const base = place.folder(join('borg', String(made++)));
  const env = {
    BORG_REPO: join(base, 'repository'),
    BORG_BASE_DIR: join(base, 'state'),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
  };
  await run(['borg', 'init', '-e', 'none'], { env });
  let archives = 0;
  return {
    name: `borg (${compression})`,
    dir: env.BORG_REPO,
    backup: (path) => place.measured(['borg', 'create', '-C', compression, `::${archives++}`, path], { env }),
    remove: () => run(['rm', '-rf', base]),
  };
}

/** Leads rclone's remote `ceph` to an S3 server. @param {Record<string, string>} env */
export function rcloneEnv(env) {
  return {
    ...env,
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_CEPH_TYPE: 's3',
    RCLONE_CONFIG_CEPH_PROVIDER: 'Ceph',
    RCLONE_CONFIG_CEPH_ENV_AUTH: 'true',
    RCLONE_CONFIG_CEPH_ENDPOINT: env['AWS_ENDPOINT_URL'] ?? '',
  };
}

/** What the backup programs say of themselves. */
export async function referenceVersions() {
  const commands = [
    ['restic', 'version'],
    ['borg', '--version'],
  ];
  const answers = await Promise.all(commands.map((words) => run(words, { keep: true })));
  return answers.map(({ stdout }) => stdout.trim());
}
