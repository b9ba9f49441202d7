/**
 * Reads of 4 KiB at random places of a large file: how many a second where the bytes are on this
 * machine, and what is fetched where they are not.
 */
import { createRequire } from 'node:module';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { mebibyte, RandomBytes } from './inputs.mjs';
import { as } from './mount-ours.mjs';
import { fileMiB, thereAndBack } from './mount-sequential.mjs';
import { checkout, dropCaches, run } from './place.mjs';
import { withProxy } from './proxy.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./mount-ours.mjs').Who} Who */
/** @typedef {import('./mount.mjs').Bench} Bench */

const readBytes = 4096;
const fioSeconds = 3;
const threadCounts = [1, 16];
const states = /** @type {const} */ (['warm', 'hot']);
const reference = 'fio, plain file';
const touched = 'chunks touched';
const coldReads = Math.max(10, Math.round(200 * scale));

/** @param {'warm' | 'hot'} state @param {number} threads @param {Who} [who] */
function workOf(state, threads, who = 'root') {
  const by = threads === 1 ? '1 thread' : `${threads} threads`;
  return `random 4 KiB reads, ${by}, S3, ${state}${who === 'user' ? ', ordinary user' : ''}`;
}

const cold = { gets: '200 random 4 KiB reads, S3, cold: GETs', bytes: '200 random 4 KiB reads, S3, cold: bytes' };

/** @type {import('./rows.mjs').Limits} */
export const limits = {
  ...Object.fromEntries(
    states.flatMap((state) =>
      threadCounts.map((threads) => [`${workOf(state, threads)} / ${reference}`, { least: 0.9 }]),
    ),
  ),
  [`${cold.gets} / ${touched}`]: { most: 1 },
  // A stored chunk is a byte longer than its content.
  [`${cold.bytes} / ${touched}`]: { most: 1.001 },
};

/** Reads a second. @param {string} path @param {number} threads @param {{ who: Who, state: 'warm' | 'hot' }} how */
async function fioRate(path, threads, { who, state }) {
  const words = ['--name=random', `--filename=${path}`, '--readonly', '--rw=randread', `--bs=${readBytes}`];
  // fio's hint that reads are random does not reach a file that the kernel reads past us: neither gets it.
  const load = [
    '--fadvise_hint=0',
    '--ioengine=psync',
    '--thread',
    `--numjobs=${threads}`,
    '--group_reporting',
    '--invalidate=0',
  ];
  // What is not hot has to stay so: each thread has a part of the file, and reads no block twice.
  const share = Math.floor(100 / threads);
  const parts = [`--size=${share}%`, ...(threads > 1 ? [`--offset_increment=${share}%`] : [])];
  const length = [`--runtime=${fioSeconds}`, ...(state === 'hot' ? ['--time_based', '--norandommap'] : parts)];
  const { stdout } = await run(as(who, 'fio', ...words, ...load, ...length, '--output-format=json'), { keep: true });
  /** @type {{ jobs: { read: { iops: number, total_ios: number } }[] }} */
  const { jobs } = JSON.parse(stdout.slice(stdout.indexOf('{')));
  return jobs[0]?.read.iops ?? 0;
}

/** @param {Bench} bench @param {{ path: string, plain: string, who: Who, state: 'warm' | 'hot' }} what */
async function compare({ samples }, { path, plain, who, state }) {
  for (const threads of threadCounts) {
    for (const [by, file] of thereAndBack({ [reference]: plain, ours: path })) {
      if (state === 'warm') await dropCaches();
      else await run(as(who, 'cat', file));
      samples.add(workOf(state, threads, who), 'reads/s', by, await fioRate(file, threads, { who, state }));
    }
  }
}

/** Where the bytes are on this machine. @param {Bench} bench @param {import('./mount-ours.mjs').Env} env @param {string} plain as S3 has it in `ours/big` */
export async function readAtRandom(bench, env, plain) {
  for (const who of /** @type {const} */ (['root', 'user'])) {
    const what = { env: await bench.ours.home('s3://ours/big', env, who), source: 'big', who };
    await bench.ours.mounted(what, async ({ path }) => void (await run(as(who, 'cat', join(path, 'big')))));
    for (let round = 0; round < rounds; round++) {
      await bench.ours.mounted(what, async ({ path }) => {
        for (const state of states) await compare(bench, { path: join(path, 'big'), plain, who, state });
      });
    }
    await run(['rm', '-rf', what.env['PACH_HOME'] ?? '']);
  }
}

/** The ends of a file's chunks, which its bytes alone determine. @param {string} path */
async function chunkEnds(path) {
  /** @type {import('../../src/base/native.ts').NativeData} */
  const native = createRequire(import.meta.url)(join(checkout, 'native/build/data.node'));
  const cutter = native.createCutter();
  const file = await open(path);
  const block = 8 * mebibyte;
  /** @type {number[]} */
  const ends = [];
  /** @param {readonly { length: number }[]} pieces */
  const take = (pieces) => pieces.forEach(({ length }) => ends.push((ends.at(-1) ?? 0) + length));
  try {
    for (let offset = 0; ; offset += block) {
      const { consumed, pieces } = await cutter.pushFile(file.fd, offset, block);
      take(pieces);
      if (consumed < block) break;
    }
    take(await cutter.end());
  } finally {
    await file.close();
  }
  return ends;
}

/** Number and bytes of the chunks that reads at these places need. @param {readonly number[]} ends @param {readonly number[]} offsets */
function chunksOf(ends, offsets) {
  const found = new Set(
    offsets.flatMap((offset) => {
      const [first, last] = [offset, offset + readBytes - 1].map((at) => ends.findIndex((end) => at < end));
      return first === last ? [first ?? 0] : [first ?? 0, last ?? 0];
    }),
  );
  const bytes = [...found].reduce((sum, chunk) => sum + (ends[chunk] ?? 0) - (ends[chunk - 1] ?? 0), 0);
  return { count: found.size, bytes };
}

/**
 * What is fetched for reads of a file of which nothing is here, once its name has been looked up.
 *
 * @param {Bench} bench @param {import('./mount-ours.mjs').Env} env @param {string} plain as S3 has it in `ours/big`
 */
export async function fetchAtRandom({ ours, samples }, env, plain) {
  const ends = await chunkEnds(plain);
  for (let round = 0; round < rounds; round++) {
    const random = new RandomBytes(100 + round);
    const blocks = Math.floor((fileMiB * mebibyte) / readBytes);
    const offsets = Array.from({ length: coldReads }, () => random.below(blocks) * readBytes);
    const needed = chunksOf(ends, offsets);
    await withProxy(env, async (through, proxy) => {
      await ours.mounted({ env: await ours.home('s3://ours/big', through), source: 'big' }, async ({ path }) => {
        const file = join(path, 'big');
        await run(['stat', file]);
        proxy.take();
        await run([process.execPath, join(checkout, 'test/bench/read-at.mjs'), file, ...offsets.map(String)]);
        const { gets, bytes } = proxy.take();
        samples.add(cold.gets, 'GETs', 'ours', gets);
        samples.add(cold.gets, 'GETs', touched, needed.count);
        samples.add(cold.bytes, 'MiB', 'ours', bytes / mebibyte);
        samples.add(cold.bytes, 'MiB', touched, needed.bytes / mebibyte);
      });
    });
  }
}
