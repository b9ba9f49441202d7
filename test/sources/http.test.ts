/**
 * Files of a web server that breaks connections, redirects and lies.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { nameOfUrl, openHttp, parseHttpUrl } from '../../src/sources/http.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

const signal = new AbortController().signal;
const patience = { delayMs: 1, idleMs: 2000 };
let server: Server | undefined;
let requests: IncomingMessage[] = [];
const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 7919) % 251));

async function serve(handler: Handler): Promise<string> {
  requests = [];
  server = createServer((request, response) => {
    requests.push(request);
    handler(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function get(url: string, options = {}): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of (await openHttp(new URL(url), signal, { ...patience, ...options })).bytes) parts.push(part);
  return Buffer.concat(parts);
}

/** Sends `bytes` as a server with parts does, but only so many at a time before it hangs up. */
function breaking(each: number, headers: Record<string, string> = { etag: '"one"' }): Handler {
  return (request, response) => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const rest = bytes.subarray(start);
    if (start > 0) response.setHeader('content-range', `bytes ${start}-${bytes.length - 1}/${bytes.length}`);
    response.writeHead(start > 0 ? 206 : 200, { ...headers, 'content-length': rest.length });
    if (rest.length <= each) response.end(rest);
    else response.write(rest.subarray(0, each), () => response.destroy());
  };
}

test('a broken connection goes on where it broke, if it is the same version', async () => {
  const modified = 'Tue, 14 Nov 2023 22:13:20 GMT';
  const url = await serve(breaking(100_000, { etag: '"one"', 'last-modified': modified }));
  expect((await get(`${url}/a.bin`)).equals(bytes)).toBe(true);
  expect(requests.map(({ headers }) => [headers.range, headers['if-range']])).toEqual([
    [undefined, undefined],
    ['bytes=100000-', '"one"'],
    ['bytes=200000-', '"one"'],
  ]);
  const file = await openHttp(new URL(`${url}/a.bin`), signal, patience);
  expect(file).toMatchObject({ mtimeSeconds: 1_700_000_000, mtimeNanoseconds: 0, executable: false });
});

test('without a strong ETag the time of the last change counts, and without both nothing goes on', async () => {
  const modified = 'Tue, 14 Nov 2023 22:13:20 GMT';
  const weak = await serve(breaking(200_000, { etag: 'W/"one"', 'last-modified': modified }));
  expect((await get(`${weak}/a`)).equals(bytes)).toBe(true);
  expect(requests[1]?.headers['if-range']).toBe(modified);
  server?.close();
  const none = await serve(breaking(200_000, {}));
  await expect(get(`${none}/a`)).rejects.toMatchObject({
    code: 'failed',
    why: expect.stringContaining('gives no ETag or time') as string,
  });
  expect(requests).toHaveLength(1);
});

test('a file that changed meanwhile is an error', async () => {
  for (const answer of ['all', 'other part', 'other version', 'none']) {
    const url = await serve((request, response) => {
      if (request.headers.range === undefined) return breaking(100_000)(request, response);
      if (answer === 'all') response.writeHead(200, { etag: '"two"' });
      else if (answer === 'none') response.writeHead(416);
      else if (answer === 'other part') response.writeHead(206, { etag: '"one"', 'content-range': 'bytes 5-9/300000' });
      else response.writeHead(206, { etag: '"two"', 'content-range': 'bytes 100000-299999/300000' });
      response.end('other bytes');
    });
    const error = await get(`${url}/a`).catch((reason: unknown) => reason as Error);
    expect({ answer, error }).toMatchObject({ answer, error: { code: 'failed' } });
    expect(requests).toHaveLength(2);
    server?.close();
  }
});

test('a body that is shorter than announced is an error, after a bounded number of tries', async () => {
  const url = await serve((request, response) => {
    if (request.headers.range !== undefined) response.destroy();
    else breaking(1000)(request, response);
  });
  await expect(get(`${url}/a`)).rejects.toMatchObject({ code: 'unreachable' });
  expect(requests).toHaveLength(8);
  server?.close();
  // A few bytes each time are no progress that counts.
  const drip = await serve(breaking(10));
  await expect(get(`${drip}/a`)).rejects.toMatchObject({ code: 'unreachable' });
  expect(requests).toHaveLength(8);
});

test('a server that gives less than was asked for is asked for the rest', async () => {
  const url = await serve((request, response) => {
    if (request.headers.range === undefined) return breaking(100_000)(request, response);
    const start = Number(/\d+/.exec(request.headers.range)?.[0]);
    const part = bytes.subarray(start, start + 80_000);
    const range = `bytes ${start}-${start + part.length - 1}/${bytes.length}`;
    response.writeHead(206, { etag: '"one"', 'content-range': range, 'content-length': part.length }).end(part);
  });
  expect((await get(`${url}/a`)).equals(bytes)).toBe(true);
  expect(requests).toHaveLength(4);
});

test('a server that does not answer is tried a few times; what it refuses is not', async () => {
  let down = 3;
  const url = await serve((request, response) => {
    if (request.url === '/gone') response.writeHead(404).end();
    else if (request.url === '/secret') response.writeHead(403).end();
    else if (down > 0) response.writeHead(503).end();
    else response.end('up');
    down -= 1;
  });
  expect((await get(`${url}/a`)).toString()).toBe('up');
  expect(requests).toHaveLength(4);
  await expect(get(`${url}/gone`)).rejects.toMatchObject({ code: 'not-found' });
  await expect(get(`${url}/secret`)).rejects.toMatchObject({ code: 'denied' });
  expect(requests).toHaveLength(6);
  down = 100;
  await expect(get(`${url}/a`)).rejects.toMatchObject({ code: 'unreachable' });
  expect(requests).toHaveLength(11);
  server?.closeAllConnections();
  server?.close();
  await expect(get(`${url}/a`)).rejects.toMatchObject({
    code: 'unreachable',
    why: 'the connection failed (ECONNREFUSED)',
  });
});

test('silence is a broken connection', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-length': 10 });
    response.write('half');
  });
  await expect(get(`${url}/a`, { idleMs: 100 })).rejects.toMatchObject({ code: 'failed' });
  server?.closeAllConnections();
  server?.close();
  const dumb = await serve(() => undefined);
  await expect(get(`${dumb}/a`, { idleMs: 100 })).rejects.toMatchObject({ code: 'unreachable' });
  expect(requests).toHaveLength(5);
});

test('redirects are followed ten times, and to http and https only', async () => {
  const url = await serve((request, response) => {
    const [, kind, count = '0'] = request.url?.split('/') ?? [];
    const left = Number(count);
    if (kind === 'hop') response.writeHead(302, { location: left > 0 ? `/hop/${left - 1}` : '/end/a' }).end();
    else if (kind === 'file') response.writeHead(301, { location: 'file:///etc/passwd' }).end();
    else if (kind === 'ftp') response.writeHead(307, { location: 'ftp://127.0.0.1/x' }).end();
    else response.end('here');
  });
  expect((await get(`${url}/hop/9`)).toString()).toBe('here');
  expect(requests).toHaveLength(11);
  await expect(get(`${url}/hop/10`)).rejects.toMatchObject({
    code: 'failed',
    why: 'it is redirected more than 10 times',
  });
  await expect(get(`${url}/file`)).rejects.toMatchObject({
    code: 'failed',
    why: 'it is redirected to file:, which is not followed',
  });
  await expect(get(`${url}/ftp`)).rejects.toMatchObject({ code: 'failed' });
});

test('credentials go to the server they are for, and into no message', async () => {
  const other = createServer((request, response) => {
    response.writeHead(request.headers.authorization === undefined ? 404 : 200).end();
  });
  other.listen(0, '127.0.0.1');
  await once(other, 'listening');
  const otherUrl = `http://127.0.0.1:${(other.address() as AddressInfo).port}/b?sig=Geheim`;
  const url = await serve((request, response) => {
    if (request.url?.startsWith('/away')) response.writeHead(302, { location: otherUrl }).end();
    else response.end(request.headers.authorization ?? 'none');
  });
  const own = url.replace('//', '//me:Geheim@');
  expect((await get(`${own}/a`)).toString()).toBe(`Basic ${Buffer.from('me:Geheim').toString('base64')}`);
  const error = await get(`${own}/away?token=Geheim#Geheim`).then(
    () => undefined,
    (reason: unknown) => reason as Error,
  );
  other.close();
  expect(error).toMatchObject({ code: 'not-found' });
  expect(JSON.stringify([error, error?.stack, error?.message])).not.toContain('Geheim');
  expect(() => parseHttpUrl('http://me:Geheim@[/')).toThrow(/^http:\/\/: it is not a valid address$/);
});

test('a stop ends it at once', async () => {
  const stop = new AbortController();
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-length': 10 });
    response.write('half');
  });
  const file = await openHttp(new URL(`${url}/a`), stop.signal, patience);
  const pieces = file.bytes[Symbol.asyncIterator]();
  await pieces.next();
  stop.abort(new Error('enough'));
  await expect(pieces.next()).rejects.toThrow('enough');
  expect(requests).toHaveLength(1);
});

test('a file has the name of the last part of its path', () => {
  const name = (text: string): string => nameOfUrl(parseHttpUrl(text)).toString();
  expect(name('https://h/a/b%20c.csv?x=/y#z')).toBe('b c.csv');
  expect(() => name('https://h/a/')).toThrow('it is empty');
  expect(() => name('https://h/a/..%2Fb')).toThrow('there is a / in it');
  expect(() => name('https://h/%ff')).toThrow('invalid % sequence');
  expect(() => name(`https://h/${'n'.repeat(256)}`)).toThrow('longer than 255');
});
