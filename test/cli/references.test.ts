/**
 * Files that are put by reference: their bytes stay in a bucket, real ones here, with and without versions.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { shellSpec } from '../pipelines/cli-world.ts';
import { isLong } from '../support/long.ts';
import { Place } from '../support/place.ts';
import { startProxy } from '../support/s3-proxy.ts';
import { s3ForTests, s3Stranger, type TestBucket } from '../support/s3.ts';

let s3: TestBucket;
let client: S3Client;

beforeAll(async () => {
  s3 = await s3ForTests();
  client = new S3Client({ endpoint: s3.endpoint, forcePathStyle: true });
});
afterAll(() => client.destroy());

/** A bucket of one test. */
class Outside {
  readonly name = `outside-${randomBytes(6).toString('hex')}`;

  static async make(keepsVersions: boolean): Promise<Outside> {
    const made = new Outside();
    await client.send(new CreateBucketCommand({ Bucket: made.name }));
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    if (keepsVersions)
      await client.send(new PutBucketVersioningCommand({ Bucket: made.name, VersioningConfiguration }));
    return made;
  }

  async put(key: string, body: string | Buffer): Promise<void> {
    await client.send(
      new PutObjectCommand({ Bucket: this.name, Key: key, Body: body, ContentLength: Buffer.byteLength(body) }),
    );
  }

  async delete(key: string): Promise<void> {
    await client.send(new DeleteObjectCommand({ Bucket: this.name, Key: key }));
  }

  url(key: string): string {
    return `'s3://${this.name}/${key}?endpoint=${s3.endpoint}'`;
  }
}

async function newPlace(): Promise<Place> {
  const place = await Place.make('root', s3.env);
  await place.must('pach create repo lake');
  return place;
}

async function json(place: Place, command: string): Promise<unknown[]> {
  const lines = (await place.must(`${command} -o json`)).split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as unknown);
}

const large = Buffer.alloc(9_000_000, 'the bytes of a large object ');

test('objects without versions: read by their ETag, and never as anything else', async () => {
  await using place = await newPlace();
  const outside = await Outside.make(false);
  await outside.put('raw/a.txt', 'first');
  await outside.put('raw/deep/b', 'x'.repeat(1000));
  await outside.put('raw/empty', '');
  await outside.put('raw/large', large);
  const put = await place.run(`pach put file lake@master:/ -r -f ${outside.url('raw/')} --reference`);
  expect(put).toMatchObject({ code: 0 });
  expect(put.stderr).toContain(`s3://${outside.name}: it keeps no versions of its objects`);

  const files = await json(place, 'pach list file lake@master:/ -r');
  const etag = expect.stringMatching(/^[0-9a-f]{32}$/) as string;
  expect(files).toMatchObject([
    { path: '/a.txt', bytes: 5, reference: { url: `s3://${outside.name}/raw/a.txt?endpoint=${s3.endpoint}`, etag } },
    { path: '/deep', kind: 'dir', bytes: 1000 },
    { path: '/deep/b', bytes: 1000, reference: { etag } },
    { path: '/empty', bytes: 0 },
    { path: '/large', bytes: large.length, reference: { etag } },
  ]);
  expect(files[3]).not.toHaveProperty('reference');
  expect(await place.must('pach get file lake@master:/a.txt')).toBe('first');
  await place.must('pach get file lake@master:/large > large; pachmount lake@master m');
  expect(
    await place.must('cat m/lake/a.txt; wc -c < m/lake/deep/b; cmp m/lake/large large && stat -c %s m/lake/large'),
  ).toBe(`first1000\n${large.length}\n`);

  // What was warmed is here.
  await place.must('pach cache clear; pach cache warm lake@master');
  const doctor = async () =>
    (await json(place, 'pach doctor')).filter((line) => (line as { check: string }).check.startsWith('references'));
  expect(await doctor()).toMatchObject([
    { check: `references to s3://${outside.name} at ${s3.endpoint}`, state: 'ok' },
  ]);

  // An object that changes, and one that goes: the cache has their bytes, a reader without it gets an error.
  await outside.put('raw/a.txt', 'other');
  await outside.delete('raw/deep/b');
  expect(await place.must('pach get file lake@master:/a.txt')).toBe('first');
  await place.must('pach unmount m; pach cache clear; pachmount lake@master m');
  const read = await place.run('cat m/lake/a.txt m/lake/deep/b');
  expect(read).toMatchObject({ code: 1, stdout: '' });
  expect(read.stderr.match(/Input\/output error/g)).toHaveLength(2);
  const got = await place.run('pach get file lake@master:/a.txt');
  expect(got).toMatchObject({ code: 1, stdout: '' });
  expect(got.stderr).toContain(
    `pach: s3://${outside.name}/raw/a.txt: a file refers to this object, and it has changed`,
  );
  expect((await place.run('pach get file lake@master:/deep/b')).stderr).toContain('it is not there any more');
  expect(await doctor()).toMatchObject([{ state: 'warn', value: expect.stringContaining('it has changed') as string }]);
  const log = await place.must('cat home/.pachmount/mounts/*.log');
  expect(log).toContain(`s3://${outside.name}/raw/a.txt`);
  expect(log).toContain(`s3://${outside.name}/raw/deep/b`);
});

test('objects with versions are read as they were when they are overwritten', async () => {
  await using place = await newPlace();
  const outside = await Outside.make(true);
  await outside.put('raw/a', 'old');
  await outside.put('raw/a', 'now');
  await outside.put('raw/gone', 'gone');
  await outside.delete('raw/gone');
  await outside.put('raw/b', 'b');
  const put = await place.run(`pach put file lake@master -r -f ${outside.url('raw')} --reference`);
  expect(put).toMatchObject({ code: 0, stderr: expect.not.stringContaining('versions') as string });
  expect(await json(place, 'pach list file lake@master:/raw')).toMatchObject([
    { path: '/raw/a', bytes: 3, reference: { version: expect.stringMatching(/.{8}/) as string } },
    { path: '/raw/b' },
  ]);
  await outside.put('raw/a', 'later');
  await outside.delete('raw/b');
  expect(await place.must('pach get file lake@master:/raw/a; pach get file lake@master:/raw/b')).toBe('nowb');

  // One object, under another name; putting it again changes nothing until it changes.
  const one = `pach put file lake@master:/one -f ${outside.url('raw/a')} --reference`;
  await place.must(`${one}; ${one}`);
  expect(await json(place, 'pach list commit lake@master')).toHaveLength(2);
  expect(await place.must('pach get file lake@master:/one')).toBe('later');
  await outside.put('raw/a', 'again');
  await place.must(one);
  expect(await json(place, 'pach list commit lake@master')).toHaveLength(3);
  expect(await place.must('pach get file lake@master:/one')).toBe('again');
  // A version that is removed for good.
  const { Versions = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: outside.name, Prefix: 'raw/a' }));
  for (const { VersionId } of Versions) {
    await client.send(new DeleteObjectCommand({ Bucket: outside.name, Key: 'raw/a', VersionId }));
  }
  await place.must('pach cache clear');
  expect(await place.run('pach get file lake@master:/one')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(
      `s3://${outside.name}/raw/a: a file refers to this object, and it is not`,
    ) as string,
  });
});

test('what can not be referred to, and buckets without rights', async () => {
  await using place = await newPlace();
  const outside = await Outside.make(false);
  await outside.put('raw/a', 'a');
  const put = (what: string) => place.run(`pach put file lake@master:/x/ -f ${what} --reference`);
  await place.must('mkdir folder; touch file');
  for (const what of ['file', 'folder -r', 'http://127.0.0.1:1/x', '-']) {
    expect(await put(what)).toMatchObject({ code: 2, stderr: expect.stringContaining('--reference is for') as string });
  }
  expect(await put(outside.url('raw/'))).toMatchObject({ code: 2 });
  expect(await put(`${outside.url('none/')} -r`)).toMatchObject({ code: 3 });
  expect(await put(outside.url('raw/none'))).toMatchObject({ code: 3 });
  expect(await put(`'s3://no-such-${outside.name}/x?endpoint=${s3.endpoint}'`)).toMatchObject({ code: 3 });
  expect(await put(`${outside.url('raw/a')} --append`)).toMatchObject({ code: 2 });
  expect(await json(place, 'pach list commit lake')).toEqual([]);

  await place.must(`pach put file lake@master:/x/ -f ${outside.url('raw/a')} --reference`);
  const stranger = Object.entries(await s3Stranger()).map((pair) => pair.join('='));
  const read = await place.run(`${stranger.join(' ')} pach get file lake@master:/x/a`);
  const denied = { code: 1, stdout: '', stderr: expect.stringContaining(`bucket ${outside.name} is denied`) as string };
  expect(read).toMatchObject(denied);
  const listed = await place.run(
    `${stranger.join(' ')} pach put file lake@master -r -f ${outside.url('raw/')} --reference`,
  );
  expect(listed).toMatchObject(denied);
});

test('what keeps a store in order knows them, and so do copies, differences, archives and other programs', async () => {
  await using place = await newPlace();
  const outside = await Outside.make(false);
  await outside.put('raw/a', 'line 1\nline 2\n');
  await outside.put('raw/sub/b', 'b'.repeat(300));
  await place.must(`pach put file lake@master:/ -r -f ${outside.url('raw/')} --reference`);
  await place.must(
    'pach create repo copies; pach copy file lake@master:/sub copies@master:/; echo c > c; pach put file copies@master:/c -f c',
  );
  await place.must('pach put file lake@dev:/a -f - <<< "line 1"; pach copy file lake@master:/a lake@dev:/a');

  expect(await json(place, 'pach fsck')).toMatchObject([{ checked: { references: 2 }, errors: 0, warnings: 0 }]);
  expect(await json(place, 'pach stats')).toMatchObject([{ references: { files: 4, bytes: 628 } }]);
  await place.must('pach gc --grace 0; pach fsck --read-data 100%');
  expect(await place.must('pach get file copies@master:/sub/b | wc -c; pach get file lake@dev:/a')).toBe(
    '300\nline 1\nline 2\n',
  );
  expect((await place.run('pach diff file lake@dev^:/a lake@dev:/a --content')).stdout).toMatch(/line 2/);
  expect(await place.must('pach get file lake@master:/ -r --tar | tar xO a')).toBe('line 1\nline 2\n');

  // The program that was written after the page of the format alone lists them, and says what it can't restore.
  const second = `/usr/bin/python3 ${resolve('fixtures/format/read_store.py')} home/.pachmount/store`;
  const [{ commit = '' } = {}] = (await json(place, 'pach list commit copies@master')) as { commit?: string }[];
  const lines = (await place.must(`${second} files ${commit}`)).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { path: '/c' },
    { path: '/sub' },
    { path: '/sub/b', size: 300, reference: expect.stringContaining(`s3://${outside.name}/raw/sub/b at`) as string },
  ]);
  expect(await place.run(`${second} restore ${commit} theirs; code=$?; cat theirs/c; exit $code`)).toMatchObject({
    code: 1,
    stdout: 'c\n',
    stderr: expect.stringContaining('/sub/b: not restored: its bytes are not in the store, but at s3://') as string,
  });

  // A push brings the bytes, or is told not to.
  const push = 'pach push copies --to ./other';
  expect(await place.run(push)).toMatchObject({
    code: 4,
    stderr: expect.stringMatching(
      /\/sub\/b, for example, refers to s3:.*\ntry: pach materialize copies@master\n/,
    ) as string,
  });
  await place.must(`${push} --keep-references`);
  expect(await place.must('PACH_HOME=$PWD/elsewhere pach --store other get file copies@master:/sub/b | wc -c')).toBe(
    '300\n',
  );
  await place.must(`pach materialize copies@master; ${push}; pach --store other fsck`);

  const cached = 'find home/.pachmount/cache -path "*/files/*" | wc -l';
  expect(Number(await place.must(cached))).toBeGreaterThan(0);
  const [purged] = await json(place, 'pach purge lake:/sub');
  expect(purged).toMatchObject({ references: [`s3://${outside.name}/raw/sub/b?endpoint=${s3.endpoint}`] });
  await place.must('pach gc --grace 0; pach fsck; pach list repo');
  // What was read of it is here no longer either.
  expect(await place.must(cached)).toBe('0\n');
});

test('materialize stores the bytes, and pipelines run again', async () => {
  await using place = await newPlace();
  const outside = await Outside.make(false);
  await outside.put('raw/a', 'a'.repeat(200));
  await outside.put('raw/b', large);
  await place.must(
    `pach put file lake@master:/ -r -f ${outside.url('raw/')} --reference; echo own > own; pach put file lake@master:/own -f own`,
  );
  const script = 'for f in /pfs/lake/*; do n=$(basename $f); wc -c < $f > /pfs/out/$n.size; ln -s $f /pfs/out/; done';
  // An input that is brought lazily meets all that another one does, and more.
  const names = isLong ? ['plain', 'lazy'] : ['lazy'];
  for (const lazy of [false, true]) {
    const parts = { input: { pfs: { repo: 'lake', glob: '/*', lazy } } };
    const spec = JSON.stringify(shellSpec(lazy ? 'lazy' : 'plain', script, parts));
    await writeFile(join(place.dir, lazy ? 'lazy.json' : 'plain.json'), spec);
  }
  const run = async (name: string): Promise<unknown> => (await json(place, `pach run pipeline -f ${name}.json`))[0];
  for (const name of names) {
    expect(await run(name)).toMatchObject({ state: 'success', datums: { processed: 3 } });
    expect(await place.must(`for f in a b own; do pach get file ${name}@master:/$f.size; done`)).toBe(
      `200\n${large.length}\n4\n`,
    );
    // A link to an input is what it leads to: here a reference, too.
    expect(await json(place, `pach list file ${name}@master:/`)).toMatchObject([
      { path: '/a', reference: {} },
      { path: '/a.size' },
      { path: '/b', bytes: large.length, reference: {} },
      {},
      { path: '/own' },
      {},
    ]);
  }
  expect(await run('lazy')).toMatchObject({ state: 'success', datums: { processed: 0, skipped: 3 } });

  // Nothing is half done when an object is gone.
  await outside.delete('raw/a');
  await place.must('pach cache clear');
  const before = await json(place, 'pach list file lake@master:/ -r');
  expect(await place.run('pach materialize lake@master')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`s3://${outside.name}/raw/a`) as string,
  });
  expect(await json(place, 'pach list file lake@master:/ -r')).toEqual(before);
  await outside.put('raw/a', 'a'.repeat(200));
  const made = await place.run('pach materialize lake@master -o json');
  expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining('will run again') as string });
  expect(JSON.parse(made.stdout)).toMatchObject({ files: 2, bytes: large.length + 200 });
  await outside.delete('raw/a');
  await outside.delete('raw/b');
  await place.must('pach cache clear');
  const facts = (lines: unknown[]) =>
    (lines as Record<string, unknown>[]).map(({ path, bytes, modified, executable }) => [
      path,
      bytes,
      modified,
      executable,
    ]);
  const after = await json(place, 'pach list file lake@master:/ -r');
  expect(facts(after)).toEqual(facts(before));
  for (const line of after) expect(line).not.toHaveProperty('reference');
  await place.must('head -c 200 /dev/zero | tr "\\0" a > a; pach get file lake@master:/a | cmp - a');
  for (const name of names) {
    expect(await run(name)).toMatchObject({ state: 'success', datums: { processed: 2, skipped: 1 } });
  }
  expect(await json(place, 'pach fsck')).toMatchObject([{ errors: 0 }]);
  expect(await json(place, 'pach stats')).toMatchObject([expect.not.objectContaining({ references: {} })]);
  expect(await place.must('pach materialize lake@master -o json')).toContain('"files":0');
});

test('materialize that was killed shows nothing, and goes on where it was', async () => {
  await using place = await newPlace();
  const outside = await Outside.make(false);
  const bytes = randomBytes(44 * 1024 * 1024);
  await outside.put('raw/large', bytes);
  const proxy = await startProxy(s3.endpoint);
  try {
    const url = `'s3://${outside.name}/raw/large?endpoint=${proxy.url}'`;
    await place.must(`pach put file lake@master:/ -f ${url} --reference`);
    const pieces = () => proxy.state.requests.filter(({ headers }) => headers.range !== undefined).length;
    const head = join(place.store, 'projects/default/head');
    const before = await readFile(head);
    // The last pieces do not come, so it stands still once it has stored what came: one pack, which it announces.
    let release = () => undefined as void;
    const later = new Promise<void>((go) => (release = go));
    proxy.state.before = () => (pieces() > 9 ? later : Promise.resolve());
    const child = place.start(['pach', 'materialize', 'lake@master']);
    const ended = once(child, 'exit');
    await expect.poll(async () => before.equals(await readFile(head))).toBe(false);
    child.kill('SIGKILL');
    await ended;
    release();
    expect(await json(place, 'pach list commit lake@master')).toHaveLength(1);
    expect(await json(place, 'pach list file lake@master:/')).toMatchObject([{ path: '/large', reference: {} }]);

    proxy.state.requests = [];
    const [made] = (await json(place, 'pach materialize lake@master')) as { bytes: number; newBytes: number }[];
    expect(made).toMatchObject({ bytes: bytes.length });
    // What had come is in the disk cache, and what was stored is not stored again.
    expect(pieces()).toBeLessThanOrEqual(3);
    expect(made?.newBytes).toBeLessThan(bytes.length - 20_000_000);
    await place.must('pach fsck --read-data 100%; pach get file lake@master:/large > large');
    expect(bytes.equals(await readFile(join(place.dir, 'large')))).toBe(true);
  } finally {
    proxy.server.closeAllConnections();
    proxy.server.close();
  }
});
