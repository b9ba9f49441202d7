/**
 * The same tree as fuse-server.c, served by the npm package fuse-native; ends with its mount.
 *
 *   fuse-native-server.mjs FOLDER MOUNTPOINT FOLDERS FILES ZEROS    FOLDER: where it is installed
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [installed = '', mountpoint = '', ...numbers] = process.argv.slice(2);
const [folders = 0, files = 0, zeros = 0] = numbers.map(Number);
const Fuse = createRequire(`${installed}/`)('fuse-native');

const forEverSeconds = 1e9;
const fileBytes = 2;
const time = new Date(0);
/** @param {string} kind @param {number} number */
const nameOf = (kind, number) => `${kind}-${String(number).padStart(4, '0')}`;
/** @param {number} size */
const attributes = (size, mode = 0o100644) => ({
  mode,
  size,
  mtime: time,
  atime: time,
  ctime: time,
  nlink: 1,
  uid: 0,
  gid: 0,
});
const folderAttributes = attributes(0, 0o040755);
const fileAttributes = attributes(fileBytes);

/** All answers, by path: nothing is left to be worked out. */
const byPath = new Map([
  ['/', folderAttributes],
  ['/zeros', attributes(zeros)],
]);
/** @type {Map<string, string[]>} */
const namesIn = new Map([['/', ['zeros']]]);
for (let n = 0; n < folders; n++) {
  const folder = `/${nameOf('folder', n)}`;
  const [first = 0, next = 0] = [n, n + 1].map((number) => Math.floor((files / folders) * number));
  const names = Array.from({ length: next - first }, (_, m) => nameOf('file', m));
  byPath.set(folder, folderAttributes);
  namesIn.get('/')?.push(folder.slice(1));
  namesIn.set(folder, names);
  for (const name of names) byPath.set(`${folder}/${name}`, fileAttributes);
}

/** @typedef {(error: number, ...rest: unknown[]) => void} Done */
const operations = {
  /** @param {string} path @param {Done} done */
  readdir(path, done) {
    const names = namesIn.get(path);
    return names ? done(0, names) : done(Fuse.ENOENT);
  },
  /** @param {string} path @param {Done} done */
  getattr(path, done) {
    const found = byPath.get(path);
    return found ? done(0, found) : done(Fuse.ENOENT);
  },
  /** @param {string} path @param {number} flags @param {Done} done */
  open: (path, flags, done) => done(0, 1),
  /** @param {string} path @param {number} handle @param {Buffer} buffer @param {number} length @param {number} offset @param {(bytes: number) => void} done */
  read(path, handle, buffer, length, offset, done) {
    const size = byPath.get(path)?.size ?? 0;
    // The buffer is zeros already; what it holds costs nothing here.
    return done(Math.max(0, Math.min(length, size - offset)));
  },
};

const options = {
  kernelCache: true,
  entryTimeout: forEverSeconds,
  attrTimeout: forEverSeconds,
  maxRead: 1 << 20,
};
new Fuse(mountpoint, operations, options).open((/** @type {Error | null} */ error) => {
  if (error) throw error;
  setInterval(() => {
    if (!readFileSync('/proc/self/mounts', 'utf8').includes(` ${mountpoint} `)) process.exit(0);
  }, 200);
});
