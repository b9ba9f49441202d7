/**
 * What training does: files of one size in shuffled order by several processes, epoch after epoch; and
 * blocks at random of a large file. Cold from S3 beside other mounts, at once and over a line of 30 ms;
 * then from the disk cache, and hot, beside plain files and a server with nothing to do; with a cache that
 * holds half; and what it costs.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RandomBytes, writeTree } from './inputs.mjs';
import { withLine } from './line.mjs';
import { as } from './mount-ours.mjs';
import { bucket, peers, titleOf } from './mount-peers.mjs';
import { cServer } from './mount-servers.mjs';
import { checkout, dropCaches, pach, run } from './place.mjs';
import { withProxy } from './proxy.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./mount-ours.mjs').Env} Env */
/** @typedef {import('./mount-ours.mjs').Who} Who */
/** @typedef {import('./mount-peers.mjs').Peers} Peers */
/** @typedef {import('./mount.mjs').Bench} Bench */
/** @typedef {{ count: number, bytes: number, seconds: number, late: number, lateSeconds: number }} Read late: after the first second */

export const processes = 8;
const folders = 100;
const delayMs = 30;
/** A peer over a slow line would take minutes: its rate shows before. */
const secondsMax = Math.max(10, Math.round(60 * Math.min(1, scale)));
const farFiles = 20_000;
/** Each data set has a store of its own, which is removed with it: the gateway keeps all of them in memory. @param {string} name */
export const storeOf = (name) => `s3://ours/training-${name}`;
const ticksPerSecond = 100;
const blockBytes = 256 * 1024;
const blocksMax = 4096;
/** Files that are hot are read in no time: each of them several times. */
const hotReads = 5;
export const plainFiles = 'plain files';

/** @type {Record<string, { title: string, files: number, sizes: readonly number[], plain: number, user: number, peers?: number }>} */
const kinds = {
  k10: { title: '10 kB', files: 4000, sizes: [10_000], plain: 0.4, user: 0.3 },
  k110: { title: '110 kB', files: 4000, sizes: [110_000], plain: 0.7, user: 0.5, peers: 4 },
  m1: { title: '1 MB', files: 1000, sizes: [1_000_000], plain: 0.7, user: 0.5, peers: 2 },
  mixed: {
    title: 'mixed',
    files: 1000,
    sizes: [10_000, 110_000, 10_000, 1_000_000, 110_000, 3_000_000],
    plain: 0.7,
    user: 0.5,
  },
};

const first = (/** @type {string} */ title) => `shuffled files of ${title}, 8 processes, S3, first epoch`;
const of = (/** @type {Who} */ who) => (who === 'user' ? ', ordinary user' : '');
const second = (/** @type {string} */ title, /** @type {Who} */ who) =>
  `shuffled files of ${title}, 8 processes, second epoch, page cache dropped${of(who)}`;
const third = (/** @type {string} */ title, /** @type {Who} */ who) =>
  `shuffled files of ${title}, 8 processes, third epoch, hot${of(who)}`;
const works = {
  far: `20,000 shuffled files of 110 kB, 8 processes, S3 at ${delayMs} ms, first epoch (for a minute at most)`,
  alone: `the same, one process, after its first second`,
  half: 'shuffled files of 110 kB, 8 processes, S3, a disk cache for half of them',
  halfBytes: 'the same: bytes fetched, of the data',
  singleGets: 'a single cold file of 110 kB, S3: GETs',
  singleBytes: 'the same: KiB beside it',
  blocks: '256 KiB at random in a cold file of 1 GiB, 8 threads, S3',
  coldCost: 'processor time of the server for a cold file of 110 kB',
  warmCost: 'the same from the disk cache',
};

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  ...Object.fromEntries(
    Object.values(kinds).flatMap(({ title, plain, user, peers: least }) => [
      ...[second, third].flatMap((epoch) => [
        [`${epoch(title, 'root')} / ${plainFiles}`, { least: plain }],
        [`${epoch(title, 'user')} / ${plainFiles}`, { least: user }],
      ]),
      ...(least === undefined ? [] : peers.map((peer) => [`${first(title)} / ${titleOf(peer)}`, { least }])),
    ]),
  ),
  [`${works.half} / smallest cache`]: { least: 1 },
  [works.halfBytes]: { most: 1.3 },
  [works.singleGets]: { most: 1 },
  [works.singleBytes]: { most: 256 },
  [`${works.blocks} / ${titleOf('s3fs')}`]: { least: 0.9 },
  [works.coldCost]: { most: 0.5 },
  [works.warmCost]: { most: 0.15 },
};

/** @type {import('./rows.mjs').Limits} */
export const limitsFar = {
  ...Object.fromEntries(peers.map((peer) => [`${works.far} / ${titleOf(peer)}`, { least: 12 }])),
  [`${works.alone} / ${titleOf('rclone')}`]: { least: 10 },
};

export class Reader {
  #program;
  #orders = 0;

  /** @param {import('./place.mjs').Place} place */
  constructor(place) {
    this.place = place;
    this.#program = join(place.dir, 'read-shuffled');
  }

  async compile() {
    await run(['gcc', '-O2', '-o', this.#program, join(checkout, 'test/bench/read-shuffled.c')]);
  }

  /**
   * Reads lines of a list in an order of its own, the same for all who read the n-th epoch.
   *
   * @param {'files' | 'blocks' | 'mapped'} what @param {string} path @param {readonly string[]} lines
   * @param {{ epoch: number, count?: number, by?: number, who?: Who }} how
   * @returns {Promise<Read>}
   */
  async read(what, path, lines, { epoch, count = lines.length, by = processes, who = 'root' }) {
    const list = join(this.place.dir, `order${this.#orders++}`);
    writeFileSync(list, `${shuffled(lines, epoch).slice(0, count).join('\n')}\n`);
    const words = [this.#program, String(by), String(secondsMax), what, path];
    const script = 'list=$1; shift; exec "$@" < "$list"';
    const { stdout } = await run(as(who, 'sh', '-c', script, 'sh', list, ...words), {
      keep: true,
      seconds: 3 * secondsMax,
    });
    const [read = 0, bytes = 0, seconds = 1, late = 0, , lateSeconds = 1] = stdout.split(' ').map(Number);
    return { count: read, bytes, seconds, late, lateSeconds };
  }
}

/** @param {readonly string[]} lines @param {number} seed */
function shuffled(lines, seed) {
  const random = new RandomBytes(1000 + seed);
  return lines
    .map((line) => ({ line, at: random.below(2 ** 40) }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ line }) => line);
}

/** Seconds of processor time that a process has had. @param {number} pid */
function processorSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/**
 * A tree of files as plain files, in a repo of ours and in the bucket of the others.
 *
 * @typedef {{ name: string, plain: string, names: readonly string[], bytes: number, sizes: readonly number[] }} Data
 * @param {Bench} bench @param {Peers} others
 * @param {{ name: string, files: number, sizes: readonly number[] }} what
 * @returns {Promise<Data>}
 */
async function storeData(bench, others, { name, files, sizes }) {
  const plain = bench.place.folder(`training-${name}`);
  const random = new RandomBytes(files);
  const count = Math.max(folders, Math.round(files * scale));
  await writeTree(plain, { folders, files: count, content: (n) => random.next(sizes[n % sizes.length] ?? 0) });
  await storeTree(bench, others, name, plain);
  const names = readdirSync(plain, { recursive: true, encoding: 'utf8' }).filter((path) => path.includes('/'));
  const bytes = names.reduce((sum, path) => sum + statSync(join(plain, path)).size, 0);
  return { name, plain, names, bytes, sizes };
}

/** Puts a folder of plain files into a repo of ours and into the bucket of the others. @param {Bench} bench @param {Peers} others @param {string} name @param {string} plain */
export async function storeTree({ place }, others, name, plain) {
  const home = place.freshHome(storeOf(name), others.env);
  await pach(home, 'create', 'repo', name);
  await run([join(checkout, 'bin/pach'), 'put', 'file', `${name}@master:/`, '-r', '-f', `${plain}/`], {
    env: home,
    seconds: 1800,
  });
  await others.upload(plain, name);
}

/** Removes what storeTree has stored. @param {Peers} others @param {string} name */
export async function removeTree(others, name) {
  await others.remove('ours', `training-${name}`);
  await others.remove(bucket, name);
}

/** @param {Read} read */
const rateOf = ({ count, seconds }) => count / seconds;

/** Reads files that the page cache has. @param {Reader} reader @param {string} path @param {Data} data @param {{ round: number, who: Who }} how */
async function hotRate(reader, path, data, { round, who }) {
  const lines = Array.from({ length: hotReads }, () => data.names).flat();
  return rateOf(await reader.read('files', path, lines, { epoch: round + 200, who }));
}

/** The first epoch cold, the second from the disk cache and the third from the page cache, of ours. @param {Bench} bench @param {Reader} reader @param {Peers} others @param {Data} data @param {{ title: string, who: Who, round: number }} how */
async function readEpochs({ ours, samples }, reader, others, data, { title, who, round }) {
  const env = await ours.home(storeOf(data.name), others.env, who);
  await ours.mounted({ env, source: data.name, who }, async (mounted) => {
    const { pid } = await mounted.tell();
    await dropCaches();
    const idle = processorSeconds(pid);
    const cold = await reader.read('files', mounted.path, data.names, { epoch: round, who });
    const after = processorSeconds(pid);
    await dropCaches();
    const warmFrom = processorSeconds(pid);
    const warm = await reader.read('files', mounted.path, data.names, { epoch: round + 100, who });
    const end = processorSeconds(pid);
    if (who === 'root') samples.add(first(title), 'files/s', 'ours', rateOf(cold));
    samples.add(second(title, who), 'files/s', 'ours', rateOf(warm));
    samples.add(third(title, who), 'files/s', 'ours', await hotRate(reader, mounted.path, data, { round, who }));
    if (data.name !== 'k110' || who !== 'root') return;
    samples.add(works.coldCost, 'ms', 'ours', ((after - idle) * 1000) / cold.count);
    samples.add(works.warmCost, 'ms', 'ours', ((end - warmFrom) * 1000) / warm.count);
  });
  await run(['rm', '-rf', env['PACH_HOME'] ?? '']);
}

/** What is left to any mount that lends no files: a server that has all in memory, and checks nothing. @param {Bench} bench @param {Reader} reader @param {Data} data @param {{ title: string, round: number }} how */
async function readLeast({ servers, samples }, reader, data, { title, round }) {
  const [fileBytes, ...others] = data.sizes;
  if (fileBytes === undefined || others.length > 0) return;
  const shape = { folders, files: data.names.length, fileBytes, zeros: 1, readAheadKib: 0 };
  await servers.withC(shape, async (path) => {
    await dropCaches();
    const warm = await reader.read('files', path, data.names, { epoch: round + 100, who: 'user' });
    samples.add(second(title, 'user'), 'files/s', cServer, rateOf(warm));
    samples.add(third(title, 'user'), 'files/s', cServer, await hotRate(reader, path, data, { round, who: 'user' }));
  });
}

/** @param {Bench} bench @param {Reader} reader @param {Peers} others @param {Data} data @param {string} title */
async function readNear(bench, reader, others, data, title) {
  const { samples } = bench;
  for (let round = 0; round < rounds; round++) {
    for (const who of /** @type {const} */ (['root', 'user'])) {
      await readEpochs(bench, reader, others, data, { title, who, round });
      await dropCaches();
      const plain = await reader.read('files', data.plain, data.names, { epoch: round + 100, who });
      samples.add(second(title, who), 'files/s', plainFiles, rateOf(plain));
      samples.add(third(title, who), 'files/s', plainFiles, await hotRate(reader, data.plain, data, { round, who }));
    }
    await readLeast(bench, reader, data, { title, round });
    for (const peer of peers) {
      await others.mounted(peer, async (path) => {
        await dropCaches();
        const cold = await reader.read('files', join(path, data.name), data.names, { epoch: round });
        samples.add(first(title), 'files/s', titleOf(peer), rateOf(cold));
      });
    }
  }
}

/** With a cache that holds half, and one that holds as little as can be. @param {Bench} bench @param {Reader} reader @param {Peers} others @param {Data} data */
async function readHalf({ ours, samples }, reader, others, data) {
  for (let round = 0; round < rounds; round++) {
    for (const [who, bytes] of /** @type {const} */ ([
      ['ours', Math.round(data.bytes / 2)],
      ['smallest cache', 1],
    ])) {
      await withProxy(others.env, async (through, proxy) => {
        const env = await ours.home(storeOf(data.name), through);
        await ours.mounted({ env, source: data.name, options: ['--cache-size', String(bytes)] }, async ({ path }) => {
          proxy.take();
          const read = await reader.read('files', path, data.names, { epoch: round });
          samples.add(works.half, 'files/s', who, rateOf(read));
          if (who === 'ours') samples.add(works.halfBytes, 'times', 'ours', proxy.take().bytes / read.bytes);
        });
        await run(['rm', '-rf', env['PACH_HOME'] ?? '']);
      });
    }
  }
}

/** What one file costs of which nothing is here, once its name has been looked up. @param {Bench} bench @param {Peers} others @param {Data} data */
async function readSingle({ ours, samples }, others, data) {
  await withProxy(others.env, async (through, proxy) => {
    await ours.mounted({ env: await ours.home(storeOf(data.name), through), source: data.name }, async ({ path }) => {
      const file = join(path, data.names[Math.floor(data.names.length / 2)] ?? '');
      await run(['stat', file]);
      proxy.take();
      await run(['cat', file]);
      const { gets, bytes } = proxy.take();
      const chunk = data.bytes / data.names.length;
      samples.add(works.singleGets, 'GETs', 'ours', gets);
      samples.add(works.singleBytes, 'KiB', 'ours', Math.max(0, bytes - chunk) / 1024);
    });
  });
}

/** @param {Bench} bench @param {Reader} reader @param {Peers} others @param {Data} data */
async function readFarAway({ ours, samples }, reader, others, data) {
  for (let round = 0; round < rounds; round++) {
    await withLine(others.env, delayMs, async (through) => {
      for (const [work, by] of /** @type {const} */ ([
        [works.far, processes],
        [works.alone, 1],
      ])) {
        const valueOf = (/** @type {Read} */ read) => (by === 1 ? read.late / read.lateSeconds : rateOf(read));
        const env = await ours.home(storeOf(data.name), through);
        await ours.mounted({ env, source: data.name }, async ({ path }) => {
          samples.add(
            work,
            'files/s',
            'ours',
            valueOf(await reader.read('files', path, data.names, { epoch: round, by })),
          );
        });
        await run(['rm', '-rf', env['PACH_HOME'] ?? '']);
        for (const peer of peers) {
          await others.through(through).mounted(peer, async (path) => {
            const read = await reader.read('files', join(path, data.name), data.names, { epoch: round, by });
            samples.add(work, 'files/s', titleOf(peer), valueOf(read));
          });
        }
      }
    });
  }
}

/** Distinct blocks of a large file in random order. @param {Bench} bench @param {Reader} reader @param {Peers} others @param {string} plain as S3 has it in `ours/big` */
async function readBlocks({ ours, samples }, reader, others, plain) {
  const count = Math.min(blocksMax, Math.floor(statSync(plain).size / blockBytes));
  const lines = Array.from({ length: count }, (_, n) => `${n * blockBytes} ${blockBytes}`);
  for (let round = 0; round < rounds; round++) {
    const env = await ours.home('s3://ours/big', others.env);
    await ours.mounted({ env, source: 'big' }, async ({ path }) => {
      await dropCaches();
      const read = await reader.read('blocks', join(path, 'big'), lines, { epoch: round });
      samples.add(works.blocks, 'reads/s', 'ours', rateOf(read));
    });
    await run(['rm', '-rf', env['PACH_HOME'] ?? '']);
    for (const peer of peers) {
      await others.mounted(peer, async (path) => {
        await dropCaches();
        const read = await reader.read('blocks', join(path, 'big'), lines, { epoch: round });
        samples.add(works.blocks, 'reads/s', titleOf(peer), rateOf(read));
      });
    }
  }
}

/** @param {Bench} bench @param {Peers} others @param {string} plain as both have it as `big` */
export async function train(bench, others, plain) {
  const reader = new Reader(bench.place);
  await reader.compile();
  await readBlocks(bench, reader, others, plain);
  for (const [name, { title, files, sizes }] of Object.entries(kinds)) {
    bench.say(`shuffled files of ${title}`);
    const data = await storeData(bench, others, { name, files, sizes });
    await readNear(bench, reader, others, data, title);
    if (name === 'k110') {
      await readHalf(bench, reader, others, data);
      await readSingle(bench, others, data);
    }
    await removeTree(others, name);
    await run(['rm', '-rf', data.plain]);
  }
}

/** @param {Bench} bench @param {Peers} others */
export async function trainFar(bench, others) {
  const reader = new Reader(bench.place);
  await reader.compile();
  bench.say(`shuffled files, S3 with a delay`);
  const far = await storeData(bench, others, { name: 'far', files: farFiles, sizes: [110_000] });
  await run(['rm', '-rf', far.plain]);
  await readFarAway(bench, reader, others, far);
  await removeTree(others, far.name);
}
