import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { networkOf } from '../../src/store/network.ts';

let before: NodeJS.ProcessEnv;
beforeEach(() => {
  before = { ...process.env };
  for (const name of Object.keys(process.env)) {
    if (/^(?:(?:https?|all|no)_proxy|AWS_.*)$/i.test(name)) delete process.env[name];
  }
  process.env['AWS_CONFIG_FILE'] = '/dev/null';
});
afterEach(() => {
  process.env = before;
});

/** The proxy to an address with these variables. */
async function proxyTo(address: string, variables: Record<string, string>): Promise<string | undefined> {
  const kept = { ...process.env };
  Object.assign(process.env, variables);
  try {
    return (await networkOf()).proxyTo(new URL(address))?.href;
  } finally {
    process.env = kept;
  }
}

describe('proxies', () => {
  test('by scheme, in upper and lower case, with or without a scheme of their own', async () => {
    const both = { HTTP_PROXY: 'http://a:1', HTTPS_PROXY: 'b:2' };
    expect(await proxyTo('http://x', both)).toBe('http://a:1/');
    expect(await proxyTo('https://x', both)).toBe('http://b:2/');
    expect(await proxyTo('https://x', { ...both, https_proxy: 'https://u:p@c' })).toBe('https://u:p@c/');
    expect(await proxyTo('http://x', { ALL_PROXY: 'd:4' })).toBe('http://d:4/');
    expect(await proxyTo('https://x', { HTTP_PROXY: 'a:1', https_proxy: '' })).toBeUndefined();
  });

  test.each([
    ['example.com', 'https://example.com', true],
    ['example.com', 'https://s3.example.com', true],
    ['.example.com', 'https://s3.example.com', true],
    ['*.example.com', 'https://s3.EXAMPLE.com', true],
    ['example.com', 'https://badexample.com', false],
    ['a, example.com:8443 b', 'https://example.com:8443', true],
    ['example.com:8443', 'https://example.com', false],
    ['example.com:443', 'https://example.com', true],
    ['*', 'https://anything', true],
    ['10.0.0.0/8', 'https://10.1.2.3:9000', true],
    ['10.0.0.0/8', 'https://11.1.2.3', false],
    ['127.0.0.1', 'http://127.0.0.1:9000', true],
    ['::1', 'http://[::1]:9000', true],
    ['fd00::/8', 'http://[fd12::1]', true],
    ['', 'https://example.com', false],
  ])('NO_PROXY=%s %s %s', async (NO_PROXY, address, isDirect) => {
    const all = { ALL_PROXY: 'http://proxy:3128' };
    expect((await proxyTo(address, { ...all, NO_PROXY })) === undefined).toBe(isDirect);
    expect((await proxyTo(address, { ...all, no_proxy: NO_PROXY })) === undefined).toBe(isDirect);
  });

  test('one that is none is named without what is in it', async () => {
    for (const wrong of ['socks5://me:hunter2@host:1', 'http://me:hunter2@', 'me:hunter2@host:port']) {
      const error = await proxyTo('https://x', { HTTPS_PROXY: wrong }).catch((reason: unknown) => reason);
      expect(isPachError(error, 'usage')).toBe(true);
      expect(`${String(error)} ${(error as Error).stack}`).not.toContain('hunter2');
    }
  });
});

test('a file of authorities that is missing or holds none', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pach-bundle-'));
  writeFileSync(join(dir, 'empty.pem'), 'nothing');
  for (const [name, why] of Object.entries({ 'gone.pem': 'ENOENT', 'empty.pem': 'it holds no certificate' })) {
    process.env['AWS_CA_BUNDLE'] = join(dir, name);
    await expect(networkOf()).rejects.toThrow(`AWS_CA_BUNDLE (${join(dir, name)})`);
    await expect(networkOf()).rejects.toThrow(why);
  }
  rmSync(dir, { recursive: true });
});
