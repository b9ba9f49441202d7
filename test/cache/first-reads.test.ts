/**
 * What mounts read first, as it lies on this machine's disk: private, small, of one epoch, and not
 * believed.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FirstReads, readBytesMax, readsMax, type FirstRead } from '../../src/cache/first-reads.ts';
import { cachedItems } from '../../src/cache/inventory.ts';
import { openCache } from '../../src/cache/shape.ts';
import { Notes } from '../../src/cache/notes.ts';
import { DiskSpace } from '../../src/cache/space.ts';
import { textOfName } from '../../src/model/paths.ts';

let cache: string;
let dir: string;
let notes: Notes;
let kept: FirstReads;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'pach-first-'));
  dir = await openCache(cache, '0'.repeat(32));
  notes = new Notes(dir);
  kept = new FirstReads(dir, notes);
  await notes.set('p', 3);
});
afterEach(() => rm(cache, { recursive: true }));

const odd = textOfName(Buffer.from('\xff\xfe "q"\n\\', 'latin1'));
const reads: readonly FirstRead[] = [
  { kind: 'name', path: `/a/${odd}`, from: 0, to: 0 },
  { kind: 'list', path: '/', from: 0, to: 700 },
  { kind: 'file', path: '/日本/x', from: 4096, to: readBytesMax - 70_000 },
];
const path = (repo = 'data'): string => join(dir, 'projects/p/first', `${repo}.reads`);

test('it comes back, and nobody else may look at it', async () => {
  expect(await kept.load('p', 'data')).toEqual([]);
  await kept.save('p', 'data', 3, reads);
  expect(await kept.load('p', 'data')).toEqual(reads);
  expect(await kept.load('p', 'other')).toEqual([]);
  expect((await stat(path())).mode & 0o777).toBe(0o600);
  await kept.save('p', 'data', 3, reads.slice(1));
  expect(await kept.load('p', 'data')).toEqual(reads.slice(1));
  expect(await readdir(join(dir, 'projects/p/first'))).toEqual(['data.reads']);
});

test('the form on disk', async () => {
  await kept.save('p', 'data', 3, reads);
  expect((await readFile(path(), 'utf8')).split('\n')).toEqual([
    'pachmount first reads 1',
    String.raw`["name","/a/\udcff\udcfe \"q\"\n\\",0,0]`,
    '["list","/",0,700]',
    `["file","/日本/x",4096,${readBytesMax - 70_000}]`,
    '',
  ]);
});

test('what is damaged, foreign or too large is none', async () => {
  await kept.save('p', 'data', 3, reads);
  const good = await readFile(path(), 'utf8');
  const title = good.split('\n')[0] as string;
  const lines = (...each: string[]): string => [title, ...each, ''].join('\n');
  const one = '["name","/a",0,0]\n';
  for (const bad of [
    '',
    good.slice(0, -1),
    good.slice(0, -9),
    good.replace('reads 1', 'reads 2'),
    good.replace('"list"', '"link"'),
    lines('["file","/a",0]'),
    lines('["file","/a",5,4]'),
    lines('["file","/a",-1,4]'),
    lines('["file","/a",0,1.5]'),
    lines('["file","/a",0,1e300]'),
    lines('["file","/a/../b",0,1]'),
    lines('["file","/a//b",0,1]'),
    lines('["file",7,0,1]'),
    lines('{}'),
    lines('null'),
    lines(`["file","/a",0,${readBytesMax + 1}]`),
    lines('["list","/a",0,1000000]'),
    lines(...Array.from({ length: readsMax + 1 }, () => one.trim())),
    lines(`["name","/a",0,0${' '.repeat(2 << 20)}]`),
  ]) {
    await writeFile(path(), bad);
    expect([bad.slice(0, 100), await kept.load('p', 'data')]).toEqual([bad.slice(0, 100), []]);
  }
  await writeFile(path(), lines(...Array.from({ length: readsMax }, () => one.trim())));
  expect((await kept.load('p', 'data')).length).toBe(readsMax);
  await rm(path());
  await mkdir(path());
  expect(await kept.load('p', 'data')).toEqual([]);
  await kept.save('p', 'data', 3, reads);
});

test('a head of another epoch than the cache has come to keeps nothing', async () => {
  await kept.save('p', 'data', 2, reads);
  await kept.save('p', 'data', 4, reads);
  await kept.save('q', 'data', 3, reads);
  expect(await readdir(dir)).toEqual(['notes']);
  await kept.save('p', 'data', 3, reads);
  await kept.forget('p');
  expect(await kept.load('p', 'data')).toEqual([]);
  await rm(join(dir, 'notes'), { recursive: true });
  await kept.save('p', 'data', 3, reads);
  expect(await kept.load('p', 'data')).toEqual([]);
});

test('names that are kept while the cache comes to another epoch do not stay', async () => {
  const before = new Notes(dir);
  notes.get = async (name) => {
    const epoch = await before.get(name);
    await notes.set('p', 4);
    return epoch;
  };
  await kept.save('p', 'data', 3, reads);
  expect(await kept.load('p', 'data')).toEqual([]);
});

test('whatever a repo is called, it is no part of what the cache counts and clears away', async () => {
  for (const repo of ['10-20', 'a'.repeat(64)]) await kept.save('p', repo, 3, reads);
  const items: unknown[] = [];
  for await (const item of cachedItems(cache)) items.push(item);
  expect(items).toEqual([]);
  const space = new DiskSpace(dir, 0);
  space.wrote(1);
  await space.settle();
  expect((await readdir(join(dir, 'projects/p/first'))).length).toBe(2);
});
