/**
 * What `pach serve` and a mount show to those who watch, and the unit that systemd runs.
 */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const spec = `{"pipeline": {"name": "edges"}, "transform": {"cmd": ["sh", "-c", "cat /pfs/images/*"]},
  "input": {"pfs": {"repo": "images", "glob": "/"}}}`;

/** Another program may take it before it is used; nobody here does. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('pach serve --listen shows that it is well, and its numbers', async () => {
  await using place = await Place.make('root');
  await writeFile(join(place.dir, 'edges.json'), spec);
  await place.must('pach create repo images; pach create pipeline -f edges.json');
  await place.must('head -c 3000000 /dev/urandom | pach put file images@master:/a -f -');
  const serving = place.start(['pach', 'serve', '--listen', '0', '-o', 'json']);
  let told = '';
  serving.stdout!.on('data', (bytes: Buffer) => (told += bytes.toString()));
  while (!told.includes('"jobEnded"')) await once(serving.stdout!, 'data');
  const { url } = JSON.parse(told.split('\n')[0] ?? '') as { url: string };
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(await (await fetch(`${url}/healthz`)).text()).toBe('ok\n');
  const metrics = await fetch(`${url}/metrics`);
  expect(metrics.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const text = await metrics.text();
  expect(text).toMatch(/^pach_jobs_total\{pipeline="edges",state="success"\} 1$/m);
  expect(text).toMatch(/^pach_store_requests_total\{pipeline="",request="readWithToken"\} [1-9]/m);
  expect(text).toMatch(/^pach_store_requests_total\{pipeline="edges",request="writeIfUnchanged"\} [1-9]/m);
  expect(text).toMatch(/^pach_pipelines\{state="idle"\} 1$/m);
  expect(text).toMatch(/^process_resident_memory_bytes [1-9]/m);
  // The mount of the inputs of the first job ends when another one takes its place, and then its reads count.
  await place.must('echo y | pach put file images@master:/b -f -');
  while (told.split('"jobEnded"').length < 3) await once(serving.stdout!, 'data');
  for (let now = text; !/^pach_store_requests_total\{pipeline="edges",request="mounted"\} [1-9]/m.test(now);) {
    now = await (await fetch(`${url}/metrics`)).text();
  }
  const port = new URL(url).port;
  const second = await place.run(`pach serve --listen ${port}`);
  expect(second).toMatchObject({ code: 4, stderr: expect.stringContaining('another program listens there') });
  serving.kill('SIGTERM');
  await once(serving, 'exit');
  await expect(fetch(`${url}/healthz`)).rejects.toThrow('fetch failed');
});

test('a mount shows what it counts', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo images; echo hello | pach put file images@master:/a -f -');
  const port = await freePort();
  await place.must(`pachmount images@master mnt --metrics ${port} && cat mnt/images/a`);
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(text).toMatch(/^pach_mount_requests_total\{operation="lookup"\} [1-9]/m);
  expect(text).toMatch(/^pach_mount_inodes [1-9]/m);
  expect(text).toMatch(/^pach_mount_read_bytes_total 6$/m);
});

test('--print-unit prints what systemd takes, for this very command line', async () => {
  await using place = await Place.make('root', { PACH_PROJECT: 'p1' });
  await writeFile(join(place.dir, 'my hooks.yaml'), '- {on: [failed], command: ["true"]}\n');
  const unit = await place.must(`pach serve --hooks 'my hooks.yaml' --only 'a$b%c' --print-unit --workers 3`);
  expect(unit).toMatch(/^ExecStart=\S+ \S+\/bin\/pach serve --hooks "my hooks\.yaml" --only "a\$\$b%%c" --workers 3$/m);
  expect(unit).toContain(`WorkingDirectory=${place.dir}\n`);
  expect(unit).toContain('Environment=PACH_PROJECT=p1\n');
  await writeFile(join(place.dir, 'pach-p1.service'), unit);
  const verify = 'systemd-analyze verify --man=no ./pach-p1.service';
  const { code, stdout, stderr } = await place.run(`! command -v systemd-analyze >/dev/null || ${verify}`);
  expect(`${code} ${stdout}${stderr}`).toBe('0 ');
  const wrong = await place.run('pach serve --hooks none.yaml --print-unit');
  expect(wrong).toMatchObject({ code: 3, stdout: '' });
});
