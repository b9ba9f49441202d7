/**
 * The process executor, with real commands: how they end, what they see, what they can't, and what
 * is left of them, as root and as an ordinary user.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { Driver, whos, type Holds } from './drive-executor.ts';
import { buildRefused, expectedCalls, readCalls } from './refused.ts';

const exited = (code: number) => ({ kind: 'exit', code });

/** How often a marker stands in the command lines of this machine's processes. */
function running(marker: string): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(marker);
    } catch {
      return false;
    }
  }).length;
}

/** How many mounts a process has, of those that have to do with a text: others mount things meanwhile. */
const mountsOf = (pid: number | 'self', text: string) =>
  readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
    .split('\n')
    .filter((line) => line.includes(text)).length;

describe.each(whos)('commands of %s', (who) => {
  test('end with their code, a signal, or not at all', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    expect((await driver.run('exit 0')).ending).toEqual(exited(0));
    expect((await driver.run('exit 137')).ending).toEqual(exited(137));
    expect((await driver.run('kill -SEGV $$')).ending).toEqual({ kind: 'signal', signal: 'SIGSEGV' });
    expect((await driver.run('kill -9 $$')).ending).toEqual({ kind: 'signal', signal: 'SIGKILL' });
    const notStarted = async (...argv: string[]) => (await driver.run('', { argv })).ending;
    expect(await notStarted('nonesuch', 'x')).toEqual({ kind: 'not-started', why: 'there is no program nonesuch' });
    expect(await notStarted('./nonesuch')).toEqual({ kind: 'not-started', why: 'there is no program ./nonesuch' });
    expect(await notStarted('/etc/passwd')).toEqual({
      kind: 'not-started',
      why: 'permission denied: /etc/passwd is not a program that may be run',
    });
    const unstarted = {
      kind: 'not-started',
      why: 'bare is not a program: it needs a first line like #!/bin/sh, or is for another kind of machine',
    };
    await driver.run('echo exit 1 > /pfs/out/bare; chmod 755 /pfs/out/bare');
    expect((await driver.run('', { argv: ['bare'], env: { PATH: '/pfs/out:/usr/bin' } })).ending).toEqual(unstarted);
    await driver.run('echo "#!/nonesuch/sh" > /pfs/out/bare');
    expect((await driver.run('', { argv: ['/pfs/out/bare'] })).ending).toEqual({
      kind: 'not-started',
      why: '/pfs/out/bare needs an interpreter or loader that does not exist',
    });
    await driver.open({ workingDir: '/nonesuch' }, 'elsewhere');
    expect((await driver.run('pwd', { worker: 'elsewhere' })).ending).toEqual({
      kind: 'not-started',
      why: 'there is no folder /nonesuch',
    });
  });

  test('are told apart by their use of time and memory', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    const busy = await driver.run(
      'x=; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; (head -c 60000000 /dev/zero | tail -c 60000000 >/dev/null)',
    );
    expect(busy.ending).toEqual(exited(0));
    expect(busy.cpuMs).toBeGreaterThan(10);
    expect(busy.wallMs).toBeGreaterThan(10);
    expect(busy.memoryBytesPeak).toBeGreaterThan(50 << 20);
    const idle = await driver.run('true');
    expect(idle.memoryBytesPeak).toBeLessThan(50 << 20);
    expect(idle.memoryBytesPeak).toBeGreaterThan(100 << 10);
  });

  test('get their input, variables and folder', async () => {
    await using driver = await Driver.start(who);
    await driver.open({ env: { SECRET: 'hush-4711', BOTH: 'worker' }, workingDir: '/usr/share' });
    const lines = Buffer.from(`${'x'.repeat(3_000_000)}\n`);
    expect((await driver.run('wc -c', { stdin: lines })).log.trim()).toBe('3000001');
    // Who does not read it must not fail.
    expect((await driver.run('exit 0', { stdin: lines })).ending).toEqual(exited(0));
    expect((await driver.run('cat')).log).toBe('');
    const { log } = await driver.run('echo $SECRET $BOTH $OWN; pwd; cat /proc/[0-9]*/cmdline | tr "\\0" "\\n"', {
      env: { OWN: 'ünïcode', BOTH: 'task' },
    });
    const [variables, folder, ...commandLines] = log.split('\n');
    expect(variables).toBe('hush-4711 task ünïcode');
    expect(folder).toBe('/usr/share');
    expect(commandLines.join('\n')).not.toContain('hush-4711');
    expect(running('hush-4711')).toBe(0);
    const names = (await driver.run('', { argv: ['env'] })).log.split('\n').map((line) => line.split('=')[0] ?? '');
    expect(names.filter(Boolean).toSorted()).toEqual(['BOTH', 'HOME', 'LANG', 'PATH', 'SECRET']);
  });

  test('print both streams in order, as much as they like', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    const numbers = await driver.run('i=0; while [ $i -lt 1000 ]; do echo $i; echo $i >&2; i=$((i+1)); done');
    expect(numbers.log.split('\n')).toEqual([...Array.from({ length: 2000 }, (_, n) => String(n >> 1)), '']);
    const flood = await driver.run('head -c 30000000 /dev/zero');
    expect(flood.bytes.length).toBe(30_000_000);
  });

  test('end at their time, even when they would not', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    expect((await driver.run('sleep 30', { timeoutMs: 200 })).ending).toEqual({ kind: 'timeout' });
    const polite = await driver.run('trap "echo bye; exit 0" TERM; sleep 30 & wait', { timeoutMs: 200 });
    expect(polite.ending).toEqual({ kind: 'timeout' });
    expect(polite.log).toBe('bye\n');
    const stubborn = await driver.run('trap "" TERM; echo up; while :; do sleep 31.4151; done', { timeoutMs: 200 });
    expect(stubborn.ending).toEqual({ kind: 'timeout' });
    expect(stubborn.log).toContain('up');
    expect(running('31.4151')).toBe(0);
    expect((await driver.run('sleep 30', { abortAfterMs: 100 })).ending).toEqual({ kind: 'aborted' });
    expect((await driver.run('echo still here')).log).toBe('still here\n');
  });

  test('leave no process behind, and are not waited for by their descendants', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    const left = await driver.run(
      'sleep 27.1827 & setsid sleep 27.1827 & (trap "" TERM HUP; setsid sleep 27.1827 &) ; echo left',
    );
    expect(left.ending).toEqual(exited(0));
    expect(left.log).toBe('left\n');
    expect(running('27.1827')).toBe(0);
  });

  test('may not fill the machine with processes', async () => {
    await using driver = await Driver.start(who);
    await driver.open({ processesMax: 40 });
    const bomb = await driver.run('bomb() { bomb | bomb & }; bomb; sleep 60', {
      argv: ['bash', '-c', 'bomb() { bomb | bomb & }; bomb; sleep 60'],
    });
    expect(bomb.ending).toEqual({ kind: 'too-many-processes' });
    expect((await driver.run('for i in 1 2 3 4 5 6 7 8; do sleep 0.2 & done; wait')).ending).toEqual(exited(0));
  });

  test('may not write more than their limit', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    const limit = { outputBytesMax: 1_000_000 };
    const tooMuch = { kind: 'too-much-output' };
    const empty = () => driver.run('rm -rf /pfs/out/* /pfs/out/.[a-z]*');
    expect((await driver.run('head -c 1000000 /dev/zero > /pfs/out/x', limit)).ending).toEqual(exited(0));
    expect((await driver.run('echo more > /pfs/out/y', limit)).ending).toEqual(tooMuch);
    await empty();
    expect((await driver.run('head -c 5000000 /dev/zero > /pfs/out/x', limit)).ending).toEqual(tooMuch);
    await empty();
    const many =
      'mkdir /pfs/out/d; i=0; while :; do i=$((i+1)); head -c 10000 /dev/zero > /pfs/out/d/$i; sleep 0.001; done';
    expect((await driver.run(many, limit)).ending).toEqual(tooMuch);
    await empty();
    expect((await driver.run('head -c 1000000 /dev/zero > /pfs/out/x', limit)).ending).toEqual(exited(0));
  });

  test('see /pfs, and write to /pfs/out only', async () => {
    await using driver = await Driver.start(who);
    const input = await driver.folder('slot/pfs/in');
    await writeFile(join(input, 'a.txt'), 'alpha\n');
    await driver.open();
    expect((await driver.run('cat /pfs/in/a.txt')).log).toBe('alpha\n');
    for (const write of [
      'echo x > /pfs/in/a.txt',
      'touch /pfs/in/b',
      'mkdir /pfs/d',
      'rm /pfs/in/a.txt',
      'touch /usr/share/x',
      'touch /x',
      'touch /etc/x',
      'touch /dev/x',
      'touch /pach-bin/x',
    ]) {
      const { ending, log } = await driver.run(write);
      expect(ending).not.toEqual(exited(0));
      expect(log).toMatch(/Read-only|Permission/);
    }
    expect(
      (await driver.run('echo out > /pfs/out/f; ln -s /etc/shadow /pfs/out/l; touch "$(printf "/pfs/out/\\377")"'))
        .ending,
    ).toEqual(exited(0));
    const out = readdirSync(join(driver.slot, 'out'), { encoding: 'buffer' }).map((name) => name.toString('latin1'));
    expect(out.toSorted()).toEqual(['f', 'l', '\xff']);
    expect(readFileSync(join(driver.slot, 'out/f'), 'utf8')).toBe('out\n');
    // The engine fills the slot between runs.
    await writeFile(join(input, 'b.txt'), 'beta\n');
    expect((await driver.run('cat /pfs/in/b.txt')).log).toBe('beta\n');
  });

  test('see what is bound for them, and only while they run', async () => {
    await using driver = await Driver.start(who);
    await driver.folder('slot/pfs/in');
    await writeFile(join(driver.slot, 'pfs/file'), '');
    await symlink('/etc', join(driver.slot, 'pfs/link'));
    const data = await driver.folder('data');
    await writeFile(join(data, 'x'), 'data\n');
    await driver.open();
    const binds = [
      { from: data, to: 'in' },
      { from: join(data, 'x'), to: 'file' },
    ];
    const seen = await driver.run('cat /pfs/in/x /pfs/file; echo y > /pfs/in/x; echo y > /pfs/file', { binds });
    expect(seen.log.split('\n').slice(0, 2)).toEqual(['data', 'data']);
    expect(seen.log.match(/Read-only/g)?.length).toBe(2);
    expect((await driver.run('ls /pfs/in; cat /pfs/file')).log).toBe('');
    // A link out of the slot is never followed.
    await expect(driver.run('true', { binds: [{ from: data, to: 'link/ssl' }] })).rejects.toThrow('/pfs/link/ssl');
    await expect(driver.run('true', { binds: [{ from: join(data, 'none'), to: 'in' }] })).rejects.toThrow(
      "data/none can't be shown",
    );
  });

  test('see files of a mount of the same user', async () => {
    await using driver = await Driver.start(who);
    await using place = await Place.make(who);
    await driver.folder('slot/pfs/in');
    await driver.open();
    expect((await driver.run('true')).ending).toEqual(exited(0));
    await place.must('pach create repo data && mkdir src && echo deep > src/x && pach put file data@master -r -f src/');
    // Where the command would see it, as it sees the file beside it.
    const outside = await driver.outside();
    const mountpoint = join(outside, "it's there");
    await place.must(`mkdir "${mountpoint}" && pachmount data@master "${mountpoint}" && touch ${outside}/beside`);
    const binds = [{ from: join(mountpoint, 'data'), to: 'in' }];
    const seen = await driver.run('cat /pfs/in/x; touch /pfs/in/y', { binds });
    expect(seen.log).toMatch(/^deep\ntouch: .*Read-only file system\n$/);
    // But for what it is given it sees none of our mounts.
    expect((await driver.run(`ls -R ${outside}`, { binds })).log).toBe(
      `${outside}:\nbeside\nit's there\n\n${outside}/it's there:\n`,
    );
    expect((await driver.run('ls /pfs/in')).log).toBe('');
    // Its world has a part in the mount, which the server serves until then.
    await driver.close();
    await place.must(`pach unmount "${mountpoint}"`);
  });

  test('see neither other datums, nor what is hidden, nor sockets of the system', async () => {
    await using driver = await Driver.start(who);
    const hidden = await driver.folder('home');
    await writeFile(join(hidden, 'credentials'), 'key');
    const place = who === 'root' ? '/var/tmp' : driver.dir;
    await driver.open({ hidden: [hidden, '/usr/share/doc', '/nonesuch'] });
    const { log } = await driver.run(
      `ls ${hidden} ${driver.slot} /usr/share/doc; ls -A /tmp /dev/shm /run; cat ${join(hidden, 'credentials')}; ls ${place}`,
    );
    expect(log).not.toContain('key');
    expect(log.match(/No such file/g)?.length).toBe(who === 'root' ? 3 : 4);
    expect((await driver.run('ls -A /usr/share/doc')).log).toBe('');
    expect(
      (await driver.run('ls /run/docker.sock /dev/sda /dev/vda /dev/mem 2>&1 | grep -vc "No such"')).log.trim(),
    ).toBe('0');
    // What one leaves in /tmp, the next does not see.
    await driver.run('echo left > /tmp/x; echo left > /dev/shm/x');
    expect((await driver.run('ls -A /tmp /dev/shm')).log).toBe('/dev/shm:\n\n/tmp:\n');
    expect((await driver.run('set -- /proc/[0-9]*; echo $#')).log.trim()).toBe('2');
    expect((await driver.run(`kill -9 ${process.pid}; kill -9 ${driver.child.pid}`)).ending).toEqual(exited(1));
  });

  test('see nothing at hidden places, whatever becomes of these', async () => {
    await using driver = await Driver.start(who);
    const home = await driver.outside();
    const put = async (path: string) => {
      await mkdir(dirname(join(home, path)), { recursive: true });
      await writeFile(join(home, path), 'hush');
    };
    for (const path of ['folder/key', 'file', 'target/key', 'dotfiles/key', 'linking/other', 'renamed', 'seen'])
      await put(path);
    await symlink('target', join(home, 'link'));
    await symlink('../dotfiles/key', join(home, 'linking/key'));
    const names = ['folder', 'file', 'link', 'linking', 'renamed', 'later', 'deep/er/later'];
    await driver.open({ hidden: names.map((name) => join(home, name)) });
    const seen = async () => (await driver.run(`cd ${home} && grep -rl hush .`)).log;
    expect(await seen()).toBe('./seen\n');
    expect((await driver.run(`cat ${home}/link/key ${home}/linking/key`)).log).toMatch(/^cat:.*\ncat:.*\n$/);
    await put('later');
    expect(await seen()).toBe('./seen\n');
    await put('deep/er/later');
    expect(await seen()).toBe('./seen\n');
    // What was hidden before has gone with its name.
    await put('new');
    await rename(join(home, 'new'), join(home, 'renamed'));
    await rename(join(home, 'folder'), join(home, 'away'));
    await put('folder/key');
    expect(await seen()).toBe('./seen\n');
    // Nothing is hidden twice: mounts cost each command something.
    const launcher = (await driver.holds()).launchers[0] ?? 0;
    const mountsBefore = mountsOf(launcher, home);
    expect((await driver.repeat(['true'], 5)).endings).toEqual([JSON.stringify(exited(0))]);
    expect(mountsOf(launcher, home)).toBe(mountsBefore);
  });

  test('have no rights beyond their files, and can gain none', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    const status = await driver.run('cat /proc/self/status');
    const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status.log)?.[1];
    expect(field('CapEff')).toBe(who === 'root' ? '00000000000000fb' : '0000000000000000');
    expect(field('CapPrm')).toBe(field('CapEff'));
    expect(field('NoNewPrivs')).toBe('1');
    expect((await driver.run('id -u')).log.trim()).toBe(who === 'root' ? '0' : '65534');
    expect((await driver.run('mount -t tmpfs x /tmp')).ending).not.toEqual(exited(0));
    expect((await driver.run('umount /pfs')).ending).not.toEqual(exited(0));
    // Nor within user namespaces of their own, where they may mount.
    const nested =
      'unshare -Urm sh -c "umount /usr/share/doc; umount -l /; mount -o remount,rw /usr; ls /usr/share/doc; touch /usr/x" 2>&1; ls /proc/1/root /proc/1/fd';
    await driver.open({ hidden: ['/usr/share/doc'] }, 'hidden');
    const { log } = await driver.run(nested, { worker: 'hidden' });
    expect(log).not.toContain('base-files');
    expect(existsSync('/usr/x')).toBe(false);
    expect(log).toContain("cannot access '/proc/1/root': Permission denied");
  });

  test('may not ask the kernel for what data programs have no use for', async () => {
    await using driver = await Driver.start(who);
    buildRefused(join(driver.slot, 'pfs/refused'));
    await driver.open();
    const { log } = await driver.run('', { argv: ['/pfs/refused'] });
    expect(readCalls(log)).toEqual(expectedCalls);
  });

  test('have none of the keys of who runs them', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pach-keys-'));
    try {
      await chmod(dir, 0o755);
      const holder = join(dir, 'refused');
      buildRefused(holder);
      const look = ['sh', '-c', 'grep -c pach-hush /proc/keys; true'];
      expect(execFileSync(holder, ['hold', ...look]).toString()).toBe('1\n');
      await using driver = await Driver.start(who, [holder, 'hold']);
      await driver.open();
      expect((await driver.run('', { argv: look })).log).toBe('0\n');
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test('are without a network where they should', async () => {
    await using driver = await Driver.start(who);
    const path = join(await driver.outside(), 'sock\net');
    const server = createServer((socket) => socket.end());
    await new Promise<void>((done) => server.listen(path, done));
    await chmod(path, 0o777);
    const script = `require('net').connect(process.argv[1]).on('connect', () => console.log('connected')).on('error', (error) => console.log(error.code))`;
    const connect = async (worker: string) =>
      (await driver.run('', { worker, argv: [process.execPath, '-e', script, path] })).log;
    await driver.open({}, 'online');
    await driver.open({ network: 'none' });
    expect(await connect('online')).toBe('connected\n');
    expect(await connect('w')).toBe('ECONNREFUSED\n');
    server.close();
    const { log } = await driver.run('tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d " "');
    expect(log).toBe('lo\n');
  });

  test('get code, secrets and scratch at their places', async () => {
    await using driver = await Driver.start(who);
    const code = await driver.folder('code');
    await writeFile(join(code, 'main.sh'), 'echo main');
    await driver.open({
      code: [
        { from: code, to: '/app' },
        { from: code, to: '/usr/share/pach-test/deep/src' },
        { from: join(code, 'main.sh'), to: '/usr/share/pach-test/one.sh' },
      ],
      secrets: [
        { path: '/run/secrets/token', text: 't0ken' },
        { path: '/keys/b', text: 'b' },
        { path: '/keys/c', text: 'c' },
      ],
      memoryVolume: true,
    });
    const shown = await driver.run(
      'sh /app/main.sh; sh /usr/share/pach-test/deep/src/main.sh; sh /usr/share/pach-test/one.sh; ls -d /usr/share/doc',
    );
    expect(shown.log).toBe('main\nmain\nmain\n/usr/share/doc\n');
    expect(existsSync('/usr/share/pach-test')).toBe(false);
    expect((await driver.run('touch /app/x')).ending).not.toEqual(exited(0));
    expect((await driver.run('cat /run/secrets/token /keys/b /keys/c; stat -c %a%U /keys/b')).log).toMatch(
      new RegExp(`^t0kenbc600${who === 'root' ? 'root' : 'nobody'}`),
    );
    expect((await driver.run('echo x > /scratch/x; df --output=fstype /scratch | tail -1')).log.trim()).toBe('tmpfs');
    expect((await driver.run('ls /scratch')).log).toBe('');
    await expect(driver.open({ code: [{ from: code, to: '/tmp/app' }] }, 'tmp')).rejects.toThrow(
      'nothing can be shown below /tmp',
    );
    await expect(driver.open({ code: [{ from: '/nonesuch', to: '/app' }] }, 'none')).rejects.toThrow('/nonesuch');
  });

  test('can stay up and ask for their datums', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    const loop =
      'while :; do pachctl next datum; echo one; eval "$(next datum --error "it broke")"; echo "$NAME"; done';
    const ran = await driver.run(loop, { datums: [{ NAME: 'a' }, { NAME: "it's $(b)" }] });
    expect(ran.ending).toEqual(exited(0));
    expect(ran.log).toBe("one\nit's $(b)\n");
    expect(ran.asked).toEqual([false, true, false]);
    // Variables get to where they were asked for, and not into the log.
    const silent =
      'next datum; next datum 2>&1; next datum > /tmp/v; . /tmp/v; echo $NAME; eval "$(next datum 2>&1)"; echo $NAME; next datum';
    const names = ['a', 'b', 'c', 'd'].map((NAME) => ({ NAME }));
    expect((await driver.run(silent, { datums: names })).log).toBe('c\nd\n');
    const refused = await driver.run('pachctl list repo; next; exit 3', { datums: [] });
    expect(refused.ending).toEqual(exited(3));
    expect(refused.log).toContain('only `pachctl next datum` works here');
    await expect(driver.run(loop, { datums: [{}], nextThrows: 'the store is away' })).rejects.toThrow(
      'the store is away',
    );
    // Elsewhere there is no such program.
    expect((await driver.run('pachctl next datum')).ending).toEqual(exited(127));
    expect((await driver.run('/pach-bin/next datum')).log).toContain('datum_batching');
  });

  test('leave nothing behind, however many', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    await driver.repeat(['true'], 10);
    const before = await driver.holds();
    const launcher = before.launchers[0] ?? 0;
    const mountsBefore = mountsOf(launcher, ' - tmpfs ');
    const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
    const descriptorsBefore = descriptors(launcher);
    expect((await driver.repeat(['true'], 1000)).endings).toEqual([JSON.stringify(exited(0))]);
    expect(await driver.holds()).toEqual<Holds>(before);
    expect(before.below).toBe(0);
    expect(mountsOf(launcher, ' - tmpfs ')).toBe(mountsBefore);
    expect(descriptors(launcher)).toBe(descriptorsBefore);
    await driver.close();
    expect(existsSync(`/proc/${launcher}`)).toBe(false);
    expect(mountsOf('self', driver.dir)).toBe(0);
  });

  test('end with their launcher, which leaves nothing', async () => {
    await using driver = await Driver.start(who);
    const groups = () =>
      (existsSync('/sys/fs/cgroup/pids') ? readdirSync('/sys/fs/cgroup/pids') : []).filter((name) =>
        name.startsWith(`pachmount-${driver.child.pid}-`),
      );
    const groupsBefore = groups();
    await driver.open();
    const run = driver.run('sleep 16.1803 & sleep 16.1803');
    const failure = run.catch((error: unknown) => error);
    await expect.poll(() => running('16.1803')).toBe(2);
    process.kill((await driver.holds()).launchers[0] ?? 0, 'SIGKILL');
    expect(await failure).toMatchObject({ code: 'failed', message: 'edges/w: its launcher has ended' });
    await expect.poll(() => running('16.1803')).toBe(0);
    expect(mountsOf('self', driver.dir)).toBe(0);
    // Another one takes its place.
    expect((await driver.run('true')).ending).toEqual(exited(0));
    await driver.close();
    expect(groups()).toEqual(groupsBefore);
    await expect(driver.run('true')).rejects.toThrow('the worker was closed');
  });

  test('end with their engine', async () => {
    await using driver = await Driver.start(who);
    await driver.open();
    void driver.run('setsid sleep 14.1421 & sleep 14.1421').catch(() => undefined);
    await expect.poll(() => running('14.1421')).toBe(2);
    driver.child.kill('SIGKILL');
    await expect.poll(() => running('14.1421')).toBe(0);
  });
});

test.runIf(whos.includes('root'))('a mount that came after its worker is shown all the same', async () => {
  await using driver = await Driver.start('root');
  await driver.folder('slot/pfs/in');
  const data = await driver.folder('data');
  await driver.open();
  const binds = [{ from: data, to: 'in' }];
  expect((await driver.run('ls /pfs/in', { binds })).log).toBe('');
  execFileSync('sh', ['-c', `mount -t tmpfs later ${data}`]);
  try {
    await writeFile(join(data, 'later'), '');
    expect((await driver.run('ls /pfs/in', { binds })).log).toBe('later\n');
  } finally {
    execFileSync('sh', ['-c', `umount ${data}`]);
  }
  await driver.ask({ action: 'run', worker: 'w', task: { argv: ['true'] } });
});

test.runIf(whos.includes('root'))('a hidden place is hidden under all of its paths', async () => {
  await using driver = await Driver.start('root');
  const outside = await driver.outside();
  const shell = (script: string) => execFileSync('sh', ['-ec', script], { cwd: outside });
  shell('mkdir -p home/own/keys again "a part"; echo hush > home/own/keys/x; echo seen > home/own/seen');
  shell('mount --bind home again; mount --bind home/own/keys "a part"');
  try {
    await driver.open({ hidden: [join(outside, 'again/own')] });
    expect((await driver.run(`cd ${outside}; ls -R . | grep -c x; cat */own/* "a part"/*`)).log).not.toMatch(
      /hush|seen/,
    );
    await driver.open({ hidden: [join(outside, 'home/own/keys')] }, 'keys');
    const { log } = await driver.run(`cd ${outside}; grep -r . home again "a part" | sort`, { worker: 'keys' });
    expect(log).toBe('again/own/seen:seen\nhome/own/seen:seen\n');
  } finally {
    shell('umount "a part" again');
  }
});

test.runIf(whos.includes('root'))('a mount that comes by itself is read-only, and hidden when it is ours', async () => {
  await using driver = await Driver.start('root');
  await using place = await Place.make('root');
  await place.must('pach create repo data && echo x | pach put file data@master:/ours -f -');
  const outside = await driver.outside();
  const mount = (script: string) => execFileSync('sh', ['-ec', script], { cwd: outside });
  mount('mkdir shared; mount -t tmpfs shared shared; mount --make-shared shared');
  try {
    await driver.open();
    expect((await driver.run(`ls ${outside}/shared`)).log).toBe('');
    mount('mkdir shared/new shared/ours; mount -t tmpfs new shared/new; echo seen > shared/new/x');
    const { log } = await driver.run(`cat ${outside}/shared/new/x; touch ${outside}/shared/new/y`);
    expect(log).toMatch(/^seen\ntouch: .*Read-only file system\n$/);
    await place.must(`pachmount data@master ${outside}/shared/ours && ls ${outside}/shared/ours/data/ours`);
    expect((await driver.run(`ls -A ${outside}/shared/ours`)).log).toBe('');
    await driver.close();
    await place.must(`pach unmount ${outside}/shared/ours`);
  } finally {
    mount('umount -R -l shared');
  }
});

test.runIf(whos.includes('root'))('root may run commands as somebody else', async () => {
  await using driver = await Driver.start('root');
  const secrets = [{ path: '/keys/a', text: 'a' }];
  await driver.open({ user: 'nobody:daemon', secrets });
  // As the engine makes it.
  await chmod(join(driver.slot, 'out'), 0o777);
  const { log } = await driver.run(
    'id -un; id -gn; echo $HOME; cat /keys/a; touch /pfs/out/x; kill -9 1; cat /proc/self/status',
  );
  expect(log).toMatch(/^nobody\ndaemon\n\/nonexistent\na/);
  expect((await stat(join(driver.slot, 'out/x'))).uid).toBe(65534);
  expect(log).toMatch(/CapPrm:\t0{16}/);
  await expect(driver.open({ user: 'nonesuch' }, 'other')).rejects.toThrow('there is no user nonesuch');
});

test.runIf(whos.includes('root'))('memory and processors are limited where control groups may be made', async () => {
  await using driver = await Driver.start('root');
  await driver.open({ memoryBytesMax: 64 << 20, cpus: 0.5 });
  expect((await driver.run('head -c 30000000 /dev/zero | tail -c 30000000 | wc -c')).log.trim()).toBe('30000000');
  const greedy = await driver.run('head -c 300000000 /dev/zero | tail -c 300000000 | wc -c; exit 1');
  expect(greedy.ending).toEqual({ kind: 'out-of-memory' });
  expect((await driver.run('exit 1')).ending).toEqual(exited(1));
  const groups = (await driver.run('cat /proc/self/cgroup')).log;
  expect(groups).toContain('pachmount-');
});

test('a fingerprint names this machine, and unused fields are said', async () => {
  await using driver = await Driver.start('user');
  const print = (await driver.ask({ action: 'fingerprint' })) as Record<string, string>;
  expect(Object.values(print).every((value) => typeof value === 'string')).toBe(true);
  expect(print['hostname']).toBe(hostname());
  expect(print).toEqual(await driver.ask({ action: 'fingerprint' }));
  const unused = (await driver.ask({
    action: 'unused',
    options: { image: 'ubuntu', user: 'root', memoryBytesMax: 1, cpus: 1 },
  })) as string[];
  expect(unused.map((line) => line.split(':')[0])).toEqual(expect.arrayContaining(['image ubuntu', 'user root']));
  expect(await driver.ask({ action: 'unused', options: {} })).toEqual([]);
});
