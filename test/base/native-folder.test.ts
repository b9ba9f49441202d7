import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fingerprintBytes, listFolder, type FileStat } from '../../src/base/listing.ts';
import { native } from '../../src/base/native.ts';
import { OpenFile, rootPlace } from '../../src/base/place.ts';

const addon = resolve('native/build/data.node');
const none = Buffer.alloc(0);

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'native-folder-'));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** A new empty folder. */
function fresh(name: string): string {
  const path = join(folder, name);
  fs.mkdirSync(path);
  return path;
}

/** All of a folder, as objects. */
async function list(path: string): Promise<FileStat[]> {
  const listing = await listFolder(rootPlace(Buffer.from(path)));
  return Array.from({ length: listing.count }, (_, n) => listing.at(n));
}

const inside = (path: string, name: Buffer): Buffer => Buffer.concat([Buffer.from(`${path}/`), name]);

const oddNames = [
  Buffer.from('a'),
  Buffer.from(' leading and trailing '),
  Buffer.from('new\nline'),
  Buffer.from('-rf'),
  Buffer.from('...'),
  Buffer.from('ünïcødé 🐧'),
  Buffer.from([0xff, 0x80, 0x01, 0xfe]),
  Buffer.from([0xc3]),
  Buffer.alloc(255, 'n'),
  Buffer.from('A'),
].sort((a, b) => a.compare(b));

describe('listFolder', () => {
  test('tells any name as bytes, in their order', async () => {
    const path = fresh('names');
    for (const name of oddNames) fs.writeFileSync(inside(path, name), name);
    const stats = await list(path);
    expect(stats.map((stat) => stat.name)).toEqual(oddNames);
    expect(stats.map((stat) => stat.size)).toEqual(oddNames.map((name) => name.length));
    expect(stats.every((stat) => stat.kind === 'file' && !stat.executable && stat.error === undefined)).toBe(true);
  });

  test('tells kinds, executable bits, sizes and times', async () => {
    const path = fresh('kinds');
    fs.writeFileSync(join(path, 'plain'), 'twelve bytes');
    fs.truncateSync(join(path, 'plain'), 5_000_000_000);
    fs.utimesSync(join(path, 'plain'), 1_600_000_000.25, 1_600_000_000.25);
    fs.writeFileSync(join(path, 'program'), '', { mode: 0o644 });
    fs.chmodSync(join(path, 'program'), 0o654);
    fs.utimesSync(join(path, 'program'), new Date(-5000), new Date(-5000));
    fs.mkdirSync(join(path, 'folder'));
    fs.symlinkSync('nowhere', join(path, 'link'));
    execFileSync('mkfifo', [join(path, 'pipe')]);
    const stats = await list(path);
    expect(stats.map((stat) => [stat.name.toString(), stat.kind, stat.executable])).toEqual([
      ['folder', 'directory', true],
      ['link', 'symlink', true],
      ['pipe', 'other', false],
      ['plain', 'file', false],
      ['program', 'file', true],
    ]);
    expect(stats[1]!.size).toBe('nowhere'.length);
    expect(stats[3]).toMatchObject({ size: 5_000_000_000, mtimeSeconds: 1_600_000_000, mtimeNanoseconds: 250_000_000 });
    expect(stats[4]).toMatchObject({ size: 0, mtimeSeconds: -5, mtimeNanoseconds: 0 });
  });

  test('tells the error of the folder itself, and follows no symlink to it', async () => {
    const path = fresh('errors');
    fs.writeFileSync(join(path, 'file'), '');
    fs.symlinkSync('.', join(path, 'link'));
    const at = (name: string) => list(join(path, name));
    await expect(at('missing')).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
    await expect(at('file')).rejects.toMatchObject({ code: 'ENOTDIR', syscall: 'open' });
    await expect(at('link')).rejects.toMatchObject({ syscall: 'open' });
    expect((await list(`${path}/link/`)).length).toBe(2);
    expect(await list(fresh('empty'))).toEqual([]);
  });

  test('fingerprints of files change with what shows a change, and are zero for what changed lately', async () => {
    const path = fresh('fingerprints');
    for (const name of ['a', 'b', 'c']) fs.writeFileSync(join(path, name), name);
    fs.mkdirSync(join(path, 'aa'));
    const look = async (settledMs: number) => {
      const { fingerprints } = await listFolder(rootPlace(Buffer.from(path)), settledMs);
      return [0, 1, 2].map((n) => fingerprints.toString('hex', n * fingerprintBytes, (n + 1) * fingerprintBytes));
    };
    const later = Date.now() + 60_000;
    const [a, b, c] = await look(later);
    expect(new Set([a, b, c, '0'.repeat(32)]).size).toBe(4);
    expect(await look(later)).toEqual([a, b, c]);
    expect(await look(Date.now() - 60_000)).toEqual(Array(3).fill('0'.repeat(32)));
    fs.appendFileSync(join(path, 'a'), 'more');
    fs.chmodSync(join(path, 'b'), 0o700);
    fs.rmSync(join(path, 'c'));
    fs.writeFileSync(join(path, 'c'), 'C');
    const now = await look(later);
    for (const [n, before] of [a, b, c].entries()) expect(now[n]).not.toBe(before);
  });

  test('lists ten thousand', async () => {
    const path = fresh('many');
    for (let i = 0; i < 10_000; i++) fs.writeFileSync(join(path, `file ${i}`), '');
    const stats = await list(path);
    expect(new Set(stats.map((stat) => stat.name.toString())).size).toBe(10_000);
  });
});

describe('readSmallFiles', () => {
  const read = (path: string, names: readonly (string | Buffer)[], max: number) =>
    native().readSmallFiles(
      Buffer.from(path),
      none,
      names.map((name) => Buffer.from(name)),
      max,
    );

  test('reads any name, with its hash', async () => {
    const path = join(folder, 'names');
    const files = await read(path, oddNames, 255);
    expect(files.map((file) => file.bytes)).toEqual(oddNames);
    expect(files.map((file) => file.hash)).toEqual(oddNames.map((name) => native().hash('plain', name)));
  });

  test('reads all sizes up to the limit, with stats', async () => {
    const path = fresh('sizes');
    const sizes = [0, 1, 1023, 1024, 1025, 100_000, 1_048_575, 1_048_576, 2_000_000];
    for (const size of sizes) fs.writeFileSync(join(path, `${size}`), Buffer.alloc(size, `${size} `));
    fs.chmodSync(join(path, '1023'), 0o755);
    fs.utimesSync(join(path, '1023'), 1234.5, 1234.5);
    const files = await read(path, sizes.map(String), 2_000_000);
    for (const [i, size] of sizes.entries()) {
      const expected = Buffer.alloc(size, `${size} `);
      expect(files[i]!.bytes?.equals(expected)).toBe(true);
      expect(files[i]!.hash).toEqual(native().hash('plain', expected));
    }
    expect(files[2]).toMatchObject({ executable: true, mtimeSeconds: 1234, mtimeNanoseconds: 500_000_000 });
    const limited = await read(path, sizes.map(String), 1024);
    expect(limited.map((file) => file.error)).toEqual([...Array(4).fill(undefined), ...Array(5).fill('EFBIG')]);
    expect(limited[8]).toEqual({ executable: false, mtimeSeconds: 0, mtimeNanoseconds: 0, error: 'EFBIG' });
  });

  test('reads what is longer than its stat tells, as a file that grows', async () => {
    // Files of /proc say size 0, so what is read is all growth.
    const path = `/proc/${process.pid}`;
    const [grown] = await read(path, ['maps'], 10_000_000);
    expect(grown!.error).toBeUndefined();
    expect(grown!.bytes!.length).toBeGreaterThan(4096);
    expect(grown!.bytes!.toString()).toContain(process.execPath);
    expect((await read(path, ['maps', 'status'], 100)).map((file) => file.error)).toEqual(['EFBIG', 'EFBIG']);
  });

  test('opens nothing but regular files, and waits for none', async () => {
    const path = fresh('others');
    fs.writeFileSync(join(path, 'file'), 'x');
    fs.mkdirSync(join(path, 'folder'));
    fs.symlinkSync('file', join(path, 'link'));
    execFileSync('mkfifo', [join(path, 'pipe')]);
    const server = createServer().listen(join(path, 'socket'));
    await once(server, 'listening');
    const files = await read(path, ['file', 'folder', 'link', 'pipe', 'socket', 'gone', '..'], 100);
    server.close();
    expect(files.map((file) => file.error)).toEqual([
      undefined,
      'EINVAL',
      'EINVAL',
      'EINVAL',
      'EINVAL',
      'ENOENT',
      'EINVAL',
    ]);
    expect(files.slice(1).every((file) => file.bytes === undefined && file.hash === undefined)).toBe(true);
    await expect(read(join(path, 'link'), ['file'], 100)).rejects.toMatchObject({ syscall: 'open' });
    expect(await read(path, [], 100)).toEqual([]);
  });
});

type Reached = Record<string, Record<'list' | 'small' | 'link' | 'open', unknown>>;

/** What each way of reading gives at paths below a folder; `before` is a program that runs the rest. */
function reached(root: string, paths: readonly string[], before: readonly string[]): Reached {
  const [program = '', ...words] = [
    ...before,
    process.execPath,
    join(import.meta.dirname, 'reach.mjs'),
    root,
    ...paths,
  ];
  return JSON.parse(execFileSync(program, words, { encoding: 'utf8' })) as Reached;
}

describe('a place below a folder', () => {
  /** A folder beside a victim, to which links lead in every way. */
  function make(name: string): string {
    const path = fresh(name);
    for (const each of ['victim', 'root', 'root/in', 'root/in/deep']) fs.mkdirSync(join(path, each));
    for (const each of ['victim', 'root/in', 'root/in/deep']) {
      fs.writeFileSync(join(path, each, 'file'), each);
      fs.symlinkSync('file', join(path, each, 'link'));
    }
    fs.symlinkSync('../victim', join(path, 'root/out'));
    fs.symlinkSync(join(path, 'victim'), join(path, 'root/absolute'));
    fs.symlinkSync('in', join(path, 'root/inner'));
    return join(path, 'root');
  }

  const links = ['out', 'absolute', 'inner', 'out/link', 'inner/deep', 'in/link'];
  const odd = ['..', '../victim', 'in/../in', './in', '/in', 'in/', 'in//deep', '.'];

  test.each(['openat2', 'no openat2'])('is reached by its names alone, never through a link or .., with %s', (call) => {
    const root = make(call);
    const deny = join(folder, 'deny');
    const before = call === 'openat2' ? [] : [deny];
    if (call !== 'openat2') execFileSync('gcc', ['-o', deny, resolve('test/support/deny-openat2.c')]);
    const found = reached(root, ['in/deep', 'in/file', 'gone', ...links, ...odd], before);
    expect(found['in/deep']).toEqual({ list: 2, small: 'root/in/deep', link: 'file', open: 'EISDIR' });
    expect(found['in/file']).toMatchObject({ list: 'ENOTDIR', open: 'root/in' });
    expect(found['gone']).toMatchObject({ list: 'ENOENT', open: 'ENOENT' });
    for (const path of links) {
      for (const code of Object.values(found[path] ?? {})) expect(['ELOOP', 'ENOTDIR']).toContain(code);
    }
    const refused = { list: 'EINVAL', small: 'EINVAL', link: 'EINVAL', open: 'EINVAL' };
    for (const path of odd) expect({ path, ...found[path] }).toEqual({ path, ...refused });
  });

  test('opens what a user named through a link, and waits for no FIFO', async () => {
    const path = fresh('named');
    fs.writeFileSync(join(path, 'file'), 'text');
    fs.symlinkSync('file', join(path, 'link'));
    execFileSync('mkfifo', [join(path, 'pipe')]);
    await using file = await OpenFile.at(rootPlace(Buffer.from(join(path, 'link'))));
    expect(fs.readFileSync(file.fd, 'utf8')).toBe('text');
    await using pipe = await OpenFile.at(rootPlace(Buffer.from(join(path, 'pipe'))));
    expect((await pipe.stat()).isFIFO()).toBe(true);
  });
});

describe('lockExclusive', () => {
  /** A process that takes the lock, says so, and holds it until it is killed. */
  async function holder(path: string): Promise<ChildProcess> {
    const program = `const fd = require('fs').openSync(process.argv[1], 'r+');
      require(${JSON.stringify(addon)}).lockExclusive(fd).then(() => { console.log('held'); setInterval(() => {}, 1000); });`;
    const child = spawn(process.execPath, ['-e', program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    return child;
  }

  test('waits for another process, whose death releases it', async () => {
    const path = join(folder, 'lock');
    fs.writeFileSync(path, '');
    const child = await holder(path);
    const fds = Array.from({ length: 8 }, () => fs.openSync(path, 'r+'));
    const held: number[] = [];
    let holding = 0;
    let atOnce = 0;
    const waiting = fds.map(async (fd) => {
      await native().lockExclusive(fd);
      held.push(fd);
      atOnce = Math.max(atOnce, ++holding);
      await new Promise((done) => setTimeout(done, 5));
      holding--;
      fs.closeSync(fd);
    });
    // The pool stays free for others, however many wait.
    for (let i = 0; i < 20; i++) await native().hashAsync('plain', Buffer.alloc(100));
    await new Promise((done) => setTimeout(done, 60));
    expect(held).toEqual([]);
    child.kill('SIGKILL');
    await Promise.all(waiting);
    expect(new Set(held)).toEqual(new Set(fds));
    expect(atOnce).toBe(1);
  });

  test('tells a bad descriptor', async () => {
    await expect(native().lockExclusive(1_000_000)).rejects.toMatchObject({ code: 'EBADF', syscall: 'flock' });
  });
});

test('the addon works in worker threads, also when they end in the midst of it', async () => {
  const program = `const { parentPort, workerData } = require('node:worker_threads');
    const addon = require(workerData);
    const cutter = addon.createCutter();
    cutter.push(Buffer.alloc(3000000, 'x')).then(() => parentPort.postMessage(addon.hash('plain').toString('hex')));
    for (let i = 0; i < 20; i++) void addon.encodeBlobs([Buffer.alloc(500000, 'abc')]);`;
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(program, { eval: true, workerData: addon });
    const [hash] = (await once(worker, 'message')) as [string];
    expect(hash).toBe(native().hash('plain').toString('hex'));
    await worker.terminate();
  }
});
