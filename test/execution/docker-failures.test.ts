/** Engines, containers and whole processes that end in the middle, and what can't be had at all. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectDocker } from '../../src/execution/executors/docker.ts';
import { busyboxImage, endOwnEngine, ownEngine } from '../support/docker.ts';
import { DockerPlace, isRoot, programs, run } from './docker-place.ts';

const good = { kind: 'exit', code: 0 };

describe.skipIf(!isRoot)('engines and containers that end', () => {
  let place: DockerPlace;
  let image: string;

  beforeAll(async () => {
    place = await DockerPlace.make();
    image = await busyboxImage(place.engine);
  });
  afterAll(async () => {
    await place.engine.docker.getImage(image).remove({ force: true });
    await place[Symbol.asyncDispose]();
  });

  test('a container that is removed or killed in the middle is told of, and another takes its place', async () => {
    for (const end of [
      { how: 'remove', why: /another program removed it|another program ended it/ },
      { how: 'kill', why: /another program ended it \(exit code 137\)/ },
    ] as const) {
      const options = await place.options(image);
      const worker = await place.executor.open(options);
      const [id = ''] = await place.containers(options.name);
      const container = place.engine.docker.getContainer(id);
      const running = run(worker, 'echo begun; sleep 1000', {
        log: () => void (end.how === 'kill' ? container.kill() : container.remove({ force: true })),
      });
      await expect(running).rejects.toMatchObject({ code: 'failed', why: expect.stringMatching(end.why) });
      await expect(run(worker, 'true')).rejects.toMatchObject({ code: 'failed' });
      await worker[Symbol.asyncDispose]();
      expect(await place.mounts()).toEqual([]);
      const next = await place.executor.open(options);
      expect((await run(next, 'true')).ending).toEqual(good);
      await next[Symbol.asyncDispose]();
      expect(await place.containers(options.name)).toEqual([]);
    }
  });

  test('an engine that restarts ends its workers, and the next ones find nothing left', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pach-dockerd-'));
    try {
      // Containers of this one have roots that are no overlays: all of it is looked at.
      const manner = ['env', 'DOCKER_DRIVER=vfs'];
      await using own = await DockerPlace.make(await ownEngine(dir, manner));
      expect(await own.engine.docker.info()).toMatchObject({ Driver: 'vfs' });
      const plain = await busyboxImage(own.engine);
      const options = await own.options(plain);
      const worker = await own.executor.open(options);
      expect((await run(worker, 'echo x > /tmp/x')).left).toBeUndefined();
      expect((await run(worker, 'echo x > /etc/leak')).left).toBe('/etc/leak');
      expect(await run(worker, 'cat /etc/leak')).toMatchObject({ ending: { code: 1 }, left: undefined });
      const daemon = Number(await readFile(join(dir, 'started'), 'utf8'));
      const running = run(worker, 'echo begun; sleep 1000', { log: () => void process.kill(daemon, 'SIGTERM') });
      await expect(running).rejects.toMatchObject({ code: expect.stringMatching(/^(unreachable|failed)$/) });
      await worker[Symbol.asyncDispose]();
      expect(await own.mounts()).toEqual([]);
      await expect
        .poll(() => own.executor.open(options).catch((error: unknown) => error))
        .toMatchObject({ code: 'unreachable' });
      expect(await own.mounts()).toEqual([]);
      await ownEngine(dir, manner);
      const next = await own.executor.open(options);
      expect((await run(next, 'true')).ending).toEqual(good);
      expect(await own.containers(options.name)).toHaveLength(1);
      await next[Symbol.asyncDispose]();
      expect(await own.containers(options.name)).toEqual([]);
    } finally {
      await endOwnEngine(dir);
    }
  });

  test('a killed process leaves no mount, and its container goes when its worker is opened again', async () => {
    const options = await place.options(image);
    await mkdir(join(options.slot, 'pfs/in'));
    await mkdir(join(place.dir, 'input'));
    await writeFile(join(place.dir, 'input/a'), '');
    const words = [{ host: place.engine.host, ...programs }, options, { from: join(place.dir, 'input'), to: 'in' }];
    const holder = spawn(
      process.execPath,
      [join(import.meta.dirname, 'docker-holder.mjs'), ...words.map((word) => JSON.stringify(word))],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const [printed] = (await once(holder.stdout, 'data')) as [Buffer];
    expect(printed.toString()).toBe('a\n');
    expect((await place.mounts()).length).toBe(2);
    const [left = ''] = await place.containers(options.name);
    holder.kill('SIGKILL');
    await once(holder, 'close');
    await expect.poll(() => place.mounts()).toEqual([]);
    const container = place.engine.docker.getContainer(left);
    await expect.poll(async () => (await container.inspect()).State.Running).toBe(false);
    const worker = await place.executor.open(options);
    const now = await place.containers(options.name);
    expect(now).toHaveLength(1);
    expect(now).not.toContain(left);
    await worker[Symbol.asyncDispose]();
  });

  test('the worker of another engine that lives is left alone', async () => {
    const options = await place.options(image);
    const theirs = await place.options(image, { name: options.name });
    const other = await connectDocker({ host: place.engine.host, ...programs });
    const [worker, their] = [await place.executor.open(options), await other.open(theirs)];
    expect(await place.containers(options.name)).toHaveLength(2);
    expect((await run(worker, 'true')).ending).toEqual(good);
    expect((await run(their, 'true')).ending).toEqual(good);
    await worker[Symbol.asyncDispose]();
    expect(await place.containers(options.name)).toHaveLength(1);
    // What a worker left is taken away with its executor.
    await other[Symbol.asyncDispose]();
    expect(await place.containers(options.name)).toEqual([]);
    await their[Symbol.asyncDispose]();
  });

  test('through an engine that is reached otherwise nothing is mounted, and commands run', async () => {
    const sockets = createServer((from) => {
      const to = connect(place.engine.host.slice('unix://'.length));
      from.pipe(to).pipe(from);
      for (const socket of [from, to]) socket.on('error', () => void [from, to].map((end) => end.destroy()));
    });
    await new Promise<void>((resolve) => sockets.listen(0, '127.0.0.1', resolve));
    const host = `tcp://127.0.0.1:${(sockets.address() as AddressInfo).port}`;
    const executor = await connectDocker({ host, ...programs });
    expect(executor.inputMounts).toBe('none');
    const options = await place.options(image);
    const worker = await executor.open(options);
    expect(await place.mounts()).toEqual([]);
    await writeFile(join(options.slot, 'pfs/a'), 'given');
    expect((await run(worker, 'cat /pfs/a > /pfs/out/b')).ending).toEqual(good);
    expect(await readFile(join(options.slot, 'out/b'), 'utf8')).toBe('given');
    await worker[Symbol.asyncDispose]();
    sockets.close();
    await rm(options.slot, { recursive: true });
  });

  test('an engine that lives among other mounts than a daemon here shows no empty folders', async () => {
    // Without a copy of the mounts of other tests, which would not end.
    const manner = (before: string): string[] => ['sh', '-c', `umount -a -t fuse.pachmount; ${before} exec "$@"`, 'sh'];
    for (const words of [manner(''), manner('mount --make-rshared / &&')]) {
      const dir = await mkdtemp(join(tmpdir(), 'pach-dockerd-'));
      try {
        await using own = await DockerPlace.make(await ownEngine(dir, ['unshare', '--mount', ...words]));
        // For the engine of the other tests is a daemon among our mounts.
        expect(own.executor.inputMounts).toBe('inserted');
        const options = await own.options(await busyboxImage(own.engine));
        const why = "its containers can't see the mounts of this machine";
        await expect(own.executor.open(options)).rejects.toMatchObject({ code: 'unsupported', why });
        expect(await own.containers(options.name)).toEqual([]);
        expect(await own.mounts()).toEqual([]);
      } finally {
        await endOwnEngine(dir);
      }
    }
  });

  test('what is wrong with a task is told at once, and what its engine throws', async () => {
    const { worker } = await place.open(image);
    await using _ = worker;
    await expect(run(worker, ['echo', 'a\0b'])).rejects.toMatchObject({ code: 'usage' });
    const nextDatum = async () => Promise.reject(new Error('from the engine'));
    await expect(run(worker, 'next datum', { nextDatum })).rejects.toThrow('from the engine');
    expect((await run(worker, 'true')).ending).toEqual(good);
  });

  test('what no container can have is refused, and nothing is left', async () => {
    const refused = async (more: Parameters<DockerPlace['options']>[1], error: object): Promise<void> => {
      const options = await place.options(image, more);
      await expect(place.executor.open(options)).rejects.toMatchObject(error);
      expect(await place.containers(options.name)).toEqual([]);
      expect(await place.mounts()).toEqual([]);
    };
    const bytes = Buffer.from('x');
    await refused({ gpus: 1 }, { code: 'unsupported', why: expect.stringContaining('GPU') });
    await refused({ memoryBytesMax: 1000 }, { code: 'usage', why: expect.stringContaining('too small') });
    await refused({ secrets: [{ path: '/key', bytes }] }, { code: 'usage', what: 'the secret at /key' });
    await refused({ secrets: [{ path: '/pfs/key', bytes }] }, { code: 'usage' });
    await refused(
      { user: 'nobody-knows' },
      { code: 'failed', why: expect.stringContaining('there is no user nobody-knows') },
    );
    await refused({ code: [{ from: '/nowhere/code', to: '/app' }] }, { code: 'not-found', what: '/nowhere/code' });
    await refused({ image: undefined }, { code: 'usage', why: 'it has no image' });
  });
});
