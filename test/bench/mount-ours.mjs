/**
 * Our mount as the benchmark uses it: as root or as an ordinary user, with a home of its own, and
 * with what the server of it says and takes.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, run } from './place.mjs';

/** @typedef {Record<string, string>} Env */
/** @typedef {'root' | 'user'} Who */
/** @typedef {{ env: Env, source: string, who?: Who, options?: readonly string[] }} What source: a repo; options: of `pach mount` */

/** `nobody`: fusermount3 wants a user with a name. */
const userId = 65534;
const asUser = ['setpriv', `--reuid=${userId}`, `--regid=${userId}`, '--clear-groups'];
const mebibyteKiB = 1024;
/** Requests that the kernel makes by itself when it forgets. */
const forgets = new Set([2, 42]);

/** Words that run a command as somebody. @param {Who} who @param {string[]} words */
export function as(who, ...words) {
  return who === 'user' ? [...asUser, ...words] : words;
}

/** A mount of ours while it is there. */
export class Mounted {
  /** @param {{ path: string, mountpoint: string, env: Env, who: Who }} mount path: of the repo */
  constructor({ path, mountpoint, env, who }) {
    this.path = path;
    this.mountpoint = mountpoint;
    this.env = env;
    this.who = who;
  }

  /** @param {string[]} words @param {boolean} [last] */
  pach(words, last = false) {
    return run(as(this.who, join(checkout, 'bin/pach'), ...words), { env: this.env, keep: true, last });
  }

  /** As `pach mounts -v -o json` tells. @returns {Promise<{ pid: number, counters?: { requests: number[] } }>} */
  async tell() {
    const { stdout } = await this.pach(['mounts', '-v', '-o', 'json']);
    const told = stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
    const mine = told.find(({ mountpoint }) => mountpoint === this.mountpoint);
    if (!mine) throw new Error(`${this.mountpoint}: pach mounts does not name it`);
    return mine;
  }

  /** Requests of the kernel so far, except those that only say what it has forgotten. */
  async requests() {
    const { counters } = await this.tell();
    if (!counters) throw new Error(`${this.mountpoint}: its server tells no counters`);
    return counters.requests.reduce((sum, count, opcode) => (forgets.has(opcode) ? sum : sum + count), 0);
  }

  /** The most memory that the server ever had, in MiB. */
  async peakMiB() {
    const { pid } = await this.tell();
    const [, peak] = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    return Number(peak) / mebibyteKiB;
  }
}

/** The mounts of ours in a benchmark. */
export class Ours {
  /** Of all servers that were there. */
  peakMiB = 0;
  #mounts = 0;

  /** @param {import('./place.mjs').Place} place */
  constructor(place) {
    this.place = place;
  }

  /** Settings and caches that nobody used before. @param {string} store @param {Env} env @param {Who} [who] @returns {Promise<Env>} */
  async home(store, env = {}, who = 'root') {
    const home = this.place.freshHome(store, env);
    if (who === 'user') await run(['chown', String(userId), home.PACH_HOME]);
    return home;
  }

  /** Runs `use` while it is mounted. @param {What} what @param {(mounted: Mounted) => Promise<void>} use */
  async mounted({ env, source, who = 'root', options = [] }, use) {
    // Two at once must not share a mountpoint.
    const mountpoint = this.place.folder(`mnt${this.#mounts++}`);
    if (who === 'user') await run(['chown', String(userId), mountpoint]);
    const mounted = new Mounted({ path: join(mountpoint, source), mountpoint, env, who });
    await mounted.pach(['mount', ...options, source, mountpoint]);
    try {
      await use(mounted);
      this.peakMiB = Math.max(this.peakMiB, await mounted.peakMiB());
    } finally {
      // What can not be unmounted is left to the sweep.
      await mounted.pach(['unmount', mountpoint], true).catch(() => undefined);
    }
  }
}
