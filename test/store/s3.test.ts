import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { HeadObjectCommand, S3Client } from '@aws-sdk/client-s3';
import * as fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { isPachError, type ErrorCode } from '../../src/base/errors.ts';
import { parseS3Source } from '../../src/sources/s3.ts';
import { openStore } from '../../src/store/open.ts';
import { conditionalWrites } from '../../src/store/probe.ts';
import { parseS3Url, s3UrlOf } from '../../src/store/s3/url.ts';
import { traceStore, type Trace } from '../../src/store/trace.ts';
import { faultyWay } from '../support/faulty-way.ts';
import { s3ForTests, s3Stranger, type TestBucket } from '../support/s3.ts';
import { listAll, runAll } from './contract.ts';

runAll('S3 (Ceph)', async () => {
  const { url } = await s3ForTests();
  return { store: await openStore(url), other: await openStore(url) };
});

const text = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

/**
 * A way to the gateway that breaks: of the connections' answers, the next `cuts` are cut after
 * `passBytes` bytes, while all that is asked goes through. `sent` are the bytes of all answers so far.
 */
async function brokenWay(
  endpoint: string,
): Promise<{ endpoint: string; cut(answers: number, passBytes: number): void; sent(): number }> {
  const port = Number(new URL(endpoint).port);
  let cuts = 0;
  let passBytes = 0;
  let sent = 0;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => (near.destroy(), far.destroy()));
    }
    near.pipe(far);
    let passed = 0;
    far.on('data', (bytes: Buffer) => {
      if (cuts > 0 && passed + bytes.length > passBytes) {
        cuts -= 1;
        near.end(bytes.subarray(0, Math.max(0, passBytes - passed)));
        far.destroy();
        return;
      }
      passed += cuts > 0 ? bytes.length : 0;
      sent += bytes.length;
      near.write(bytes);
    });
  });
  const way = await listen(server);
  cleanUps.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { endpoint: way, cut: (answers, bytes) => ([cuts, passBytes] = [answers, bytes]), sent: () => sent };
}

test('of an object that stays as it is the server sends nothing', async () => {
  const { url, endpoint } = await s3ForTests();
  const way = await brokenWay(endpoint);
  const store = await openStore(url.replace(endpoint, way.endpoint));
  const bytes = Buffer.alloc(1 << 20);
  const token = (await store.writeIfUnchanged('head', bytes, undefined))!;
  for (let look = 0; look < 5; look += 1) expect(await store.readIfChanged('head', token)).toBe('unchanged');
  expect(way.sent()).toBeLessThan(bytes.length);
  const next = (await store.writeIfUnchanged('head', Buffer.alloc(1 << 20, 1), token))!;
  expect(await store.readIfChanged('head', token)).toMatchObject({ token: next });
  expect(way.sent()).toBeGreaterThan(bytes.length);
  await store.close();
});

describe('answers that get lost', () => {
  async function brokenStore() {
    const { url, endpoint } = await s3ForTests();
    const way = await brokenWay(endpoint);
    let tries: Trace | undefined;
    const store = await openStore(url.replace(endpoint, way.endpoint), {
      retry: { delayMs: 10 },
      wrap: (inner) => {
        const traced = traceStore(inner);
        tries = traced.counts;
        return traced.store;
      },
    });
    return { store, tries: tries!, cut: (answers: number, passBytes: number) => way.cut(answers, passBytes) };
  }

  test('a body that is cut short is asked for again', async () => {
    const { store, tries, cut } = await brokenStore();
    const bytes = randomBytes(3_000_000);
    await store.writeIfAbsent('object', [bytes]);
    tries.reset();
    for (const passBytes of [0, 200, 100_000, 2_000_000]) {
      cut(2, passBytes);
      expect(bytes.equals(await store.read('object', 0, 3_000_000))).toBe(true);
      cut(1, Math.min(passBytes, 100));
      expect(bytes.subarray(-1000).equals((await store.readTail('object', 1000)).bytes)).toBe(true);
    }
    expect(tries.count('read')).toBe(4 * 3);
    expect(tries.count('readTail')).toBe(4 * 2);
  });

  test('a write whose answer is lost is known to be ours', async () => {
    const { store, tries, cut } = await brokenStore();
    cut(1, 0);
    expect(await store.writeIfAbsent('large', [randomBytes(1_000_000)])).toBe(true);
    cut(1, 0);
    const first = await store.writeIfUnchanged('head', Buffer.from('one'), undefined);
    expect(first).toBeDefined();
    cut(3, 0);
    const second = await store.writeIfUnchanged('head', Buffer.from('two'), first);
    expect(second).toBe((await store.readWithToken('head'))?.token);
    expect(text((await store.readWithToken('head'))?.bytes)).toBe('two');
    // Another's bytes are there, after a try of ours of which nothing is known.
    cut(1, 0);
    await expect(store.writeIfUnchanged('head', Buffer.from('no'), first)).rejects.toThrow(
      'unknown whether the first write was stored',
    );
    expect(tries.count('writeIfAbsent')).toBe(2);
  }, 30_000);

  test('a listing that breaks off goes on', async () => {
    const { store, cut } = await brokenStore();
    const names = Array.from({ length: 1_200 }, (_, n) => `many/${n}`);
    const queue = names.values();
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (const key of queue) await store.writeIfAbsent(key, []);
      }),
    );
    cut(1, 20_000);
    expect((await listAll(store, 'many/')).map(({ key }) => key)).toEqual(names.toSorted());
  });
});

describe('errors in words', () => {
  let place: TestBucket;
  beforeAll(async () => {
    place = await s3ForTests();
  });

  /** The error of a first read of the store at `url`; with credentials in `env` if given. */
  async function errorOf(url: string, env: Record<string, string | undefined> = {}): Promise<string> {
    const before = { ...process.env };
    for (const [name, value] of Object.entries(env)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
    try {
      const store = await openStore(url);
      const failed: unknown[] = [];
      const calls = [
        () => store.readWithToken('key'),
        () => listAll(store, ''),
        () => store.writeIfAbsent('key', [randomBytes(400_000)]),
      ];
      await Promise.all(calls.map((call) => call().catch((error: unknown) => failed.push(error))));
      await store.close();
      expect(failed).toHaveLength(calls.length);
      const codes = new Set(failed.map((error) => (isPachError(error) ? error.code : error)));
      expect(codes.size).toBe(1);
      const messages = failed.map((error) => `${String(error)} ${isPachError(error) ? error.next : ''}`);
      expect(messages.join()).not.toMatch(/secretofstranger|testsecretkey|wrongsecret/);
      return `${[...codes][0] as ErrorCode}: ${messages[0]}`;
    } finally {
      process.env = before;
    }
  }

  test('a closed port', async () => {
    const begin = performance.now();
    const server = createServer();
    const endpoint = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    const error = await errorOf(`s3://bucket?endpoint=${endpoint}`);
    expect(error).toMatch(/^unreachable: .*s3:\/\/bucket: /);
    expect(error).toContain(`${endpoint} does not answer (ECONNREFUSED)`);
    expect(performance.now() - begin).toBeLessThan(5_000);
  }, 30_000);

  test('a host that does not exist', async () => {
    expect(await errorOf('s3://bucket?endpoint=http://no-such-host.invalid')).toMatch(
      /^unreachable: .*no-such-host\.invalid does not answer/,
    );
  }, 30_000);

  test('a server that accepts and never answers', async () => {
    const held = new Set<Socket>();
    const server = createServer((socket) => held.add(socket.on('error', () => undefined)));
    const endpoint = await listen(server);
    cleanUps.push(() => {
      server.close();
      for (const socket of held) socket.destroy();
    });
    const store = await openStore(`s3://bucket?endpoint=${endpoint}`);
    const begin = performance.now();
    await expect(store.readWithToken('key')).rejects.toSatisfy((error) => isPachError(error, 'unreachable'));
    expect(performance.now() - begin).toBeLessThan(20_000);
    await store.close();
  }, 30_000);

  test('a server that is something else', async () => {
    const server = createHttpServer((_, answer) => {
      answer.writeHead(200, { 'content-type': 'text/html' }).end('<html><body>It works!</body></html>');
    });
    const endpoint = await listen(server);
    cleanUps.push(() => server.close());
    const store = await openStore(`s3://bucket?endpoint=${endpoint}`);
    await expect(store.readWithToken('key')).rejects.toSatisfy((error) => isPachError(error, 'unsupported'));
    await store.close();
  });

  test('a bucket that does not exist', async () => {
    const error = await errorOf(`s3://no-such-bucket/x?endpoint=${place.endpoint}`);
    expect(error).toContain('not-found: PachError: s3://no-such-bucket: bucket no-such-bucket does not exist');
    expect(error).toContain(`aws s3 mb s3://no-such-bucket --endpoint-url ${place.endpoint}`);
  });

  test('wrong, unknown and absent credentials', async () => {
    expect(await errorOf(place.url, { AWS_SECRET_ACCESS_KEY: 'wrongsecret' })).toMatch(
      /^denied: .*does not accept the credentials.*AWS_SECRET_ACCESS_KEY/,
    );
    expect(await errorOf(place.url, { AWS_ACCESS_KEY_ID: 'nobody' })).toMatch(/^denied: .*the credentials/);
    const absent = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined };
    expect(await errorOf(place.url, { ...absent, AWS_EC2_METADATA_DISABLED: 'true' })).toMatch(
      /^denied: .*no credentials were found.*set AWS_ACCESS_KEY_ID/,
    );
  });

  test("a bucket of somebody else's", async () => {
    const error = await errorOf(place.url, await s3Stranger());
    expect(error).toMatch(new RegExp(`^denied: .*access to bucket ${place.bucket} is denied.*s3:PutObject`));
  });

  test('the endpoint and region may come from the environment', async () => {
    const before = { ...process.env };
    process.env['AWS_ENDPOINT_URL'] = place.endpoint;
    delete process.env['AWS_REGION'];
    try {
      const url = place.url.replace(/\?.*/, '');
      const store = await openStore(url);
      expect(store.url).toBe(url);
      expect(await store.writeIfAbsent('key', [Buffer.from('x')])).toBe(true);
      await store.close();
    } finally {
      process.env = before;
    }
  });
});

describe('how objects are written', () => {
  test('encryption and class go with every write, and change nothing of what store it is', async () => {
    const { url, endpoint, bucket } = await s3ForTests();
    const asked: unknown[] = [];
    await using way = await faultyWay(endpoint, (method, _ranged, { headers }) => {
      const named = [
        'x-amz-server-side-encryption',
        'x-amz-server-side-encryption-aws-kms-key-id',
        'x-amz-storage-class',
      ];
      if (method === 'PUT') asked.push(named.map((name) => headers[name]).join(' '));
      return 'works';
    });
    const near = url.replace(endpoint, way.endpoint);
    const store = await openStore(`${near}&sse=aws:kms&key=testkey&class=STANDARD`);
    expect(store.url).toBe((await openStore(near)).url);
    expect(await conditionalWrites(store)).toBe(true);
    await store.writeIfAbsent('small', [Buffer.from('x')]);
    await store.writeIfAbsent('large', [randomBytes(300_000)]);
    const token = await store.writeIfUnchanged('head', Buffer.from('one'), undefined);
    await store.writeIfUnchanged('head', Buffer.from('two'), token);
    expect(asked.length).toBeGreaterThanOrEqual(8);
    expect(new Set(asked)).toEqual(new Set(['aws:kms testkey STANDARD']));
    const client = new S3Client({ endpoint, forcePathStyle: true });
    for (const key of ['small', 'large', 'head']) {
      const found = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: parseS3Url(url).prefix + key }));
      expect(found).toMatchObject({ ServerSideEncryption: 'aws:kms', SSEKMSKeyId: 'testkey' });
    }
    client.destroy();
    // Another way of writing: the same objects.
    const other = await openStore(`${near}&sse=AES256`);
    expect(text((await other.readWithToken('head'))?.bytes)).toBe('two');
    asked.length = 0;
    await other.writeIfAbsent('plain', []);
    expect(asked).toEqual(['AES256  ']);
    for (const each of [store, other]) await each.close();
  });

  test('a key or a class that the server does not have', async () => {
    const { url } = await s3ForTests();
    const write = async (how: string): Promise<unknown> => {
      const store = await openStore(`${url}&${how}`);
      const error = await store.writeIfAbsent('x', []).catch((reason: unknown) => reason);
      await store.close();
      return error;
    };
    expect(String(await write('sse=aws:kms&key=nope'))).toContain("can't use the KMS key");
    expect(isPachError(await write('class=NO_SUCH_CLASS'))).toBe(true);
  });
});

describe('addresses', () => {
  test('are taken apart and put together', () => {
    const plain = { endpoint: undefined, region: undefined, style: 'path', writes: {} };
    expect(parseS3Url('s3://bucket')).toEqual({ ...plain, bucket: 'bucket', prefix: '' });
    const full = 's3://My_bucket.x/a%20b/c/?endpoint=http://127.0.0.1:9000/&region=eu-west-1';
    expect(parseS3Url(full)).toEqual({
      ...plain,
      bucket: 'My_bucket.x',
      prefix: 'a b/c/',
      endpoint: 'http://127.0.0.1:9000',
      region: 'eu-west-1',
    });
    expect(s3UrlOf(parseS3Url(full))).toBe('s3://My_bucket.x/a b/c?endpoint=http://127.0.0.1:9000');
    expect(s3UrlOf(parseS3Url('s3://bucket/'))).toBe('s3://bucket');
    const written = 's3://bucket/p?sse=aws:kms&key=arn:aws:kms:eu-west-1:1:key/a%2Bb&class=STANDARD_IA&style=virtual';
    expect(parseS3Url(written)).toEqual({
      ...plain,
      bucket: 'bucket',
      prefix: 'p/',
      style: 'virtual',
      writes: {
        ServerSideEncryption: 'aws:kms',
        SSEKMSKeyId: 'arn:aws:kms:eu-west-1:1:key/a+b',
        StorageClass: 'STANDARD_IA',
      },
    });
    // The same store however it is reached and written.
    expect(s3UrlOf(parseS3Url(written))).toBe('s3://bucket/p');
  });

  test('a prefix is taken as it is written, or refused', () => {
    const odd = fc.constantFrom(
      '@',
      '..',
      '.',
      '/',
      '//',
      '\t',
      '\n',
      '\r',
      '#',
      '?',
      '%',
      '%2e',
      '+',
      '\\',
      ' ',
      ':',
      'é',
      'e\u0301',
      '\u{1f600}',
      '\0',
      '\ufeff',
    );
    const prefix = fc.array(fc.oneof(odd, fc.string({ unit: 'binary', maxLength: 4 }), fc.string({ maxLength: 4 })), {
      maxLength: 8,
    });
    let taken = 0;
    const parsed = (address: string): string | undefined => {
      try {
        return parseS3Url(address).prefix;
      } catch (error) {
        if (!isPachError(error, 'usage')) throw error;
        return undefined;
      }
    };
    fc.assert(
      fc.property(
        prefix.map((parts) => parts.join('')),
        (written) => {
          const escaped = written.replaceAll('%', '%25').replaceAll('?', '%3F');
          const bare = written.replace(/\/$/, '');
          const found = parsed(`s3://bucket/${escaped}`);
          taken += found === undefined ? 0 : 1;
          expect([undefined, bare === '' ? '' : `${bare}/`]).toContain(found);
          // What messages show is the address of the same place.
          const shown = s3UrlOf({ bucket: 'bucket', prefix: found ?? '', endpoint: undefined });
          expect(parsed(shown)).toBe(found ?? '');
          expect(parseS3Source(`s3://bucket/${escaped}`).key).toBe(written);
        },
      ),
      { numRuns: 500, examples: [['team@site'], ['a/../b'], ['a\tb'], ['a#b'], [' a '], ['a\\b']] },
    );
    expect(taken).toBeGreaterThan(100);
    for (const good of ['team@site', 'a@b/c@d', 'a#b', ' a ', 'a\\b', 'a+b', '..a', 'a..b']) {
      expect(parsed(`s3://bucket/${good}`)).toBe(`${good}/`);
    }
    for (const bad of [
      'a/../b',
      '..',
      'a/.',
      '%2e%2e',
      'a/%2E%2E/b',
      'a\tb',
      'a\nb',
      'a%0Ab',
      'a\u0085',
      '\ud800',
      'a\ufffd',
      '/a',
      'a//b',
    ]) {
      expect(parsed(`s3://bucket/${bad}`)).toBeUndefined();
    }
  });

  test.each([
    's3://',
    's3:///prefix',
    's3://b',
    's3://bucket:80/x',
    's3://key:secret@bucket/x',
    's3://bucket/a//b',
    's3://bucket?endpont=http://x',
    's3://bucket?endpoint=ftp://x',
    's3://bucket?endpoint=localhost:9000',
    's3://bucket?endpoint=http://user:secret@host',
    `s3://bucket/${'x'.repeat(201)}`,
    's3://bucket/%E0%A4%A',
    's3://AKIAsecret:some/secret@bucket/x',
    's3:bucket/x',
    's3:/bucket/x',
    ' s3://bucket/x',
    's3://bucket\t/x',
    's3://bucket#x',
    's3://bucket?endpoint=http://ho\tst',
    's3://bucket?endpoint=http://host/a/../b',
    's3://bucket?endpoint=http://host#x',
    's3://bucket?region=a&region=b',
    's3://bucket?region=',
    's3://bucket?style=host',
    's3://bucket?sse=aes',
    's3://bucket?sse=AES256&key=x',
    's3://bucket?key=x',
    's3://bucket?class=GLACIER',
    's3://bucket?class=A%20B',
  ])('%s is none', async (url) => {
    const error: unknown = await openStore(url).catch((reason: unknown) => reason);
    expect(isPachError(error, 'usage')).toBe(true);
    expect(String(error)).not.toContain('secret');
  });
});
