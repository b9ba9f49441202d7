/**
 * Listings of a server, or of what stands before it, that lead nowhere.
 */
import { createServer } from 'node:http';
import { createServer as createConnections, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { openStore } from '../../src/store/open.ts';
import { Bucket } from '../../src/store/s3/bucket.ts';
import { parseS3Source, s3Entries } from '../../src/sources/s3.ts';
import { Place } from '../support/place.ts';
import { listAll } from './contract.ts';

const keys = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-east-1' };

/** A server that answers each request with a page of a listing, as `page` says of its number; with nothing where that says so. */
async function listing(page: (request: number) => string | undefined) {
  const counts = { requests: 0 };
  const server = createServer((_, answer) => {
    counts.requests += 1;
    const body = page(counts.requests);
    if (body === undefined) return;
    answer.setHeader('content-type', 'application/xml');
    answer.end(`<?xml version="1.0"?><ListBucketResult>${body}</ListBucketResult>`);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `s3://bucket/p?endpoint=http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

const entry = (key: string) => `<Contents><Key>p/${key}</Key><Size>1</Size></Contents>`;
const cut = (token: string) =>
  `<IsTruncated>true</IsTruncated>${token && `<NextContinuationToken>${token}</NextContinuationToken>`}`;

const endless: readonly [string, (request: number) => string, RegExp][] = [
  ['the same token', (n) => entry(`a${n}`) + cut('same'), /the same continuation token came twice/],
  ['two tokens in turn', (n) => entry(`a${n}`) + cut(`t${n % 2}`), /the same continuation token came twice/],
  ['no token', () => entry('a') + cut(''), /it has no continuation token/],
  ['the same page', (n) => entry('a') + cut(`t${n}`), /the same page came twice/],
  ['a key from elsewhere', () => '<Contents><Key>x</Key><Size>1</Size></Contents>', /is not below this prefix: x/],
  ['nothing in it', () => '', /is not a listing/],
  ['what nobody can parse', () => '<a>'.repeat(100_000), /not one that an S3 server gives/],
];

test.each(endless)('a listing with %s is refused', async (_, page, why) => {
  Object.assign(process.env, keys);
  await using server = await listing(page);
  const store = await openStore(server.url);
  await expect(listAll(store, '')).rejects.toThrow(why);
  await store.close();
  expect(server.counts.requests).toBeLessThan(4);

  const address = parseS3Source(server.url);
  const bucket = await Bucket.open(address.place);
  const read = async (): Promise<void> => {
    const options = { path: [], signal: new AbortController().signal, sized: () => undefined };
    for await (const each of s3Entries(() => Promise.resolve(bucket), address, options)) expect(each.kind).toBe('file');
  };
  await expect(read()).rejects.toThrow(why);
  bucket.close();
});

test('a listing that gets no answer ends with its signal, and goes no further', async () => {
  Object.assign(process.env, keys);
  const stop = new AbortController();
  await using server = await listing((request) => {
    if (request < 3) return entry(`a${request}`) + cut(`t${request}`);
    stop.abort(new Error('stopped'));
    return undefined;
  });
  const store = await openStore(server.url);
  const read = async (): Promise<void> => {
    for await (const each of store.list('', stop.signal)) expect(each.size).toBe(1);
  };
  await expect(read()).rejects.toThrow('stopped');
  expect(server.counts.requests).toBe(3);
  await store.close();
});

test('what does not speak HTTP does not answer', async () => {
  Object.assign(process.env, keys);
  const server = createConnections((socket) => socket.on('error', () => {}).end('SSH-2.0-OpenSSH\r\n'));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const store = await openStore(`s3://bucket/p?endpoint=${endpoint}`, { retry: { firstContactMs: 100 } });
  await expect(store.read('projects/default/head', 0, 1)).rejects.toMatchObject({
    code: 'unreachable',
    why: expect.stringMatching(/in HTTP/) as string,
  });
  await store.close();
  server.close();
});

test('what a disk or a path does is said in words, whatever is asked', async () => {
  await using place = await Place.make('root');
  await place.must('echo x > file && ln -s two one && ln -s one two && mkdir ro ro/kept && mkdir full');
  const long = 'a'.repeat(300);
  const homes: readonly (readonly [string, RegExp])[] = [
    ['$PWD/file/home', /not a folder/],
    [`$PWD/${long}`, /too long/],
    ['$PWD/one/home', /symbolic link/],
    ['$PWD/ro/home', /read-only/],
    ['/proc/home', /no such/],
    [`$PWD/caf\u00e9$(printf '\\351')`, /not UTF-8/],
  ];
  await place.must('mount --bind ro ro && mount -o remount,ro,bind ro');
  try {
    for (const [home, why] of homes) {
      for (const command of ['list repo', 'create repo x', 'gc', 'mount x@master m']) {
        const { code, stderr } = await place.run(`PACH_HOME=${home} pach ${command}`);
        expect({ home, command, stderr }).toEqual({ home, command, stderr: expect.stringMatching(why) });
        expect(stderr).not.toContain('unexpected');
        expect(code).toBeGreaterThan(0);
      }
    }
  } finally {
    await place.must('umount ro');
  }
});

test('in a folder that was removed', async () => {
  await using place = await Place.make('root');
  for (const command of ['pach list repo', 'pachmount x@master m']) {
    const { code, stderr } = await place.run(`mkdir gone && cd gone && rmdir ../gone && ${command}`);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'pach: the current folder: it does not exist any more\ntry: cd\n',
    });
  }
});

test('a mount is nowhere where its name or its cache can not be', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo x && echo x > file && pach put file x@master -f file');
  const odd = "$(printf 'caf\\351')";
  const commands: readonly (readonly [string, RegExp])[] = [
    [`mount x@master ${odd}`, /not UTF-8/],
    [`unmount ${odd}`, /not UTF-8/],
    [`mount x@master --cache ${odd} m`, /not UTF-8/],
    [`--store ${odd} create repo x`, /not UTF-8/],
    ['mount x@master --cache file/cache m', /part of its path is not a folder/],
    ['mount x@master --cache /proc/cache m', /no such/],
  ];
  for (const [command, why] of commands) {
    const { code, stderr } = await place.run(`pach ${command}`);
    expect({ command, stderr }).toEqual({ command, stderr: expect.stringMatching(why) });
    expect(code).toBeGreaterThan(1);
  }
  expect(await place.must('ls; pach mounts')).toBe('file\nhome\n');
});

test('a folder in the place of a head is damage', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo x && h="$PACH_HOME"/store/projects/default/head && rm -f "$h" && mkdir "$h"');
  for (const command of ['list repo', 'fsck', 'gc']) expect((await place.run(`pach ${command}`)).code).toBe(6);
});
