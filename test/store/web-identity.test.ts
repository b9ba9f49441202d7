/** Credentials that a service account's token is exchanged for, as in a pod that has no keys. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openStore } from '../../src/store/open.ts';
import { s3ForTests, type TestBucket } from '../support/s3.ts';
import { tokenService, type TokenService } from '../support/token-service.ts';

const role = 'arn:aws:iam::123456789012:role/pach';
let place: TestBucket;
let service: TokenService;
let before: NodeJS.ProcessEnv;
let dir: string;
let file: string;

beforeEach(async () => {
  place = await s3ForTests();
  const { AWS_ACCESS_KEY_ID: id = '', AWS_SECRET_ACCESS_KEY: secret = '' } = place.env;
  service = await tokenService({ id, secret });
  before = { ...process.env };
  dir = mkdtempSync(join(tmpdir(), 'pach-token-'));
  file = join(dir, 'token');
  for (const name of Object.keys(process.env).filter((each) => each.startsWith('AWS_'))) delete process.env[name];
  Object.assign(process.env, {
    HOME: dir,
    AWS_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ROLE_ARN: role,
    AWS_WEB_IDENTITY_TOKEN_FILE: file,
    AWS_ENDPOINT_URL_STS: `http://127.0.0.1:${service.port}`,
  });
});
afterEach(async () => {
  process.env = before;
  rmSync(dir, { recursive: true });
  await service[Symbol.asyncDispose]();
});

const tokens = (): unknown[] => service.asked.map((asked) => asked.get('WebIdentityToken'));

test('a token is exchanged for keys, once while they hold, and read anew before they end', async () => {
  writeFileSync(file, 'first token');
  const store = await openStore(place.url);
  await store.writeIfAbsent('a', [Buffer.from('a')]);
  expect((await store.read('a', 0, 1)).toString()).toBe('a');
  expect(service.asked.map((asked) => Object.fromEntries(asked))).toEqual([
    expect.objectContaining({
      Action: 'AssumeRoleWithWebIdentity',
      RoleArn: role,
      WebIdentityToken: 'first token',
    }),
  ]);
  await store.close();

  // Keys that end within minutes are renewed before that, with the token that the kubelet has written since.
  service.seconds = 60;
  const renewed = await openStore(place.url);
  await renewed.read('a', 0, 1);
  writeFileSync(file, 'second token');
  await renewed.read('a', 0, 1);
  await expect.poll(async () => (await renewed.read('a', 0, 1), tokens().at(-1))).toBe('second token');
  await renewed.close();
});

test('what goes wrong with a token is said by the role', async () => {
  const fails = async (): Promise<unknown> => {
    const store = await openStore(place.url);
    return store.read('a', 0, 1).catch((error: unknown) => error);
  };
  const what = `role ${role}`;
  expect(await fails()).toMatchObject({ code: 'denied', what, why: `the token in ${file} can't be read (ENOENT)` });
  writeFileSync(file, 'a token');
  service.refuses = { code: 'InvalidIdentityToken', message: 'Incorrect token audience' };
  const refused = { code: 'denied', what, why: 'its token is refused: Incorrect token audience' };
  expect(await fails()).toMatchObject({ ...refused, next: expect.stringContaining('audience') });
  process.env['AWS_ENDPOINT_URL_STS'] = 'http://127.0.0.1:1';
  const away = { code: 'unreachable', what, next: expect.stringContaining('AWS_ENDPOINT_URL_STS') };
  expect(await fails()).toMatchObject(away);
});
