/**
 * The doctor, and stores without conditional writes.
 */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketPolicyCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import type { Check } from '../../src/store/check.ts';
import { openStore } from '../../src/store/open.ts';
import { Place, type Result } from '../support/place.ts';
import { plainS3 } from '../support/plain-s3.ts';
import { s3ForTests, s3Stranger } from '../support/s3.ts';

const storeChecks = [
  'list',
  'write and read back',
  'ranged reads',
  'write if absent',
  'write if unchanged',
  'listing',
  'delete',
  'clock',
  'latency',
  'bandwidth',
];
const machineChecks = ['kernel', '/dev/fuse', 'fusermount3', 'cache folder', 'free space'];
const before = [...machineChecks, 'store', 'project'];

function checksOf({ stdout }: Result): Check[] {
  const lines = stdout.split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Check);
}

const named = (checks: readonly Check[], name: string) => checks.find(({ check }) => check === name);

test('a folder that is no store is examined and stays as it is', async () => {
  await using place = await Place.make('root', { PACH_STORE: 'store' });
  const absent = await place.run('pach doctor -o json');
  expect(absent).toMatchObject({ code: 0, stderr: '' });
  const checks = checksOf(absent);
  expect(checks.map(({ check }) => check)).toEqual([...before, ...storeChecks]);
  expect(named(checks, 'store')?.value).toMatch(/^none yet/);
  expect(named(checks, 'write if absent')?.value).toBe('20 racing writers, 1 won');
  expect(named(checks, 'latency')?.value).toMatch(/^median: read [\d.]+ ms, write [\d.]+ ms$/);
  expect(await place.must('find . -mindepth 1')).toBe('./home\n');

  await place.must('mkdir store; echo kept > store/mine');
  const foreign = await place.run('pach doctor');
  expect(foreign.code).toBe(1);
  expect(foreign.stdout).toMatch(/^CHECK +STATE +VALUE +ADVICE\n/);
  expect(foreign.stdout).toMatch(
    /\nstore +fail +.*not a pachmount store: it holds other things \(mine\) +repeat the command/,
  );
  expect(await place.must('find store -mindepth 1')).toBe('store/mine\n');

  const typo = await place.run('pach doctor --store no/such/store -o json');
  expect(typo.code).toBe(1);
  expect(named(checksOf(typo), 'store')).toMatchObject({ state: 'fail', advice: `mkdir -p ${place.dir}/no/such` });
});

test('a store with a project is described, and nothing in it changes', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo data');
  const all = 'cd "$PACH_HOME" && find . -mindepth 1 | sort';
  const held = await place.must(all);
  const { code, stdout } = await place.run('pach doctor');
  expect(code).toBe(0);
  expect(stdout).toMatch(/\nstore +ok +[0-9a-f]{32}, made 20/);
  expect(stdout).toMatch(/\nproject +ok +default: last changed 20/);
  expect(await place.must(all)).toBe(held);
  await place.must('chmod u+w "$PACH_HOME"/store/pachmount; echo nonsense > "$PACH_HOME"/store/pachmount');
  const damaged = await place.run('pach doctor -o json');
  expect(damaged.code).toBe(1);
  expect(named(checksOf(damaged), 'store')?.state).toBe('fail');
});

test('what an ordinary user may not write is told', async () => {
  await using place = await Place.make('user', { PACH_STORE: '/proc/1' });
  await mkdir(join(place.dir, 'closed'));
  await writeFile(join(place.dir, 'closed/x'), '');
  await chmod(join(place.dir, 'closed'), 0o755);
  const { code, stdout } = await place.run('PACH_HOME=$PWD/closed/home pach doctor --store $PWD/closed -o json');
  expect(code).toBe(1);
  const checks = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Check);
  expect(named(checks, 'cache folder')).toMatchObject({ state: 'warn' });
  expect(named(checks, 'write and read back')).toMatchObject({ state: 'fail' });
  expect(checks.at(-1)?.check).toBe('write and read back');
});

test('a real S3 server: all there, more than a page listed, and nothing left', async () => {
  const { url, env } = await s3ForTests();
  await using place = await Place.make('root', { ...env, PACH_STORE: url });
  const { code, stdout, stderr } = await place.run('pach doctor -o json', 120);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const checks = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Check);
  expect(checks.map(({ check }) => check)).toEqual([...before, ...storeChecks, 'checksums']);
  expect(named(checks, 'listing')?.value).toBe('1010 objects, all listed, in order');
  expect(named(checks, 'write if unchanged')).toEqual({
    check: 'write if unchanged',
    state: 'ok',
    value: '20 racing writers, 1 won',
  });
  // Ceph takes what arrives.
  expect(named(checks, 'checksums')?.state).toBe('warn');
  await using store = await openStore(url).then((opened) => ({
    opened,
    [Symbol.asyncDispose]: () => opened.close(),
  }));
  for (const prefix of ['', '.probe/']) for await (const { key } of store.opened.list(prefix)) expect(key).toBe('');
});

test('a server that does not answer: exit code 5, after what is known of the machine', async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  await using place = await Place.make('root', { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' });
  const { code, stdout, stderr } = await place.run(`pach doctor --store s3://b-1?endpoint=http://127.0.0.1:${port}`);
  expect(code).toBe(5);
  expect(stdout).toMatch(/\nfree space +/);
  expect(stderr).toMatch(/^pach: s3:\/\/b-1: .*does not answer \(ECONNREFUSED\)\nhint: /);
});

test('a bucket that does not exist', async () => {
  const { endpoint, env } = await s3ForTests();
  await using place = await Place.make('root', env);
  const absent = await place.run(`pach doctor --store s3://no-such-bucket?endpoint=${endpoint} -o json`);
  expect(absent.code).toBe(1);
  expect(named(checksOf(absent), 'list')).toMatchObject({
    state: 'fail',
    advice: `aws s3 mb s3://no-such-bucket --endpoint-url ${endpoint}`,
  });
});

test.each(['ignored', 'refused'] as const)(
  'where conditions are %s nothing is written, unless --single-writer',
  async (how) => {
    await using plain = await plainS3(how);
    await using place = await Place.make('root', { ...plain.env, PACH_STORE: plain.url });
    plain.skewMs = -3_600_000;
    const examined = await place.run('pach doctor -o json');
    expect(examined.code).toBe(1);
    const checks = checksOf(examined);
    expect(named(checks, how === 'ignored' ? 'write if absent' : 'write and read back')?.state).toBe('fail');
    // A clock that is wrong is told too, where it came so far.
    const value = expect.stringMatching(/^the store's clock is 3[56]\d\d\.\d s behind$/) as string;
    const isBehind = expect.objectContaining({ state: 'warn', value }) as Check;
    expect(named(checks, 'clock')).toEqual(how === 'ignored' ? isBehind : undefined);
    plain.skewMs = 0;

    const refused = await place.run('pach create repo data');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^pach: s3:.*: it does not support conditional writes.*\nhint: .*--single-writer/);
    expect(plain.objects.size).toBe(0);

    await place.must('pach create repo data --single-writer');
    await place.must('echo one | PACH_SINGLE_WRITER=1 pach put file data@master:/a -f -');
    const held = plain.objects.size;
    const again = await place.run('echo two | pach put file data@master:/a -f -');
    expect({ code: again.code, size: plain.objects.size }).toEqual({ code: 1, size: held });
    await place.must('echo two | pach put file data@master:/b -f - --single-writer');
    // Who only reads needs no flag, and asks for nothing but what it reads.
    plain.requests.length = 0;
    expect(await place.must('pach get file data:/a; pach get file data:/b')).toBe('one\ntwo\n');
    expect(plain.requests.filter((request) => !request.startsWith('GET'))).toEqual([]);
    expect(await place.must('pach list commit data -o json | wc -l')).toBe('2\n');
  },
);

test('--single-writer is refused where it means nothing, the variable is not', async () => {
  await using place = await Place.make('root', { PACH_SINGLE_WRITER: '1' });
  const { code, stderr } = await place.run('pach create repo data --single-writer');
  expect(code).toBe(2);
  expect(stderr).toMatch(/^pach: --single-writer with the store .*: a folder needs no --single-writer; the option/);
  await place.must('pach create repo data');
});

test('a bucket copied elsewhere is probed once by each machine, before its first write', async () => {
  const { url, env } = await s3ForTests();
  await using plain = await plainS3();
  await using place = await Place.make('root', { ...env, PACH_STORE: url });
  await place.must('pach create repo data && echo one | pach put file data@master:/a -f -');
  // Its objects, byte for byte, in a server that keeps no such promise.
  const from = await openStore(url);
  for await (const { key, size } of from.list('')) {
    const body = Buffer.from(await from.read(key, 0, size));
    plain.objects.set(`/bucket/prefix/${key}`, { body, modified: new Date() });
  }
  await from.close();
  const copied = plain.objects.size;
  const write = `echo two | PACH_STORE='${plain.url}' pach put file data@master:/a -f -`;
  const refused = await place.run(write);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('it does not support conditional writes');
  expect(plain.objects.size).toBe(copied);
  expect(await place.must(`pach get file data:/a --store '${plain.url}'`)).toBe('one\n');

  const kept = 'ls "$PACH_HOME"/probed | wc -l';
  expect(await place.must(kept)).toBe('1\n');
  await place.must('rm -r "$PACH_HOME"/probed; pach get file data:/a; test ! -e "$PACH_HOME"/probed');
  await place.must('echo two | pach put file data@master:/a -f -');
  expect(await place.must(kept)).toBe('1\n');
});

test('a bucket with versioning is named as the reason', async () => {
  const { endpoint, env, bucket } = await s3ForTests();
  const Bucket = `${bucket}-versions`;
  const client = new S3Client({ endpoint, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket }));
  const set = (Status: 'Enabled' | 'Suspended') =>
    client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
  await set('Enabled');
  await using place = await Place.make('root', { ...env, PACH_STORE: `s3://${Bucket}/p?endpoint=${endpoint}` });
  const refused = await place.run('pach create repo data');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/^pach: s3:.*: its bucket has versioning, .*\nhint: suspend the bucket's versioning/);
  const examined = await place.run('pach doctor -o json');
  expect(examined.code).toBe(1);
  const check = named(checksOf(examined), 'write if absent');
  expect(check).toMatchObject({
    state: 'fail',
    advice: expect.stringContaining("suspend the bucket's versioning") as string,
  });
  expect(check?.value).toContain('its bucket has versioning');
  // What the advice says helps.
  await set('Suspended');
  await place.must('pach create repo data && date | pach put file data@master:/f -f -');
  client.destroy();
});

interface Policy {
  readonly Statement: readonly { readonly Action: readonly string[] }[];
}

test('the printed policy is enough for its role, and less is not', async () => {
  const { endpoint, env, bucket } = await s3ForTests();
  const stranger = await s3Stranger();
  // A bucket's name, and a prefix with what means something in a pattern's place.
  const Bucket = `${bucket}-policy`;
  const PACH_STORE = `s3://${Bucket}/team@site/a?endpoint=${endpoint}`;
  const client = new S3Client({ endpoint, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket }));
  await using owner = await Place.make('root', { ...env, PACH_STORE });
  await using place = await Place.make('root', { ...env, ...stranger, PACH_STORE });
  await owner.must('pach create repo data && date | pach put file data@master:/f -f -');
  await owner.must(`pach --store 's3://${Bucket}/team@site/b?endpoint=${endpoint}' create repo other`);

  const printed = async (role: string): Promise<Policy> =>
    JSON.parse(await owner.must(`pach doctor --print-policy ${role} 2>/dev/null`)) as Policy;
  const allow = async ({ Statement }: Policy, without?: string): Promise<void> => {
    const Principal = { AWS: [`arn:aws:iam:::user/${stranger['AWS_ACCESS_KEY_ID']}`] };
    const kept = Statement.map((each) => ({ ...each, Principal, Action: each.Action.filter((a) => a !== without) }));
    const rest = { Version: '2012-10-17', Statement: kept.filter(({ Action }) => Action.length > 0) };
    await client.send(new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify(rest) }));
  };
  const read =
    'pach get file data@master:/f -o - >/dev/null && pach stats >/dev/null && ! pach list repo --project none';
  const write = 'date +%N | pach put file data@master:/g -f -';
  const collect = 'pach gc --grace 0';
  const denied = async (script: string): Promise<void> => {
    const result = await place.run(script);
    expect(result.stderr).toContain('is denied');
    expect(result.code).not.toBe(0);
  };

  const reader = await printed('reader');
  await allow(reader);
  expect((await place.run(read)).stderr).toMatch(/there is no such project/);
  await place.must(read);
  await denied(write);
  await denied(`pach --store 's3://${Bucket}/team@site/b?endpoint=${endpoint}' list repo`);
  await allow(reader, 's3:GetObject');
  await denied('pach list repo');
  await allow(reader, 's3:ListBucket');
  await denied('pach list repo --project none');

  const writer = await printed('writer');
  await allow(writer);
  await place.must(`${read} && ${write}`);
  for (const action of ['s3:GetObject', 's3:PutObject']) {
    await allow(writer, action);
    await denied(write);
  }
  await allow(writer, 's3:ListBucket');
  await denied('pach create repo first --project new');

  await allow(writer);
  await place.must(
    'pach delete file data@master:/g && pach create repo gone && date | pach put file gone@master:/x -f -',
  );
  await place.must('pach delete repo gone --force');
  await denied(collect);
  const collector = await printed('gc');
  await allow(collector, 's3:PutObject');
  await denied(collect);
  await allow(collector);
  await place.must(`${collect} && ${read}`);
  client.destroy();
});
