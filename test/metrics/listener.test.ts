/**
 * The web server for those who watch: where it listens, and what it answers.
 */
import { expect, test } from 'vitest';
import { isLoopback, listen, parseListen, plain } from '../../src/metrics/listener.ts';

test.each([
  ['30601', '127.0.0.1', 30601],
  [':30601', '127.0.0.1', 30601],
  ['localhost:1', '127.0.0.1', 1],
  ['127.0.0.1:30601', '127.0.0.1', 30601],
  ['10.1.2.3:0', '10.1.2.3', 0],
  ['[::1]:30601', '::1', 30601],
  ['[::]:30601', '::', 30601],
])('%s', (text, host, port) => {
  expect(parseListen('--listen', text)).toEqual({ host, port });
});

test.each(['', 'x', '70000', '127.0.0.1', '1.2.3:80', '[1.2.3.4]:80', '::1:80', 'example.org:80', '127.0.0.1:80/x'])(
  '%s is no address to listen at',
  (text) => {
    expect(() => parseListen('--listen', text)).toThrow(`--listen ${text}: it must be an address and a port`);
  },
);

test('only this machine reaches what is not written out', () => {
  expect(isLoopback(parseListen('--listen', '30601'))).toBe(true);
  expect(isLoopback(parseListen('--listen', '[::1]:30601'))).toBe(true);
  expect(isLoopback(parseListen('--listen', '0.0.0.0:30601'))).toBe(false);
});

test('it answers its pages, to who reads, and to nothing else', async () => {
  const pages = {
    '/healthz': () => plain(200, 'ok'),
    '/bad': () => {
      throw new Error('a secret');
    },
  };
  await using server = await listen({ host: '127.0.0.1', port: 0 }, pages);
  const ask = async (path: string, method = 'GET') => {
    const answer = await fetch(`${server.url}${path}`, { method });
    return `${answer.status} ${await answer.text()}`;
  };
  expect(await ask('/healthz?x')).toBe('200 ok\n');
  expect(await ask('/healthz', 'HEAD')).toBe('200 ');
  expect(await ask('/healthz', 'POST')).toBe('405 only GET\n');
  expect(await ask('/bad')).toBe('500 it could not be made\n');
  expect(await ask('/__proto__')).toBe('404 there are /healthz, /bad\n');
  const port = Number(new URL(server.url).port);
  await expect(listen({ host: '127.0.0.1', port }, pages)).rejects.toThrow('another program listens there');
});
