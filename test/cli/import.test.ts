/**
 * What `put file` takes from elsewhere: web servers, other buckets, archives, lists.
 */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';
import { archive } from '../sources/archives.ts';

let server: Server;
let url: string;
const served = new Map<string, (response: ServerResponse) => void>();

beforeAll(async () => {
  server = createServer((request, response) => {
    const answer = served.get(request.url?.split('?')[0] ?? '');
    if (answer) answer(response);
    else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

function serve(path: string, body: Buffer | string): void {
  served.set(path, (response) => {
    response.setHeader('last-modified', 'Tue, 14 Nov 2023 22:13:20 GMT');
    response.writeHead(200, { 'content-length': Buffer.byteLength(body) }).end(body);
  });
}

async function nothingThere(place: Place): Promise<void> {
  expect(await place.must('pach list commit data')).not.toMatch(/[0-9a-f]{32}/);
}

test('an address of a web server: its name, its time, another name', async () => {
  await using place = await Place.make('root');
  serve('/x/a%20b.csv', 'a,b\n');
  await place.must('pach create repo data');
  await place.must(
    `pach put file data@master:/raw/ -f '${url}/x/a%20b.csv?v=1' && pach put file data@master:/c -f '${url}/x/a%20b.csv'`,
  );
  const lines = (await place.must('pach list file data@master:/ -r -o json')).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { path: '/c', bytes: 4, modified: '2023-11-14T22:13:20Z' },
    { path: '/raw', kind: 'dir' },
    { path: '/raw/a b.csv', bytes: 4, modified: '2023-11-14T22:13:20Z', executable: false },
  ]);
  expect(await place.run(`pach put file data@master:/raw/ -f ${url}/`)).toMatchObject({ code: 2 });
  expect(await place.run('pach put file data@master:/raw/ -f ftp://127.0.0.1/x')).toMatchObject({
    code: 2,
    stderr: 'pach: ftp://: this kind of source is unknown\nhint: use a path, http://, https:// or s3://\n',
  });
  await place.must(
    `pach put file data@master:/file: -f - <<< 'no scheme' && touch file:x && pach put file data@master:/ -f file:x`,
  );
});

test('a broken source leaves no commit, and no credentials are printed', async () => {
  await using place = await Place.make('root');
  serve('/good', 'good');
  served.set('/cut', (response) => {
    response.writeHead(200, { 'content-length': 1000 });
    response.write('half', () => response.destroy());
  });
  await place.must('pach create repo data');
  const secret = url.replace('//', '//me:Geheim@');
  for (const [path, code] of [
    ['/cut', 1],
    ['/none', 3],
  ] as const) {
    const put = await place.run(
      `pach put file data@master:/ -v -f '${secret}/good?sig=Geheim' -f '${secret}${path}?sig=Geheim'`,
    );
    expect(put).toMatchObject({ code, stdout: '', stderr: expect.stringContaining(`pach: ${url}${path}: `) as string });
    expect(put.stderr).not.toContain('Geheim');
    await nothingThere(place);
  }
});

test('Ctrl-C ends a download at once', async () => {
  await using place = await Place.make('root');
  const begun = new Promise<void>((resolve) => {
    served.set('/endless', (response) => {
      response.writeHead(200, { 'content-length': 1000 });
      response.write('half', () => resolve());
    });
  });
  await place.must('pach create repo data');
  const running = place.run(`pach put file data@master:/ -f ${url}/endless & echo $! > pid; wait $!`, 20);
  await begun;
  await place.must('kill -INT "$(cat pid)"');
  expect(await running).toMatchObject({ code: 130, stderr: 'pach: interrupted: nothing was committed\n' });
  await nothingThere(place);
});

test('archives from a file, standard input, a web server and a bucket are the same tree', async () => {
  const s3 = await s3ForTests();
  await using place = await Place.make('root', { ...s3.env });
  await place.must(`mkdir -p src/d/empty && head -c 3000000 /dev/urandom > src/d/big && echo run > src/run && chmod 755 src/run &&
    ln -s d/big src/link && ln src/run src/again && touch -d '2001-02-03 04:05:06.25' src/d/big src/d && echo -n > src/none &&
    tar -C src --format=pax -czf x.tgz . && tar -C src --format=gnu -cf x.tar . && pach create repo data`);
  serve('/x.tgz', Buffer.from(await place.must('base64 x.tgz'), 'base64'));
  const client = new S3Client({ endpoint: s3.endpoint, forcePathStyle: true });
  const body = Buffer.from(await place.must('base64 x.tar'), 'base64');
  const key = `${new URL(s3.url).pathname.slice(1)}/x.tar`;
  await client.send(new PutObjectCommand({ Bucket: s3.bucket, Key: key, Body: body }));
  client.destroy();
  const put = 'pach put file data@master:/t --untar';
  const first = await place.must(`${put} -f x.tgz -o json`);
  expect(JSON.parse(first)).toMatchObject({ files: 5, bytes: 3_000_004 });
  // The same content again is no new commit, wherever it comes from.
  for (const source of [
    '- < x.tar',
    `'${url}/x.tgz'`,
    `'s3://${s3.bucket}/${key}?endpoint=${s3.endpoint}'`,
    '- < x.tgz',
  ]) {
    const again = JSON.parse(await place.must(`${put} -o json -f ${source}`)) as object;
    expect({ source, ...again }).toMatchObject({
      source,
      commit: (JSON.parse(first) as { commit: string }).commit,
      newBytes: 0,
    });
  }
  await place.must(
    'pach get file data@master:/t -r -o out && diff -r --no-dereference src out && test -x out/run && ! test -x out/none',
  );
  expect(await place.must('pach list file data@master:/t/d -o json | head -1')).toContain('2001-02-03T04:05:06.25Z');
});

test('an archive that is cut or harmful is refused whole', async () => {
  await using place = await Place.make('root');
  await place.must(
    'mkdir src && head -c 3000000 /dev/urandom > src/big && echo a > src/a && tar czf x.tgz src && pach create repo data',
  );
  await place.must(
    'head -c 2000000 x.tgz > cut.tgz; tar cf dots.tar -P ../$(basename "$PWD")/src/a; mkfifo pipe; tar cf pipe.tar src/a pipe',
  );
  serve(
    '/link.tar',
    archive({ name: 'first', bytes: '1' }, { name: 'l', type: '2', link: '/etc' }, { name: 'l/passwd', bytes: 'x' }),
  );
  for (const [source, message] of [
    ['cut.tgz', 'cut.tgz: its gzip stream ends too early'],
    ['dots.tar', 'leads out of the archive with ..'],
    ['pipe.tar', 'pipe.tar: pipe: it is a FIFO, which is not stored'],
    [`${url}/link.tar`, `${url}/link.tar: l/passwd: /l must be a folder, but there is a symlink`],
    ['src', "src: it can't be read (EISDIR)"],
    ['none.tar', 'none.tar: there is no such file'],
  ] as const) {
    const put = await place.run(`pach put file data@master:/ --untar -f ${source}`);
    expect(put.code).not.toBe(0);
    expect(put.stderr).toContain(message);
    await nothingThere(place);
  }
});

test('a list of very many names, and one that is not of lines', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo data && echo x > x');
  // All of it is read, and then the first name refused.
  const many = await place.run('{ echo ftp://host/x; yes x | head -n 200000; } | pach put file data@master:/ -i -');
  expect({ ...many, stdout: '' }).toMatchObject({ code: 2, stderr: expect.stringMatching(/^pach: ftp:/) as string });
  const { code, stderr } = await place.run('printf "x\\0x\\0" | pach put file data@master:/ -i -');
  expect({ code, stderr }).toEqual({ code: 2, stderr: 'pach: -: it has NUL bytes\nhint: write one name a line\n' });
});

test('a list of sources of all kinds, beside -f', async () => {
  await using place = await Place.make('root');
  serve('/web', 'from the web');
  await place.must('mkdir -p d/sub && echo 1 > d/sub/one && echo 2 > two && echo 3 > three && pach create repo data');
  await place.must(`printf '# what we need\\n\\ntwo\\r\\n%s\\nd\\n' '${url}/web' > list`);
  const made = await place.must('pach put file data@master:/in/ -r -i list -f three -o json');
  expect(JSON.parse(made)).toMatchObject({ files: 4 });
  await place.must('echo three | pach put file data@master:/in/more/ -i -');
  const paths = (await place.must('pach glob file "data@master:/**" -o json'))
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { path: string }).path);
  expect(paths).toEqual(['/in/d/sub/one', '/in/more/three', '/in/three', '/in/two', '/in/web']);
  await place.must('echo no/such >> list');
  const missing = await place.run('pach put file data@master:/other/ -r -i list');
  expect(missing).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('pach: no/such: there is no such file') as string,
  });
  expect(await place.run('pach list file data@master:/other')).toMatchObject({ code: 3 });
  for (const [args, why] of [
    ['data@master:/x -i list', 'several sources need a folder as their target'],
    ['data@master:/x/ -i /dev/null', 'no source is given'],
    ['data@master:/x/', 'no source is given'],
    ['data@master:/x/ -i - -f -', 'standard input can be read only once'],
    ['data@master:/x/ -i nolist', 'nolist: there is no such file'],
  ] as const) {
    const put = await place.run(`pach put file ${args} < /dev/null`);
    expect(put.stderr).toContain(why);
    expect(put.code).toBe(args.includes('nolist') ? 3 : 2);
  }
});

test('a terminal sees files, bytes, rate and the time left', async () => {
  await using place = await Place.make('root');
  const half = Buffer.alloc(2_000_000, 1);
  served.set('/slow', (response) => {
    response.writeHead(200, { 'content-length': 2 * half.length });
    response.write(half);
    setTimeout(() => response.end(half), 300);
  });
  await place.must('pach create repo data');
  const shown = await place.must(`script -qec "pach put file data@master:/ -f ${url}/slow" /dev/null`);
  expect(shown).toMatch(/0 files, \d\.\d\dMB, \d+(\.\d+)?[kM]B\/s, \d+ s left/);
});
