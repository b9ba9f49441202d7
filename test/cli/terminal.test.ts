/**
 * What people see on a terminal.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

/** A web server that sends half of a file, and the rest when it is told to. */
class HalfServer implements AsyncDisposable {
  readonly half = Buffer.alloc(2_000_000, 1);
  private readonly waiting: (() => void)[] = [];
  private readonly server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': 2 * this.half.length });
    response.write(this.half);
    this.waiting.push(() => response.end(this.half));
  });

  async url(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/photos.bin`;
  }

  rest(): void {
    for (const send of this.waiting.splice(0)) send();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
  }
}

test.each(['root', 'user'] as const)('a command runs in a terminal of its size, as %s', async (who) => {
  await using place = await Place.make(who);
  await using terminal = await place.terminal('id -u; stty size; read -r line; echo "<$line>"; exit 3', {
    columns: 50,
    rows: 10,
  });
  await terminal.waitFor(/10 50/);
  await terminal.type('é漢 $x\n');
  await terminal.waitFor(/<é漢 \$x>/);
  expect(await terminal.exitCode()).toBe(3);
  expect(await terminal.screen()).toBe(`${who === 'root' ? 0 : 65534}\n10 50\né漢 $x\n<é漢 $x>`);
});

test('put shows its progress, cut to the terminal, and ends it before it prints', async () => {
  await using place = await Place.make('root');
  await using server = new HalfServer();
  const url = await server.url();
  await place.must('pach create repo data');
  const put = `pach put file data@master:/ -f ${url}`;

  await using wide = await place.terminal(put);
  expect(await wide.waitFor(/2\.00MB.*left/)).toMatch(/^0 files, 2\.00MB, [\d.]+[kM]?B\/s, \d+ s left$/);
  server.rest();
  expect(await wide.exitCode()).toBe(0);
  expect(await wide.screen()).toMatch(
    /^1 file, 4\.00MB \([\d.]+[kM]B new, [\d.]+[kM]?B saved by deduplication\): commit [0-9a-f]{12}$/,
  );

  await using narrow = await place.terminal(`echo before; ${put} | cat`, { columns: 20 });
  await narrow.waitFor(/^before\n0 files, \d.*…$/);
  // A line that has become too long for the window goes as a whole; tmux may scroll what is above it.
  await narrow.resize(8, 24);
  await narrow.waitFor(/^(before\n)?0 file…$/);
  server.rest();
  expect(await narrow.exitCode()).toBe(0);
  expect((await narrow.screen()).replaceAll('\n', '')).toMatch(/^(before)?[0-9a-f]{32}$/);
});

test('whatever is printed ends the line of progress', async () => {
  await using place = await Place.make('root');
  await place.must(`mkdir src; for i in 1 2 3; do head -c 400000 /dev/urandom > src/$i; done; echo tiny > src/tiny
    mkfifo src/fifo; pach create repo data`);
  const shows = async (command: string): Promise<string> => {
    await using terminal = await place.terminal(command, { columns: 150 });
    expect(await terminal.exitCode()).toBe(0);
    return await terminal.screen();
  };
  const left = 'pach: .*/src/fifo: left out: sockets, devices and FIFOs are not stored';
  expect(await shows('pach put file data@master:/src -r -f src')).toMatch(
    new RegExp(`^${left}\n4 files, 1\\.20MB \\(1\\.20MB new, 0B saved by deduplication\\): commit [0-9a-f]{12}$`),
  );
  expect(await shows('pach sync src data@master:/src')).toMatch(
    new RegExp(`^${left}\n4 files, 1\\.20MB: nothing has changed since commit [0-9a-f]{12}$`),
  );
  expect(await shows('rm src/fifo; pach put file data@master:/again -r -f src')).toMatch(
    /^4 files, 1\.20MB \(5B new, 1\.20MB saved by deduplication\): commit [0-9a-f]{12}$/,
  );
  expect(await shows('pach put file data@master:/again -r -f src -q')).toMatch(/^[0-9a-f]{32}$/);
  expect(await shows('pach put file data@master:/again -r -f src -o json')).toMatch(
    /^\{"commit":"[0-9a-f]{32}","files":4,/,
  );
  expect(await shows('pach get file data@master:/src -r -o out')).toBe('');
  expect(await shows('pach cache warm data@master')).toBe('8 files, 2.40MB');
  expect(await shows('pach cache verify')).toBe('0 items, 0B checked, 0B damaged in 0 items');
  expect(await shows('pach fsck')).toMatch(/^Checked 2 commits, /);
  expect(await shows('pach gc')).toMatch(/^Deleted 0 objects/);
  expect(await shows('pach stats')).toMatch(/^Newest commits:/);
});

test('one long name does not make every row too long for the terminal', async () => {
  await using place = await Place.make('root');
  const long = 'l'.repeat(70);
  await place.must(`mkdir in; touch in/short in/${long}; pach create repo data; pach put file data@master:/ -r -f in`);
  await using terminal = await place.terminal('pach list file data@master:/in');
  expect(await terminal.exitCode()).toBe(0);
  const lines = (await terminal.screen()).split('\n');
  expect(lines[0]).toMatch(/^NAME +TYPE  SIZE  MODIFIED$/);
  expect(lines.at(-1)).toMatch(/^\/in\/short  file  0B    \d{4}-\S+Z$/);
});

test('people see the beginnings of ids, a pipe gets all of them, and both name the same', async () => {
  await using place = await Place.make('root');
  const ids: string[] = [];
  await place.must('pach create repo data');
  for (const n of [1, 2]) {
    ids.push((await place.must(`echo ${n} > a; pach put file data@master:/a -f a`)).trim());
  }
  const [first = '', second = ''] = ids;
  expect(first).toMatch(/^[0-9a-f]{32}$/);
  await using terminal = await place.terminal(
    'pach list commit data; pach list branch data; pach inspect commit data@master; pach list commit data | cat',
    { columns: 150 },
  );
  expect(await terminal.exitCode()).toBe(0);
  const shown = await terminal.screen();
  const short = [second, first, second, second, first].map((id) => id.slice(0, 12));
  expect(shown.match(/[0-9a-f]{12,}/g)).toEqual([...short, second, first]);
  expect(JSON.parse(await place.must(`pach inspect commit data@${first.slice(0, 12)} -o json`))).toMatchObject({
    commit: first,
  });
});
