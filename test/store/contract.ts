/**
 * What every store must do, whatever lies below it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { conditionalWrites } from '../../src/store/probe.ts';
import type { ObjectInfo, Store, Token, Versioned } from '../../src/store/store.ts';

export interface Made {
  readonly store: Store;
  /** The same place, opened once more. */
  readonly other: Store;
}

const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

export async function listAll(store: Store, prefix: string): Promise<ObjectInfo[]> {
  const found: ObjectInfo[] = [];
  for await (const info of store.list(prefix)) found.push(info);
  return found.toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

export function runAll(name: string, make: () => Promise<Made>): void {
  describe(`contract of stores: ${name}`, () => {
    let store: Store;
    let other: Store;
    let serial = 0;
    /** A key that no other test uses. */
    const fresh = () => `t${(serial += 1)}/object`;
    const put = (key: string, content: string) => store.writeIfAbsent(key, [Buffer.from(content)]);

    beforeAll(async () => ({ store, other } = await make()));
    afterAll(async () => {
      await store.close();
      if (other !== store) await other.close();
    });

    test('an empty place lists nothing and has nothing', async () => {
      expect(await listAll(store, '')).toEqual([]);
      expect(await listAll(store, 'a/b')).toEqual([]);
      expect(await store.readWithToken('a/b')).toBeUndefined();
      await store.delete('a/b');
    });

    test('what is absent is not found', async () => {
      const notFound = (error: unknown) => isPachError(error, 'not-found');
      await put('dir/object', 'x');
      for (const key of ['no', 'no/such/key', 'dir/no', 'dir']) {
        await expect(store.read(key, 0, 10)).rejects.toSatisfy(notFound);
        await expect(store.read(key, 0, 0)).rejects.toSatisfy(notFound);
        await expect(store.readTail(key, 10)).rejects.toSatisfy(notFound);
        expect(await store.readWithToken(key)).toBeUndefined();
        await store.delete(key);
      }
      expect(text(await store.read('dir/object', 0, 9))).toBe('x');
    });

    test('ranges and tails', async () => {
      const key = fresh();
      expect(await put(key, '0123456789')).toBe(true);
      expect(text(await store.read(key, 0, 10))).toBe('0123456789');
      expect(text(await store.read(key, 3, 4))).toBe('3456');
      expect(text(await store.read(key, 8, 100))).toBe('89');
      expect(text(await store.read(key, 10, 5))).toBe('');
      expect(text(await store.read(key, 1000, 5))).toBe('');
      expect(text(await store.read(key, 4, 0))).toBe('');
      const tail = async (length: number) => {
        const { bytes, size } = await store.readTail(key, length);
        return [text(bytes), size];
      };
      expect(await tail(3)).toEqual(['789', 10]);
      expect(await tail(10)).toEqual(['0123456789', 10]);
      expect(await tail(11)).toEqual(['0123456789', 10]);
      expect(await tail(1_000_000)).toEqual(['0123456789', 10]);
      expect(await tail(0)).toEqual(['', 10]);
    });

    test('an empty object', async () => {
      for (const parts of [[], [Buffer.alloc(0)], [Buffer.alloc(0), Buffer.alloc(0)]]) {
        const key = fresh();
        expect(await store.writeIfAbsent(key, parts)).toBe(true);
        expect(await store.writeIfAbsent(key, parts)).toBe(false);
        expect(text(await store.read(key, 0, 10))).toBe('');
        const tail = await store.readTail(key, 10);
        expect([text(tail.bytes), tail.size]).toEqual(['', 0]);
        const found = await store.readWithToken(key);
        expect(text(found?.bytes)).toBe('');
        expect(await store.writeIfUnchanged(key, Buffer.from('now'), found?.token)).toBeDefined();
        expect(text((await store.readWithToken(key))?.bytes)).toBe('now');
      }
    });

    test('an object is written once; the first bytes stay', async () => {
      const key = fresh();
      expect(
        await store.writeIfAbsent(
          key,
          ['ab', '', 'c', 'def'].map((part) => Buffer.from(part)),
        ),
      ).toBe(true);
      expect(await put(key, 'other')).toBe(false);
      expect(await other.writeIfAbsent(key, [Buffer.from('other')])).toBe(false);
      expect(text((await other.readWithToken(key))?.bytes)).toBe('abcdef');
      await store.delete(key);
      expect(await other.readWithToken(key)).toBeUndefined();
      expect(await put(key, 'again')).toBe(true);
    });

    test('parts may be views of other buffers, and are not changed', async () => {
      const key = fresh();
      const whole = Buffer.from('..abc..def..');
      await store.writeIfAbsent(key, [new Uint8Array(whole.buffer, whole.byteOffset + 2, 3), whole.subarray(7, 10)]);
      expect(text(await store.read(key, 0, 100))).toBe('abcdef');
      expect(whole.toString()).toBe('..abc..def..');
    });

    test('a replacement needs the present token', async () => {
      const key = fresh();
      const first = await store.writeIfUnchanged(key, Buffer.from('one'), undefined);
      expect(first).toBeDefined();
      expect(await store.writeIfUnchanged(key, Buffer.from('no'), undefined)).toBeUndefined();
      const read = await other.readWithToken(key);
      expect([text(read?.bytes), read?.token]).toEqual(['one', first]);
      const second = await other.writeIfUnchanged(key, Buffer.from('two'), first);
      expect(second).toBeDefined();
      expect(second).not.toBe(first);
      // A stale token, whose object has changed, changed back or gone, and one that never was.
      expect(await store.writeIfUnchanged(key, Buffer.from('no'), first)).toBeUndefined();
      expect(await store.writeIfUnchanged(fresh(), Buffer.from('no'), first)).toBeUndefined();
      expect(await store.writeIfUnchanged(key, Buffer.from('no'), 'made-up' as Token)).toBeUndefined();
      expect(text((await store.readWithToken(key))?.bytes)).toBe('two');
      await store.delete(key);
      expect(await store.writeIfUnchanged(key, Buffer.from('no'), second)).toBeUndefined();
      expect(await store.readWithToken(key)).toBeUndefined();
      expect(await store.writeIfUnchanged(key, Buffer.from('three'), undefined)).toBeDefined();
    });

    test('who knows a version is told when it is not the present one', async () => {
      const key = fresh();
      expect(await store.readIfChanged(key, 'made-up' as Token)).toBeUndefined();
      expect(await store.readIfChanged(key, undefined)).toBeUndefined();
      let token = (await other.writeIfUnchanged(key, Buffer.from('version 0'), undefined))!;
      expect(await store.readIfChanged(key, undefined)).toMatchObject({ token });
      for (let version = 1; version <= 20; version += 1) {
        expect(await store.readIfChanged(key, token)).toBe('unchanged');
        expect(await store.readIfChanged(key, token)).toBe('unchanged');
        const next = (await other.writeIfUnchanged(key, Buffer.from(`version ${version}`), token))!;
        const found = await store.readIfChanged(key, token);
        expect(found).toEqual({ bytes: expect.anything(), token: next });
        expect(text((found as Versioned).bytes)).toBe(`version ${version}`);
        token = next;
      }
      const found = (await store.readIfChanged(key, 'made-up' as Token)) as Versioned;
      expect([text(found.bytes), found.token]).toEqual(['version 20', token]);
      await store.delete(key);
      expect(await store.readIfChanged(key, token)).toBeUndefined();
    });

    test('20 writers race for a new object: one wins, with all its bytes', async () => {
      for (let round = 0; round < 5; round++) {
        const key = fresh();
        const contents = Array.from({ length: 20 }, () => randomBytes(100_000));
        const won = await Promise.all(
          contents.map((bytes, n) =>
            (n % 2 ? store : other).writeIfAbsent(key, [bytes.subarray(0, 7), bytes.subarray(7)]),
          ),
        );
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(sha256((await store.readWithToken(key))!.bytes)).toBe(
          sha256(contents[won.indexOf(true)] ?? Buffer.alloc(0)),
        );
      }
    });

    test('20 writers race to replace an object: one wins each round', async () => {
      const key = fresh();
      let token = await store.writeIfUnchanged(key, Buffer.from('begin'), undefined);
      for (let round = 0; round < 10; round++) {
        const before = token;
        const won = await Promise.all(
          Array.from({ length: 20 }, (_, n) =>
            (n % 2 ? store : other).writeIfUnchanged(key, Buffer.from(`round ${round} writer ${n}`), before),
          ),
        );
        expect(won.filter((result) => result !== undefined)).toHaveLength(1);
        const winner = won.findIndex((result) => result !== undefined);
        const now = await store.readWithToken(key);
        expect(text(now?.bytes)).toBe(`round ${round} writer ${winner}`);
        expect(now?.token).toBe(won[winner]);
        token = now?.token;
      }
    });

    test('a counter that many increment loses nothing', async () => {
      const key = fresh();
      const increment = async (through: Store) => {
        for (;;) {
          const now = await through.readWithToken(key);
          // As heads do, each writer writes bytes that nobody else does.
          const next = Buffer.from(
            `${Number.parseInt(text(now?.bytes) ?? '0', 10) + 1} ${randomBytes(8).toString('hex')}`,
          );
          if ((await through.writeIfUnchanged(key, next, now?.token)) !== undefined) return;
        }
      };
      await Promise.all(Array.from({ length: 30 }, (_, n) => increment(n % 2 ? store : other)));
      expect(text((await store.readWithToken(key))?.bytes)).toMatch(/^30 /);
    });

    test('2,500 keys, three pages of S3, are listed, by prefix', async () => {
      const names = Array.from({ length: 2_500 }, (_, n) => `many/${(n % 16).toString(16)}/${n}`);
      const queue = names.values();
      await Promise.all(
        Array.from({ length: 32 }, async () => {
          for (const key of queue) await store.writeIfAbsent(key, [Buffer.from(key)]);
        }),
      );
      const since = Date.now() - 600_000;
      const found = await listAll(other, 'many/');
      expect(found.map(({ key }) => key)).toEqual(names.toSorted());
      expect(found.every(({ key, size }) => size === key.length)).toBe(true);
      expect(found.every(({ modified }) => modified.getTime() > since)).toBe(true);
      const below = (prefix: string) => names.filter((key) => key.startsWith(prefix)).length;
      for (const prefix of ['many/3/', 'many/3/1', 'many/3', 'man', 'many/3/19']) {
        expect([prefix, (await listAll(store, prefix)).length]).toEqual([prefix, below(prefix)]);
      }
      expect(await listAll(store, 'many/x')).toEqual([]);
    }, 240_000);

    test('keys are plain relative paths', async () => {
      const long = 'x'.repeat(201);
      const bad = [
        '',
        '/',
        '/a',
        'a/',
        'a//b',
        '.',
        '..',
        '../a',
        'a/../b',
        'a/./b',
        'a\\b',
        'a b',
        'ä',
        'a\0',
        'a%2f',
      ];
      for (const key of [...bad, long, '.tmp/a', '.lock', `a/${'x/'.repeat(500)}b`]) {
        const invalid = 'assertion failed: a key';
        await expect(store.read(key, 0, 1)).rejects.toThrow(invalid);
        await expect(store.readTail(key, 1)).rejects.toThrow(invalid);
        await expect(store.readWithToken(key)).rejects.toThrow(invalid);
        await expect(store.readIfChanged(key, 'any' as Token)).rejects.toThrow(invalid);
        await expect(store.writeIfAbsent(key, [])).rejects.toThrow(invalid);
        await expect(store.writeIfUnchanged(key, Buffer.alloc(0), undefined)).rejects.toThrow(invalid);
        await expect(store.delete(key)).rejects.toThrow(invalid);
        expect(() => store.localPath(key)).toThrow(invalid);
      }
      await expect(listAll(store, '../')).rejects.toThrow('assertion failed');
      await expect(listAll(store, '/')).rejects.toThrow('assertion failed');
      const key = `Az09._-/..a/${'x'.repeat(200)}`;
      expect(await put(key, 'fine')).toBe(true);
      expect((await listAll(store, 'Az09')).map((info) => info.key)).toEqual([key]);
    });

    test('40 MiB in several parts, read back whole and in pieces', async () => {
      const key = fresh();
      const mebibyte = 1024 * 1024;
      const parts = [3, 16, 1, 20].map((size) => randomBytes(size * mebibyte));
      const whole = Buffer.concat(parts);
      expect(await store.writeIfAbsent(key, parts)).toBe(true);
      expect(await store.writeIfAbsent(key, parts)).toBe(false);
      const wanted = sha256(whole);
      expect(sha256(await other.read(key, 0, whole.length))).toBe(wanted);
      const pieces = await Promise.all(
        Array.from({ length: 16 }, (_, n) => store.read(key, n * 2.5 * mebibyte, 2.5 * mebibyte)),
      );
      expect(sha256(Buffer.concat(pieces))).toBe(wanted);
      const tail = await store.readTail(key, 88);
      expect(tail.size).toBe(whole.length);
      expect(Buffer.compare(tail.bytes, whole.subarray(-88))).toBe(0);
    });

    test('many small parts', async () => {
      const key = fresh();
      const parts = Array.from({ length: 5_000 }, () => randomBytes(100));
      await store.writeIfAbsent(key, parts);
      expect(sha256(await store.read(key, 0, 1_000_000))).toBe(sha256(Buffer.concat(parts)));
    });

    test('many calls at once', async () => {
      const keys = Array.from({ length: 200 }, fresh);
      const contents = keys.map((key) => Buffer.from(key.repeat(500)));
      await Promise.all(keys.map((key, n) => store.writeIfAbsent(key, [contents[n]!])));
      const read = await Promise.all(keys.map((key) => other.read(key, 0, 1_000_000)));
      expect(read.every((bytes, n) => contents[n]!.equals(bytes))).toBe(true);
      await Promise.all(keys.map((key) => store.delete(key)));
      expect(await Promise.all(keys.map((key) => other.readWithToken(key)))).toEqual(keys.map(() => undefined));
    });

    test('keeps its promises to the probe, and keys with a dot in front stay out of sight', async () => {
      const before = await listAll(store, '');
      expect(await conditionalWrites(store)).toBe(true);
      expect(await listAll(store, '.probe/')).toEqual([]);
      await put('.probe/left', 'behind');
      expect(await listAll(store, '')).toEqual(before);
      expect((await listAll(store, '.pro')).map(({ key }) => key)).toEqual(['.probe/left']);
    });

    test('localPath is a file with the bytes, or nothing', async () => {
      const key = fresh();
      expect(store.localPath(key)).toBe(other.localPath(key));
      expect(store.isLocal).toBe(store.localPath(key) !== undefined);
      if (store.localPath(key) === undefined) return;
      await put(key, 'plain file');
      const { readFileSync } = await import('node:fs');
      expect(readFileSync(store.localPath(key)!, 'utf8')).toBe('plain file');
    });
  });
}
