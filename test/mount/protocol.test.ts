/**
 * What is said to the kernel, where a real one can't be made to ask.
 */
import { constants } from 'node:os';
import { writeSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FakeKernel } from './fake-kernel.ts';

const { errno } = constants;
const opcodes = {
  lookup: 1,
  getattr: 3,
  readlink: 5,
  open: 14,
  read: 15,
  statfs: 17,
  getxattr: 22,
  listxattr: 23,
  flush: 25,
  opendir: 27,
  readdir: 28,
  access: 34,
  batchForget: 42,
  readdirplus: 44,
};
const flag = { maxPages: 1 << 22, noOpen: 1 << 17, initExt: 1 << 30 };

const inoOf = (entry: Buffer): bigint => entry.readBigUInt64LE(0);
const generationOf = (entry: Buffer): bigint => entry.readBigUInt64LE(8);

async function inoIn(kernel: FakeKernel, name: string): Promise<number> {
  return Number(inoOf((await kernel.lookup(1, name)).body));
}

/** `head`: bytes before the name's own record. */
function namesIn(body: Buffer, head = 0): string[] {
  return direntsIn(body, head).map(([name]) => name);
}

/** Names and their cookies. */
function direntsIn(body: Buffer, head: number): [string, bigint][] {
  const found: [string, bigint][] = [];
  for (let at = 0; at < body.length;) {
    const length = body.readUInt32LE(at + head + 16);
    const name = body.subarray(at + head + 24, at + head + 24 + length).toString('latin1');
    found.push([name, body.readBigUInt64LE(at + head + 8)]);
    at += head + 24 + Math.ceil(length / 8) * 8;
  }
  return found;
}

test('agrees on a protocol, and claims nothing that was not offered', async () => {
  await using kernel = new FakeKernel();
  const { error, body } = await kernel.init({});
  expect([error, body.length, body.readUInt32LE(0), body.readUInt32LE(4)]).toEqual([0, 64, 7, 40]);
  const flags = body.readUInt32LE(12);
  expect(flags & ~0x73fffffb).toBe(0);
  expect(flags & (flag.maxPages | flag.noOpen | flag.initExt)).toBe(flag.maxPages | flag.noOpen | flag.initExt);
  expect([body.readUInt16LE(16), body.readUInt16LE(28), body.readUInt32LE(32)]).toEqual([128, 256, 1 << 7]);
  await kernel.server.isReady();
});

test('an old kernel is told less', async () => {
  await using kernel = new FakeKernel();
  const { body } = await kernel.init({ minor: 31, flags: 1, length: 16 });
  expect([body.readUInt32LE(4), body.readUInt32LE(12), body.readUInt32LE(32)]).toEqual([31, 1, 0]);
  expect((await kernel.ask(opcodes.getattr, 1)).body.length).toBe(104);
});

test('a kernel of a later major version is answered with ours and asks again', async () => {
  await using kernel = new FakeKernel();
  const { error, body } = await kernel.init({ major: 8, minor: 0 });
  expect([error, body.readUInt32LE(0)]).toEqual([0, 7]);
  expect((await kernel.init({})).error).toBe(0);
  await kernel.server.isReady();
});

test('a kernel that is too old is refused with a clear error', async () => {
  await using kernel = new FakeKernel();
  expect((await kernel.init({ minor: 30 })).error).toBe(errno.EPROTO);
  const ended = await kernel.server.ended;
  expect(ended).toEqual({ ended: false, code: 'unsupported', error: expect.stringContaining('older than 7.31') });
});

test('inode numbers hold while they are known, and are told apart when used again', async () => {
  await using kernel = await FakeKernel.ready();
  const known = async (): Promise<number> => (await kernel.server.counters()).inodes;
  const first = (await kernel.lookup(1, 'sub')).body;
  const again = (await kernel.lookup(1, 'sub')).body;
  expect([inoOf(again), generationOf(again)]).toEqual([inoOf(first), generationOf(first)]);
  const inner = (await kernel.lookup(Number(inoOf(first)), 'inner')).body;
  expect(await known()).toBe(3);
  await kernel.forget(inoOf(first), 2);
  // Its child is known still, so it is needed.
  expect((await kernel.ask(opcodes.getattr, inoOf(first))).error).toBe(0);
  expect(await known()).toBe(3);
  const both = Buffer.alloc(8 + 32);
  both.writeUInt32LE(2, 0);
  both.writeBigUInt64LE(inoOf(inner), 8);
  both.writeBigUInt64LE(1n, 16);
  both.writeBigUInt64LE(999n, 24);
  both.writeBigUInt64LE(7n, 32);
  await kernel.tell(opcodes.batchForget, 0, both);
  await expect.poll(known).toBe(1);
  expect((await kernel.ask(opcodes.getattr, inoOf(inner))).error).toBe(errno.ESTALE);
  const other = (await kernel.lookup(1, 'hello.txt')).body;
  expect([inoOf(first), inoOf(inner)]).toContain(inoOf(other));
  expect(generationOf(other)).toBe(2n);
});

test('a stored leaf is read as it is listed; one that is damaged is left to others', async () => {
  await using kernel = await FakeKernel.ready();
  await kernel.server.isReady();
  const ino = Number(inoOf((await kernel.lookup(1, 'stored')).body));
  const body = readBody(0n, 1 << 16);
  const whole = (await kernel.ask(opcodes.readdirplus, ino, body)).body;
  expect((await kernel.server.counters()).calls).toMatchObject({ leaf: 1, list: 0 });
  let same = 0;
  for (let number = 1; number <= 3000; number += 1) {
    const answer = await kernel.ask(opcodes.readdirplus, ino, body);
    expect(answer.error).toBe(0);
    if (answer.body.equals(whole)) same += 1;
  }
  // A page, and the empty one after it.
  const fallen = (await kernel.server.counters()).calls.list / 2;
  // Most changes are seen; the others change a time or a size, as the node's hash would have told.
  expect(fallen).toBeGreaterThan(1000);
  expect(same).toBeGreaterThanOrEqual(fallen);
  expect((await kernel.ask(opcodes.getattr, ino)).error).toBe(0);
});

test('a directory that is one leaf is asked for once, and then answered without JavaScript', async () => {
  await using kernel = await FakeKernel.ready();
  await kernel.server.isReady();
  const [stored, kept] = [await inoIn(kernel, 'stored'), await inoIn(kernel, 'kept')];
  const calls = async () => (await kernel.server.counters()).calls;
  const names = namesIn((await kernel.ask(opcodes.readdir, stored, readBody(0n, 1 << 16))).body);
  const before = await calls();
  for (const from of [0n, 1n, 2n, 3n, 50n, 101n, 102n, 5000n]) {
    for (const opcode of [opcodes.readdir, opcodes.readdirplus]) {
      const { body } = await kernel.ask(opcode, kept, readBody(from, 1 << 16));
      expect(namesIn(body, opcode === opcodes.readdirplus ? 128 : 0)).toEqual(names.slice(Number(from)));
    }
  }
  for (const name of names.slice(2)) expect(inoOf((await kernel.lookup(kept, name)).body)).toBeGreaterThan(1n);
  for (const name of ['0', '0000', '050x', 'zzz']) expect(inoOf((await kernel.lookup(kept, name)).body)).toBe(0n);
  expect(await calls()).toEqual(before);
  expect((await kernel.server.counters()).keptAnswers).toBe(16 + names.length - 2 + 4 - 1);
});

test('small files that are read in their order are fetched while those before them are read', async () => {
  await using kernel = await FakeKernel.ready();
  await kernel.server.isReady();
  const texts = Number(inoOf((await kernel.lookup(await inoIn(kernel, 'sub'), 'texts')).body));
  for (let number = 0; number < 300; number += 1) {
    const text = String(number).padStart(3, '0');
    const ino = Number(inoOf((await kernel.lookup(texts, `t${text}`)).body));
    expect((await kernel.ask(opcodes.read, ino, readBody(0n, 4096))).body.toString()).toBe(text);
    // What that began has come.
    await kernel.server.counters();
  }
  const { fetched, waits, keptAnswers } = await kernel.server.counters();
  // Each when the first of those before it is read, the only one of them that JavaScript answers.
  const names = [2, 6, 14, 30, 62, 126, 254].map((number) => `t${String(number).padStart(3, '0')}`);
  const lasts = [5, 13, 29, 61, 125, 253, 299].map((number) => `t${String(number).padStart(3, '0')}`);
  expect(fetched).toEqual(lasts.map((last, index) => [names[index], last]));
  expect([waits, keptAnswers]).toEqual([9, 291]);
});

test('names that do not exist are absent for good', async () => {
  await using kernel = await FakeKernel.ready();
  const { error, body } = await kernel.lookup(1, 'nope');
  expect([error, inoOf(body), body.readBigUInt64LE(16)]).toEqual([0, 0n, 1_000_000_000n]);
  expect((await kernel.lookup(1, 'n'.repeat(256))).error).toBe(errno.ENAMETOOLONG);
});

test('directories continue from any cookie, in buffers of any size', async () => {
  await using kernel = await FakeKernel.ready();
  for (const opcode of [opcodes.readdir, opcodes.readdirplus]) {
    const head = opcode === opcodes.readdirplus ? 128 : 0;
    const list = async (from: bigint, size: number): Promise<[string, bigint][]> => {
      const { body } = await kernel.ask(opcode, 1, readBody(from, size));
      expect(body.length).toBeLessThanOrEqual(size);
      return direntsIn(body, head);
    };
    const whole = await list(0n, 65_536);
    expect(whole.map(([name]) => name).slice(0, 3)).toEqual(['.', '..', 'hello.txt']);
    expect(whole).toHaveLength(24);
    for (const size of [head + 24 + 256, 600, 1500]) {
      const parts: [string, bigint][] = [];
      for (;;) {
        const part = await list(parts.at(-1)?.[1] ?? 0n, size);
        if (part.length === 0) break;
        parts.push(...part);
      }
      expect(parts).toEqual(whole);
    }
    expect(await list(whole[10]?.[1] ?? 0n, 65_536)).toEqual(whole.slice(11));
  }
  // Only what was given is known: entries that did not fit were not counted.
  const before = (await kernel.server.counters()).inodes;
  expect(before).toBe(23);
});

test('extended attributes: their sizes, and buffers that are too small', async () => {
  await using kernel = await FakeKernel.ready();
  const ino = inoOf((await kernel.lookup(1, 'tool')).body);
  const get = (name: string, size: number) =>
    kernel.ask(opcodes.getxattr, ino, Buffer.concat([sizeBody(size), Buffer.from(`${name}\0`)]));
  expect((await get('user.pach.hash', 0)).body.readUInt32LE(0)).toBe(3);
  expect((await get('user.pach.hash', 3)).body.toString()).toBe('abc');
  expect((await get('user.pach.hash', 2)).error).toBe(errno.ERANGE);
  expect((await get('user.pach.nope', 100)).error).toBe(errno.ENODATA);
  expect((await get('security.selinux', 100)).error).toBe(errno.EOPNOTSUPP);
  const names = 'user.pach.hash\0user.pach.ino\0';
  expect((await kernel.ask(opcodes.listxattr, ino, sizeBody(0))).body.readUInt32LE(0)).toBe(names.length);
  expect((await kernel.ask(opcodes.listxattr, ino, sizeBody(names.length))).body.toString()).toBe(names);
  expect((await kernel.ask(opcodes.listxattr, ino, sizeBody(names.length - 1))).error).toBe(errno.ERANGE);
});

test('what needs no answer of ours is asked once', async () => {
  await using kernel = await FakeKernel.ready();
  for (const opcode of [opcodes.open, opcodes.opendir, opcodes.flush, opcodes.access, 9, 16, 52, 4000]) {
    expect((await kernel.ask(opcode, 1, Buffer.alloc(64))).error).toBe(errno.ENOSYS);
  }
});

test('a table whose owner was killed in the middle of a change is mended', async () => {
  await using kernel = await FakeKernel.ready();
  const sub = (await kernel.lookup(1, 'sub')).body;
  const inner = (await kernel.lookup(Number(inoOf(sub)), 'inner')).body;
  const gone = (await kernel.lookup(1, 'tool')).body;
  await kernel.forget(inoOf(gone), 1);
  await kernel.server.kill();
  // The counts and chains in the header, and all of the index.
  writeSync(kernel.table, Buffer.alloc(16, 0x11), 0, 16, 24);
  writeSync(kernel.table, Buffer.alloc(4096 * 8, 0x22), 0, 4096 * 8, 56 + 4096 * 120);
  await using next = new FakeKernel(kernel.table);
  await next.server.isReady();
  expect((await next.server.counters()).inodes).toBe(3);
  expect(inoOf((await next.lookup(Number(inoOf(sub)), 'inner')).body)).toBe(inoOf(inner));
  const again = (await next.lookup(1, 'empty')).body;
  expect([inoOf(again), generationOf(again)]).toEqual([inoOf(gone), 2n]);
});

test('a table that is none is refused', async () => {
  await using kernel = await FakeKernel.ready();
  await kernel.server.kill();
  writeSync(kernel.table, Buffer.from('no table'), 0, 8, 0);
  const next = new FakeKernel(kernel.table);
  await next.server.ended;
  expect(next.server.child.exitCode).not.toBe(0);
});

test('requests that are cut off, or are noise, harm nobody', async () => {
  await using kernel = await FakeKernel.ready();
  let state = 20261121;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const silent = new Set([2, 36, 42]);
  const unanswered: string[] = [];
  for (const opcode of Object.values(opcodes)) {
    for (const length of [0, 1, 7, 8, 15]) {
      const answer = await kernel.tell(opcode, 1, Buffer.alloc(length));
      if (!answer && !silent.has(opcode)) unanswered.push(`opcode ${opcode} with ${length} bytes`);
    }
  }
  expect(unanswered).toEqual([]);
  for (let round = 0; round < 1500; round += 1) {
    const opcode = random(56);
    if (silent.has(opcode) && round % 10 !== 0) continue;
    const body = Buffer.from(Array.from({ length: random(random(4) === 0 ? 5000 : 80) }, () => random(256)));
    await kernel.tell(opcode, random(40), body);
  }
  kernel.raw(Buffer.alloc(39, 0xff));
  await new Promise((done) => setTimeout(done, 100));
  kernel.raw(Buffer.alloc(500, 0xff));
  await new Promise((done) => setTimeout(done, 100));
  expect((await kernel.ask(opcodes.statfs, 1)).body.length).toBe(80);
  expect((await kernel.lookup(1, 'hello.txt')).error).toBe(0);
});

test('the end of the connection ends the server', async () => {
  await using kernel = await FakeKernel.ready();
  (kernel.server.child.stdio[4] as unknown as { destroy(): void }).destroy();
  expect(await kernel.server.ended).toEqual({ ended: true });
});

function readBody(offset: bigint, size: number): Buffer {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(offset, 8);
  body.writeUInt32LE(size, 16);
  return body;
}

function sizeBody(size: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt32LE(size, 0);
  return body;
}
