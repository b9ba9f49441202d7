import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { emptyFolder, removeOne, removeTree, removeTreeAsync } from '../../src/base/remove.ts';

let dir: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), 'pach-remove-'));
});
afterEach(() => execFileSync('rm', ['-rf', dir]));

const bytes = (...names: string[]): Buffer => Buffer.from(join(dir, ...names));

test('folders are removed however deep they are, and whatever their rights', () => {
  const top = join(dir, 'top');
  fs.mkdirSync(join(top, 'closed/below'), { recursive: true });
  fs.writeFileSync(join(top, 'closed/below/file'), '');
  const deeper =
    'for (let i = 0; i < 1000; i += 1) { fs.mkdirSync("ddddd"); process.chdir("ddddd"); } fs.writeFileSync("end", "")';
  execFileSync(process.execPath, ['-e', deeper], { cwd: top });
  execFileSync('chmod', ['000', join(top, 'closed/below'), join(top, 'closed'), top]);
  removeTree(bytes('top'));
  removeTree(bytes('not there'));
  expect(fs.readdirSync(dir)).toEqual([]);
});

test('links are removed and not followed, in whichever place they lie', async () => {
  fs.mkdirSync(join(dir, 'victim/a'), { recursive: true });
  fs.writeFileSync(join(dir, 'victim/a/file'), '');
  fs.mkdirSync(join(dir, 'folder'));
  for (const at of ['link', 'folder/link']) fs.symlinkSync(join(dir, 'victim'), join(dir, at));
  expect(() => emptyFolder(bytes('link'))).toThrow(
    expect.objectContaining({ code: 'ENOTDIR', path: join(dir, 'link') }),
  );
  expect(() => emptyFolder(Buffer.from(`${dir}/link/`))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
  await expect(removeOne(join(dir, 'link'), 'a/file')).rejects.toMatchObject({ code: 'ENOTDIR' });
  await expect(removeOne(join(dir, 'folder'), 'link/a')).rejects.toMatchObject({ code: 'ENOTDIR' });
  await expect(removeOne(dir, 'folder/../victim')).rejects.toMatchObject({ code: 'EINVAL' });
  emptyFolder(bytes('folder'));
  expect(fs.readdirSync(join(dir, 'folder'))).toEqual([]);
  removeTree(Buffer.from(`${dir}/link/`));
  expect(fs.readdirSync(dir)).toEqual(['folder', 'victim']);
  expect(fs.readdirSync(join(dir, 'victim/a'))).toEqual(['file']);
  await removeOne(dir, 'victim/a');
  await removeOne(dir, 'victim/a/file');
  expect(fs.readdirSync(join(dir, 'victim/a'))).toEqual([]);
  await removeTreeAsync(join(dir, 'victim'));
  expect(fs.readdirSync(dir)).toEqual(['folder']);
});

/** Swaps folders of `top` for links to `victim` and back, until it is told to end; then says how often. */
const swapper = `const fs = require('fs');
const tries = (name, ...rest) => { try { fs[name](...rest); return 1; } catch { return 0; } };
let swaps = 0;
const round = () => {
  for (let i = 0; i < 2000; i += 1) {
    const at = 'top/' + (i % 4);
    tries('renameSync', at, 'aside');
    swaps += tries('symlinkSync', process.cwd() + '/victim', at);
    tries('unlinkSync', at);
    tries('renameSync', 'aside', at) || tries('rmSync', 'aside', { recursive: true });
  }
  setImmediate(round);
};
process.on('SIGTERM', () => { console.log(swaps); process.exit(); });
console.log('begins');
round();`;

/** Makes `top` and removes it again, over and over; what is put there meanwhile may keep it from ending. */
const remover = `const fs = require('fs');
const addon = require(process.argv[1]);
for (let round = 0; round < 150; round += 1) {
  for (let i = 0; i < 4; i += 1) {
    for (let j = 0; j < 3; j += 1) {
      try { fs.mkdirSync('top/' + i, { recursive: true }); fs.writeFileSync('top/' + i + '/' + j, '', { flag: 'wx' }); } catch {}
    }
  }
  try { addon.remove(Buffer.from('top'), Buffer.from(round % 4 + '/1'), 'single'); }
  catch (error) { if (error.code !== 'ENOTDIR') throw error; }
  try { addon.remove(Buffer.from('./'), Buffer.from('top'), round % 2 ? 'tree' : 'contents'); }
  catch (error) { if (error.code !== 'ENOTEMPTY') throw error; }
}`;

test.each([
  ['root', []],
  ['an ordinary user', ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']],
])('nothing outside is removed while folders are swapped for links, as %s', async (_who, prefix) => {
  fs.mkdirSync(join(dir, 'victim'));
  // Files of the same names, which the same user could remove.
  for (let i = 0; i < 3; i += 1) fs.writeFileSync(join(dir, 'victim', String(i)), 'kept');
  if (prefix.length > 0) execFileSync('chown', ['-R', '65534:65534', dir]);
  const start = (script: string): ChildProcess => {
    const [program, ...words] = [...prefix, process.execPath, '-e', script, resolve('native/build/data.node')];
    return spawn(program, words, { cwd: dir, stdio: ['ignore', 'pipe', 'inherit'] });
  };
  const swapping = start(swapper);
  let swaps = '';
  swapping.stdout?.on('data', (data: Buffer) => (swaps += data.toString()));
  try {
    await once(swapping.stdout as NodeJS.ReadableStream, 'data');
    const removing = start(remover);
    expect(await once(removing, 'exit')).toEqual([0, null]);
  } finally {
    swapping.kill();
    await once(swapping, 'close');
  }
  expect(Number(swaps.split('\n')[1])).toBeGreaterThan(1000);
  const kept = fs.readdirSync(join(dir, 'victim')).map((name) => fs.readFileSync(join(dir, 'victim', name), 'utf8'));
  expect(kept).toEqual(Array(3).fill('kept'));
  removeTree(bytes('top'));
  expect(fs.existsSync(join(dir, 'top'))).toBe(false);
});

test('another mount below is not entered, of the same file system too', () => {
  fs.mkdirSync(join(dir, 'victim'));
  fs.writeFileSync(join(dir, 'victim/file'), '');
  fs.mkdirSync(join(dir, 'top/place'), { recursive: true });
  const script = `try { require(process.argv[1]).remove(Buffer.from('./'), Buffer.from('top'), 'tree'); } catch ({ code, path }) { console.log(code, path); }`;
  const shell = `mount --bind victim top/place && exec "$0" -e "$1" "$2"`;
  const words = ['-m', 'sh', '-c', shell, process.execPath, script, resolve('native/build/data.node')];
  expect(execFileSync('unshare', words, { cwd: dir, encoding: 'utf8' })).toBe('EBUSY ./top/place\n');
  expect(fs.readdirSync(join(dir, 'victim'))).toEqual(['file']);
});
