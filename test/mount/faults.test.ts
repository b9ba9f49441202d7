/**
 * What goes wrong under a mount, and what a user must hear of it.
 */
import { resolve } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { faultyWay, type WireFault } from '../support/faulty-way.ts';
import { s3ForTests } from '../support/s3.ts';
import { leaveMounts, opcodes, Place, type Result, type Who } from '../support/place.ts';

const handOver = resolve(import.meta.dirname, 'hand-over.mjs');
const put = 'pach create repo data >/dev/null && pach put file data@master -r -f src/';
/** Flips one byte in the middle of the largest data pack. */
const flip = `
pack=$(find "$PACH_HOME/store/projects/default/data" -type f -size +1M | head -1)
size=$(stat -c %s "$pack"); at=$((size / 2)); byte=$(od -An -tu1 -j $at -N 1 "$pack")
chmod u+w "$pack"; printf "\\\\$(printf %o $(( (byte + 1) % 256 )))" | dd of="$pack" bs=1 seek=$at conv=notrunc status=none
basename "$pack"`;

describe.each<Who>(['root', 'user'])('as %s', (who) => {
  test('a damaged chunk is an error of its file alone', async () => {
    await using place = await Place.make(who);
    await place.must(`mkdir src && head -c 2000000 /dev/urandom > src/big && echo fine > src/small && ${put}`);
    const pack = (await place.must(flip)).trim();
    await place.must('pachmount data@master pfs');
    expect((await place.run('cat pfs/data/big')).stderr).toContain('Input/output error');
    expect(await place.must('cat pfs/data/small')).toBe('fine\n');
    const got = await place.run('pach get file data@master:/big -o out; code=$?; ls; exit $code');
    expect(got.code).toBe(6);
    expect(got.stderr).toContain(pack);
    expect(got.stdout).not.toContain('out');
    expect(await place.must('cat "$PACH_HOME"/mounts/*.log')).toContain(pack);
  });

  test('mountpoints that are wrong', async () => {
    await using place = await Place.make(who);
    await place.must(
      `mkdir src full && echo x > src/f && echo x > full/f && echo x > file && ${put} && pachmount data@master pfs
       pach create repo more && mkdir links && cd links && ln -s ../nope gone && ln -s ../file file && ln -s round round`,
    );
    const wrong: readonly (readonly [string, number, RegExp])[] = [
      ['pachmount data@master pfs', 4, /already mounted there\ntry: pach unmount/],
      ['pachmount data@master no/such/place', 3, /parent folder does not exist\ntry: mkdir -p/],
      ['pachmount data@master full', 4, /in use.*\nhint: /],
      ['pachmount data@master file', 2, /not a folder/],
      ['pachmount data@nope other', 3, /no branch or commit nope\ntry: /],
      ['pachmount nope@master other', 3, /no such repo/],
      ['pachmount data@master:/f other', 3, /not a folder/],
      ['pachmount data@master+w other', 1, /read-only in this version\ntry: /],
      ['pachmount data@master --memory lots other', 2, /--memory lots/],
      ['pachmount', 2, /try: pach mount --help/],
      ['pach unmount', 2, /name a mountpoint/],
      ['pach unmount other', 3, /no pachmount mount is there/],
      ['pachmount data@master links/gone', 3, /it is a symbolic link to .*\/nope, which does not exist\ntry: mkdir -p/],
      ['pachmount data@master links/file', 2, /\/file: it is not a folder/],
      ['pachmount data@master links/round', 2, /form a loop/],
      // The mountpoint is forgotten.
      ['pachmount data@master', 2, /mountpoint is missing.*\.\/data@master\ntry: pachmount data@master ~\/pfs\n$/],
      ['pachmount data@master:/sub', 2, /mountpoint is missing.*\ntry: pachmount data@master:\/sub ~\/pfs\n$/],
      ['pachmount default/data@master', 2, /mountpoint is missing/],
      ['pach mount -r data more@master+r', 2, /mountpoint is missing.*\ntry: pachmount data more@master\+r ~\/pfs\n$/],
      ['pachmount data', 2, /mountpoint is missing.*\.\/data\ntry: pachmount data ~\/pfs\n$/],
      ['pachmount data more', 2, /^pach: more: the mountpoint is missing/],
    ];
    // Most of them come to nothing before it matters who it is.
    for (const [command, code, message] of who === 'root' ? wrong : wrong.slice(0, 3)) {
      const result = await place.run(command);
      expect({ command, code: result.code, stderr: result.stderr }).toEqual({
        command,
        code,
        stderr: expect.stringMatching(message),
      });
      expect(result.stderr).not.toMatch(/\n\s+at /);
    }
    expect(await place.must('ls')).toBe('file\nfull\nhome\nlinks\npfs\nsrc\n');
    expect((await place.mounts()).length).toBe(1);
  });

  test('a server that takes over answers for what the kernel knows', async () => {
    await using place = await Place.make(who);
    await place.must(
      `mkdir -p src/sub && echo first > src/sub/a && for i in $(seq 2000); do echo $i > src/sub/$i; done && ${put} && echo second | pach put file data@master:/sub/a -f -`,
    );
    // Names beside the listed ones, of both servers: each must keep its own inode.
    const script = `mkdir pfs
      mkfifo in; node ${handOver} "$PWD/pfs" < in > log 2>&1 & exec 3> in
      wait_for() { for i in $(seq 100); do [ "$(grep -c ready log)" = $1 ] && return; sleep 0.1; done; cat log; exit 1; }
      wait_for 1
      ls -l pfs/data/sub > before; cat 'pfs/data@master^/sub/a'; exec 8< pfs/data/sub/a; cd pfs/data/sub
      echo next >&3; (cd "$OLDPWD"; wait_for 2)
      cat <&8; cat 1999; stat -c %i a 7; cd "$OLDPWD"; ls -l pfs/data/sub | cmp - before && echo same; cat pfs/data@master.2/sub/a
      pach put file data@master:/sub/a -f src/sub/2 >/dev/null; echo next >&3; wait_for 3
      cat pfs/data@master/sub/a; exec 3>&-; fusermount3 -uz pfs`;
    const out = await place.must(script);
    expect(out).toMatch(/^first\nsecond\n1999\n\d+\n\d+\nsame\nsecond\nsecond\n$/);
  });
});

test('without the right to open /dev/fuse it says who can give it', async () => {
  await using place = await Place.make('root');
  await place.must(`mkdir src && echo x > src/f && ${put}`);
  const hidden = await place.run(`unshare -m bash -c 'mount --bind /dev/null /dev/fuse && pachmount data@master pfs'`);
  expect(hidden.code).not.toBe(0);
  const denied = await place.run(
    `chown -R nobody . && unshare -m bash -c 'mount -t tmpfs none /mnt && mknod /mnt/fuse c 10 229 && chmod 600 /mnt/fuse && mount --bind /mnt/fuse /dev/fuse && setpriv --reuid=65534 --regid=65534 --clear-groups pachmount data@master pfs'; code=$?; chown -R root .; exit $code`,
  );
  expect(denied.code).toBe(1);
  expect(denied.stderr).toMatch(/\/dev\/fuse: you have no permission to open it\ntry: sudo chmod 666/);
});

test.each([
  ['no /etc/mtab', 'rm -f etc/mtab'],
  ['an /etc/mtab that does not follow the kernel', ': > etc/mtab'],
])('an ordinary user unmounts on a machine with %s', async (_, make) => {
  await using place = await Place.make('root');
  await place.must(`mkdir src etc bin && echo x > src/f && ${put} && cp /etc/passwd /etc/group etc && ${make}
    printf '#!/bin/sh\necho umount: only root can do that >&2; exit 1' > bin/umount; chmod +x bin/umount; chown -R nobody .`);
  const inside = (commands: string): Promise<Result> =>
    place.run(`cat > commands <<'END'
pachmount data@master pfs; ${commands}
END
      unshare -m bash -c '${leaveMounts}; mount --bind etc /etc; setpriv --reuid=65534 --regid=65534 --clear-groups bash commands; code=$?
        if grep -q " $PWD/pfs fuse" /proc/self/mounts; then echo still there; umount -l pfs; fi; exit $code'`);
  expect(await inside('cd pfs; pach unmount ../pfs; echo $?; cd ..; pach unmount pfs >/dev/null')).toEqual({
    code: 0,
    stdout: `${place.dir}/pfs\n4\n`,
    stderr: expect.stringMatching(/^pach: \S+\/pfs: it is in use\ntry: .*\n$/),
  });
  // Where umount is not for ordinary users.
  expect(await inside('PATH=$PWD/bin:$PATH pach unmount pfs')).toEqual({
    code: 1,
    stdout: `${place.dir}/pfs\nstill there\n`,
    stderr: expect.stringMatching(/can't be unmounted without .*\/etc\/mtab.*\ntry: sudo ln -sf \/proc\/self\/mounts/),
  });
});

test('20,000 entries in one folder', async () => {
  await using place = await Place.make('root');
  await place.must(`mkdir src && (cd src && seq -f 'file-%.0f' 20000 | xargs touch) && ${put}`, 150);
  await place.must('pachmount data@master pfs');
  expect(
    await place.must('ls -U pfs/data | wc -l; ls pfs/data | sort -u | wc -l; stat -c %s pfs/data/file-17777'),
  ).toBe('20000\n20000\n0\n');
  const first = await place.requests();
  // Names come with their attributes, some hundred at a time.
  expect(first[opcodes.readdirplus]).toBeLessThan(1200);
  expect(first[opcodes.lookup]).toBeLessThan(5);
  await place.must('ls -l pfs/data >/dev/null');
  const second = await place.requests();
  // The kernel may have let go of a part of what it kept, when memory is short.
  expect(second[opcodes.readdirplus]).toBeLessThan((first[opcodes.readdirplus] as number) * 1.5);
});

test('a store on S3 is read through the disk cache, which is private', async () => {
  const { url, env } = await s3ForTests();
  await using place = await Place.make('root', { ...env, PACH_STORE: url });
  await place.must(`mkdir src && head -c 20000000 /dev/urandom > src/big && echo small > src/small && ${put}`, 60);
  await place.must('pachmount data@master pfs && cmp src/big pfs/data/big && cat pfs/data/small');
  const files = await place.must(
    'find "$PACH_HOME/cache" -mindepth 2 -type f | wc -l; find "$PACH_HOME/cache" -perm /077 | wc -l',
  );
  expect(Number(files.split('\n')[0])).toBeGreaterThan(0);
  expect(files.split('\n')[1]).toBe('0');
  await place.must('pach unmount pfs');
});

test('a store that is away: what is here is read, the rest waits and goes on, or fails in time', async () => {
  const { url, endpoint, env } = await s3ForTests();
  let fate: WireFault = 'works';
  await using way = await faultyWay(endpoint, () => fate);
  await using place = await Place.make('root', { ...env, PACH_STORE: url.replace(endpoint, way.endpoint) });
  await place.must(
    `mkdir -p src/sub && for n in 1 2 3 4; do head -c 3000000 /dev/urandom > src/big$n; done && echo small > src/sub/small && ${put}`,
  );
  await place.must(
    'pachmount data@master --timeout 15s pfs && ls -l pfs/data pfs/data/sub && cmp src/big1 pfs/data/big1',
  );
  fate = 'reset';
  await place.must('ls -l pfs/data pfs/data/sub && cmp src/big1 pfs/data/big1', 20);
  const before = way.requests.length;
  const waits = place.must('cmp src/big2 pfs/data/big2');
  // It was refused, and asked again.
  await vi.waitUntil(() => way.requests.length >= before + 2, { timeout: 120_000 });
  fate = 'works';
  await waits;
  fate = 'stalled';
  // Ctrl-C of a reader that waits ends it at once.
  const interrupted = await place.run('timeout -s INT 1 cat pfs/data/big3 >/dev/null; echo $?', 20);
  expect(interrupted.stdout).toBe('124\n');
  fate = 'reset';
  const failed = await place.run('cat pfs/data/big4 >/dev/null', 60);
  expect(failed.stderr).toContain('Input/output error');
  await place.must('ls -l pfs/data/sub && cmp src/big1 pfs/data/big1', 20);
  fate = 'works';
  await place.must('cmp src/big4 pfs/data/big4');
});

test('keys that are replaced in the file: readers go on, large files still past JavaScript', async () => {
  const { url, endpoint, env } = await s3ForTests();
  let expired = false;
  const signed: (string | null)[] = [];
  await using way = await faultyWay(endpoint, (_method, _ranged, { url: path = '', headers }) => {
    const inUrl = new URL(path, 'http://way').searchParams.get('X-Amz-Security-Token');
    if (inUrl !== null) signed.push(inUrl);
    return expired && (inUrl ?? headers['x-amz-security-token']) === 'old' ? 'expired' : 'works';
  });
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, ...rest } = env;
  await using place = await Place.make('root', {
    ...rest,
    AWS_SHARED_CREDENTIALS_FILE: undefined,
    PACH_STORE: url.replace(endpoint, way.endpoint),
  });
  const write = (token: string): Promise<string> =>
    place.must(`mkdir -p $HOME/.aws && cat > $HOME/.aws/credentials <<E
[default]
aws_access_key_id=${id}
aws_secret_access_key=${secret}
aws_session_token=${token}
E`);
  await write('old');
  await place.must(
    `mkdir src && for n in 1 2 3 4; do head -c 3000000 /dev/urandom > src/big$n; echo $n > src/small$n; done && ${put}`,
  );
  await place.must('pachmount data@master --prefetch off pfs && cmp src/big1 pfs/data/big1');
  expired = true;
  await write('new');
  signed.length = 0;
  await place.must('cmp src/big2 pfs/data/big2 && cmp src/small3 pfs/data/small3');
  await place.must('cmp src/big3 pfs/data/big3 && cmp src/big4 pfs/data/big4');
  expect(signed.filter((token) => token === 'new').length).toBeGreaterThanOrEqual(3);
  // What was signed before is sent once more at most by what was under way.
  expect(signed.lastIndexOf('old')).toBeLessThan(signed.indexOf('new'));
  await place.must('pach unmount pfs');
});

test('reads end with --timeout where a server hangs or trickles, and work as soon as it is well', async () => {
  const { url, endpoint, env } = await s3ForTests();
  let fate: WireFault = 'works';
  await using way = await faultyWay(endpoint, (method) => (method === 'GET' ? fate : 'works'));
  await using place = await Place.make('root', { ...env, PACH_STORE: url.replace(endpoint, way.endpoint) });
  // Each in a pack of its own, so that none comes with another.
  await place.must(`mkdir src && pach create repo data >/dev/null
    for n in 0 1 2 3 4; do head -c 3000000 /dev/urandom > src/big$n; head -c 300000 /dev/urandom > src/small$n
      pach put file data@master -r -f src/; done`);
  await place.must(
    'pachmount data@master --timeout 2s pfs && cmp src/big0 pfs/data/big0 && cmp src/small0 pfs/data/small0',
  );
  for (const [index, fault] of (['stalled', 'trickled', 'stalledBody'] as const).entries()) {
    fate = fault;
    const names = [`small${index + 1}`, `big${index + 1}`];
    const reads = await Promise.all(names.map((name) => place.run(`cat pfs/data/${name}`, 14)));
    for (const { code, stderr } of reads) {
      expect({ fault, code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('Input/output error') });
    }
    // What was asked for ahead began a little later.
    await vi.waitUntil(() => way.open === 0, { timeout: 120_000 });
    fate = 'works';
    await place.must(names.map((name) => `cmp src/${name} pfs/data/${name}`).join(' && '), 14);
  }
  // What comes slowly, but comes, is waited for.
  fate = 'slow';
  await place.must('cmp src/big4 pfs/data/big4');
  // Mounting waits no longer. The client of S3 would give the connection up after ten seconds.
  fate = 'stalled';
  const { code, stderr } = await place.run('mkdir other && pachmount data@master --timeout 2s other');
  expect({ code, stderr }).toMatchObject({ code: 5, stderr: expect.stringContaining('within 2 s') });
});

test('what a server does not have for a while is asked for again, and not all the time', async () => {
  const { url, endpoint, env } = await s3ForTests();
  const fates: WireFault[] = [];
  let isMissing = false;
  const isPack = (path = ''): boolean => path.includes('/data/');
  await using way = await faultyWay(endpoint, (_method, _ranged, { url: path }) =>
    isPack(path) ? (fates.pop() ?? (isMissing ? 'missing' : 'works')) : 'works',
  );
  await using place = await Place.make('root', { ...env, PACH_STORE: url.replace(endpoint, way.endpoint) });
  await place.must(`mkdir src && for n in 1 2 3; do head -c 300000 /dev/urandom > src/small$n; done
    head -c 3000000 /dev/urandom > src/big && ${put}`);
  await place.must('pachmount data@master --prefetch off pfs && ls -l pfs/data');
  // As often as a reader, its repetition by the kernel and a second reader ask.
  fates.push('missing', 'missing', 'missing');
  const failed = await place.run('cat pfs/data/small1 pfs/data/small2 pfs/data/small3 pfs/data/big | cat');
  expect(failed.stderr).toContain('Input/output error');
  await vi.waitUntil(async () => (await place.run('cmp src/small1 pfs/data/small1')).code === 0, { timeout: 120_000 });
  await place.must('for each in small1 small2 small3 big; do cmp src/$each pfs/data/$each; done');
  await place.must('pach unmount pfs && rm -r "$PACH_HOME/cache"');

  isMissing = true;
  await place.must('pachmount data@master --prefetch off pfs && ls -l pfs/data');
  way.requests.length = 0;
  await place.must('for i in $(seq 100); do ! cat pfs/data/small$((i % 3 + 1)) || exit 1; done 2>/dev/null');
  expect(way.requests.length).toBeLessThan(40);
  isMissing = false;
  await vi.waitUntil(async () => (await place.run('cmp src/small1 pfs/data/small1')).code === 0, { timeout: 120_000 });
});
