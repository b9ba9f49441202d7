/**
 * The launcher by itself: what both ends make of malformed frames, and how it keeps order in a
 * container, where it is the first process of all.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Duplex, PassThrough } from 'node:stream';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameSplitter, FrameWriter, protocolVersion, toLauncher } from '../../src/execution/executors/frames.ts';
import { Launcher, type LauncherSetup } from '../../src/execution/executors/launcher.ts';
import type { Exit, Task } from '../../src/execution/executor.ts';
import { buildRefused, expectedCalls, readCalls } from './refused.ts';

const program = resolve(import.meta.dirname, '../../native/build/launcher');
const isRoot = process.geteuid?.() === 0;
const plain: LauncherSetup = { env: {}, secrets: [], processesMax: 0, cleared: [] };

function start(): { child: ChildProcess; stream: Duplex } {
  const child = spawn(program, ['--fd', '3'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'], env: {} });
  return { child, stream: child.stdio[3] as Duplex };
}

async function run(launcher: Launcher, script: string, task: Partial<Task> = {}): Promise<Exit & { log: string }> {
  const log: Buffer[] = [];
  const argv = ['sh', '-c', script];
  const exit = await launcher.run({
    argv,
    env: {},
    binds: [],
    outputBytesMax: 1 << 20,
    ...task,
    log: (bytes) => log.push(bytes),
  });
  return { ...exit, log: Buffer.concat(log).toString() };
}

/** What the launcher answers to these bytes, and its exit code. */
async function answer(bytes: Buffer): Promise<{ code: number | null; text: string }> {
  const { child, stream } = start();
  const parts: Buffer[] = [];
  stream.on('data', (part: Buffer) => parts.push(part));
  stream.on('error', () => undefined);
  stream.end(bytes);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text: Buffer.concat(parts).toString('latin1') };
}

const setupFrame = () =>
  new FrameWriter(toLauncher.setup)
    .u8(protocolVersion)
    .texts([])
    .list([], () => undefined)
    .text('')
    .text('')
    .u32(0)
    .texts([])
    .text('')
    .u32(0)
    .u32(0)
    .u8(0);
const runFrame = (argv: readonly string[]) =>
  new FrameWriter(toLauncher.run)
    .texts(argv)
    .texts([])
    .u8(0)
    .list([], () => undefined)
    .u64(0)
    .u64(0)
    .u8(0);
const noMeaning = 'the engine sent an invalid message';

describe('a launcher', () => {
  test('ends at frames that have no meaning, and says so', async () => {
    const setup = setupFrame().done();
    const cases = {
      'an empty frame': Buffer.from([0, 0, 0, 0, 1]),
      'a frame that is too long': Buffer.from([0xff, 0xff, 0xff, 0xff, 1]),
      'an unknown type': Buffer.concat([setup, new FrameWriter(99).done()]),
      'a run before the setup': runFrame(['true']).done(),
      'a second setup': Buffer.concat([setup, setup]),
      'a setup that goes on': setupFrame().u8(0).done(),
      'a setup that ends early': new FrameWriter(toLauncher.setup).u8(protocolVersion).u32(7).done(),
      'a list that is too long': new FrameWriter(toLauncher.setup).u8(protocolVersion).u32(0xffffffff).done(),
      'a text with NUL': new FrameWriter(toLauncher.setup).u8(protocolVersion).u32(1).blob(Buffer.from('A=\0')).done(),
      'a variable without a name': new FrameWriter(toLauncher.setup).u8(protocolVersion).texts(['=x']).done(),
      'no program': Buffer.concat([setup, runFrame([]).done()]),
      'a flag of 2': Buffer.concat([setup, new FrameWriter(toLauncher.run).texts(['true']).texts([]).u8(2).done()]),
      'streams of a fourth kind': Buffer.concat([setup, runFrame(['true']).u8(3).done()]),
      'a terminal without a size': Buffer.concat([setup, runFrame(['true']).u8(2).u32(80).done()]),
      'binds without a sandbox': Buffer.concat([
        setup,
        new FrameWriter(toLauncher.run)
          .texts(['true'])
          .texts([])
          .u8(0)
          .u32(1)
          .text('/etc')
          .text('in')
          .u64(0)
          .u64(0)
          .u8(0)
          .done(),
      ]),
    };
    const ends = await Promise.all(
      Object.entries(cases).map(async ([name, bytes]) => ({ name, ...(await answer(bytes)) })),
    );
    for (const { name, code, text } of ends) {
      expect({ name, code, says: text.includes(noMeaning) }).toEqual({ name, code: 1, says: true });
    }
    const input = new FrameWriter(toLauncher.input).raw(Buffer.from('early')).done();
    const alone = new FrameWriter(toLauncher.resize).u32(80).u32(24).done();
    const unheard = await answer(Buffer.concat([setup, input, alone, new FrameWriter(toLauncher.inputEnd).done()]));
    // It was not told that its work is done.
    expect(unheard.code).toBe(70);
    const older = await answer(new FrameWriter(toLauncher.setup).u8(protocolVersion - 1).done());
    expect(older).toMatchObject({ code: 1, text: expect.stringContaining('another version') as string });
  });

  test('survives any bytes', async () => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(bytes, fc.boolean(), fc.integer({ min: 1, max: 4 }), async (payload, afterSetup, type) => {
        const frame = Buffer.alloc(5);
        frame.writeUInt32LE(payload.length + 1);
        frame[4] = type;
        const sent = Buffer.concat([...(afterSetup ? [setupFrame().done()] : []), frame, payload]);
        const { code } = await answer(sent);
        expect([1, 70]).toContain(code);
      }),
      { numRuns: 40 },
    );
  });

  test('needs a stream that is open', async () => {
    for (const args of [
      [],
      ['--fd', '2'],
      ['--fd', '77'],
      ['--socket', '/dev/null/x'],
      ['--socket', `/${'long'.repeat(30)}`],
      ['--version', '--namespaces'],
      ['--fd', '3', '--socket', '/x'],
      ['--other'],
    ]) {
      const child = spawn(program, args, { stdio: 'ignore' });
      const [code] = (await once(child, 'exit')) as [number | null];
      expect(code).toBe(
        args.length === 0 ||
          args.includes('--other') ||
          args.includes('2') ||
          args.includes('--version') ||
          args.length === 4
          ? 2
          : 1,
      );
    }
  });

  test('ends with 0 when it is told to, with 70 when it is left alone', async () => {
    const setup = setupFrame().done();
    const end = new FrameWriter(toLauncher.end).done();
    const long = runFrame(['sh', '-c', 'echo $$; exec sleep 91']).done();
    expect((await answer(end)).code).toBe(0);
    expect((await answer(setup)).code).toBe(70);
    expect((await answer(Buffer.concat([setup, new FrameWriter(toLauncher.end).u8(0).done()]))).code).toBe(1);
    for (const [last, code] of [
      [end, 0],
      [Buffer.alloc(0), 70],
    ] as const) {
      const { child, stream } = start();
      stream.on('error', () => undefined).write(Buffer.concat([setup, long]));
      const pid = await new Promise<number>((tell) => {
        let text = '';
        stream.on('data', (part: Buffer) => {
          text += part.toString('latin1');
          const found = /(\d+)\n/.exec(text);
          if (found) tell(Number(found[1]));
        });
      });
      stream.end(last);
      expect(await once(child, 'exit')).toEqual([code, null]);
      expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    }
  });

  test('tells the engine of SIGTERM, once, and goes on', async () => {
    let times = 0;
    const { child, stream } = start();
    await using launcher = new Launcher(stream, 'w', () => (times += 1));
    await launcher.setup(plain);
    const exit = await run(launcher, 'kill -TERM $PPID; sleep 0.1; kill -TERM $PPID; echo on');
    expect({ times, log: exit.log }).toEqual({ times: 1, log: 'on\n' });
    launcher.drop('the pod is ended');
    expect(await once(child, 'exit')).toEqual([70, null]);
    // Where nobody wants to be told, it ends then.
    await using other = new Launcher(start().stream, 'w');
    await other.setup(plain);
    await expect(run(other, 'kill -TERM $PPID; exec sleep 91')).rejects.toThrow('w: it was sent SIGTERM');
  });

  test('waits for an engine that does not listen yet, or for SIGTERM', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pach-launcher-'));
    try {
      const path = join(dir, 'socket');
      const children = [1, 2].map(() => spawn(program, ['--socket', path], { stdio: 'ignore' }));
      const alone = spawn(program, ['--socket', join(dir, 'nobody')], { stdio: 'ignore' });
      const connected: Socket[] = [];
      const listen = async (): Promise<void> => {
        const server = createServer((socket) => connected.push(socket));
        await new Promise<void>((done) => server.listen(path, done));
        await once(server, 'connection');
        if (connected.length < children.length) await once(server, 'connection');
        server.close();
      };
      await listen();
      for (const socket of connected) await new Launcher(socket, 'w')[Symbol.asyncDispose]();
      for (const child of children) if (child.exitCode === null) await once(child, 'exit');
      expect(children.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
      alone.kill('SIGTERM');
      expect(await once(alone, 'exit')).toEqual([143, null]);
      const waits = spawn(program, ['--await', join(dir, 'comes')]);
      await once(waits, 'spawn');
      expect(waits.exitCode).toBeNull();
      const ended = once(waits, 'exit');
      await writeFile(join(dir, 'comes'), '');
      expect(await ended).toEqual([0, null]);
    } finally {
      await rm(dir, { recursive: true });
    }
    const version = spawn(program, ['--version']);
    const [text] = (await once(version.stdout, 'data')) as [Buffer];
    expect(text.toString()).toBe(`launcher, protocol ${protocolVersion}\n`);
    if (version.exitCode === null) await once(version, 'exit');
    expect(version.exitCode).toBe(0);
  });

  test('ends what descends from its commands, without a sandbox too', async () => {
    await using launcher = new Launcher(start().stream, 'w');
    await launcher.setup(plain);
    const exit = await run(
      launcher,
      'echo $PPID; sleep 33.1 & setsid sleep 33.1 & (setsid sh -c "sleep 33.1; true" &)',
      { env: { X: '1' } },
    );
    expect(exit.ending).toEqual({ kind: 'exit', code: 0 });
    const children = await readFile(`/proc/${exit.log.trim()}/task/${exit.log.trim()}/children`, 'utf8');
    expect(children).toBe('');
    expect((await run(launcher, 'kill -TERM $$')).ending).toEqual({ kind: 'signal', signal: 'SIGTERM' });
    expect((await run(launcher, 'sleep 9', { timeoutMs: 50 })).ending).toEqual({ kind: 'timeout' });
  });

  test('filters the calls of its commands, without a sandbox too', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pach-refused-'));
    try {
      buildRefused(join(dir, 'refused'));
      await using launcher = new Launcher(start().stream, 'w');
      await launcher.setup(plain);
      expect(readCalls((await run(launcher, join(dir, 'refused'))).log)).toEqual(expectedCalls);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test('says why it can not be set up', async () => {
    const setup = async (wrong: Partial<LauncherSetup>) => {
      await using launcher = new Launcher(start().stream, 'w');
      return await launcher.setup({ ...plain, ...wrong }).catch((error: unknown) => error);
    };
    expect(await setup({ user: 'nonesuch' })).toMatchObject({
      code: 'failed',
      message: 'w: there is no user nonesuch',
    });
    expect(await setup({ user: '0:nonesuch' })).toMatchObject({ message: 'w: there is no group nonesuch' });
    expect(await setup({ env: { A: 'a\0b' } })).toMatchObject({ code: 'usage' });
    expect(await setup({ secrets: [{ path: '/proc/x/y', bytes: Buffer.from('') }] })).toMatchObject({
      message: expect.stringContaining("the secret /proc/x/y can't be written") as string,
    });
  });
});

test.runIf(isRoot)('where namespaces are not to be had it says what to do', async () => {
  const forbid = 'echo 0 > /proc/sys/user/max_user_namespaces';
  const script = `exec unshare -U --map-user=65534 --keep-caps sh -c '${forbid}; exec ${program} --fd 3 --namespaces'`;
  const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  await using launcher = new Launcher(child.stdio[3] as Duplex, 'edges/1');
  const sandbox = { slot: '/', code: [], hidden: [], network: 'none', scratch: false, cgroups: [], program } as const;
  const failure = await launcher.setup({ ...plain, sandbox }).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: 'denied',
    message: "edges/1: commands can't be given namespaces of their own: No space left on device",
    next: expect.stringContaining('--executor docker') as string,
  });
});

/** A launcher as the first process of a pid namespace, as in a container. */
async function contain(dir: string): Promise<{ child: ChildProcess; socket: Socket }> {
  const path = join(dir, 'socket');
  const server = createServer();
  await new Promise<void>((done) => server.listen(path, done));
  const own = { KUBERNETES_SERVICE_HOST: '10.96.0.1', JOB_COMPLETION_INDEX: '3' };
  const env = { PATH: '/usr/bin:/bin', FROM_IMAGE: 'yes', ...own };
  const script = `exec unshare -pf --mount-proc --kill-child ${program} --socket ${path}`;
  const child = spawn('sh', ['-c', script], { stdio: 'ignore', env });
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  return { child, socket };
}

test.runIf(isRoot)('in a container it is the first process, and keeps order', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'pach-launcher-'));
  try {
    await chmod(dir, 0o755);
    const { child, socket } = await contain(dir);
    await using launcher = new Launcher(socket, 'w');
    await mkdir(join(dir, 'tmp/deep'), { recursive: true });
    const secrets = [{ path: join(dir, 'secrets/token'), bytes: Buffer.from('t0ken') }];
    await launcher.setup({
      env: { ADDED: 'x' },
      secrets,
      user: 'nobody',
      workingDir: '/usr',
      processesMax: 30,
      cleared: [join(dir, 'tmp')],
    });
    expect((await stat(join(dir, 'secrets/token'))).uid).toBe(65534);
    await writeFile(join(dir, 'tmp/deep/x'), 'x');
    const seen = await run(
      launcher,
      'echo $FROM_IMAGE $ADDED $(pwd) $(id -un) $PPID; ls -d /proc/[0-9]* | wc -l; setsid sleep 77 & exit 4',
    );
    expect(seen.ending).toEqual({ kind: 'exit', code: 4 });
    expect(seen.log.split('\n').slice(0, 1)).toEqual(['yes x /usr nobody 1']);
    expect(await readdir(join(dir, 'tmp'))).toEqual([]);
    expect((await run(launcher, 'env')).log).not.toMatch(/KUBERNETES|JOB_COMPLETION/);
    const processes = await run(launcher, 'cat /proc/[0-9]*/comm | sort | uniq -c | tr -s " "');
    expect(processes.log).toContain(' 1 launcher');
    expect(processes.log).not.toContain('sleep');
    expect((await run(launcher, 'kill -9 1; echo $?')).log).toContain('1');
    const bomb = await launcher.run({
      argv: ['bash', '-c', 'bomb() { bomb | bomb & }; ulimit -u 300; bomb; sleep 60'],
      env: {},
      binds: [],
      outputBytesMax: 1 << 20,
      log: () => undefined,
    });
    expect(bomb.ending).toEqual({ kind: 'too-many-processes' });
    // Its socket is in no folder: images may be read-only.
    await mkdir(join(dir, 'bin'));
    await symlink(program, join(dir, 'bin/pachctl'));
    const datums = [{ A: 'b' }, { A: 'c' }];
    const batch = await run(launcher, 'while pachctl next datum; do echo datum; done', {
      env: { PATH: `${join(dir, 'bin')}:/usr/bin:/bin` },
      nextDatum: () => Promise.resolve(datums.shift()),
    });
    expect(batch).toMatchObject({ ending: { kind: 'exit', code: 0 }, log: 'datum\ndatum\n' });
    // The kernel spares the first process signals that it has no handler for; this one is heard.
    const first = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
    const running = run(launcher, 'exec sleep 91');
    process.kill(Number(first), 'SIGTERM');
    await expect(running).rejects.toThrow('it was sent SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    expect(child.exitCode).toBe(70);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

describe("the engine's end", () => {
  const pair = () => {
    const [toEngine, fromEngine] = [new PassThrough(), new PassThrough()];
    return { stream: Duplex.from({ readable: toEngine, writable: fromEngine }), toEngine, fromEngine };
  };

  test('believes nothing that a launcher says', async () => {
    const ready = Buffer.from([2, 0, 0, 0, 65, protocolVersion]);
    const bad = {
      'a frame of no length': Buffer.from([0, 0, 0, 0]),
      'a frame that is too long': Buffer.from([0, 0, 0, 0x7f]),
      'an unknown type': Buffer.from([1, 0, 0, 0, 200]),
      'a second ready': ready,
      'an exit that ends early': Buffer.from([3, 0, 0, 0, 67, 0, 0]),
      'an exit of an unknown kind': Buffer.concat([Buffer.from([34, 0, 0, 0, 67, 99]), Buffer.alloc(32)]),
      'a question that was not expected': Buffer.from([2, 0, 0, 0, 68, 0]),
    };
    for (const [name, bytes] of Object.entries(bad)) {
      const { stream, toEngine } = pair();
      const launcher = new Launcher(stream, name);
      toEngine.write(ready);
      await launcher.setup(plain);
      const failure = run(launcher, 'true').catch((error: unknown) => error);
      toEngine.write(bytes);
      expect(await failure).toMatchObject({ code: 'damaged' });
      await expect(run(launcher, 'true')).rejects.toThrow('invalid message');
    }
  });

  test('takes frames however they are cut', () => {
    const frames = fc.array(fc.tuple(fc.integer({ min: 1, max: 255 }), fc.uint8Array({ maxLength: 50 })), {
      maxLength: 6,
    });
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (sent, cuts) => {
        const bytes = Buffer.concat(
          sent.map(([type, payload]) => Buffer.concat([Buffer.from([payload.length + 1, 0, 0, 0, type]), payload])),
        );
        const splitter = new FrameSplitter();
        const got: [number, number[]][] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = cuts[turn % cuts.length] ?? 1;
          for (const { type, payload } of splitter.push(bytes.subarray(at, at + size))) got.push([type, [...payload]]);
          at += size;
        }
        expect(got).toEqual(sent.map(([type, payload]) => [type, [...payload]]));
      }),
    );
  });
});
