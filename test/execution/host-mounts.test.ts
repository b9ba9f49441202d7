/** Mounts on the host, made and taken away by the helper. Needs root. */
import { execFile as execFileWithCallback, execFileSync, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listenAt } from '../../src/base/unix-socket.ts';
import { listenForLauncher } from '../../src/execution/executors/docker-listener.ts';
import { HostMounts } from '../../src/execution/executors/host-mounts.ts';

const execFile = promisify(execFileWithCallback);
const binder = resolve(import.meta.dirname, '../../native/build/binder');
const isRoot = process.getuid?.() === 0;

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach mounts-'));
  for (const name of ['own', 'shown/in', 'from/deep']) await mkdir(join(dir, name), { recursive: true });
  await writeFile(join(dir, 'from/deep/a'), 'hello');
  await writeFile(join(dir, 'shown/file'), '');
});
afterEach(async () => {
  const left = await mountsOf();
  if (left.length > 0) throw new Error(`mounts are left: ${left.join(', ')}`);
  await rm(dir, { recursive: true, force: true });
});

/** The points below the test's folder, with their options. */
async function mountsOf(): Promise<string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).replaceAll(String.raw`\040`, '_').split('\n');
  const inside = lines.filter((line) => line.includes(`${dir.replaceAll(' ', '_')}/`));
  return inside.map((line) =>
    line
      .split(' ')
      .slice(4, 6)
      .join(' ')
      .slice(dir.length + 1),
  );
}

test.skipIf(!isRoot)('a folder and a file are shown read-only, and gone when told', async () => {
  await using mounts = await HostMounts.open(binder, join(dir, 'own'));
  await mounts.share(join(dir, 'shown'));
  await mounts.bind([{ from: join(dir, 'from/deep'), to: join(dir, 'shown/in') }]);
  await mounts.bind([{ from: join(dir, 'from/deep/a'), to: join(dir, 'shown/file') }]);
  expect(await readFile(join(dir, 'shown/in/a'), 'utf8')).toBe('hello');
  expect(await readFile(join(dir, 'shown/file'), 'utf8')).toBe('hello');
  await expect(writeFile(join(dir, 'shown/in/b'), '')).rejects.toThrow('EROFS');
  await expect(writeFile(join(dir, 'shown/file'), 'no')).rejects.toThrow('EROFS');
  await writeFile(join(dir, 'from/deep/b'), 'the source stays writable');
  await mounts.unbind([join(dir, 'shown/in')]);
  await mounts.unbind([join(dir, 'shown/file')]);
  expect((await mountsOf()).length).toBe(1);
});

test.skipIf(!isRoot)('a busy mount goes too', async () => {
  await using mounts = await HostMounts.open(binder, join(dir, 'own'));
  await mounts.bind([{ from: join(dir, 'from/deep'), to: join(dir, 'shown/in') }]);
  const { open } = await import('node:fs/promises');
  await using file = await open(join(dir, 'shown/in/a'));
  await mounts.unbind([join(dir, 'shown/in')]);
  expect(await mountsOf()).toEqual([]);
  expect((await file.readFile()).toString()).toBe('hello');
});

test.skipIf(!isRoot)('what is left is unmounted at the end, and what others left on demand', async () => {
  execFileSync('mount', ['--bind', join(dir, 'from'), join(dir, 'shown/in')]);
  execFileSync('mount', ['--bind', join(dir, 'from'), join(dir, 'shown/in/deep')]);
  {
    await using mounts = await HostMounts.open(binder, join(dir, 'own'));
    await mounts.clear([join(dir, 'shown')]);
    expect(await mountsOf()).toEqual([]);
    await mounts.share(join(dir, 'shown'));
    await mounts.bind([{ from: join(dir, 'from'), to: join(dir, 'shown/in') }]);
    expect((await mountsOf()).length).toBe(2);
  }
  expect(await mountsOf()).toEqual([]);
});

test.skipIf(!isRoot)('what is not there can not be shown, and is named', async () => {
  await using mounts = await HostMounts.open(binder, join(dir, 'own'));
  await expect(mounts.bind([{ from: join(dir, 'nothing'), to: join(dir, 'shown/in') }])).rejects.toMatchObject({
    code: 'failed',
    message: `${join(dir, 'nothing')}: it can't be shown in a container (ENOENT)`,
  });
  const half = [
    { from: join(dir, 'from'), to: join(dir, 'shown/in') },
    { from: join(dir, 'from'), to: join(dir, 'shown/file') },
  ];
  await expect(mounts.bind(half)).rejects.toThrow('ENOTDIR');
  expect(await mountsOf()).toEqual([]);
  await mounts.bind([{ from: join(dir, 'from'), to: join(dir, 'shown/in') }]);
});

test.skipIf(!isRoot)('a helper that is not there is an error', async () => {
  await using mounts = await HostMounts.open(join(dir, 'no-program'), join(dir, 'own'));
  await expect(mounts.share(join(dir, 'shown'))).rejects.toThrow('EPIPE');
});

const native = (name: string): string => resolve(import.meta.dirname, `../../native/build/${name}`);

/** A process with mounts of its own, which has passed them to `mounts`, as a container's first process does. */
async function container(propagation = 'private'): Promise<{ readonly root: string } & AsyncDisposable> {
  await using listener = await listenForLauncher(join(dir, 'engine'));
  const program = [native('launcher'), '--mounts', join(dir, 'mounts'), '--socket', join(dir, 'engine')];
  const words = ['--mount', '--propagation', propagation, ...program];
  const launcher = spawn('unshare', words, { stdio: 'ignore' });
  const ended = new Promise((done) => launcher.on('close', done));
  const engine = await listener.connected;
  return {
    root: `/proc/${launcher.pid}/root`,
    async [Symbol.asyncDispose]() {
      engine.destroy();
      await ended;
    },
  };
}

test.skipIf(!isRoot)('what is shown in a container is there alone, read-only, and gone when told', async () => {
  await using mounts = await HostMounts.inserting(native('inserter'), join(dir, 'mounts'), dir);
  const pair = { from: join(dir, 'from/deep'), to: join(dir, 'shown/in') };
  await expect(mounts.bind([pair])).rejects.toMatchObject({ why: expect.stringContaining('ENOTCONN') });
  await using one = await container();
  const shown = (path: string): string => join(one.root, dir, path);
  await mounts.bind([pair, { from: join(dir, 'from/deep/a'), to: join(dir, 'shown/file') }]);
  expect(await readFile(shown('shown/in/a'), 'utf8')).toBe('hello');
  expect(await readFile(shown('shown/file'), 'utf8')).toBe('hello');
  await expect(writeFile(shown('shown/in/b'), '')).rejects.toThrow('EROFS');
  expect(await mountsOf()).toEqual([]);
  await mounts.unbind([pair.to]);
  await expect(readFile(shown('shown/in/a'))).rejects.toThrow('ENOENT');
  // A command may have put it there.
  await symlink('/etc', join(dir, 'shown/link'));
  await expect(mounts.bind([{ ...pair, to: join(dir, 'shown/link') }])).rejects.toMatchObject({
    why: expect.stringContaining('ELOOP'),
  });
});

test.skipIf(!isRoot)(
  'nothing is shown outside of the folder that a container gives, or where others would see it',
  async () => {
    await mkdir(join(dir, 'beside'));
    const from = join(dir, 'from/deep');
    await using mounts = await HostMounts.inserting(native('inserter'), join(dir, 'mounts'), join(dir, 'shown'));
    const refusal = { why: expect.stringContaining('EPERM') as string };
    {
      await using _ = await container();
      await expect(mounts.bind([{ from, to: join(dir, 'beside') }])).rejects.toMatchObject(refusal);
      await expect(mounts.bind([{ from, to: `${dir}/shown/../beside` }])).rejects.toMatchObject(refusal);
      await mounts.bind([{ from, to: join(dir, 'shown/in') }]);
    }
    await using _ = await container('shared');
    await expect(mounts.bind([{ from, to: join(dir, 'shown/in') }])).rejects.toMatchObject(refusal);
  },
);

test.skipIf(!isRoot)('all goes when the helper ends, and a container that comes after another is taken', async () => {
  const pair = { from: join(dir, 'from/deep'), to: join(dir, 'shown/in') };
  {
    await using mounts = await HostMounts.inserting(native('inserter'), join(dir, 'mounts'), dir);
    for (let n = 0; n < 2; n += 1) {
      await using one = await container();
      await mounts.bind([pair]);
      expect(await readFile(join(one.root, dir, 'shown/in/a'), 'utf8')).toBe('hello');
    }
  }
  await rm(join(dir, 'mounts'));
  const mounts = await HostMounts.inserting(native('inserter'), join(dir, 'mounts'), dir);
  await using one = await container();
  await mounts.bind([pair]);
  await mounts[Symbol.asyncDispose]();
  await expect(readFile(join(one.root, dir, 'shown/in/a'))).rejects.toThrow('ENOENT');
});

test.skipIf(!isRoot)(
  'a command of a container begins when its mounts are there, as itself, or not at all',
  async () => {
    await using mounts = await HostMounts.inserting(native('inserter'), join(dir, 'mounts'), dir);
    const program = [native('launcher'), '--mounts', join(dir, 'mounts'), '--socket', join(dir, 'engine'), '--exec'];
    const run = async (command: readonly string[], answer: () => Promise<string>): Promise<string> => {
      const listener = await listenAt(join(dir, 'engine'), (socket) => void answer().then((text) => socket.end(text)));
      const { stdout, stderr } = await execFile('unshare', ['--mount', ...program, ...command]).catch(
        (error: { code: number; stdout: string; stderr: string }) => ({
          ...error,
          stdout: `ended with ${error.code}\n`,
        }),
      );
      await listener.close();
      return stdout + stderr;
    };
    const ready = async (): Promise<string> => {
      await mounts.bind([{ from: join(dir, 'from/deep'), to: join(dir, 'shown/in') }]);
      return 'ready\n';
    };
    const text = await run(['sh', '-c', `cat '${join(dir, 'shown/in/a')}'; tr '\\0' ' ' < /proc/$$/cmdline`], ready);
    expect(text).toMatch(/^hellosh -c /);
    expect(await run(['sh', '-c', 'exit 7'], ready)).toBe('ended with 7\n');
    expect(await run(['no-such-program'], ready)).toContain('ended with 127\nlauncher: no-such-program:');
    expect(await run(['echo', 'begun'], async () => 'no, never\n')).toBe('ended with 70\nlauncher: no, never\n');
    expect(await run(['echo', 'begun'], async () => '')).toContain('ended with 70');
  },
);
