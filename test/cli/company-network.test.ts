/**
 * A company's network: a store behind TLS of an own authority, names that only the proxy knows, and
 * a proxy that wants a password. The server behind it is a real one, which calls itself localhost.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import { connect, type AddressInfo, type Server as NetServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { faultyWay, type FaultyWay } from '../support/faulty-way.ts';
import { Place } from '../support/place.ts';
import { s3ForTests, type TestBucket } from '../support/s3.ts';

const password = 'hunter2';
const dir = mkdtempSync(join(tmpdir(), 'pach-company-'));
const bundle = join(dir, 'ca.pem');
const sockets = new Set<Socket>();
const keep = (socket: Socket): Socket => {
  sockets.add(socket);
  return socket.on('error', () => socket.destroy());
};
let place: TestBucket;
let way: FaultyWay;
let front: NetServer;
let web: NetServer;
let proxy: Server;
/** Ports from which the proxy came to the store, and all from which somebody did. */
const fromProxy = new Set<number | undefined>();
const toStore = new Set<number | undefined>();
/** What the proxy was asked for, and of the store the requests that carry their signature in the address. */
const asked: string[] = [];
const presigned: string[] = [];

/** Who has a name of the company's, or one below localhost, is on this machine. */
const isKnown = (host: string): boolean => /(?:^|\.)(?:company\.invalid|localhost)$/.test(host);
const portOf = (server: NetServer): number => (server.address() as AddressInfo).port;

async function listen<S extends NetServer>(server: S): Promise<S> {
  server.on('connection', keep);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

function startProxy(): Server {
  const given = `Basic ${Buffer.from(`me:${password}`).toString('base64')}`;
  const server = createServer((request, answer) => {
    asked.push(`${request.method} ${request.url}`);
    const to = new URL(request.url ?? '');
    const { 'proxy-authorization': shown, ...headers } = request.headers;
    if (shown !== given) return void answer.writeHead(407).end();
    if (!isKnown(to.hostname)) return void answer.writeHead(502).end();
    const { method } = request;
    const onward = httpRequest({ host: '127.0.0.1', port: to.port, method, path: to.pathname + to.search, headers });
    onward.on('response', (found) => found.pipe(answer.writeHead(found.statusCode ?? 500, found.headers)));
    onward.on('error', () => answer.destroy());
    request.pipe(onward);
  });
  server.on('connect', (request, near: Socket) => {
    asked.push(`CONNECT ${request.url}`);
    const [host = '', port] = (request.url ?? '').split(':');
    keep(near);
    if (request.headers['proxy-authorization'] !== given) return void near.end('HTTP/1.1 407 Who are you\r\n\r\n');
    if (!isKnown(host)) return void near.end('HTTP/1.1 502 Not known\r\n\r\n');
    const far = keep(connect(Number(port), '127.0.0.1'));
    far.on('connect', () => fromProxy.add(far.localPort));
    near.write('HTTP/1.1 200 OK\r\n\r\n');
    near.pipe(far).pipe(near);
  });
  return server;
}

beforeAll(async () => {
  const sh = (script: string): Buffer => execFileSync('sh', ['-ec', script], { cwd: dir, stdio: 'pipe' });
  sh(`openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=company-ca -keyout ca.key -out ca.pem
      openssl req -newkey rsa:2048 -nodes -subj /CN=company -keyout key.pem -out leaf.csr
      echo 'subjectAltName=DNS:*.company.invalid,DNS:localhost' > ext
      openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem`);
  place = await s3ForTests();
  way = await faultyWay(place.endpoint, (method, _ranged, { url = '' }) => {
    if (url.includes('X-Amz-Signature')) presigned.push(method);
    return 'works';
  });
  const secure = { key: readFileSync(join(dir, 'key.pem')), cert: readFileSync(join(dir, 'cert.pem')) };
  front = await listen(
    createTlsServer(secure, (near) => {
      const far = keep(connect(Number(new URL(way.endpoint).port), '127.0.0.1'));
      keep(near).pipe(far).pipe(near);
    }),
  );
  front.on('connection', ({ remotePort }: Socket) => toStore.add(remotePort));
  web = await listen(
    createTlsServer(secure, (near) => {
      keep(near).once('data', () => near.end('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\na,b\n'));
    }),
  );
  proxy = await listen(startProxy());
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of [front, web, proxy]) server.close();
  await way[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});
beforeEach(() => {
  asked.length = 0;
  presigned.length = 0;
  toStore.clear();
});

const proxyUrl = (word = password): string => `http://me:${word}@127.0.0.1:${portOf(proxy)}`;
const storeUrl = async (): Promise<string> =>
  (await s3ForTests()).url.replace(place.endpoint, `https://localhost:${portOf(front)}`);

test('a store and a web server behind a proxy and an own authority; large files, too', async () => {
  const store = await storeUrl();
  await using home = await Place.make('root', {
    ...place.env,
    PACH_STORE: store,
    HTTPS_PROXY: proxyUrl(),
    AWS_CA_BUNDLE: bundle,
  });
  await home.must('mkdir src && head -c 3000000 /dev/urandom > src/big && echo small > src/small');
  await home.must('pach create repo data && pach put file data@master -r -f src/');
  expect(new Set(asked)).toEqual(new Set([`CONNECT localhost:${portOf(front)}`]));
  expect(presigned).toEqual([]);
  await home.must('pachmount data@master --prefetch off pfs && cmp src/big pfs/data/big && cat pfs/data/small');
  await home.must('pach unmount pfs');
  expect(presigned.length).toBeGreaterThan(0);
  expect([...toStore].filter((port) => !fromProxy.has(port))).toEqual([]);

  asked.length = 0;
  const address = `web.company.invalid:${portOf(web)}`;
  await home.must(`pach put file data@master:/ -f https://${address}/a.csv`);
  expect(asked).toContain(`CONNECT ${address}`);
  expect(await home.must('pach get file data@master:/a.csv -o -')).toBe('a,b\n');
});

test('the authorities of a profile, and lower-case variables', async () => {
  writeFileSync(join(dir, 'config'), `[profile company]\nca_bundle = ${bundle}\nregion = us-east-1\n`);
  writeFileSync(
    join(dir, 'credentials'),
    '[company]\naws_access_key_id=testaccesskey\naws_secret_access_key=testsecretkey\n',
  );
  await using home = await Place.make('root', {
    PACH_STORE: await storeUrl(),
    https_proxy: proxyUrl(),
    AWS_PROFILE: 'company',
    AWS_CONFIG_FILE: join(dir, 'config'),
    AWS_SHARED_CREDENTIALS_FILE: join(dir, 'credentials'),
  });
  await home.must('pach create repo data && pach list repo');
  expect(asked.length).toBeGreaterThan(0);
});

test('buckets in the name of the host, through a proxy for http', async () => {
  const { port } = new URL(way.endpoint);
  const store = (await s3ForTests()).url.replace(place.endpoint, `http://localhost:${port}`);
  await using home = await Place.make('root', {
    ...place.env,
    PACH_STORE: `${store}&style=virtual`,
    http_proxy: proxyUrl(),
    NO_PROXY: '127.0.0.0/8',
  });
  await home.must('mkdir src && head -c 3000000 /dev/urandom > src/big');
  await home.must('pach create repo data && pach put file data@master -r -f src/');
  await home.must('pachmount data@master --prefetch off pfs && cmp src/big pfs/data/big && pach unmount pfs');
  expect(presigned.length).toBeGreaterThan(0);
  const hosts = new Set(asked.map((line) => new URL(line.split(' ')[1] ?? '').host));
  expect(hosts).toEqual(new Set([`${place.bucket}.localhost:${port}`]));
  // The same store by the bucket's other name.
  const other = store.replace(`http://localhost:${port}`, place.endpoint);
  expect(await home.must(`pach --store '${other}' get file data@master:/big -o - | cmp - src/big`)).toBe('');
});

test('a server that needs no proxy is asked directly', async () => {
  await using home = await Place.make('root', {
    ...place.env,
    PACH_STORE: await storeUrl(),
    HTTPS_PROXY: proxyUrl(),
    NO_PROXY: 'localhost',
    AWS_CA_BUNDLE: bundle,
  });
  await home.must('head -c 3000000 /dev/urandom > big && pach create repo data');
  await home.must('pach put file data@master:/big -f big');
  await home.must('pachmount data@master --prefetch off pfs && cmp big pfs/data/big && pach unmount pfs');
  expect(asked).toEqual([]);
  expect(presigned.length).toBeGreaterThan(0);
});

test.each<[Record<string, string>, number, string[]]>([
  [{ AWS_CA_BUNDLE: '' }, 1, ['no trusted connection to https://localhost', 'set AWS_CA_BUNDLE to its file']],
  [{ HTTPS_PROXY: 'wrong' }, 1, ['the proxy needs a name and a password', 'http://NAME:PASSWORD@HOST:PORT']],
  [{ HTTPS_PROXY: 'socks5://me:hunter2@host' }, 2, ['HTTPS_PROXY: it is not the address of an http or https proxy']],
  [{ HTTPS_PROXY: 'http://me:hunter2@127.0.0.1:9' }, 5, ['through the proxy 127.0.0.1:9']],
])('what is wrong is said, and no password: %o', async (wrong, code, words) => {
  await using home = await Place.make('root', {
    ...place.env,
    PACH_STORE: await storeUrl(),
    AWS_CA_BUNDLE: bundle,
    ...wrong,
    HTTPS_PROXY: wrong['HTTPS_PROXY'] === 'wrong' ? proxyUrl('hunter3') : (wrong['HTTPS_PROXY'] ?? proxyUrl()),
  });
  for (const verbose of ['', ' -v']) {
    const failed = await home.run(`pach list repo${verbose}`);
    expect(failed.code).toBe(code);
    for (const word of words) expect(failed.stderr).toContain(word);
    expect(failed.stderr).not.toContain('hunter');
  }
});
