/**
 * Mounts that have nothing to do but to answer, with the same names as ours: our plain server on
 * /dev/fuse in C, and the npm package fuse-native.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkout, run } from './place.mjs';

/**
 * files: in all; fileBytes: of each, 2 where nothing is said; zeros: bytes of a file of that name; readAheadKib: of the C server, as much as ours where nothing is said.
 *
 * @typedef {{ folders: number, files: number, fileBytes?: number, zeros: number, readAheadKib?: number }} Shape
 */

export const cServer = 'C server';
export const fuseNative = 'fuse-native';
const fuseNativeVersion = '2.2.6';
const threads = 2;
const waitMsMax = 10_000;
/** As much as ours asks the kernel for as root. */
const readAheadKibOfRoot = 4096;

export class Servers {
  #place;
  #mounts = 0;
  /** @type {string | undefined} */
  #compiled;
  /** @type {string | undefined} */
  #installed;

  /** @param {import('./place.mjs').Place} place */
  constructor(place) {
    this.#place = place;
  }

  async compile() {
    this.#compiled = join(this.#place.dir, 'fuse-server');
    const source = join(checkout, 'test/bench/fuse-server.c');
    await run(['gcc', '-O2', '-pthread', '-o', this.#compiled, source]);
  }

  /**
   * Says why when the package can not be had: it is nobody's dependency, and comes from the registry.
   *
   * @returns {Promise<string | undefined>}
   */
  async installFuseNative() {
    const dir = this.#place.folder('fuse-native');
    const words = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-save', '--loglevel=error'];
    try {
      await run(['npm', 'install', '--prefix', dir, ...words, `fuse-native@${fuseNativeVersion}`]);
      await run([process.execPath, '-e', `require('${dir}/node_modules/fuse-native')`]);
    } catch (error) {
      return String(error);
    }
    this.#installed = dir;
    return undefined;
  }

  get hasFuseNative() {
    return this.#installed !== undefined;
  }

  /** Runs `use` while our C server is mounted. @param {Shape} shape @param {(path: string) => Promise<void>} use */
  async withC({ folders, files, fileBytes = 2, zeros, readAheadKib = readAheadKibOfRoot }, use) {
    if (this.#compiled === undefined) await this.compile();
    const mountpoint = this.#place.folder(`mnt-c${this.#mounts++}`);
    await run([
      String(this.#compiled),
      mountpoint,
      ...[folders, files, fileBytes, zeros, threads, readAheadKib].map(String),
    ]);
    try {
      await use(mountpoint);
    } finally {
      await run(['umount', mountpoint], { last: true });
    }
  }

  /** Runs `use` while fuse-native is mounted. @param {Shape} shape @param {(path: string) => Promise<void>} use */
  async withFuseNative({ folders, files, zeros }, use) {
    const mountpoint = this.#place.folder(`mnt-fuse-native${this.#mounts++}`);
    const program = join(checkout, 'test/bench/fuse-native-server.mjs');
    const words = [String(this.#installed), mountpoint, ...[folders, files, zeros].map(String)];
    let failure = '';
    // It ends by itself when the mount is gone.
    const ended = run([process.execPath, program, ...words], { seconds: 600 }).catch(
      (error) => (failure = String(error)),
    );
    try {
      const end = Date.now() + waitMsMax;
      while (!readFileSync('/proc/self/mounts', 'utf8').includes(` ${mountpoint} `)) {
        if (failure || Date.now() > end) throw new Error(failure || `${mountpoint}: fuse-native does not mount`);
        await sleep(20);
      }
      await use(mountpoint);
    } finally {
      await run(['umount', mountpoint], { last: true }).catch(() => undefined);
      await ended;
    }
  }
}
