import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { openStore } from '../../src/store/open.ts';
import { listAll, runAll } from './contract.ts';

const run = promisify(execFile);
const child = fileURLToPath(new URL('./child.mjs', import.meta.url));

const base = mkdtempSync(join(tmpdir(), 'pachmount-store-'));
let serial = 0;
const freshRoot = () => join(base, `store${(serial += 1)}`);

afterAll(() => rmSync(base, { recursive: true, force: true }));

/** Looks again and again; a test that waits in vain runs out of its time. */
async function waitUntil(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const hasCode = (code: string) => (error: unknown) => isPachError(error) && error.code === code;

runAll('folder', async () => {
  const root = freshRoot();
  return { store: await openStore(root), other: await openStore(`file://${root}`) };
});

test('a writer killed at any moment leaves whole objects, and all that it acknowledged', async () => {
  const seed = process.env['PACH_TEST_SEED'] ?? String(Date.now() % 1_000_000);
  console.log(`kills: PACH_TEST_SEED=${seed}`);
  const random = (n: number) => createHash('sha256').update(`${seed} ${n}`).digest().readUInt32BE() / 2 ** 32;
  const root = freshRoot();
  const store = await openStore(root);
  const acknowledged = new Set<string>();
  let counted = 0;
  for (let kill = 0; kill < 30; kill++) {
    // Two at once; the second lives on into the next round's locks and folders.
    const writers = [spawn(process.execPath, [child, 'write', root]), spawn(process.execPath, [child, 'write', root])];
    const ends = writers.map(async (writer) => {
      for await (const line of createInterface({ input: writer.stdout })) {
        const [kind, what] = line.split(' ') as [string, string];
        if (kind === 'object') acknowledged.add(what);
        else counted = Math.max(counted, Number(what));
      }
    });
    await once(writers[0]!.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, random(kill) * 60));
    for (const writer of writers) writer.kill('SIGKILL');
    await Promise.all(ends);
  }
  const listed = await listAll(store, 'objects/');
  for (const { key, size } of listed) {
    expect(sha256(await store.read(key, 0, size))).toBe(key.slice('objects/xx/'.length));
  }
  const keys = new Set(listed.map(({ key }) => key));
  expect([...acknowledged].filter((key) => !keys.has(key))).toEqual([]);
  expect(acknowledged.size).toBeGreaterThanOrEqual(30);
  const counter = Buffer.from((await store.readWithToken('counter'))!.bytes).toString();
  expect(counter).toMatch(/^\d+$/);
  expect(Number(counter)).toBeGreaterThanOrEqual(counted);
}, 120_000);

test('two processes that increment one object 200 times each lose nothing', async () => {
  const root = freshRoot();
  await Promise.all([1, 2].map(() => run(process.execPath, [child, 'count', root, '200'], { timeout: 60_000 })));
  const store = await openStore(root);
  expect(Buffer.from((await store.readWithToken('counter'))!.bytes).toString()).toBe('400');
});

test('a full disk is told, leaves nothing behind, and does not stay in the way', async () => {
  const root = freshRoot();
  mkdirSync(root);
  // A mount namespace of its own, with which the mount ends; an ordinary user needs one for users too.
  const namespaces = process.getuid?.() === 0 ? ['-m'] : ['-r', '-m'];
  const script = `mount -t tmpfs -o size=4500k none "$1" && exec "$2" "$3" fill "$1"`;
  const { stdout } = await run('unshare', [...namespaces, 'sh', '-c', script, 'sh', root, process.execPath, child]);
  expect(JSON.parse(stdout)).toEqual({
    code: 'no-space',
    why: 'the disk is full',
    found: [1_048_576, 1_048_576, 1_048_576, 1_048_576],
    left: [],
    again: true,
  });
});

test('who may not write is told so, and can read', async () => {
  const root = freshRoot();
  const store = await openStore(root);
  await store.writeIfAbsent('present', [Buffer.from('to be read')]);
  await store.writeIfAbsent('secret', [Buffer.from('not to be read')]);
  await store.delete('gone'); // makes the lock file
  chmodSync(base, 0o755);
  chmodSync(join(root, 'secret'), 0o000);
  chmodSync(join(root, '.lock'), 0o444);
  chmodSync(join(root, '.tmp'), 0o555);
  chmodSync(root, 0o555);
  const { stdout } = await run(process.execPath, [child, 'denied', root], { timeout: 30_000 });
  expect(JSON.parse(stdout)).toEqual({
    read: 'to be read',
    writeIfAbsent: 'denied',
    writeIfUnchanged: 'denied',
    delete: 'denied',
    secret: 'denied',
  });
  chmodSync(root, 0o755);
});

test.runIf(existsSync('/proc/self/io'))(
  'of an object that stays as it is no byte is read',
  async () => {
    const store = await openStore(freshRoot());
    const bytes = 8 << 20;
    const token = (await store.writeIfUnchanged('head', Buffer.alloc(bytes), undefined))!;
    const read = () => Number(/^rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
    // As soon as the file is old enough to be known by its looks.
    for (let before = -Infinity; read() - before > bytes;) {
      before = read();
      expect(await store.readIfChanged('head', token)).toBe('unchanged');
    }
    const next = (await store.writeIfUnchanged('head', Buffer.alloc(bytes, 1), token))!;
    expect(await store.readIfChanged('head', token)).toMatchObject({ token: next });
  },
  30_000,
);

test('nothing is made before the first write; what is made has the rights that the umask leaves', async () => {
  const root = freshRoot();
  const store = await openStore(root);
  expect(await listAll(store, '')).toEqual([]);
  expect(await store.readWithToken('a')).toBeUndefined();
  await store.delete('a');
  expect(existsSync(root)).toBe(false);
  await store.writeIfAbsent('a/b', []);
  for (const path of [root, join(root, 'a')]) expect(statSync(path).mode & 0o777).toBe(0o777 & ~process.umask());
  expect(statSync(join(root, 'a/b')).mode & 0o222).toBe(0);
  expect(readdirSync(join(root, '.tmp'))).toEqual([]);
});

test('a folder whose parent does not exist is not made', async () => {
  const store = await openStore(join(base, 'no', 'such', 'store'));
  expect(await store.readWithToken('a')).toBeUndefined();
  await expect(store.writeIfAbsent('a', [])).rejects.toSatisfy(hasCode('not-found'));
  await expect(store.writeIfAbsent('a', [])).rejects.toThrow('does not exist');
});

test('a file is not a store', async () => {
  const path = freshRoot();
  writeFileSync(path, 'a file');
  await expect(openStore(path)).rejects.toSatisfy(hasCode('usage'));
  await expect(openStore(join(path, 'below'))).rejects.toSatisfy(hasCode('usage'));
});

test('folders that vanish are made again', async () => {
  const root = freshRoot();
  const store = await openStore(root);
  await store.writeIfAbsent('a/b/c', []);
  rmSync(join(root, 'a'), { recursive: true });
  expect(await store.writeIfAbsent('a/b/c', [Buffer.from('again')])).toBe(true);
  expect(readFileSync(join(root, 'a/b/c'), 'utf8')).toBe('again');
});

test('a store whose own folder is away is not absent, nor made again, and is there when it is back', async () => {
  const root = freshRoot();
  const reader = await openStore(root);
  const store = await openStore(root);
  expect(await listAll(store, '')).toEqual([]);
  expect(await store.readWithToken('a')).toBeUndefined();
  await store.writeIfAbsent('a', [Buffer.from('1')]);
  const { token } = (await store.readWithToken('a'))!;
  renameSync(root, `${root}-away`);
  const away = hasCode('unreachable');
  await expect(store.read('a', 0, 1)).rejects.toSatisfy(away);
  await expect(store.readWithToken('a')).rejects.toSatisfy(away);
  await expect(store.readIfChanged('a', token)).rejects.toThrow('the folder of the store is not there any more');
  await expect(store.writeIfAbsent('b/c', [])).rejects.toSatisfy(away);
  await expect(store.writeIfUnchanged('a', Buffer.from('2'), token)).rejects.toSatisfy(away);
  await expect(listAll(store, '')).rejects.toSatisfy(away);
  expect(existsSync(root)).toBe(false);
  expect(await reader.readWithToken('a')).toBeUndefined();
  renameSync(`${root}-away`, root);
  expect(await store.writeIfAbsent('b/c', [])).toBe(true);
  expect(await store.writeIfUnchanged('a', Buffer.from('2'), token)).toBeDefined();
});

test('what a dead writer left is removed once it is a day old', async () => {
  const root = freshRoot();
  mkdirSync(join(root, '.tmp'), { recursive: true });
  for (const name of ['1-00000000000000bb', '1-00000000000000aa'])
    writeFileSync(join(root, '.tmp', name), 'part of an object');
  const dayAgo = Date.now() / 1000 - 25 * 3600;
  utimesSync(join(root, '.tmp', '1-00000000000000bb'), dayAgo, dayAgo);
  const store = await openStore(root);
  await store.writeIfAbsent('a', []);
  expect(readdirSync(join(root, '.tmp'))).toEqual(['1-00000000000000aa']);
});

test('what killed writers left is told from what is being written', async () => {
  const root = freshRoot();
  mkdirSync(root);
  const temporary = join(root, '.tmp');
  const sizes = () =>
    readdirSync(temporary).flatMap((name) => statSync(join(temporary, name), { throwIfNoEntry: false })?.size ?? []);
  const store = await openStore(root);
  const writer = spawn(process.execPath, [child, 'large', root]);
  try {
    // Stopped in the middle of a write.
    for (;;) {
      writer.kill('SIGCONT');
      await waitUntil(() => existsSync(temporary) && sizes().some((size) => size > 0));
      writer.kill('SIGSTOP');
      await waitUntil(() => /\) T /.test(readFileSync(`/proc/${writer.pid}/stat`, 'latin1')));
      const linked = readdirSync(temporary).some((name) => statSync(join(temporary, name)).nlink > 1);
      if (!linked && sizes().some((size) => size > 0)) break;
    }
    expect(await store.leftovers?.(0, true)).toEqual({ files: 0, bytes: 0 });
    expect(sizes()).toEqual([expect.any(Number)]);
    writer.kill('SIGKILL');
    await once(writer, 'exit');
    const [size] = sizes();
    expect(await store.leftovers?.(3_600_000, true)).toEqual({ files: 0, bytes: 0 });
    expect(await store.leftovers?.(0, false)).toEqual({ files: 1, bytes: size });
    expect(await store.leftovers?.(0, true)).toEqual({ files: 1, bytes: size });
    expect(sizes()).toEqual([]);
  } finally {
    writer.kill('SIGKILL');
  }
});

test('of what lies in .tmp only our files are leftovers, whatever clocks say', async () => {
  const root = freshRoot();
  const temporary = join(root, '.tmp');
  mkdirSync(temporary, { recursive: true });
  const outside = join(root, 'outside');
  writeFileSync(outside, 'kept');
  symlinkSync(outside, join(temporary, '1-00000000000000aa'));
  mkdirSync(join(temporary, '1-00000000000000bb'));
  writeFileSync(join(temporary, '1-00000000000000cc'), '');
  writeFileSync(join(temporary, 'notes.txt'), 'mine');
  writeFileSync(join(temporary, '1-00000000000000dd'), 'old');
  writeFileSync(join(temporary, '1-00000000000000ee'), 'of tomorrow');
  const now = Date.now() / 1000;
  utimesSync(join(temporary, '1-00000000000000dd'), now - 7200, now - 7200);
  utimesSync(join(temporary, '1-00000000000000ee'), now + 86_400, now + 86_400);
  const store = await openStore(root);
  expect(await store.leftovers?.(0, false)).toEqual({ files: 2, bytes: 14 });
  expect(await store.leftovers?.(3_600_000, true)).toEqual({ files: 1, bytes: 3 });
  expect(await store.leftovers?.(0, true)).toEqual({ files: 1, bytes: 11 });
  expect(readdirSync(temporary).toSorted()).toEqual([
    '1-00000000000000aa',
    '1-00000000000000bb',
    '1-00000000000000cc',
    'notes.txt',
  ]);
  expect(readFileSync(outside, 'utf8')).toBe('kept');
});

test('a folder in use by others is listed with what is foreign, but for hidden files', async () => {
  const root = freshRoot();
  mkdirSync(join(root, 'Some Folder'), { recursive: true });
  writeFileSync(join(root, 'Some Folder', 'ä file.txt'), 'x');
  writeFileSync(join(root, '.DS_Store'), 'x');
  const store = await openStore(root);
  expect((await listAll(store, '')).map(({ key }) => key)).toEqual(['Some Folder/ä file.txt']);
});
