/** Commands in containers of a real Docker engine. Needs root. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Worker, WorkerOptions } from '../../src/execution/executor.ts';
import { busyboxImage, scratchImage } from '../support/docker.ts';
import { Place } from '../support/place.ts';
import { DockerPlace, isRoot, run } from './docker-place.ts';

const code = (value: number) => ({ kind: 'exit', code: value });

describe.skipIf(!isRoot)('commands in containers', () => {
  let place: DockerPlace;
  let image: string;
  const images: string[] = [];

  async function made(parts: Parameters<typeof busyboxImage>[1] = {}): Promise<string> {
    const name = await busyboxImage(place.engine, parts);
    images.push(name);
    return name;
  }

  beforeAll(async () => {
    place = await DockerPlace.make();
    image = await made({ changes: ['ENV COLOUR=blue', 'WORKDIR /work'] });
  });
  afterAll(async () => {
    for (const name of images) await place.engine.docker.getImage(name).remove({ force: true });
    await place[Symbol.asyncDispose]();
  });

  test('exit codes and signals are told apart, and what was printed comes', async () => {
    const { worker } = await place.open(image);
    await using _ = worker;
    const bad = await run(worker, 'echo out; echo err >&2; exit 7');
    expect(bad.ending).toEqual(code(7));
    expect(bad.log).toBe('out\nerr\n');
    expect(bad.wallMs).toBeGreaterThan(0);
    expect(bad.memoryBytesPeak).toBeGreaterThan(0);
    expect((await run(worker, 'kill -9 $$')).ending).toEqual({ kind: 'signal', signal: 'SIGKILL' });
    expect((await run(worker, ['true'])).ending).toEqual(code(0));
    expect((await run(worker, ['no-such-program'])).ending).toEqual({
      kind: 'not-started',
      why: 'there is no program no-such-program',
    });
  });

  test('standard input, variables, user and working directory', async () => {
    const named = await made({ changes: ['USER tester', 'WORKDIR /home/tester', 'ENV COLOUR=blue SHAPE=round'] });
    const { worker } = await place.open(named, { env: { COLOUR: 'red', TOKEN: 'hush' } });
    await using _ = worker;
    const seen = await run(worker, ['sh'], {
      stdin: Buffer.from('id -u; id -g; pwd; echo $COLOUR $SHAPE $TOKEN $MINE'),
      env: { MINE: 'x y' },
    });
    expect(seen.log).toBe('1234\n1234\n/home/tester\nred round hush x y\n');
    const other = await place.open(named, { user: '77:78', workingDir: '/etc' });
    expect((await run(other.worker, 'id -u; id -g; pwd')).log).toBe('77\n78\n/etc\n');
    await other.worker[Symbol.asyncDispose]();
  });

  test("HOME is the user's, unless the image or the spec says another", async () => {
    const theirs = await made({ changes: ['USER tester'] });
    const everybodys = await made({ changes: ['ENV HOME=/srv'] });
    const found: string[] = [];
    for (const [name, options] of [
      [image, {}],
      [image, { user: 'tester' }],
      // One that the image does not know.
      [image, { user: '77:78' }],
      [theirs, {}],
      [theirs, { user: 'root' }],
      [everybodys, { user: 'tester' }],
      [everybodys, { user: 'tester', env: { HOME: '/mine' } }],
    ] as const) {
      const { worker } = await place.open(name, options);
      found.push((await run(worker, 'echo $HOME')).log.trim());
      await worker[Symbol.asyncDispose]();
    }
    expect(found).toEqual(['/root', '/home/tester', '/', '/home/tester', '/root', '/srv', '/mine']);
  });

  test('the entrypoint of an image has no say', async () => {
    const stubborn = await made({ changes: ['ENTRYPOINT ["/bin/false"]', 'CMD ["no"]'] });
    const { worker } = await place.open(stubborn);
    await using _ = worker;
    expect((await run(worker, 'echo yes')).log).toBe('yes\n');
  });

  test('secrets are files and variables in the container, and in nothing that Docker tells', async () => {
    const secrets = [{ path: '/run/keys/password', bytes: Buffer.from('very-hush-hush') }];
    const { worker, name } = await place.open(image, { secrets, env: { TOKEN: 'token-hush-hush' }, user: 'tester' });
    await using _ = worker;
    const seen = await run(worker, 'cat /run/keys/password; echo; stat -c %u:%a /run/keys/password; echo $TOKEN');
    expect(seen.log).toBe('very-hush-hush\n1234:600\ntoken-hush-hush\n');
    const [id = ''] = await place.containers(name);
    const container = place.engine.docker.getContainer(id);
    const told = JSON.stringify(await container.inspect()) + JSON.stringify(await container.top());
    expect(told).toContain(name);
    expect(told + (await container.logs({ stdout: true, stderr: true })).toString()).not.toContain('hush');
    expect(JSON.stringify(await container.changes())).not.toContain('password');
  });

  test('/pfs is read-only, /pfs/out is the slot and code is shown', async () => {
    const from = join(place.dir, 'code');
    await mkdir(from, { recursive: true });
    await writeFile(join(from, 'main.sh'), 'echo from code');
    const { worker, slot } = await place.open(image, { code: [{ from, to: '/app/src' }] });
    await using _ = worker;
    await mkdir(join(slot, 'pfs/in'));
    await writeFile(join(slot, 'pfs/in/a'), 'given');
    const seen = await run(
      worker,
      'cat /pfs/in/a; touch /pfs/b; touch /pfs/in/a; touch /app/src/x; sh /app/src/main.sh; umask 077; echo made > /pfs/out/r',
    );
    expect(seen.ending).toEqual(code(0));
    expect(seen.log.match(/Read-only file system/g)).toHaveLength(3);
    expect(seen.log).toMatch(/^given[^]*from code\n$/);
    expect(await readFile(join(slot, 'out/r'), 'utf8')).toBe('made\n');
    expect((await readdir(join(slot, 'pfs'))).toSorted()).toEqual(['in', 'out']);
  });

  test('what is mounted for a command is seen by it alone, read-only, and is gone after it', async () => {
    expect(place.executor.inputMounts).toBe('inserted');
    const from = join(place.dir, 'data');
    await mkdir(join(from, 'deep'), { recursive: true });
    await writeFile(join(from, 'deep/a'), 'lazy');
    const { worker, slot } = await place.open(image);
    await using _ = worker;
    await mkdir(join(slot, 'pfs/images'));
    await writeFile(join(slot, 'pfs/one'), '');
    const before = await place.mounts();
    const binds = [
      { from, to: 'images' },
      { from: join(from, 'deep/a'), to: 'one' },
    ];
    const seen = await run(
      worker,
      'cat /pfs/images/deep/a /pfs/one; touch /pfs/images/x /pfs/one; sleep 100 < /pfs/one &',
      { binds },
    );
    expect(seen.log).toMatch(/^lazylazy/);
    expect(seen.log.match(/Read-only file system/g)).toHaveLength(2);
    expect(await place.mounts()).toEqual(before);
    expect((await run(worker, 'ls /pfs/images; cat /pfs/one')).log).toBe('');
    expect(await readdir(from)).toEqual(['deep']);
    await expect(run(worker, 'true', { binds: [{ from: '/nowhere', to: 'images' }] })).rejects.toThrow('ENOENT');
    expect(await place.mounts()).toEqual(before);
  });

  test('files of a live mount are seen', async () => {
    await using live = await Place.make('root');
    await live.must('pach create repo data && mkdir src && echo deep > src/x && pach put file data@master -r -f src/');
    await live.must('pachmount data@master pfs');
    const [mount] = await live.mounts();
    const { worker, slot } = await place.open(image);
    await mkdir(join(slot, 'pfs/in'));
    const binds = [{ from: join(live.dir, 'pfs/data'), to: 'in' }];
    const seen = await run(worker, 'cat /pfs/in/x; touch /pfs/in/y', { binds });
    expect(seen.log).toMatch(/^deep\ntouch: .*Read-only file system\n$/);
    // Nothing of it is left in the container: the mount is not busy.
    await live.must('pach unmount pfs');
    await worker[Symbol.asyncDispose]();
    // A container that starts just now has a copy of all mounts for a moment, and they have this server.
    await expect.poll(() => existsSync(`/proc/${mount?.pid}`)).toBe(false);
  });

  test('a command that takes too long is ended, and what it leaves', async () => {
    const { worker } = await place.open(image);
    await using _ = worker;
    const late = await run(worker, 'echo begun; sleep 1000', { timeoutMs: 200 });
    expect(late.ending).toEqual({ kind: 'timeout' });
    expect(late.log).toBe('begun\n');
    expect((await run(worker, 'setsid sleep 1000 & sleep 1000 & exit 0')).ending).toEqual(code(0));
    // The shell, ps and the launcher.
    expect((await run(worker, 'ps -o args')).log).not.toContain('sleep');
  });

  test('an aborted command ends', async () => {
    const { worker } = await place.open(image);
    await using _ = worker;
    const stop = new AbortController();
    const running = run(worker, 'echo begun; sleep 1000', { signal: stop.signal, log: () => stop.abort() });
    expect((await running).ending).toEqual({ kind: 'aborted' });
  });

  test('scratch is empty for every command, and may hold what it likes', async () => {
    const { worker, name } = await place.open(image, { memoryVolume: true });
    await using _ = worker;
    const first = await place.containers(name);
    const busy = 'mkdir -p /tmp/a/b; touch /tmp/a/b/c /dev/shm/x /scratch/y /pfs/out/z; setsid sleep 100 &';
    for (let n = 0; n < 20; n++) expect(await run(worker, busy)).toMatchObject({ ending: code(0), left: undefined });
    const seen = await run(
      worker,
      'ls -A /tmp /dev/shm /scratch; grep -c " /scratch tmpfs " /proc/mounts; pidof sleep',
    );
    expect(seen.log).toBe('/dev/shm:\n\n/scratch:\n\n/tmp:\n1\n');
    expect(await place.containers(name)).toEqual(first);
  });

  /** Runs commands in order, each after a look at all that they write; resolves to what each left. */
  async function leave(worker: Worker, name: string, scripts: readonly string[]): Promise<(string | undefined)[]> {
    const look = `cat /etc/hosts /etc/passwd /etc/group /run/keys/key; ls -lAn / /home /tmp /var /app /data /dev/mqueue /dev/shm
      ls /dev /bin; tail -n +2 /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg; cat /proc/1/oom_score_adj; cut -d' ' -f19 /proc/self/stat; ulimit -n; ps -o args`;
    // Sizes and times are not the same in all containers.
    const clean = (log: string): string => log.replaceAll(/^([d-]\S{9})\s+\d+(\s+\d+\s+\d+)\s.*\s(\S+)$/gm, '$1$2 $3');
    const { log: untouched } = await run(worker, look);
    const containers = new Set(await place.containers(name));
    const left: (string | undefined)[] = [];
    for (const script of scripts) {
      const exit = await run(worker, script);
      expect(exit).toMatchObject({ ending: code(0), log: '' });
      left.push(exit.left);
      const next = await run(worker, look);
      expect({ script, log: clean(next.log) }).toEqual({ script, log: clean(untouched) });
      expect(next.left).toBeUndefined();
      for (const id of await place.containers(name)) containers.add(id);
    }
    expect(containers.size).toBe(scripts.length + 1);
    return left;
  }

  /** A worker whose image has a volume, with code and a secret. */
  async function leaky(more: Partial<WorkerOptions> = {}): ReturnType<DockerPlace['open']> {
    const from = join(place.dir, 'programs');
    await mkdir(from, { recursive: true });
    await promisify(execFile)('gcc', ['-static', '-o', join(from, 'leave'), join(import.meta.dirname, 'leave.c')]);
    const secrets = [{ path: '/run/keys/key', bytes: Buffer.from('secret') }];
    return place.open(await made({ changes: ['VOLUME /data'] }), {
      code: [{ from, to: '/app/src' }],
      secrets,
      ...more,
    });
  }

  test('what a command changes in its container costs that container, and the next one finds none of it', async () => {
    const { worker, name } = await leaky();
    await using _ = worker;
    const leaks = {
      'mkdir /var && echo x > /var/leak': '/var/leak',
      'echo x > /app/leak': '/app/leak',
      'echo x > /data/leak': '/data/leak',
      'echo x > /dev/leak': '/dev/leak',
      'echo x >> /etc/hosts': '/etc/hosts',
      // With the time that it had.
      'touch -r /etc/passwd /tmp/time; echo x >> /etc/passwd; touch -r /tmp/time /etc/passwd': '/etc/passwd',
      'rm /etc/group': '/etc/group',
      'chown 5 /home': '/home',
      'rm -r /tmp && ln -s /data /tmp': '/tmp',
      'renice 5 -p 1': '/proc/1',
      '/app/src/leave shm': '/proc/sysvipc/shm',
      '/app/src/leave msg': '/proc/sysvipc/msg',
    };
    expect(await leave(worker, name, Object.keys(leaks))).toEqual(Object.values(leaks));
    const script = 'for name in launcher next new; do echo x > /pach-bin/$name; done; rm /pach-bin/next';
    const helped = await run(worker, script);
    expect(helped.log.match(/Read-only file system/g)).toHaveLength(4);
    expect(helped.left).toBeUndefined();
  });

  test('so does what an ordinary user changes', async () => {
    const { worker, name } = await leaky({ user: 'tester' });
    await using _ = worker;
    const leaks = {
      'echo x > /run/keys/key': '/run/keys/key',
      '/app/src/leave sem': '/proc/sysvipc/sem',
      '/app/src/leave queue': '/dev/mqueue',
    };
    const left = await leave(worker, name, Object.keys(leaks));
    // Times are in seconds there: within the first one the queue itself can't be told.
    expect(left.map((path) => path?.replace('/dev/mqueue/leak', '/dev/mqueue'))).toEqual(Object.values(leaks));
  });

  test('where an image has files in /tmp, these stay, and others cost the container', async () => {
    const { worker } = await place.open(await made({ files: { '/tmp/shipped': 'by the image' } }));
    await using _ = worker;
    expect((await run(worker, 'echo x >> /tmp/shipped; echo y > /tmp/other')).left).toMatch(/^\/tmp\/(shipped|other)$/);
    expect((await run(worker, 'cat /tmp/*')).log).toBe('by the image');
  });

  test('out of memory is said as such, and the worker goes on', async () => {
    const { worker } = await place.open(image, { memoryBytesMax: 32 * 2 ** 20 });
    await using _ = worker;
    const hungry = ['sh', '-c', 'x=a; while true; do x=$x$x; done'];
    expect((await run(worker, hungry)).ending).toEqual({ kind: 'out-of-memory' });
    expect((await run(worker, 'kill -9 $$')).ending).toEqual({ kind: 'signal', signal: 'SIGKILL' });
    expect((await run(worker, hungry)).ending).toEqual({ kind: 'out-of-memory' });
    expect((await run(worker, ['true'])).ending).toEqual(code(0));
  });

  test('files in memory that fill it are out of memory too', async () => {
    const { worker } = await place.open(image, { memoryBytesMax: 32 * 2 ** 20 });
    await using _ = worker;
    const filled = await run(worker, 'dd if=/dev/zero of=/dev/shm/big bs=1M count=100');
    expect(filled.ending).toEqual({ kind: 'out-of-memory' });
  });

  test('too many processes and too much output end a command', async () => {
    const { worker } = await place.open(image, { processesMax: 20 });
    await using _ = worker;
    const bomb = await run(worker, 'for n in $(seq 100); do sleep 100 & done; wait');
    expect(bomb.ending).toEqual({ kind: 'too-many-processes' });
    expect((await run(worker, ['true'])).ending).toEqual(code(0));
    const flood = await run(worker, 'dd if=/dev/zero of=/pfs/out/big bs=1M count=10', { outputBytesMax: 2 ** 20 });
    expect(flood.ending).toEqual({ kind: 'too-much-output' });
  });

  test('without a network there is none, and a container may do little', async () => {
    const { worker } = await place.open(image);
    await using _ = worker;
    expect((await run(worker, 'ls /sys/class/net')).log).toBe('lo\n');
    const seen = await run(
      worker,
      'hostname; mknod /tmp/d b 7 0; mount -t tmpfs x /tmp; grep NoNewPrivs /proc/self/status',
    );
    expect(seen.log).toContain('worker\n');
    expect(seen.log).toMatch(/mknod: .*not permitted[^]*mount: .*permission denied[^]*NoNewPrivs:\t1/i);
  });

  test('an image with nothing but a static program will do', async () => {
    const scratch = await scratchImage(place.engine);
    images.push(scratch);
    const { worker, slot } = await place.open(scratch);
    await using _ = worker;
    expect((await run(worker, ['/busybox', 'sh', '-c', 'echo hi > /pfs/out/a'])).ending).toEqual(code(0));
    expect(await readFile(join(slot, 'out/a'), 'utf8')).toBe('hi\n');
  });

  test('one command after another runs in one container, which goes with its worker', async () => {
    const { worker, name, slot } = await place.open(image);
    const first = await place.containers(name);
    for (let n = 0; n < 200; n++) expect((await run(worker, ['true'])).ending).toEqual(code(0));
    expect(await place.containers(name)).toEqual(first);
    expect(first).toHaveLength(1);
    await worker[Symbol.asyncDispose]();
    expect(await place.containers(name)).toEqual([]);
    expect(await place.mounts()).toEqual([]);
    expect((await readdir(slot)).toSorted()).toEqual(['out', 'pfs']);
  });

  test('a command asks for its datums with next and with pachctl', async () => {
    const { worker } = await place.open(image);
    await using _ = worker;
    const given = [{ N: '1' }, { N: '2' }];
    const told: boolean[] = [];
    const seen = await run(
      worker,
      'while true; do eval "$(next datum)"; echo $N; pachctl next datum --error bad; done',
      {
        nextDatum: async (failed) => {
          told.push(failed);
          return given.shift();
        },
      },
    );
    expect(seen.ending).toEqual(code(0));
    expect(seen.log).toBe('1\n');
    expect(told).toEqual([false, true, false]);
  });
});
