/**
 * Files by reference, read from a real gateway through a proxy that counts: nothing but the version that was
 * put is ever read, and what is here is not asked for.
 */
import { mkdtemp, open, readdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { mapOrdered } from '../../src/base/async.ts';
import { FileCache } from '../../src/cache/file-cache.ts';
import { OutsideBytes } from '../../src/cache/outside.ts';
import { DiskSpace } from '../../src/cache/space.ts';
import { Sources } from '../../src/sources/open.ts';
import { OutsideObjects } from '../../src/store/s3/outside.ts';
import { parsePath } from '../../src/model/paths.ts';
import { referenceOf } from '../../src/model/reference.ts';
import type { FileContent } from '../../src/model/tree.ts';
import { Directories } from '../../src/versions/directories.ts';
import type { Project } from '../../src/versions/project.ts';
import { readParts, readRange } from '../../src/versions/reading/read.ts';
import { Files, type File } from '../../src/versions/reading/files.ts';
import { rootOf, type BranchHead } from '../../src/versions/snapshot.ts';
import { copyFiles } from '../../src/versions/writing/copy.ts';
import { materialize } from '../../src/versions/writing/materialize.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { listingServer } from '../support/listing-server.mjs';
import { startProxy } from '../support/s3-proxy.ts';
import { s3ForTests, type TestBucket } from '../support/s3.ts';
import { makeTestProject, openWith, silent, streamOf, type TestProject } from './project.ts';

const mebibyte = 1024 * 1024;
const large = Buffer.from(Array.from({ length: 9 * mebibyte + 5 }, (_, i) => (i * 7 + (i >> 10)) % 251));

let place: TestBucket;
let client: S3Client;
let prefix: string;
let proxy: Awaited<ReturnType<typeof startProxy>>;
let dir: string;
let objects: OutsideObjects;

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
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-outside-'));
  objects = new OutsideObjects();
  Object.assign(proxy.state, { cutAfter: Infinity, before: () => Promise.resolve() });
});
afterEach(async () => {
  objects.close();
  await rm(dir, { recursive: true });
});

async function store(key: string, body: Buffer | string): Promise<void> {
  const of = { Bucket: place.bucket, Key: `${prefix}/${key}`, ContentLength: Buffer.byteLength(body) };
  await client.send(new PutObjectCommand({ ...of, Body: body }));
}

/** A reader of the same store, with a cache folder that others may have, too. */
function reading({ store: of }: Pick<TestProject, 'store'>, cache = 'cache'): Project {
  const space = new DiskSpace(join(dir, cache), 1e9);
  return openWith(of, new OutsideBytes({ objects, files: new FileCache(space), space, timeoutMs: 5000 }));
}

async function put(project: Project, url: string, recursive = true): Promise<{ files: number; warned: number }> {
  let warned = 0;
  const reference = { unversioned: () => void (warned += 1) };
  const watch = { expected: () => undefined, arrived: () => undefined };
  using sources = new Sources({
    names: [url],
    into: true,
    recursive,
    untar: false,
    reference,
    stdin: () => [] as never,
    watch,
  });
  const opened = await sources.open(new AbortController().signal);
  const request = { repo: 'data', branch: 'master', message: '', target: '/', references: true, watch: silent };
  const { files } = await putFiles(project, { ...request, sources: opened });
  return { files, warned };
}

async function contentOf(project: Project, path: string): Promise<FileContent> {
  const snapshot = await project.snapshot();
  const head = (await snapshot.maybeBranch('data', 'master'))?.head;
  if (!head) throw new Error('nothing was put');
  const root = rootOf(await snapshot.commitAt(head.commit));
  const entry = await new Directories(project.reader).find(root, parsePath(path));
  if (!entry || entry.content.form === 'directory') throw new Error(`there is no file ${path}`);
  return entry.content;
}

async function read(project: Project, content: FileContent): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const { bytes } of readParts(project.reader, content)) if (bytes) parts.push(bytes);
  return Buffer.concat(parts);
}

const range = async (project: Project, content: FileContent, offset: number, length: number): Promise<Buffer> =>
  Buffer.concat(
    (await readRange(project.reader, content, offset, length)).map(({ bytes }) => bytes ?? Buffer.alloc(0)),
  );

/** Of the requests since the last time. */
function ranges(): (string | undefined)[] {
  const found = proxy.state.requests.map(({ headers }) => headers.range);
  proxy.state.requests = [];
  return found;
}

async function putOne(name: string, body: Buffer | string): Promise<{ made: TestProject; content: FileContent }> {
  const made = await makeTestProject();
  await store(name, body);
  await put(made.project, `s3://${place.bucket}/${prefix}/${name}?endpoint=${proxy.url}`, false);
  const content = await contentOf(made.project, `/${name}`);
  ranges();
  return { made, content };
}

test('a listing alone: one request for 1,000 objects, one for the bucket, none for an object', async () => {
  const count = 2500;
  const server = await listingServer(count);
  try {
    const made = await makeTestProject();
    const { url, asked } = server;
    expect(await put(made.project, `s3://raw/all/?endpoint=${url}`)).toEqual({ files: count, warned: 1 });
    expect(asked).toHaveLength(1 + Math.ceil(count / 1000));
    expect(asked.every((path) => /^\/raw\/?\?/.test(path))).toBe(true);
    expect(await contentOf(made.project, '/d1/2001')).toMatchObject({ form: 'reference', size: 2002 });
  } finally {
    server.close();
  }
});

test('a bucket that keeps versions is listed page by page: the newest of each object', async () => {
  const bucket = `versions-${prefix}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const VersioningConfiguration = { Status: 'Enabled' } as const;
  await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
  const send = (key: string, body: string) =>
    client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ContentLength: body.length }));
  // The first page ends among the versions of one object, whose name must be escaped.
  const names = Array.from({ length: 900 }, (_, i) => `all/a b+c%&<ü>${String(i).padStart(4, '0')}`);
  for await (const _ of mapOrdered(names, 32, (name) => send(name, 'old'))) void _;
  const last = names.at(-1) as string;
  for await (const _ of mapOrdered(Array.from({ length: 150 }), 32, () => send(last, 'between'))) void _;
  await send(last, 'newest');
  await send('all/z', 'z');
  const made = await makeTestProject();
  proxy.state.requests = [];
  expect(await put(made.project, `s3://${bucket}/all/?endpoint=${proxy.url}`)).toEqual({ files: 901, warned: 0 });
  expect(proxy.state.requests).toHaveLength(3);
  const reader = reading(made);
  for (const [name, text] of [
    [last.slice(3), 'newest'],
    ['/z', 'z'],
    [(names[0] as string).slice(3), 'old'],
  ] as const) {
    expect((await read(reader, await contentOf(made.project, name))).toString()).toBe(text);
  }
});

test('a large object comes by conditional requests for pieces, once for all who have a cache', async () => {
  const { made, content } = await putOne('large', large);
  const reader = reading(made);
  expect(await range(reader, content, 5 * mebibyte, 1000)).toEqual(large.subarray(5 * mebibyte, 5 * mebibyte + 1000));
  expect(proxy.state.requests.every(({ headers }) => headers['if-match'] !== undefined)).toBe(true);
  expect(ranges()).toEqual(['bytes=4194304-8388607']);
  expect((await read(reader, content)).equals(large)).toBe(true);
  expect(new Set(ranges())).toEqual(new Set(['bytes=0-4194303', 'bytes=8388608-9437188']));
  // Another process with that folder asks for nothing; one of its own for all of it, at the same time once.
  const other = reading(made);
  expect((await read(other, content)).equals(large)).toBe(true);
  expect(await range(other, content, 100, 10)).toEqual(large.subarray(100, 110));
  expect(ranges()).toEqual([]);
  const [one, two] = [reading(made, 'both'), reading(made, 'both')];
  const [first, second] = await Promise.all([read(one, content), read(two, content)]);
  expect(first.equals(large) && second.equals(large)).toBe(true);
  expect(ranges()).toHaveLength(3);
});

test('an object that changes or goes in the middle of a read is an error, and what came before stays readable', async () => {
  const { made, content } = await putOne('moving', large);
  const reader = reading(made);
  await range(reader, content, 0, 10);
  await store('moving', Buffer.alloc(large.length, 'x'));
  const changed = { code: 'failed', what: `s3://${place.bucket}/${prefix}/moving` };
  await expect(read(reader, content)).rejects.toMatchObject({ ...changed, why: expect.stringContaining('changed') });
  expect(await range(reading(made), content, 0, 10)).toEqual(large.subarray(0, 10));
  await client.send(new DeleteObjectCommand({ Bucket: place.bucket, Key: `${prefix}/moving` }));
  await expect(read(reader, content)).rejects.toMatchObject({ ...changed, why: expect.stringContaining('not there') });
  await store('moving', large);
  expect((await read(reader, content)).equals(large)).toBe(true);
});

test('a server that does not keep to the condition is not believed', async () => {
  const made = await makeTestProject();
  const etag = 'e'.repeat(32);
  let headers: Record<string, string | number> = {};
  const server = await serving((_, response) => response.writeHead(200, headers).end('other'));
  try {
    const object = (key: string) =>
      ({ provider: 's3', endpoint: server.url, bucket: 'raw', key, version: { by: 'etag', id: etag } }) as const;
    const way = { region: undefined, style: 'path' } as const;
    const small = referenceOf({ ...object('small'), ...way }, 5);
    const refused = { code: 'failed', what: 's3://raw/small' };
    const right = { etag: `"${etag}"`, 'content-length': 5 };
    for (const wrong of [{ etag: '"another"' }, { etag: '' }, { 'content-length': 4 }]) {
      headers = { ...right, ...wrong };
      await expect(read(reading(made), small)).rejects.toMatchObject(refused);
    }
    headers = right;
    expect((await read(reading(made), small)).toString()).toBe('other');
    // It gives all of the object, or another part, where a part is asked for.
    const long = referenceOf({ ...object('long'), ...way }, 5 * mebibyte);
    headers = { ...right, 'content-range': `bytes 0-4/${5 * mebibyte}` };
    await expect(read(reading(made), long)).rejects.toMatchObject({ code: 'failed', what: 's3://raw/long' });
  } finally {
    server.close();
  }
});

test('a commit says that it may have references as long as it may, and materialize takes in what others did', async () => {
  const { made } = await putOne('told', 'told'.repeat(100));
  const reader = reading(made);
  const says = async (branch = 'master') => {
    const snapshot = await made.project.snapshot();
    const head = (await snapshot.maybeBranch('data', branch))?.head;
    return head && (await snapshot.commitAt(head.commit)).references;
  };
  const putOwn = (path: string, text: string) => {
    const sources = [{ kind: 'stream', stream: streamOf(text) }] as const;
    const request = { repo: 'data', branch: 'master', message: '', target: path, watch: silent };
    return putFiles(openWith(made.store, undefined), { ...request, sources });
  };
  expect(await says()).toBe(true);
  await putOwn('/own', 'own');
  expect(await says()).toBe(true);
  const files = async (path: string): Promise<File> => {
    const snapshot = await made.project.snapshot();
    const head = (await snapshot.branch('data', 'master')).head as BranchHead;
    return new Files(reader.reader, rootOf(await snapshot.commitAt(head.commit)), 'data@master').find(path);
  };
  const copy = async (path: string, branch: string) =>
    copyFiles(reader, { repo: 'data', branch, message: '', source: await files(path), mayRefer: true, target: '/' });
  await copy('/own', 'plain');
  await copy('/', 'whole');
  expect([await says('plain'), await says('whole')]).toEqual([undefined, true]);

  // Somebody changes a file that is being read: nothing is committed. Another file does no harm.
  const own = { repo: 'data', branch: 'master', message: '', path: '/', progress: () => undefined };
  const signal = new AbortController().signal;
  const meanwhile = (work: () => Promise<unknown>): void => {
    proxy.state.before = async () => {
      proxy.state.before = () => Promise.resolve();
      await work();
    };
  };
  meanwhile(() => putOwn('/told', 'by another'));
  await expect(materialize(reader, { ...own, signal })).rejects.toMatchObject({ code: 'conflict' });
  await put(made.project, `s3://${place.bucket}/${prefix}/told?endpoint=${proxy.url}`, false);
  await putOwn('/beside', 'x');
  await rm(join(dir, 'cache'), { recursive: true });
  const again = reading(made);
  meanwhile(() => putOwn('/beside', 'y'));
  expect(await materialize(again, { ...own, signal })).toMatchObject({ files: 1, bytes: 400 });
  expect(await says()).toBe(true);
  // The branch was not as it had been read, so it may have others; now it is.
  expect(await materialize(again, { ...own, signal })).toMatchObject({ files: 0, isUnchanged: false });
  expect(await says()).toBeUndefined();
  expect(await contentOf(made.project, '/told')).toMatchObject({ form: 'chunk' });
  expect(await materialize(again, { ...own, signal })).toMatchObject({ files: 0, isUnchanged: true });
});

test('what breaks off is asked for again, and damage on the disk is found', async () => {
  const { made, content } = await putOne('broken', large);
  let cuts = 2;
  proxy.state.before = () => {
    cuts -= 1;
    proxy.state.cutAfter = cuts >= 0 ? 100_000 : Infinity;
    return Promise.resolve();
  };
  const reader = reading(made);
  expect((await range(reader, content, 10, 20)).equals(large.subarray(10, 30))).toBe(true);
  expect(ranges()).toHaveLength(3);
  const folder = join(dir, 'cache/projects/default/files');
  const [name = ''] = (await readdir(folder)).filter((each) => !each.includes('.'));
  await using file = await open(join(folder, name), 'r+');
  await file.write(Buffer.from('damage'), 0, 6, 12);
  expect((await range(reading(made), content, 10, 20)).equals(large.subarray(10, 30))).toBe(true);
  expect(ranges()).toEqual(['bytes=0-4194303']);
});

async function serving(answer: (request: IncomingMessage, response: ServerResponse) => unknown) {
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
