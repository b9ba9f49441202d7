/**
 * Keys that change while a store is open, and those that are missing. Each test has a home of its
 * own with AWS's files in it; between us and a real server stands a proxy that refuses old tokens.
 */
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { openStore } from '../../src/store/open.ts';
import { Bucket } from '../../src/store/s3/bucket.ts';
import { parseS3Url } from '../../src/store/s3/url.ts';
import type { Store } from '../../src/store/store.ts';
import { faultyWay, type FaultyWay } from '../support/faulty-way.ts';
import { s3ForTests, type TestBucket } from '../support/s3.ts';

let place: TestBucket;
let before: NodeJS.ProcessEnv;
let dir: string;

beforeEach(async () => {
  place = await s3ForTests();
  before = { ...process.env };
  dir = mkdtempSync(join(tmpdir(), 'pach-keys-'));
  mkdirSync(join(dir, '.aws'));
  for (const name of Object.keys(process.env).filter((each) => each.startsWith('AWS_'))) delete process.env[name];
  Object.assign(process.env, { HOME: dir, AWS_REGION: 'us-east-1', AWS_EC2_METADATA_DISABLED: 'true' });
});
afterEach(() => {
  process.env = before;
  rmSync(dir, { recursive: true });
});

const id = 'testaccesskey';
const secret = 'testsecretkey';

function writeKeys(token: string, as = id): void {
  const lines = [`aws_access_key_id=${as}`, `aws_secret_access_key=${secret}`, `aws_session_token=${token}`];
  writeFileSync(join(dir, '.aws/credentials'), `[default]\n${lines.join('\n')}\n`);
}

/** A credential_process that gives the token in the file `token`, and notes each call. */
function writeProcess(): void {
  const json = `{"Version":1,"AccessKeyId":"${id}","SecretAccessKey":"${secret}","SessionToken":"$(cat ${dir}/token)"}`;
  const script = `#!/bin/sh\necho call >> ${dir}/calls\ncat <<E\n${json}\nE\n`;
  writeFileSync(join(dir, 'keys.sh'), script, { mode: 0o700 });
  writeFileSync(join(dir, '.aws/config'), `[default]\ncredential_process = ${dir}/keys.sh\n`);
}
const calls = (): number => readFileSync(join(dir, 'calls'), 'utf8').split('\n').length - 1;

const tokenOf = ({ headers, url }: IncomingMessage): unknown =>
  headers['x-amz-security-token'] ?? new URL(url ?? '', 'http://x').searchParams.get('X-Amz-Security-Token');

/** A way that refuses these tokens from the moment they are added. */
async function wayThatRefuses(): Promise<FaultyWay & { refused: Set<unknown>; url: string }> {
  const refused = new Set<unknown>();
  const way = await faultyWay(place.endpoint, (_method, _ranged, request) =>
    refused.has(tokenOf(request)) ? 'expired' : 'works',
  );
  return { ...way, refused, url: place.url.replace(place.endpoint, way.endpoint) };
}

describe('keys that are replaced while a store is open', () => {
  test('every kind of request goes on with the new ones', async () => {
    await using way = await wayThatRefuses();
    const { refused, url } = way;
    writeKeys('t0');
    const store = await openStore(url, { singleWriter: true });
    let turn = 0;
    /** The keys of now are refused from here on, and others are in the file. */
    const rotate = (): void => {
      refused.add(`t${turn}`);
      writeKeys(`t${(turn += 1)}`);
    };
    const large = [Buffer.alloc(200_000, 1), Buffer.alloc(200_000, 2)];
    await store.writeIfAbsent('large', large);
    rotate();
    // It looks first, by HEAD, and has no body in the answer that could say why.
    expect(await store.writeIfAbsent('large', large)).toBe(false);
    rotate();
    expect(Buffer.concat(large).equals(await store.read('large', 0, 400_000))).toBe(true);
    rotate();
    expect((await store.readTail('large', 10)).size).toBe(400_000);
    rotate();
    const conditional = await openStore(url);
    expect(await conditional.writeIfAbsent('second', large)).toBe(true);
    rotate();
    expect(await conditional.writeIfAbsent('third', large)).toBe(true);
    rotate();
    const listed: string[] = [];
    for await (const info of store.list('')) listed.push(info.key);
    expect(listed.toSorted()).toEqual(['large', 'second', 'third']);
    rotate();
    const bucket = await Bucket.open(parseS3Url(url));
    const signal = new AbortController().signal;
    const prefix = parseS3Url(url).prefix;
    await bucket.list(prefix, undefined, signal);
    rotate();
    expect((await bucket.list(prefix, undefined, signal)).objects).toHaveLength(3);
    rotate();
    const { size, body } = await bucket.read(`${prefix}third`, { offset: 0, etag: undefined }, signal);
    expect(size).toBe(400_000);
    for await (const _ of body);
    rotate();
    await store.delete('third');
    rotate();
    const source = await store.direct?.('large');
    rotate();
    expect((await fetch(source?.url ?? '', { headers: { range: 'bytes=0-9' } })).status).toBe(400);
    expect(await source?.refused?.()).toBe(true);
    const again = await store.direct?.('large');
    expect((await fetch(again?.url ?? '', { headers: { range: 'bytes=0-9' } })).status).toBe(206);
    bucket.close();
    await conditional.close();
    await store.close();
  });

  /** A store that has used the token `old`, which the server refuses from now on. */
  async function refusedStore(way: Awaited<ReturnType<typeof wayThatRefuses>>): Promise<Store> {
    writeProcess();
    writeFileSync(join(dir, 'token'), 'old');
    const store = await openStore(way.url);
    await store.writeIfAbsent('key', [Buffer.from('x')]);
    expect(calls()).toBe(1);
    way.refused.add('old');
    return store;
  }

  test('many requests that fail at once share one look-up', async () => {
    await using way = await wayThatRefuses();
    const store = await refusedStore(way);
    writeFileSync(join(dir, 'token'), 'new');
    await Promise.all(Array.from({ length: 20 }, () => store.read('key', 0, 1)));
    expect(calls()).toBe(2);
    await store.close();
  });

  test('keys that stay wrong are looked up once, and nothing is sent again', async () => {
    await using way = await wayThatRefuses();
    const store = await refusedStore(way);
    way.requests.length = 0;
    const reads = Array.from({ length: 20 }, () => store.read('key', 0, 1).catch((error: unknown) => error));
    for (const error of await Promise.all(reads)) {
      expect(isPachError(error, 'denied')).toBe(true);
      expect(String(error)).toContain('the credentials have expired');
    }
    const source = await store.direct?.('key');
    expect(await source?.refused?.()).toBe(false);
    expect(way.requests).toHaveLength(20);
    expect(calls()).toBe(2);
    await store.close();
  });

  test('a real server that knew other keys only: they are looked up again after a while', async () => {
    writeKeys('', 'nobody');
    const store = await openStore(place.url);
    await expect(store.readWithToken('key')).rejects.toThrow('does not accept the credentials');
    writeKeys('');
    // Not at once: to look keys up may mean to run a program.
    await expect(store.readWithToken('key')).rejects.toThrow('does not accept the credentials');
    const now = performance.now();
    const later = vi.spyOn(performance, 'now').mockReturnValue(now + 6_000);
    expect(await store.readWithToken('key')).toBeUndefined();
    later.mockRestore();
    await store.close();
  });
});

describe('why there are no credentials', () => {
  beforeEach(() => {
    const profiles: Record<string, string> = {
      'profile proc': 'credential_process = /bin/false --password hunter2',
      'profile loud': `credential_process = /bin/sh -c "echo hunter2; echo hunter2 >&2; exit 3"`,
      'profile sso': 'sso_session = x\nsso_account_id = 1\nsso_role_name = r',
      'sso-session x': 'sso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1',
      'profile old-sso':
        'sso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r',
      'profile role': 'role_arn = arn:aws:iam::1:role/x\nsource_profile = proc',
      'profile lost': 'role_arn = arn:aws:iam::1:role/x\nsource_profile = gone',
      'profile empty': 'region = us-east-1',
      'profile base': 'aws_access_key_id = a\naws_secret_access_key = hunter2',
      'profile far': 'role_arn = arn:aws:iam::1:role/x\nsource_profile = base',
    };
    for (const [name, lines] of Object.entries(profiles)) {
      appendFileSync(join(dir, '.aws/config'), `[${name}]\n${lines}\n`);
    }
  });

  const config = '~/.aws/config';
  test.each([
    [
      'proc',
      `profile proc (${config}): its credential_process, /bin/false, failed`,
      'credential_process of profile proc by hand',
    ],
    ['loud', `profile loud (${config}): its credential_process, /bin/sh, failed`, 'by hand'],
    ['sso', `profile sso (${config}): its SSO session has expired`, 'aws sso login --profile sso'],
    ['old-sso', `profile old-sso (${config}): its SSO session has expired`, 'aws sso login --profile old-sso'],
    ['role', `profile proc (${config}): its credential_process, /bin/false, failed`, 'profile proc by hand'],
    ['lost', `profile gone: no such profile, and profile lost (${config}) takes its credentials from it`, 'proc, loud'],
    ['empty', `profile empty (${config}): it has no credentials`, 'aws configure --profile empty'],
    [
      'misspelt',
      `profile misspelt: no such profile; it is neither in ${config}`,
      'there are: proc, loud, sso, old-sso',
    ],
  ])('profile %s', async (profile, why, next) => {
    process.env['AWS_PROFILE'] = profile;
    const store = await openStore('s3://bucket/p?endpoint=http://127.0.0.1:9');
    const error = await store.readWithToken('key').catch((reason: unknown) => reason);
    if (!isPachError(error, 'denied')) throw error;
    expect(error.message).toContain(why);
    expect(error.next).toContain(next);
    for (let at: unknown = error; at instanceof Error; at = at.cause) {
      expect(`${at.stack} ${at.message}`).not.toContain('hunter2');
    }
    await store.close();
  });

  test('a server of credentials that does not answer may answer later', async () => {
    process.env['AWS_PROFILE'] = 'far';
    process.env['AWS_ENDPOINT_URL_STS'] = 'http://127.0.0.1:9';
    const store = await openStore('s3://bucket/p?endpoint=http://127.0.0.1:9', { retry: { timeoutMs: 2_000 } });
    const error = await store.readWithToken('key').catch((reason: unknown) => reason);
    if (!isPachError(error, 'unreachable')) throw error;
    expect(error.message).toContain(`profile far (${config}): the server that gives its credentials does not answer`);
    await store.close();
  });
});
