/**
 * Where a benchmark lies and what it runs: one folder on the disk of the checkout, child processes
 * with time limits, and a sweep that leaves nothing behind. This process never looks into a mount.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';

export const checkout = resolve(import.meta.dirname, '../..');
const parent = join(checkout, '.bench');
const ceph = join(checkout, 'test/tools/ceph-rgw.sh');
const stderrCharsMax = 2000;

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
let stopping = false;

/** For work of this process itself: throws once everything is being ended. */
export function throwIfStopping() {
  if (stopping) throw new Error('interrupted');
}

/**
 * Runs a program to its end; resolves to its seconds and output, rejects when it fails or is slow.
 *
 * @param {string[]} words
 * @param {{ env?: Record<string, string>, seconds?: number, keep?: boolean, cwd?: string, last?: boolean }} [options]
 *   keep: return what it prints (else it prints to /dev/null); last: may run while all is being ended
 * @returns {Promise<{ seconds: number, stdout: string }>}
 */
export function run(words, options = {}) {
  const { env = {}, seconds = 300, keep = false, cwd = '/', last = false } = options;
  if (stopping && !last) return Promise.reject(new Error('interrupted'));
  // Variables of the user's own must not lead to another store, account or cache.
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(PACH|AWS|RCLONE|RESTIC|BORG|S3FS)_|^AWSACC/.test(name),
  );
  return new Promise((done, fail) => {
    const begun = performance.now();
    const child = spawn('timeout', ['-k', '5', String(seconds), ...words], {
      cwd,
      env: { ...Object.fromEntries(own), LC_ALL: 'C', ...env },
      stdio: ['ignore', keep ? 'pipe' : 'ignore', 'pipe'],
    });
    running.add(child);
    let stdout = '';
    let stderr = '';
    let finishedMs = 0;
    child.stdout?.on('data', (data) => (stdout += data));
    child.stderr?.on('data', (data) => (stderr = (stderr + data).slice(-stderrCharsMax)));
    child.on('error', fail);
    child.on('exit', (code, signal) => {
      finishedMs = performance.now() - begun;
      running.delete(child);
      // A daemon that it left keeps stderr open: there is nothing more to wait for.
      setTimeout(() => {
        child.stdout?.destroy();
        child.stderr?.destroy();
        if (code === 0) done({ seconds: finishedMs / 1000, stdout });
        else
          fail(
            new Error(`${words.join(' ')}: ${code === 124 ? `more than ${seconds} s` : (signal ?? code)}\n${stderr}`),
          );
      }, 20);
    });
  });
}

/** @typedef {{ seconds: number, stdout: string, cpuSeconds: number, peakMiB: number }} Taken */

/** @param {number} port @returns {Promise<boolean>} */
function isFree(port) {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}

/** The first of 18 free ports in a row, as Ceph wants them. */
async function freePorts() {
  for (let tries = 0; tries < 100; tries++) {
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const free = await Promise.all(Array.from({ length: 18 }, (_, n) => isFree(first + n)));
    if (free.every(Boolean)) return first;
  }
  throw new Error('no free ports');
}

/** Mountpoints below a folder, innermost first. @param {string} dir */
function mountsBelow(dir) {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((path) => path.startsWith(`${dir}/`))
    .toReversed();
}

/** Ends all that was started below a folder, and removes it. @param {string} dir */
async function sweep(dir) {
  /** @param {string[]} words @param {Record<string, string>} [env] */
  const quietly = (words, env = {}) => run(words, { env, seconds: 60, last: true }).catch(() => undefined);
  if (!existsSync(dir)) return;
  for (const name of readdirSync(dir)) {
    if (name.startsWith('home')) {
      await quietly([join(checkout, 'bin/pach'), 'unmount', '--all'], { PACH_HOME: join(dir, name) });
    }
  }
  for (const path of mountsBelow(dir)) await quietly(['umount', '-l', path]);
  if (existsSync(join(dir, 'ceph'))) await quietly([ceph, 'stop', join(dir, 'ceph')]);
  if (mountsBelow(dir).length > 0) throw new Error(`still mounted: ${mountsBelow(dir).join(' ')}`);
  await run(['rm', '-rf', dir], { seconds: 1800, last: true });
}

export class Place {
  dir = join(parent, String(process.pid));
  #homes = 0;
  #measured = 0;
  /** @type {Promise<void> | undefined} */
  #closed;

  /** Makes the folder; what a killed run left is removed. */
  async open() {
    mkdirSync(parent, { recursive: true });
    for (const name of readdirSync(parent)) {
      if (!existsSync(`/proc/${name}`)) await sweep(join(parent, name));
    }
    mkdirSync(this.dir);
  }

  /** Ends what still runs and removes everything; a second call waits for the first. */
  close() {
    stopping = true;
    this.#closed ??= this.#end();
    return this.#closed;
  }

  /** Who still writes would write into what is being removed. */
  async #end() {
    const ended = [...running].map((child) => once(child, 'exit'));
    for (const child of running) child.kill();
    await Promise.all(ended);
    await sweep(this.dir);
  }

  /** A path in the folder, made as a folder. @param {string} name */
  folder(name) {
    const path = join(this.dir, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Settings and caches that nobody used before. @param {string} store @param {Record<string, string>} [env] */
  freshHome(store, env = {}) {
    return { ...env, PACH_STORE: store, PACH_HOME: this.folder(`home${this.#homes++}`) };
  }

  /**
   * Runs a program to its end; resolves also to what it took, the children it waited for included.
   *
   * @param {string[]} words
   * @param {Parameters<typeof run>[1]} [options]
   * @returns {Promise<Taken>}
   */
  async measured(words, options = {}) {
    const report = join(this.dir, `taken${this.#measured++}`);
    const time = ['time', '--quiet', '--format', '%U %S %M', '--output', report, ...words];
    const { seconds, stdout } = await run(time, { seconds: 3600, ...options });
    const [user = 0, system = 0, peakKiB = 0] = readFileSync(report, 'utf8').trim().split(' ').map(Number);
    rmSync(report);
    return { seconds, stdout, cpuSeconds: user + system, peakMiB: peakKiB / 1024 };
  }

  /** @param {Record<string, string>} env @param {string[]} words */
  measuredPach(env, ...words) {
    return this.measured([join(checkout, 'bin/pach'), ...words], { env, keep: true });
  }

  /** A throw-away S3 server in memory; resolves to the environment that leads to it. */
  async startCeph() {
    const port = await freePorts();
    const { stdout } = await run([ceph, 'start', join(this.dir, 'ceph')], {
      keep: true,
      env: {
        CEPH_RGW_PORT: String(port),
        CEPH_RGW_MON_PORT: String(port + 1),
        CEPH_RGW_STORE: 'memstore',
        // What is deleted takes its place for a minute more.
        CEPH_RGW_SIZE_GIB: '16',
      },
    });
    const env = Object.fromEntries([...stdout.matchAll(/(\bAWS_\w+)=(\S+)/g)].map((match) => [match[1], match[2]]));
    return { ...env, AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' };
  }
}

/** @param {Record<string, string>} env @param {string[]} words */
export function pach(env, ...words) {
  return run([join(checkout, 'bin/pach'), ...words], { env, keep: true });
}

/**
 * What a store or repository holds; what a dot begins (locks, files of a writer that died) is not of it.
 *
 * @param {string} dir
 * @returns {{ objects: number, bytes: number }}
 */
export function usage(dir) {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !/(^|\/)\./.test(join(entry.parentPath, entry.name).slice(dir.length)),
  );
  const sizes = files.map((entry) => statSync(join(entry.parentPath, entry.name)).size);
  return { objects: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** What was written is on the disk, and the kernel remembers nothing of it. */
export async function dropCaches() {
  await run(['sync']);
  await run(['sh', '-c', 'echo 3 > /proc/sys/vm/drop_caches']);
}
