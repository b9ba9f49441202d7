import { randomBytes } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { isPachError, type ErrorCode } from '../../src/base/errors.ts';
import { openStore } from '../../src/store/open.ts';
import { parseS3Url, s3UrlOf } from '../../src/store/s3-url.ts';
import { traceStore, type Trace } from '../../src/store/trace.ts';
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
 * `passBytes` bytes, while all that is asked goes through.
 */
async function brokenWay(
  endpoint: string,
): Promise<{ endpoint: string; cut(answers: number, passBytes: number): void }> {
  const port = Number(new URL(endpoint).port);
  let cuts = 0;
  let passBytes = 0;
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
      near.write(bytes);
    });
  });
  const way = await listen(server);
  cleanUps.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { endpoint: way, cut: (answers, bytes) => ([cuts, passBytes] = [answers, bytes]) };
}

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
    await expect(store.writeIfUnchanged('head', Buffer.from('no'), first)).rejects.toThrow('not known whether');
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

describe('addresses', () => {
  test('are taken apart and put together', () => {
    expect(parseS3Url('s3://bucket')).toEqual({ bucket: 'bucket', prefix: '', endpoint: undefined, region: undefined });
    const full = 's3://My_bucket.x/a%20b/c/?endpoint=http://127.0.0.1:9000/&region=eu-west-1';
    expect(parseS3Url(full)).toEqual({
      bucket: 'My_bucket.x',
      prefix: 'a b/c/',
      endpoint: 'http://127.0.0.1:9000',
      region: 'eu-west-1',
    });
    expect(s3UrlOf(parseS3Url(full))).toBe('s3://My_bucket.x/a b/c?endpoint=http://127.0.0.1:9000');
    expect(s3UrlOf(parseS3Url('s3://bucket/'))).toBe('s3://bucket');
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
  ])('%s is none', async (url) => {
    const error: unknown = await openStore(url).catch((reason: unknown) => reason);
    expect(isPachError(error, 'usage')).toBe(true);
    expect(String(error)).not.toContain('secret');
  });
});
