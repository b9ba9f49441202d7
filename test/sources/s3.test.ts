/**
 * Objects of other buckets, from a real gateway; between it and us a proxy that counts and cuts.
 */
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Sources } from '../../src/sources/open.ts';
import { parseS3Source } from '../../src/sources/s3.ts';
import { putFiles, type PutResult } from '../../src/versions/writing/put.ts';
import { startProxy } from '../support/s3-proxy.ts';
import { s3ForTests, type TestBucket } from '../support/s3.ts';
import { headOf } from './head.ts';
import { makeTestProject, silent, type TestProject } from '../versions/project.ts';

let place: TestBucket;
let client: S3Client;
let prefix = '';
let proxy: Awaited<ReturnType<typeof startProxy>>;

beforeAll(async () => {
  place = await s3ForTests();
  client = new S3Client({ endpoint: place.endpoint, forcePathStyle: true });
  prefix = new URL(place.url).pathname.slice(1);
  proxy = await startProxy(place.endpoint);
});
afterAll(() => {
  client.destroy();
  proxy.server.closeAllConnections();
  proxy.server.close();
});

async function store(key: string, body: string | Buffer): Promise<void> {
  await client.send(
    new PutObjectCommand({
      Bucket: place.bucket,
      Key: `${prefix}/${key}`,
      Body: body,
      ContentLength: Buffer.byteLength(body),
    }),
  );
}

const addressOf = (key: string): string => `s3://${place.bucket}/${prefix}/${key}?endpoint=${proxy.url}`;

async function put(made: TestProject, names: string[], options: { recursive?: boolean; target?: string } = {}) {
  const { recursive = true, target = '' } = options;
  let expected: number | undefined;
  const watch = { expected: (bytes: number) => (expected = bytes), arrived: () => undefined };
  proxy.state.requests = [];
  proxy.state.openMax = 0;
  const into = target === '' || target.endsWith('/');
  using sources = new Sources({ names, into, recursive, untar: false, stdin: () => [] as never, watch });
  const request = { repo: 'data', branch: 'master', message: '', target, watch: silent };
  const result: PutResult = await putFiles(made.project, {
    ...request,
    sources: await sources.open(new AbortController().signal),
  });
  return { ...result, expected };
}

async function files(made: TestProject): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const opened = (await headOf(made))?.files;
  if (!opened) return found;
  for await (const file of opened.list('/', true)) {
    if (file.entry.kind === 'directory') found[`${file.path}/`] = '';
    else {
      const parts: Buffer[] = [];
      for await (const part of opened.read(file.entry)) parts.push(part);
      const bytes = Buffer.concat(parts);
      found[file.path] = bytes.length > 100 ? `${bytes.length} ${bytes.at(0)} ${bytes.at(-1)}` : bytes.toString();
    }
  }
  return found;
}

test('all below a prefix, with odd names, markers of folders, and large objects that break off', async () => {
  const made = await makeTestProject();
  const large = Buffer.alloc(3_000_000, 7);
  await store('all/a b+c%&<ü>.txt', 'odd');
  await store('all/dir/', '');
  await store('all/dir/empty', '');
  await store('all/dir-x', 'beside');
  await store('all/dir/large', large);
  await store('allbut', 'not this');
  proxy.state.cutAfter = 1_000_000;
  try {
    const result = await put(made, [addressOf('all')]);
    expect(result).toMatchObject({ files: 4, bytes: 3_000_009, expected: 3_000_009 });
  } finally {
    proxy.state.cutAfter = Infinity;
  }
  const ranges = proxy.state.requests.map(({ headers }) => headers.range).filter((range) => range !== undefined);
  expect(ranges).toEqual(['bytes=1000000-', 'bytes=2000000-']);
  expect(
    proxy.state.requests.filter(({ url }) => !url?.includes('list-type')).every(({ headers }) => headers['if-match']),
  ).toBe(true);
  expect(await files(made)).toEqual({
    '/all/': '',
    '/all/a b+c%&<ü>.txt': 'odd',
    '/all/dir/': '',
    '/all/dir/empty': '',
    '/all/dir-x': 'beside',
    '/all/dir/large': '3000000 7 7',
  });
  // The contents alone, under a name of our own; the same bytes again are no new ones.
  const again = await put(made, [addressOf('all/')], { target: 'b/c' });
  expect(again).toMatchObject({ files: 4, newBytes: 0 });
  expect(Object.keys(await files(made))).toContain('/b/c/dir/large');
});

test('one object, into a folder or under another name; a folder needs -r', async () => {
  const made = await makeTestProject();
  await store('one/x.txt', 'x');
  await put(made, [addressOf('one/x.txt')], { recursive: false });
  await put(made, [addressOf('one/x.txt')], { recursive: true, target: 'y/z' });
  expect(await files(made)).toEqual({ '/x.txt': 'x', '/y/': '', '/y/z': 'x' });
  await expect(put(made, [addressOf('one')], { recursive: false })).rejects.toMatchObject({ code: 'not-found' });
  await expect(put(made, [addressOf('one/')], { recursive: false })).rejects.toMatchObject({ code: 'usage' });
  await expect(put(made, [addressOf('none/')])).rejects.toMatchObject({ code: 'not-found' });
});

test('many small objects are read many at a time, and listed page by page', async () => {
  const made = await makeTestProject();
  const keys = Array.from({ length: 1100 }, (_, index) => `many/${index % 7}/${index}`);
  for (let at = 0; at < keys.length; at += 50) await Promise.all(keys.slice(at, at + 50).map((key) => store(key, key)));
  const result = await put(made, [addressOf('many/')]);
  expect(result).toMatchObject({ files: 1100 });
  const listings = proxy.state.requests.filter(({ url }) => url?.includes('list-type'));
  expect(listings).toHaveLength(2);
  expect(proxy.state.requests).toHaveLength(1102);
  expect(proxy.state.openMax).toBeGreaterThan(8);
  expect(proxy.state.openMax).toBeLessThanOrEqual(32);
  const found = await files(made);
  expect(Object.keys(found)).toHaveLength(1107);
  expect(found['/6/1098']).toBe('many/6/1098');
});

test('an object that changes while it is read is an error, and nothing is committed', async () => {
  const made = await makeTestProject();
  await store('moving/a', Buffer.alloc(400_000, 1));
  let changes = 0;
  proxy.state.cutAfter = 100_000;
  proxy.state.before = async () => {
    changes += 1;
    if (changes === 3) await store('moving/a', Buffer.alloc(400_000, 2)); // listing, first part, here
  };
  try {
    await expect(put(made, [addressOf('moving')])).rejects.toMatchObject({
      code: 'failed',
      message: `s3://${place.bucket}/${prefix}/moving/a: it changed while it was read, so nothing was committed`,
    });
  } finally {
    proxy.state.cutAfter = Infinity;
    proxy.state.before = async () => undefined;
  }
  expect(await headOf(made)).toBeUndefined();
});

test.each([
  ['bad/../x', '..'],
  ['bad//x', 'empty'],
  ['bad/./x', '"."'],
  [`bad/${'n'.repeat(256)}`, 'longer than 255'],
  ['bad/full/', 'named like a folder'],
])('a key that is no path is refused: %s', async (key, message) => {
  const made = await makeTestProject();
  // The SDK would tidy such keys up itself; the server would not.
  const folder = `bad${Math.random().toString(36).slice(2)}`;
  const name = key.replace('bad', folder);
  await store(name, 'x');
  await expect(put(made, [addressOf(folder)])).rejects.toMatchObject({
    code: 'failed',
    what: `s3://${place.bucket}/${prefix}/${name}`,
    why: expect.stringContaining(message) as string,
  });
});

test('an object and what lies below its name can not both be files', async () => {
  const made = await makeTestProject();
  await store('both/a', 'file');
  await store('both/a/b', 'below');
  await expect(put(made, [addressOf('both')])).rejects.toMatchObject({ code: 'conflict' });
});

test('addresses', () => {
  expect(parseS3Source('s3://bucket/a%20b/c?endpoint=http://h:1&region=x')).toMatchObject({
    key: 'a b/c',
    place: { bucket: 'bucket', endpoint: 'http://h:1', region: 'x' },
  });
  expect(parseS3Source(`s3://bucket/${'k'.repeat(900)}/`).key).toHaveLength(901);
  expect(parseS3Source('s3://bucket').key).toBe('');
  for (const wrong of [
    's3://',
    's3://b ad/x',
    's3://key:Geheim@bucket/x',
    's3://bucket/%zz',
    's3://bucket/x?token=Geheim',
  ]) {
    expect(() => parseS3Source(wrong)).toThrow(/^(?!.*Geheim)/);
  }
});
