/**
 * Archives: what tar makes, what it would not make, and what must not come in.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, expect, test } from 'vitest';
import type { SourceEntry } from '../../src/sources/source.ts';
import { untar } from '../../src/sources/tar.ts';
import { archive, member, pax } from './archives.ts';

const dir = mkdtempSync(join(tmpdir(), 'pach-tar-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Entries as `path kind …`, files with their bytes. */
async function read(bytes: Buffer, pieceBytes = 1000): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of untar(inPieces(bytes, pieceBytes), 'x.tar')) found.push(await textOf(entry));
  return found;
}

async function textOf(entry: SourceEntry): Promise<string> {
  const path = entry.path.map((name) => name.toString('latin1')).join('/');
  switch (entry.kind) {
    case 'file': {
      const file = await entry.open(new AbortController().signal);
      const parts: Uint8Array[] = [];
      for await (const part of file.bytes) parts.push(Buffer.from(part));
      const text = Buffer.concat(parts).toString('latin1');
      return `${path} ${file.executable ? 'x' : '-'} ${file.mtimeSeconds}.${file.mtimeNanoseconds} ${text}`;
    }
    case 'symlink':
      return `${path} -> ${entry.target.toString()}`;
    case 'reference':
      throw new Error('an archive has none');
    case 'link':
      return `${path} == ${entry.target.join('/')}`;
    case 'directory':
      return `${path}/ ${entry.mtimeSeconds}`;
    case 'local':
      throw new Error('an archive has no local files');
  }
}

test('what tar makes of a tree comes back, in every format, in pieces of any size', async () => {
  const long = 'n'.repeat(200);
  const deep = `${'d'.repeat(90)}/${'e'.repeat(90)}`;
  const tree = join(dir, 'tree');
  mkdirSync(join(tree, deep), { recursive: true });
  writeFileSync(join(tree, 'a'), 'one');
  chmodSync(join(tree, 'a'), 0o755);
  writeFileSync(join(tree, deep, 'f'), 'deep');
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0x41])]), 'bytes');
  symlinkSync('../../etc', join(tree, 'link'));
  linkSync(join(tree, 'a'), join(tree, 'b'));
  for (const name of ['a', `${deep}/f`]) utimesSync(join(tree, name), 1_600_000_000.25, 1_600_000_000.25);
  const formats = ['gnu', 'pax', 'ustar'];
  for (const format of formats) {
    // ustar can't name what is longer.
    if (format !== 'ustar') writeFileSync(join(tree, long), 'long');
    else rmSync(join(tree, long));
    const file = join(dir, `${format}.tar`);
    execFileSync('tar', [`--format=${format}`, '--sort=name', '-C', tree, '-cf', file, '.']);
    const bytes = execFileSync('cat', [file], { maxBuffer: 1 << 24 });
    const part = format === 'pax' ? '250000000' : '0';
    const found = await read(bytes);
    for (const expected of [`a x 1600000000.${part} one`, `${deep}/f - 1600000000.${part} deep`, 'link -> ../../etc']) {
      expect(found).toContain(expected);
    }
    expect(found).toContain('b == a');
    expect(found.filter((text) => text.startsWith('\xffA - ') && text.endsWith(' bytes'))).toHaveLength(1);
    expect(found.filter((text) => text.startsWith(`${long} - `))).toHaveLength(format === 'ustar' ? 0 : 1);
    for (const size of [1, 511, 512, 513, 1 << 20]) expect(await read(bytes, size)).toEqual(found);
    expect(await read(gzipSync(bytes))).toEqual(found);
  }
});

test('what nobody reads is passed over, and members keep their order', async () => {
  const bytes = archive({ name: 'a', bytes: 'x'.repeat(700) }, { name: 'b', bytes: 'y' }, { name: 'a', bytes: 'z' });
  const names: string[] = [];
  for await (const entry of untar(inPieces(bytes, 100), 'x.tar')) names.push(entry.path.join('/'));
  expect(names).toEqual(['a', 'b', 'a']);
});

test('pax records override the header; a time before 1970, and a name of no format', async () => {
  const records = pax('path', 'ü/long') + pax('mtime', '-1.5') + pax('size', '3') + pax('comment', 'x\ny=z');
  const bytes = Buffer.concat([
    member({ name: 'global', type: 'g', bytes: pax('comment', 'by git') }),
    member({ name: 'pax', type: 'x', bytes: records }),
    member({ name: 'short', bytes: 'abc' }),
    archive({ name: 'next', bytes: 'n' }, { name: 'old/' }),
  ]);
  expect(await read(bytes)).toEqual([
    `${Buffer.from('ü/long').toString('latin1')} - -2.500000000 abc`,
    'next - 1700000000.0 n',
    'old/ 1700000000',
  ]);
});

/** More than half of what may describe a member. */
const half = pax('comment', 'x'.repeat(600_000));

test.each([
  ['an absolute path', archive({ name: '/etc/passwd' }), 'x.tar: /etc/passwd: its path is absolute'],
  ['..', archive({ name: 'a/../../b' }), 'x.tar: a/../../b: its path leads out of the archive with ..'],
  ['.. at the end', archive({ name: 'a/..', type: '5' }), 'leads out of the archive'],
  ['a link to an absolute path', archive({ name: 'a', type: '1', link: '/etc/passwd' }), 'its link target is absolute'],
  ['a link to ..', archive({ name: 'a', type: '1', link: '../x' }), 'leads out of the archive'],
  ['a character device', archive({ name: 'null', type: '3' }), 'x.tar: null: it is a device'],
  ['a block device', archive({ name: 'disk', type: '4' }), 'x.tar: disk: it is a device'],
  ['a FIFO', archive({ name: 'pipe', type: '6' }), 'x.tar: pipe: it is a FIFO'],
  ['a sparse file', archive({ name: 'sparse', type: 'S' }), 'sparse file'],
  ['an unknown type', archive({ name: 'what', type: 'Z' }), 'its type is unknown ("Z")'],
  ['a name that is too long', archive({ name: 'L', type: 'L', bytes: 'n'.repeat(256) }, { name: 'n' }), '255 bytes'],
  ['a path that is too long', archive({ name: 'L', type: 'L', bytes: 'n/'.repeat(2050) }, { name: 'n' }), '4096 bytes'],
  ['a NUL in a name', archive({ name: 'x', type: 'x', bytes: pax('path', 'a\0b') }, { name: 'n' }), 'NUL'],
  [
    'the extended header of a member, in several parts',
    archive({ name: 'x', type: 'x', bytes: half }, { name: 'L', type: 'L', bytes: half }, { name: 'n' }),
    'x.tar: the extended header of a member is longer than',
  ],
  [
    'the extended header of all members, in several parts',
    archive({ name: 'g', type: 'g', bytes: half }, { name: 'n' }, { name: 'g', type: 'g', bytes: half }),
    'x.tar: the extended header of all members is longer than',
  ],
  [
    'more records than anybody needs',
    archive({ name: 'g', type: 'g', bytes: pax('k', 'v').repeat(10_001) }, { name: 'n' }),
    'pax records are malformed or too many',
  ],
  ['a huge record', archive({ name: 'x', type: 'x', size: 2 ** 30 }), 'longer than'],
  [
    'malformed pax',
    archive({ name: 'x', type: 'x', bytes: '99 path=a\n' }, { name: 'n' }),
    'pax records are malformed',
  ],
  [
    'a size that is none',
    archive({ name: 'x', type: 'x', bytes: pax('size', '-1') }, { name: 'n' }),
    'size is malformed',
  ],
  ['sparse by pax', archive({ name: 'x', type: 'x', bytes: pax('GNU.sparse.major', '1') }, { name: 'n' }), 'sparse'],
  ['a directory with bytes', archive({ name: 'd', type: '5', bytes: 'x' }), 'it is not a file, but has 1 bytes'],
  ['a size beyond the end', archive({ name: 'a', bytes: 'x', size: 9999 }), 'bytes before this member does'],
  ['no end mark', member({ name: 'a', bytes: 'x' }), 'before its end mark'],
  ['a cut header', archive({ name: 'a', bytes: 'x' }).subarray(0, 700), 'before this member does|before its end mark'],
  ['nothing', Buffer.alloc(0), 'x.tar: it is empty'],
  ['no archive', Buffer.from('hello'.repeat(200)), 'it is not a tar archive'],
  ['half a gzip', gzipSync(archive({ name: 'a', bytes: 'x' })).subarray(0, 40), 'ends too early'],
  ['a damaged gzip', flipped(gzipSync(archive({ name: 'a', bytes: 'x' }))), 'is damaged'],
  ['a gzip with a wrong end', flipped(gzipSync(Buffer.concat([archive(), randomBytes(1 << 20)]))), 'is damaged'],
  ['xz', Buffer.from('fd377a585a0000', 'hex'), 'it is packed with xz'],
])('%s is refused', async (_, bytes, message) => {
  await expect(read(bytes)).rejects.toMatchObject({
    name: 'PachError',
    message: expect.stringMatching(escaped(message)) as string,
  });
});

test('an archive without end that is always there hears that it is to stop', async () => {
  const folders = Buffer.concat(Array.from({ length: 100 }, () => member({ name: 'd/', type: '5' })));
  async function* endless(piece: Buffer): AsyncGenerator<Uint8Array> {
    for (;;) yield piece;
  }
  const mark = Buffer.alloc(1024);
  for (const [first, rest] of [
    [folders, folders],
    [mark, mark], // what follows the end of an archive is read, too
    [member({ name: 'x', bytes: 'x' }), member({ name: 'g', type: 'g' })],
  ] as const) {
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield first;
      yield* endless(rest);
    }
    const stop = new AbortController();
    // Only an event loop that goes round comes to this.
    setTimeout(() => stop.abort(new Error('stopped')), 30);
    const reading = async (): Promise<void> => {
      for await (const _ of untar(stream(), 'x.tar', stop.signal));
    };
    await expect(reading()).rejects.toThrow('stopped');
  }
});

test('a damaged header in the middle is told with its place', async () => {
  const bytes = archive({ name: 'a' }, { name: 'b' });
  bytes[512 + 3] = 7;
  await expect(read(bytes)).rejects.toThrow('damaged after 1 members');
});

test('a bomb is refused before it is unpacked, and what packs well is not', async () => {
  const zeros = (count: number): Buffer =>
    gzipSync(archive({ name: 'zeros', bytes: Buffer.alloc(count) }), { level: 9 });
  let passed = 0;
  const bytes = zeros(256 << 20);
  const reading = async (): Promise<void> => {
    for await (const entry of untar(inPieces(bytes, 1000), 'x.tar.gz')) {
      if (entry.kind !== 'file') continue;
      for await (const part of (await entry.open(new AbortController().signal)).bytes) passed += part.length;
    }
  };
  await expect(reading()).rejects.toThrow(/1:200/);
  expect(passed).toBeLessThan(80 << 20);
  expect((await read(zeros(8 << 20)))[0]).toHaveLength('zeros - 1700000000.0 '.length + (8 << 20));
});

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = copy.length - 6; // in the checksum
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** The text itself, but for alternatives. */
function escaped(text: string): RegExp {
  return new RegExp(
    text
      .split('|')
      .map((part) => part.replace(/[.*+?^${}()[\]\\]/g, '\\$&'))
      .join('|'),
  );
}
