/**
 * `pach debug --port`: connections of this machine to a command that has no network.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, readFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { beforeAll, describe, expect, test } from 'vitest';
import { portOf } from '../../src/app/forwarded-ports.ts';
import { busyboxImage, dockerForTests, type TestEngine } from '../support/docker.ts';
import type { Who } from '../support/place.ts';
import { PipelinePlace } from './cli-world.ts';

const isRoot = process.getuid?.() === 0;
let engine: TestEngine | undefined;
let image = '';

beforeAll(async () => {
  if (!isRoot) return;
  engine = await dockerForTests();
  image = await busyboxImage(engine);
  const socket = engine.host.slice('unix://'.length);
  await chmod(dirname(socket), 0o755);
  await chmod(socket, 0o666);
});

type Way = [Who, 'process' | 'docker'];
const ways: Way[] = [['user', 'process'], ...(isRoot ? ([['root', 'docker']] as Way[]) : [])];

/** What comes back from a connection that says `bytes` and then no more. Rejects where it is cut. */
function echo(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  const back = buffer(socket);
  socket.end(bytes);
  return back;
}

/** Addresses that listen, as the kernel has them. */
function listening(port: number): string[] {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const lines = `${readFileSync('/proc/net/tcp', 'utf8')}${readFileSync('/proc/net/tcp6', 'utf8')}`.split('\n');
  const found = lines.map((line) => line.trim().split(/\s+/)).filter(([, , , state]) => state === '0A');
  return found.flatMap(([, address = '']) => (address.endsWith(`:${hex}`) ? [address] : []));
}

describe.each(ways)('as %s, executor %s', (who, executor) => {
  test('a port of a command without network is reached at loopback, and nothing is left', async () => {
    await using here = await PipelinePlace.make({ a: '1' }, who, { DOCKER_HOST: engine?.host });
    const dev = { network: 'none' };
    await here.spec('p', 'cp $in /pfs/out', { transform: executor === 'docker' ? { image } : {}, dev });
    const run = await here.must(`pach run pipeline -f p.json --executor ${executor} -o json`);
    const { job } = JSON.parse(run) as { job: string };
    const [datum] = await here.datums(job);
    const words = `pach debug ${job} ${datum?.id} --port`;
    const there = 20_000 + (process.pid % 10_000);
    const server = `exec busybox nc -ll -p ${there} -e cat`;
    const child = here.place.start(['sh', '-c', `exec ${words} 0:${there} -- sh -c '${server}' 2> said`]);
    const ended = new Promise((resolve) => child.once('close', resolve));
    using _ = { [Symbol.dispose]: () => child.kill('SIGKILL') };
    let port = 0;
    const told = async (): Promise<number> => {
      const said = await readFile(join(here.place.dir, 'said'), 'utf8').catch(() => '');
      const [, text] = /127\.0\.0\.1:(\d+) leads to port \d+ of the command/.exec(said) ?? [];
      return (port = Number(text ?? 0));
    };
    await expect.poll(told).toBeGreaterThan(0);
    // Until the command listens, connections are cut.
    const tried = (): Promise<string> => echo(port, Buffer.from('hello')).then(String, () => 'cut');
    await expect.poll(tried).toBe('hello');
    expect(listening(port)).toEqual([`0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`]);

    // One that nobody reads holds up no other.
    const stuck = connect({ host: '127.0.0.1', port });
    stuck.on('error', () => undefined);
    stuck.pause().write(randomBytes(8_000_000));
    const sent = [1, 70_000, 4_000_000].map((size) => randomBytes(size));
    const got = await Promise.all(sent.map((bytes) => echo(port, bytes)));
    expect(got.map((bytes, index) => bytes.equals(sent[index]!))).toEqual([true, true, true]);

    const taken = await here.shell(`${words} ${port} -- true`);
    expect(taken).toMatchObject({ code: 4, stderr: expect.stringContaining(`port ${port}: another program listens`) });

    child.kill('SIGINT');
    await ended;
    stuck.destroy();
    expect(listening(port)).toEqual([]);
    expect(await here.must(`find $PACH_HOME/run -mindepth 1; pgrep -f "[n]c -ll -p ${there}" || :`)).toBe('');
  });
});

test('a command with the network of this machine has its port itself', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.spec('p', 'cp $in /pfs/out');
  const { job } = await here.ran('-f p.json');
  const [datum] = await here.datums(job);
  const free = createServer().listen(0, '127.0.0.1');
  await new Promise((ready) => free.once('listening', ready));
  const { port } = free.address() as AddressInfo;
  const debug = `pach debug p ${datum?.id} --port ${port} -- sh -c 'busybox nc -l -p ${port} -e echo itself & until busybox nc 127.0.0.1 ${port} < /dev/null; do sleep 0.1; done' 2> said; code=$?; cat said >&2; exit $code`;
  expect(await here.shell(debug)).toMatchObject({ code: 4, stderr: expect.stringContaining('another program') });
  await new Promise((closed) => free.close(closed));
  expect(await here.shell(debug)).toMatchObject({
    code: 0,
    stdout: 'itself\n',
    stderr: expect.stringContaining(`port ${port} of the command is that of this machine`),
  });
});

test('ports as they are typed', () => {
  expect(portOf('5678')).toEqual({ here: 5678, there: 5678 });
  expect(portOf('0:5678')).toEqual({ here: 0, there: 5678 });
  for (const text of ['', '0', '5678:0', '70000', '1:2:3', 'x', '-1', '5678:']) {
    expect(() => portOf(text)).toThrow('it takes a port');
  }
});
