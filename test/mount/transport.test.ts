/**
 * The transport under a real mount, of a view that has everything strange in it.
 */
import { fstatSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { closeKernel, mountKernel, openKernel, unmountKernel } from '../../src/mount/kernel-mount.ts';
import { isRoot, Mounted, whos } from './synthetic.ts';

const opcodes = { lookup: 1, getxattr: 22, init: 26, readdirplus: 44 };
const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

describe.each(whos)('as %s', (who) => {
  test('names, contents and attributes', async () => {
    await using mount = await Mounted.start(who);
    const names = (await mount.must('find "$M" -mindepth 1 -maxdepth 1 -printf "%f\\0"')).split('\0').slice(0, -1);
    expect(names).toHaveLength(22);
    expect(names).toContain('n'.repeat(255));
    expect(names).toContain('f\xff\n\xc3(');
    expect(names).toContain(latin1('äöü 漢字 🧪'));
    expect(
      await mount.must(
        'cd "$M"; cat hello.txt link empty n*n $\'f\\xff\\n\\xc3(\' "äöü 漢字 🧪" sub/inner/leaf.txt sub/../sub/sibling.txt; ./tool',
      ),
    ).toBe('hello\nhello\nlong name\nstrange name\nunicode name\nleaf\nsibling\ntool runs\n');
    expect(
      await mount.must(
        'cd "$M"; readlink link; stat -c "%A %s %Y %h" hello.txt tool link sub; stat -c "%.9Y" hello.txt old',
      ),
    ).toBe(
      [
        'hello.txt',
        '-rw-r--r-- 6 1700000000 1',
        '-rwxr-xr-x 25 1700000000 1',
        'lrwxrwxrwx 9 1700000000 1',
        'drwxr-xr-x 0 1700000000 1',
        '1700000000.123456789',
        '-86399.999999995',
        '',
      ].join('\n'),
    );
    expect(await mount.must('stat -f -c "%l %S %b %c" "$M"; stat -c %u "$M/sub"')).toBe(
      `255 4096 1280 42\n${who === 'root' ? 0 : isRoot ? 65534 : process.getuid?.()}\n`,
    );
    expect(mount.server.errors).toEqual([]);
    expect((await mount.server.counters()).replyErrors).toBe(0);
  });

  test('bytes: memory, files, zeros, crumbs, and pieces of a large file', async () => {
    await using mount = await Mounted.start(who);
    const source = readFileSync(resolve(import.meta.dirname, 'fixtures/synthetic-view.mjs'), 'latin1');
    expect(await mount.must('cat "$M/local"')).toBe(source);
    expect(await mount.must('cat "$M/crumbs"')).toBe('crumbs of a file, '.repeat(500));
    expect(await mount.must('cmp "$M/zeros" /dev/zero 2>&1 || true')).toMatch(/EOF on .* byte 3145733,/);
    const size = 1024 ** 3;
    for (const [offset, length] of [
      [0, 10],
      [4096 * 3 + 1, 100],
      [1024 ** 2 - 3, 9],
      [size - 5, 5],
      [700_000_001, 3_000_000],
    ] as const) {
      const got = Buffer.from(await mount.must(`tail -c +${offset + 1} "$M/big" | head -c ${length}`), 'latin1');
      expect(got.equals(Uint8Array.from({ length }, (_, index) => patternAt(offset + index)))).toBe(true);
    }
    await mount.must('for i in $(seq 8); do (head -c 50000000 "$M/big" | cksum) & done | sort -u | wc -l | grep -qx 1');
    expect((await mount.server.counters()).replyErrors).toBe(0);
  });

  test('nothing can be written', async () => {
    await using mount = await Mounted.start(who);
    for (const command of [
      'touch "$M/new"',
      'echo > "$M/hello.txt"',
      'rm -f "$M/hello.txt"',
      'mkdir "$M/sub/new"',
      'mv "$M/tool" "$M/x"',
      'ln -s a "$M/b"',
      'setfattr -n user.a -v b "$M/tool"',
    ]) {
      const { code, stderr } = await mount.run(command);
      expect({ command, code: code === 0, stderr }).toEqual({
        command,
        code: false,
        stderr: expect.stringContaining('Read-only file system'),
      });
    }
  });

  test('extended attributes', async () => {
    await using mount = await Mounted.start(who);
    expect(await mount.must('cd "$M"; getfattr -d -m - hello.txt')).toBe(
      '# file: hello.txt\nuser.pach.hash="abc"\nuser.pach.ino="0"\n\n',
    );
    expect(await mount.must('cd "$M"; getfattr -d -m - .')).toBe('');
    expect((await mount.run('getfattr -n user.pach.nope "$M/tool"')).stderr).toContain('No such attribute');
    expect((await mount.run('getfattr -n user.other "$M/tool"')).stderr).toContain('Operation not supported');
  });

  test('errors are of their file alone, and told', async () => {
    await using mount = await Mounted.start(who);
    for (const name of ['damaged', 'unreachable', 'defect', 'short']) {
      expect((await mount.run(`cat "$M/${name}"`)).stderr).toContain('Input/output error');
    }
    expect((await mount.run('cat "$M/nope"')).stderr).toContain('No such file or directory');
    expect(await mount.must('cat "$M/hello.txt"')).toBe('hello\n');
    for (const told of [/synthetic: it was asked for/, /TypeError/, /a read of 10 bytes got 3/]) {
      expect(mount.server.errors).toContainEqual(expect.stringMatching(told));
    }
  });

  test('what was seen once is not asked for again', async () => {
    await using mount = await Mounted.start(who);
    const look =
      'cd "$M" && ls -lR --hide=many --hide=stored --hide=kept . && cat hello.txt link sub/inner/leaf.txt tool && readlink link && ls -l sub/inner';
    const first = await mount.must(look);
    const before = await mount.server.counters();
    expect(await mount.must(look)).toBe(first);
    // Each `ls` asks once whether there are labels and access lists, and is told that there are none.
    const { [opcodes.getxattr]: labels, ...others } = await mount.server.since(before);
    expect(others).toEqual({});
    expect(labels).toBeLessThanOrEqual(4);
    const later = await mount.server.counters();
    await mount.run('for i in 1 2 3 4 5; do stat "$M/sub/absent"; done');
    expect(await mount.server.since(later)).toEqual({ [opcodes.lookup]: 1 });
  });

  test('a signal that ends programs ends the wait for an answer, others do not', async () => {
    await using mount = await Mounted.start(who);
    for (const signal of ['INT', 'TERM', 'KILL']) {
      const begun = Date.now();
      const code = await mount.must(`timeout -s ${signal} 0.3 stat "$M/never-answered"; echo $?`);
      expect(code).toBe(signal === 'KILL' ? '137\n' : '124\n');
      expect(Date.now() - begun).toBeLessThan(5000);
    }
    expect(await mount.must('timeout -s KILL 0.3 cat "$M/never"; echo $?')).toBe('137\n');
    const script = '$SIG{ALRM} = sub { $n++ }; alarm 1; @s = stat "$ENV{M}/slowly-absent"; print "$!, $n"';
    expect(await mount.must(`perl -e '${script}'`)).toBe('No such file or directory, 1');
    // First a harmless one, then one that counts.
    const both = `$SIG{ALRM} = sub { }; alarm 1; @s = stat "$ENV{M}/never-answered"`;
    expect((await mount.run(`timeout -s INT 1.5 perl -e '${both}'`)).code).toBe(124);
    expect((await mount.server.counters()).interrupts).toBeGreaterThanOrEqual(4);
    expect((await mount.server.counters()).replyErrors).toBe(0);
  });

  test('a killed server leaves a mount that says so, and can be cleared away', async () => {
    await using mount = await Mounted.start(who);
    await mount.must('ls "$M"');
    mount.letGo();
    await mount.server.kill();
    expect((await mount.run('cat "$M/hello.txt"')).stderr).toContain('Transport endpoint is not connected');
    await mount.must(`${who === 'root' ? 'umount -l' : 'fusermount3 -uz'} "$M"; ls "$M"`);
  });

  test('the server ends with the mount', async () => {
    await using mount = await Mounted.start(who);
    await mount.must('cat "$M/hello.txt"');
    expect((await mount.run(`cd "$M" && (cd /; ${who === 'root' ? 'umount' : 'fusermount3 -u'} "$M")`)).stderr).toMatch(
      /busy/,
    );
    await mount.must(who === 'root' ? 'umount "$M"' : 'fusermount3 -u "$M"');
    expect(await mount.server.ended).toEqual({ ended: true });
    expect(mount.server.child.exitCode).toBe(0);
  });

  test('a folder of 100,000 entries', async () => {
    await using mount = await Mounted.start(who);
    expect(await mount.must('ls -U "$M/many" | wc -l; ls "$M/many" | sort -u | wc -l')).toBe('100000\n100000\n');
    expect(await mount.must('cat "$M/many/f077777"; stat -c %s "$M/many/f099999"')).toBe('number\n7\n');
    const counters = await mount.server.counters();
    expect(counters.requests[opcodes.readdirplus]).toBeLessThan(1500);
    expect(counters.requests[opcodes.lookup]).toBeLessThan(3);
    // No page of the view is fetched much more often than it is needed.
    expect(counters.calls.list).toBeLessThan(1500);
    const tableBytes = mount.connection ? fstatSync(mount.connection.table).blocks * 512 : 0;
    expect(tableBytes / counters.inodes).toBeLessThan(140);
  });
});

test.runIf(isRoot)(
  'a successor serves on: known inodes, open files, and what was asked of its predecessor',
  async () => {
    await using mount = await Mounted.start('root');
    const flags = mkdtempSync(join(tmpdir(), 'pachmount-transport-'));
    const output = mount.run(`
      cd "$M/sub/inner"; exec 8< leaf.txt 9< ../../big; stat -c %i . leaf.txt; head -c 5 <&9 | od -An -tx1
      exec 6< <(cat "$M/slow") 7< <(stat "$M/slowly-absent" 2>&1 | grep -o "No such.*")
      until [ -e ${flags}/go ]; do sleep 0.05; done
      cat <&8; stat -c %i . leaf.txt; dd bs=4 count=1 skip=4000 iflag=direct status=none <&9 | wc -c
      cat <&6; cat <&7; ls -lR "$M/sub" | wc -l`);
    while ((await mount.server.counters()).calls.slow < 2) await new Promise((done) => setTimeout(done, 20));
    await mount.server.kill();
    mount.server = mount.newServer();
    await mount.server.isReady();
    writeFileSync(join(flags, 'go'), '');
    const { stdout, stderr } = await output;
    rmSync(flags, { recursive: true });
    expect(stderr).toBe('');
    const [first, second, ...lines] = stdout.split('\n');
    expect(lines).toEqual([
      ' 00 00 00 00 c4',
      'leaf',
      first,
      second,
      '4',
      'slow',
      'No such file or directory',
      '312',
      '',
    ]);
    const counters = await mount.server.counters();
    expect(counters.requests[opcodes.init]).toBe(0);
    expect(counters.replyErrors).toBe(0);
  },
);

test.runIf(isRoot)('another user is not let in', async () => {
  await using mount = await Mounted.start('root');
  expect((await mount.run('ls "$M"', 'user')).stderr).toContain('Permission denied');
});

test('mounts that can not be made or taken away', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pachmount-transport-'));
  const denied = expect.objectContaining({ code: 'not-found', why: 'there is no such folder' });
  const connection = openKernel();
  expect(() =>
    mountKernel(connection, join(dir, 'nope'), { source: 'pachmount', allowOther: false, noExec: false }),
  ).toThrow(denied);
  closeKernel(connection);
  expect(() => unmountKernel(join(dir, 'nope'), false)).toThrow(expect.objectContaining({ code: 'not-found' }));
  expect(() => unmountKernel(dir, false)).toThrow(
    expect.objectContaining({ code: 'not-found', why: 'nothing is mounted there' }),
  );
  rmdirSync(dir);
});

/** As the synthetic view makes it. */
function patternAt(position: number): number {
  const at = position % 1024 ** 2;
  const word = Math.imul(at - (at % 4), 2654435761) >>> 0;
  return (word >>> ((at % 4) * 8)) & 0xff;
}
