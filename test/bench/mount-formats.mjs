/**
 * Data sets in the formats that training reads: cold from S3 beside rclone, and from the disk cache, the page
 * cache dropped, beside plain files. Readers of Parquet, zarr and HDF5 are Python's; where they can't be
 * installed these works are missing.
 */
import { join } from 'node:path';
import { mebibyte, writeRandomFile } from './inputs.mjs';
import { titleOf } from './mount-peers.mjs';
import { plainFiles, processes, Reader, removeTree, storeOf, storeTree } from './mount-training.mjs';
import { checkout, dropCaches, run } from './place.mjs';
import { rounds, scale } from './rows.mjs';

/** @typedef {import('./mount-peers.mjs').Peers} Peers */
/** @typedef {import('./mount.mjs').Bench} Bench */
/**
 * read: resolves to its rate, of the data in a folder. An `epoch` has an order of its own.
 *
 * @typedef {{ name: string, title: string, unit: string, make: (dir: string) => Promise<unknown>,
 *   read: (dir: string, epoch: number) => Promise<number> }} Format
 */

const scaled = (/** @type {number} */ count, /** @type {number} */ least) => Math.max(least, Math.round(count * scale));
const mappers = 4;
const tensorMiB = 16;
const modelMiB = scaled(2048, 2 * tensorMiB);
const shards = 64;
const shardMiB = scaled(16, 1);
const walked = scaled(1_000_000, 1000);
/** So many are objects of the server, which takes a millisecond for each. */
const walkedInS3 = scaled(20_000, 1000);
const python = ['parquet', 'duckdb', 'zarr', 'hdf5'];
const packages = ['numpy', 'pyarrow', 'duckdb', 'zarr', 'h5py'];
const titles = {
  model: 'a safetensors file of 2 GiB by mmap, 4 processes',
  shards: '64 tar shards, 8 processes',
  walk: 'os.walk and stat of 1,000,000 files (20,000 in S3)',
  parquet: 'Parquet, 3 of 60 columns of 1 GB, pyarrow',
  duckdb: 'the same, duckdb',
  zarr: 'zarr, chunks at random',
  hdf5: 'HDF5, chunks at random',
};
const cold = (/** @type {string} */ title) => `${title}, S3, cold`;
const warm = (/** @type {string} */ title) => `${title}, page cache dropped`;

/** @type {import('./rows.mjs').Limits} */
export const limits = Object.fromEntries(
  Object.entries(titles).flatMap(([name, title]) => {
    const optional = python.includes(name) ? { optional: /** @type {const} */ (true) } : {};
    return [
      [`${cold(title)} / ${titleOf('rclone')}`, { least: 1, ...optional }],
      [`${warm(title)} / ${plainFiles}`, { least: 0.7, ...optional }],
    ];
  }),
);

/** Those that need no library. @param {Reader} reader @returns {Format[]} */
function simpleFormats(reader) {
  const pieces = Array.from({ length: Math.floor(modelMiB / tensorMiB) }, (_, n) => n * tensorMiB * mebibyte);
  const lines = pieces.map((offset) => `${offset} ${tensorMiB * mebibyte}`);
  const rateOf = (/** @type {import('./mount-training.mjs').Read} */ { bytes, seconds }) => bytes / mebibyte / seconds;
  return [
    {
      name: 'model',
      title: titles.model,
      unit: 'MiB/s',
      make: (dir) => writeRandomFile(join(dir, 'model.safetensors'), modelMiB * mebibyte, 7),
      read: async (dir, epoch) =>
        rateOf(await reader.read('mapped', join(dir, 'model.safetensors'), lines, { epoch, by: mappers })),
    },
    {
      name: 'shards',
      title: titles.shards,
      unit: 'MiB/s',
      make: async (dir) => {
        for (let n = 0; n < shards; n++) await writeRandomFile(join(dir, `${n}.tar`), shardMiB * mebibyte, 100 + n);
      },
      read: async (dir, epoch) => {
        const names = Array.from({ length: shards }, (_, n) => `${n}.tar`);
        return rateOf(await reader.read('files', dir, names, { epoch, by: processes }));
      },
    },
  ];
}

/** @param {string} interpreter @param {string[]} words @returns {Promise<number>} what it prints */
async function pythonSays(interpreter, ...words) {
  const script = join(checkout, 'test/bench/read-formats.py');
  return Number((await run([interpreter, script, ...words], { keep: true, seconds: 900 })).stdout);
}

/** @param {string} interpreter @returns {Format[]} */
function pythonFormats(interpreter) {
  const size = String(scaled(1000, 20));
  const of = (/** @type {'parquet' | 'duckdb' | 'zarr' | 'hdf5'} */ name) => ({
    name,
    title: titles[name],
    unit: name === 'zarr' || name === 'hdf5' ? 'chunks/s' : 'reads/s',
    make: (/** @type {string} */ dir) => pythonSays(interpreter, 'make', name, dir, size),
    read: (/** @type {string} */ dir, /** @type {number} */ epoch) =>
      pythonSays(interpreter, 'read', name, dir, String(epoch)),
  });
  return [of('parquet'), of('duckdb'), of('zarr'), of('hdf5')];
}

/** Installs readers that are nobody's dependency. Resolves to the interpreter that has them; undefined where they can't be had. @param {Bench} bench */
async function installReaders({ place, say }) {
  const dir = join(place.dir, 'readers');
  const words = ['install', '--quiet', '--disable-pip-version-check', '--only-binary', ':all:', ...packages];
  try {
    await run(['python3', '-m', 'venv', dir]);
    await run([join(dir, 'bin/pip'), ...words], { seconds: 600 });
    return join(dir, 'bin/python3');
  } catch (error) {
    say(`without readers of Parquet, zarr and HDF5, which can not be installed: ${String(error)}`);
    return undefined;
  }
}

/** @param {Bench} bench @param {Peers} others @param {Format} format */
async function readFormat(bench, others, { name, title, unit, make, read }) {
  const { place, ours, samples } = bench;
  const plain = place.folder(`format-${name}`);
  await make(plain);
  await storeTree(bench, others, name, plain);
  for (let round = 0; round < rounds; round++) {
    const env = await ours.home(storeOf(name), others.env);
    await ours.mounted({ env, source: name }, async ({ path }) => {
      await dropCaches();
      samples.add(cold(title), unit, 'ours', await read(path, round));
      await dropCaches();
      samples.add(warm(title), unit, 'ours', await read(path, round + 100));
    });
    await run(['rm', '-rf', env['PACH_HOME'] ?? '']);
    await dropCaches();
    samples.add(warm(title), unit, plainFiles, await read(plain, round + 100));
    await others.mounted('rclone', async (path) => {
      await dropCaches();
      samples.add(cold(title), unit, titleOf('rclone'), await read(join(path, name), round));
    });
  }
  await removeTree(others, name);
  await run(['rm', '-rf', plain]);
}

/** Names and attributes: of all files from the disk, of some from S3. @param {Bench} bench @param {Peers} others */
async function walk(bench, others) {
  const { place, ours, samples } = bench;
  const title = titles.walk;
  const walkOf = (/** @type {string} */ dir) => pythonSays('python3', 'walk', dir);
  for (const [name, files] of /** @type {const} */ ([
    ['walked', walkedInS3],
    ['walkedAll', walked],
  ])) {
    const plain = place.folder(`format-${name}`);
    const tar = '"$0" "$1" "$2" "$3" | tar -x -f - -C "$4"';
    const folders = String(Math.max(10, Math.round(files / 1000)));
    const words = [process.execPath, join(checkout, 'test/bench/tree-tar.mjs'), folders, String(files), plain];
    await run(['bash', '-o', 'pipefail', '-c', tar, ...words], { seconds: 1800 });
    const isAll = name === 'walkedAll';
    const where = isAll ? join(place.dir, 'store-walked') : storeOf(name);
    const first = place.freshHome(where, others.env);
    if (isAll) {
      for (const put of [
        ['create', 'repo', name],
        ['put', 'file', `${name}@master:/`, '-r', '-f', `${plain}/`],
      ]) {
        await run([join(checkout, 'bin/pach'), ...put], { env: first, seconds: 1800 });
      }
    } else await storeTree(bench, others, name, plain);
    for (let round = 0; round < rounds; round++) {
      const env = await ours.home(where, others.env);
      await ours.mounted({ env, source: name }, async ({ path }) => {
        await dropCaches();
        const rate = await walkOf(path);
        if (!isAll) samples.add(cold(title), 'files/s', 'ours', rate);
        await dropCaches();
        if (isAll) samples.add(warm(title), 'files/s', 'ours', await walkOf(path));
      });
      await run(['rm', '-rf', env['PACH_HOME'] ?? '']);
      await dropCaches();
      if (isAll) samples.add(warm(title), 'files/s', plainFiles, await walkOf(plain));
      else {
        await others.mounted('rclone', async (path) => {
          await dropCaches();
          samples.add(cold(title), 'files/s', titleOf('rclone'), await walkOf(join(path, name)));
        });
      }
    }
    await run(['rm', '-rf', plain]);
  }
}

/** @param {Bench} bench @param {Peers} others */
export async function readFormats(bench, others) {
  const reader = new Reader(bench.place);
  await reader.compile();
  const interpreter = await installReaders(bench);
  for (const format of [...simpleFormats(reader), ...(interpreter === undefined ? [] : pythonFormats(interpreter))]) {
    bench.say(format.title);
    await readFormat(bench, others, format);
  }
  bench.say(titles.walk);
  await walk(bench, others);
}
