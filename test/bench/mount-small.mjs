/**
 * All of many small files of one folder, and the works on S3 again over a line of 30 ms,
 * as on a real network: there round trips decide, which loopback hides.
 */
import { join } from 'node:path';
import { RandomBytes, writeTree } from './inputs.mjs';
import { withLine } from './line.mjs';
import { peers, titleOf } from './mount-peers.mjs';
import { catRate } from './mount-sequential.mjs';
import { checkout, dropCaches, pach, run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./mount-ours.mjs').Env} Env */
/** @typedef {import('./mount-peers.mjs').Peers} Peers */
/** @typedef {import('./mount.mjs').Bench} Bench */

const files = Math.max(50, Math.round(5000 * scale));
const delayMs = 30;
/** A peer that takes a round trip or two a file would take minutes: its rate shows before. */
const secondsMax = 60;
const store = 's3://ours/small';

const works = {
  near: '5,000 files of 2 KiB, S3, cold',
  far: `5,000 files of 2 KiB, S3 at ${delayMs} ms, cold (for ${secondsMax} s at most)`,
  farSequential: `read 1 GiB, S3 at ${delayMs} ms, cold`,
};

/** @type {import('./rows.mjs').Limits} */
export const limits = Object.fromEntries(
  peers.flatMap((peer) => [
    [`${works.near} / ${titleOf(peer)}`, { least: 20 }],
    [`${works.far} / ${titleOf(peer)}`, { least: 20 }],
    [`${works.farSequential} / ${titleOf(peer)}`, { least: 1 }],
  ]),
);

/** Files a second. @param {string} folder */
async function readAll(folder) {
  const words = [join(checkout, 'test/bench/read-all.mjs'), folder, String(secondsMax)];
  const { stdout } = await run([process.execPath, ...words], { keep: true, seconds: 2 * secondsMax });
  const [count = 0, seconds = 1] = stdout.split(' ').map(Number);
  return count / seconds;
}

/** @param {Bench} bench @param {Peers} others */
export async function storeSmall({ place }, others) {
  const plain = place.folder('small');
  const random = new RandomBytes(20);
  await writeTree(plain, { folders: 1, files, content: () => random.next(2048) });
  const first = place.freshHome(store, others.env);
  await pach(first, 'create', 'repo', 'small');
  await pach(first, 'put', 'file', 'small@master:/', '-r', '-f', `${plain}/`);
  await others.upload(plain, 'small');
  await run(['rm', '-rf', plain]);
}

/** @param {Bench} bench @param {Peers} others @param {string} work */
async function readSmall({ ours, samples }, others, work) {
  await ours.mounted({ env: await ours.home(store, others.env), source: 'small' }, async ({ path }) => {
    samples.add(work, 'files/s', 'ours', await readAll(join(path, 'folder-0000')));
  });
  for (const peer of peers) {
    await others.mounted(peer, async (path) => {
      samples.add(work, 'files/s', titleOf(peer), await readAll(join(path, 'small/folder-0000')));
    });
  }
}

/** @param {Bench} bench @param {Peers} others after storeSmall */
export async function readSmallNear(bench, others) {
  for (let round = 0; round < rounds; round++) await readSmall(bench, others, works.near);
}

/** @param {Bench} bench @param {Peers} others after storeSmall; `ours/big` and its copy are there */
export async function readFar(bench, others) {
  const { ours, samples } = bench;
  for (let round = 0; round < rounds; round++) {
    await withLine(others.env, delayMs, async (env) => {
      const distant = others.through(env);
      await readSmall(bench, distant, works.far);
      const home = await ours.home('s3://ours/big', env);
      await ours.mounted({ env: home, source: 'big' }, async ({ path }) => {
        await dropCaches();
        samples.add(works.farSequential, 'MiB/s', 'ours', await catRate(join(path, 'big')));
      });
      await run(['rm', '-rf', home['PACH_HOME'] ?? '']);
      for (const peer of peers) {
        await distant.mounted(peer, async (path) => {
          await dropCaches();
          samples.add(works.farSequential, 'MiB/s', titleOf(peer), await catRate(join(path, 'big')));
        });
      }
    });
  }
}
