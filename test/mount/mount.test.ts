import { describe, expect, test } from 'vitest';
import { someWho } from '../support/long.ts';
import { opcodes, Place, type Who } from '../support/place.ts';
import { plainS3 } from '../support/plain-s3.ts';

/** A small tree with a bit of everything. */
const makeTree = `
mkdir -p src/sub/empty src/many
printf 'hello\\n' > src/hello.txt
printf '#!/bin/sh\\necho ran\\n' > src/run.sh && chmod +x src/run.sh
head -c 3000000 /dev/urandom > src/sub/big
: > src/nothing
ln -s ../hello.txt src/sub/link
ln -s "$(printf 'x%.0s' $(seq 1 300))" src/sub/long-link
printf odd > "$(printf 'src/sub/\\xff\\x01 odd')"
printf 'ünï' > 'src/sub/日本語 ünï "q" \\\\n'
printf long > "src/sub/$(printf 'n%.0s' $(seq 1 255))"
for i in $(seq 1 300); do echo $i > src/many/$i; done
touch -d '2001-02-03 04:05:06.789123456 UTC' src/hello.txt
touch -d '1950-01-01 UTC' src/sub/big
`;
const put = 'pach create repo data >/dev/null && pach put file data@master -r -f src/';

describe.each<Who>(['root', 'user'])('a mount of %s', (who) => {
  test('shows what was put: bytes, kinds, bits, times, links, odd names', async () => {
    await using place = await Place.make(who);
    await place.must(`${makeTree} ${put} && pachmount data@master pfs`);
    expect((await place.run('diff -r --no-dereference src pfs/data')).stdout).toBe('');
    const list = (root: string): string =>
      `cd ${root} && find . -mindepth 1 -printf '%P %y %s %l\\n' | grep -v ' d ' | sort`;
    expect(await place.must(list('pfs/data'))).toBe(await place.must(list('src')));
    const times = (root: string): string => `cd ${root} && find . -type f -printf '%P %T@\\n' | sort`;
    expect(await place.must(times('pfs/data'))).toBe(await place.must(times('src')));
    expect(await place.must('pfs/data/run.sh')).toBe('ran\n');
    expect(await place.must('stat -c %A pfs/data/hello.txt pfs/data/run.sh pfs/data/sub')).toBe(
      '-rw-r--r--\n-rwxr-xr-x\ndrwxr-xr-x\n',
    );
    expect(await place.must('find pfs -printf "%i\\n" | sort | uniq -d')).toBe('');
    expect((await place.run('cat "pfs/data/$(printf n%.0s $(seq 1 256))"')).stderr).toContain('File name too long');
    for (const write of [
      'touch pfs/data/new',
      'rm pfs/data/hello.txt',
      'echo x >> pfs/data/hello.txt',
      'mkdir pfs/data/d',
      'chmod u-w pfs/data/hello.txt',
    ]) {
      expect((await place.run(write)).stderr).toContain('Read-only file system');
    }
    const access = `node -e 'for (const path of process.argv.slice(1)) try { fs.accessSync(path, fs.constants.W_OK) } catch ({ code }) { console.log(code) }'`;
    expect(await place.must(`${access} pfs pfs/data pfs/data/hello.txt pfs/data/run.sh`)).toBe('EROFS\n'.repeat(4));
  });
});

describe.each<Who>(someWho)('a mount of %s, looked into', (who) => {
  test('a copy has the modes that get gives, and can be changed', async () => {
    await using place = await Place.make(who);
    await place.must(`${makeTree} ${put} && pachmount data@master pfs && pach get file data@master:/ -r -o got`);
    const modes = (root: string): string => `cd ${root} && find . -printf '%P %M\n' | sort`;
    const shown = await place.must(modes('pfs/data'));
    expect(await place.must(modes('got'))).toBe(shown);
    await place.must('cp -r pfs/data copy && echo more >> copy/hello.txt && echo new > copy/sub/new && rm copy/many/1');
    await place.must('cp -r pfs/data/. copy && rm copy/sub/new && diff -r --no-dereference src copy && rm -r copy');
    await place.must('cp -a pfs/data copy && rm -r copy');
  });

  test('what fetches large files is loaded before anybody reads one', async () => {
    await using place = await Place.make(who);
    await place.must(`mkdir src && echo x > src/f && ${put} && pachmount data@master pfs`);
    const [mount] = await place.mounts();
    const waits = `timeout 10 sh -c 'until grep -q fetch.node /proc/${mount?.pid}/maps; do sleep 0.1; done'`;
    expect((await place.run(waits)).code).toBe(0);
  });

  test('only the server of a store behind a network reads further authorities', async () => {
    await using s3 = await plainS3();
    await using place = await Place.make(who, { ...s3.env, NODE_EXTRA_CA_CERTS: '/etc/ssl/certs/ca-certificates.crt' });
    await place.must(`mkdir src && echo x > src/f && ${put}`);
    await s3.copy(place.store);
    const told = async (store: string): Promise<string> => {
      await place.must(`pachmount ${store} data@master pfs`);
      const [mount] = await place.mounts();
      return place.must(`tr '\\0' '\\n' < /proc/${mount?.pid}/environ && pach unmount pfs`);
    };
    expect(await told('')).not.toContain('NODE_EXTRA_CA_CERTS');
    expect(await told(`--store '${s3.url}'`)).toContain('NODE_EXTRA_CA_CERTS=/etc');
  });

  test('a second look makes no requests', async () => {
    await using place = await Place.make(who);
    await place.must(`${makeTree} ${put} && pachmount data@master pfs`);
    const look =
      'ls -lR pfs >/dev/null && find pfs -type f -exec cat {} + >/dev/null && stat pfs/data/absent 2>/dev/null; true';
    await place.must(look);
    const first = await place.requests();
    expect(first[opcodes.read]).toBeGreaterThanOrEqual(300);
    // One lookup for the repo and one for the absent name, never one a file.
    expect(first[opcodes.lookup]).toBeLessThan(30);
    await place.must(look);
    const second = await place.requests();
    const grown = second.map((count, opcode) => count - (first[opcode] as number));
    for (const opcode of [opcodes.open, opcodes.release, opcodes.opendir, opcodes.releasedir]) grown[opcode] = 0;
    // `ls` asks once for an attribute that is not there; nothing grows with the number of files.
    expect(grown.reduce((sum, count) => sum + count, 0)).toBeLessThan(10);
  });

  test('small files that are read in their order come before they are asked for', async () => {
    await using place = await Place.make(who);
    await place.must(
      `mkdir src && for n in $(seq 1000 1499); do head -c 700 /dev/urandom > src/$n; done && head -c 200000 /dev/urandom > src/1234 && ln -s 1300 src/1300x && mkdir src/1301x && ${put}`,
    );
    const look = 'ls -l pfs/data >/dev/null && diff -r src pfs/data';
    await place.must(`pachmount data@master pfs && ${look}`);
    const first = await place.mounts();
    // A reader that is faster than what comes ahead of it waits for some. So they are read again, backward,
    // which begins nothing: the kernel forgets them, and the server has what came, but not what was asked for.
    const again = `import os
for name in sorted(os.listdir('pfs/data'), reverse=True):
    if not os.path.isfile(f'pfs/data/{name}'): continue
    with open(f'pfs/data/{name}', 'rb', buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert file.read() == open(f'src/{name}', 'rb').read()`;
    await place.must(`cat > again.py <<'END'\n${again}\nEND\npython3 again.py`);
    const second = await place.mounts();
    const grown = (of: 'keptAnswers' | 'waits'): number =>
      (second[0]?.counters[of] ?? 0) - (first[0]?.counters[of] ?? 0);
    expect(grown('keptAnswers')).toBeGreaterThan(450);
    expect(grown('waits')).toBeLessThan(50);
    // Who wants nothing fetched ahead gets each when he asks.
    await place.must(`pach unmount pfs && pachmount data@master --prefetch off pfs && ${look}`);
    const { waits = 0, storedReads = 0 } = (await place.mounts())[0]?.counters ?? {};
    expect(waits + storedReads).toBeGreaterThanOrEqual(500);
  });

  test('the past is a path, and a mount stays at its instant', async () => {
    await using place = await Place.make(who);
    await place.must(
      `mkdir src && echo one > src/f && ${put} && echo two > src/f && echo new > src/g && pach put file data@master -r -f src/`,
    );
    await place.must('pach create repo empty && pach create branch data@old --head master^ && pachmount pfs');
    expect(await place.must('ls pfs')).toBe('data\nempty\n');
    expect(await place.must('ls pfs/empty')).toBe('');
    expect(await place.must('cat pfs/data/f "pfs/data@master^/f" pfs/data@master.1/f pfs/data@old/f')).toBe(
      'two\none\none\none\n',
    );
    const [newest = '', oldest = ''] = (await place.must('pach list commit data@master -o json'))
      .split('\n')
      .filter(Boolean);
    const { commit, finished } = JSON.parse(oldest) as { commit: string; finished: string };
    expect(await place.must(`cat pfs/data@${commit}/f pfs/data@${commit.slice(0, 12)}/f`)).toBe('one\none\n');
    const later = new Date(Date.parse((JSON.parse(newest) as { finished: string }).finished) + 60_000)
      .toISOString()
      .slice(0, 16);
    expect(await place.must(`cat pfs/data@${later}/f`)).toBe('two\n');
    expect(finished).toMatch(/Z$/);
    for (const absent of [
      'data@nope',
      'data@master^^',
      'data@2001-01-01',
      'nope',
      'nope@master',
      'data@',
      'data@master:',
      '@',
    ]) {
      expect((await place.run(`stat 'pfs/${absent}'`)).stderr).toContain('No such file or directory');
    }
    await place.must('echo three > src/f && pach put file data@master -r -f src/ && pach create repo later');
    expect(await place.must('cat pfs/data@master/f && ls pfs')).toBe('two\ndata\nempty\n');
  });

  test('several sources, parts of them, and versions of one repo side by side', async () => {
    await using place = await Place.make(who);
    await place.must(
      `mkdir -p src/sub && echo a > src/sub/a && ${put} && echo b > src/sub/a && pach put file data@master -r -f src/`,
    );
    await place.must('pach create repo other && echo o > o && pach put file other@master -f o');
    await place.must(
      'pachmount data@master:/sub other one && pachmount data@master data@master^ two && pach mount -r other@master three',
    );
    expect(await place.must('ls one && cat one/data/a one/other/o')).toBe('data\nother\nb\no\n');
    expect(
      await place.must(
        'ls two && cat two/data@master/a two/data@master/sub/a "two/data@master^/sub/a" 2>/dev/null; ls three',
      ),
    ).toBe('data@master\ndata@master^\nb\na\nother\n');
    expect((await place.mounts()).map((mount) => mount.mountpoint)).toEqual(
      ['one', 'three', 'two'].map((name) => `${place.dir}/${name}`),
    );
    await place.must('pach unmount --all');
    expect(await place.mounts()).toEqual([]);
  });

  test('attributes say where a file comes from; others are not supported', async () => {
    await using place = await Place.make(who);
    const commit = (await place.must(`mkdir src && echo x > src/f && ${put}`)).trim();
    await place.must('pachmount data@master pfs');
    const { hash } = JSON.parse(await place.must('pach inspect file data:/f -o json')) as { hash: string };
    expect(await place.must('getfattr --only-values -n user.pach.commit pfs/data/f')).toBe(commit);
    expect(await place.must('getfattr --only-values -n user.pach.hash pfs/data/f')).toBe(hash);
    expect(await place.must('getfattr -d pfs/data@master | grep -c user.pach')).toBe('3\n');
    expect((await place.run('getfattr -n user.other pfs/data/f')).stderr).toContain('Operation not supported');
    expect(await place.must('stat -f -c "%l %T" pfs')).toMatch(/^255 /);
    expect(Number(await place.must('stat -f -c %b pfs'))).toBeGreaterThan(0);
  });
});

describe.each<Who>(['root', 'user'])('the end of a mount of %s', (who) => {
  test('unmounting: busy, lazy, by the system, and the server ends', async () => {
    await using place = await Place.make(who);
    await place.must(`mkdir src && echo x > src/f && ${put} && pachmount data@master pfs`);
    const [mount] = await place.mounts();
    const busy = await place.run('exec 9< pfs/data/f; pach unmount pfs; code=$?; cat <&9; exit $code');
    expect(busy).toMatchObject({ code: 4, stdout: 'x\n' });
    expect(busy.stderr).toMatch(/in use\ntry: /);
    expect(await place.must('exec 9< pfs/data/f; pach unmount --lazy pfs >/dev/null; cat <&9; ls pfs')).toBe('x\n');
    expect(
      await place.must(
        `for i in $(seq 100); do kill -0 ${mount?.pid} 2>/dev/null || break; sleep 0.1; done; kill -0 ${mount?.pid} 2>/dev/null || echo gone`,
      ),
    ).toBe('gone\n');
    await place.must(
      'pachmount data@master pfs && fusermount3 -u pfs && pachmount data@master pfs && pach unmount pfs',
    );
    expect((await place.run('pach unmount pfs')).code).toBe(3);
  });

  test('a killed server is a pause: what is open is read on, and what is new is found', async () => {
    await using place = await Place.make(who);
    await place.must(`mkdir src && head -c 40000000 /dev/urandom > src/big && echo x > src/f && ${put}`);
    await place.must('pachmount data@master pfs');
    for (let round = 0; round < 3; round += 1) {
      const [mount] = await place.mounts();
      const script = `exec 3< pfs/data/big; head -c 1000000 <&3 > read
        kill -9 ${mount?.pid}; cat <&3 >> read; cmp read src/big; cat pfs/data/f; ls pfs/data`;
      expect(await place.must(script)).toBe('x\nbig\nf\n');
      await place.must(`until [ "$(pach mounts -o json | grep -c '"pid":${mount?.pid},')" = 0 ]; do sleep 0.1; done`);
    }
    await place.must('pach unmount pfs');
  });

  test('killed with its supervisor, a server leaves a mount that the next mount replaces', async () => {
    await using place = await Place.make(who);
    await place.must(`mkdir src && echo x > src/f && ${put} && pachmount data@master pfs`);
    const [mount] = await place.mounts();
    await place.must(`kill -9 $(awk '{ print $4 }' /proc/${mount?.pid}/stat) ${mount?.pid}; sleep 0.2`);
    expect((await place.run('cat pfs/data/f')).stderr).toContain('Transport endpoint is not connected');
    await place.must('pachmount data@master pfs');
    expect(await place.must('cat pfs/data/f')).toBe('x\n');
  });

  test('in the foreground it stays until it is interrupted', async () => {
    await using place = await Place.make(who);
    await place.must(`mkdir src && echo x > src/f && ${put}`);
    const script = `pachmount -f data@master pfs & pid=$!
      for i in $(seq 100); do [ -e pfs/data/f ] && break; sleep 0.1; done; cat pfs/data/f; kill -INT $pid; wait $pid; echo ended; ls pfs`;
    expect(await place.must(script)).toMatch(/x\n(.*\n)?ended\n$/);
  });
});
