/**
 * Mounts that follow branches: what moves, and what stays in its version.
 */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { someWho } from '../support/long.ts';
import { opcodes, Place, type Who } from '../support/place.ts';

/** Waits, in a script, until a command says something. */
const until = (command: string, says: string): string =>
  `for i in $(seq 400); do [ "$(${command} 2>/dev/null)" = '${says}' ] && break; sleep 0.05; done; [ "$(${command} 2>/dev/null)" = '${says}' ]`;
const put = (repo: string): string => `pach put file ${repo}@master -r -f src/ >/dev/null`;
const begin = `mkdir -p src/sub && echo one > src/a && echo same > src/b && echo one > src/sub/c &&
pach create repo images >/dev/null && ${put('images')}`;

/** How often the kernel was told to drop what it keeps. */
const drops = async (): Promise<string> => String((await readFile('/proc/vmstat', 'utf8')).match(/^drop_.*$/gm));

describe.each<Who>(['root', 'user'])('a mount that follows, of %s', (who) => {
  test('names move to a new head; what is open stays: a file, a folder, a mapping, a bind mount', async () => {
    await using place = await Place.make(who);
    await place.must(`${begin} && pachmount --follow images@master pfs`);
    const keep = `import mmap, os, sys
file = open('pfs/images/a', 'rb')
mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
names = os.scandir('pfs/images')
first = next(names).name
os.chdir('pfs/images/sub')
print('ready', flush=True)
sys.stdin.readline()
print(mapped[:].decode().strip(), file.read().decode().strip(), open('c').read().strip(), open('../a').read().strip())
print(sorted([first] + [each.name for each in names]), sorted(os.listdir('..')))
print(open(os.getcwd() + '/c').read().strip())`;
    const bind = who === 'root' ? 'mkdir bound && mount --bind pfs/images bound && trap "umount -l bound" EXIT;' : '';
    const seen = who === 'root' ? '; cat bound/a bound/sub/c; ls bound' : '';
    const said = await place.must(`cat > keep.py <<'END'
${keep}
END
${bind} coproc python3 keep.py; read -r ready <&"\${COPROC[0]}"
echo two > src/a; echo two > src/sub/c; echo new > src/new; rm src/b; pach put file images@master -r -f src/ >/dev/null
pach delete file images@master:/b >/dev/null
${until('cat pfs/images/a', 'two')}; ${until('ls pfs/images | tr "\\n" " "', 'a new sub ')}
cat pfs/images/sub/c pfs/images/new; echo >&"\${COPROC[1]}"; cat <&"\${COPROC[0]}"${seen}`);
    const kept = "one one one one\n['a', 'b', 'sub'] ['a', 'b', 'sub']\none\n";
    expect(said).toBe(`two\nnew\n${kept}${who === 'root' ? 'one\none\na\nb\nsub\n' : ''}`);
    const [mount] = await place.mounts();
    expect(mount?.counters.replyErrors).toBe(0);
  });

  test('files that did not change keep their inode, and nobody reads them again', async () => {
    await using place = await Place.make(who);
    await place.must(`mkdir -p src/sub/deep && echo one > src/a && for n in 1 2 3; do head -c 5000 /dev/urandom > src/b$n; done
      head -c 300000 /dev/urandom > src/sub/c && head -c 3000000 /dev/urandom > src/sub/big && echo small > src/sub/deep/d && ln -s d src/sub/deep/link
      pach create repo images >/dev/null && ${put('images')} && pachmount --follow images@master pfs`);
    const look = 'cd pfs/images && find . -type f -exec cat {} + | md5sum && find . -printf "%i %p %l\\n" | sort -k2';
    let after = '';
    // Again where somebody had the kernel drop what it keeps, as benchmarks do.
    for (let turn = 0, before = ''; before !== (await drops()); turn += 1) {
      before = await drops();
      const first = await place.must(look);
      const { [opcodes.read]: reads = 0 } = await place.requests();
      for (const says of [`two${turn}`, `three${turn}`]) {
        const change = `echo ${says} > src/a && echo ${says} > src/b0 && ${put('images')}`;
        await place.must(`${change} && ${until('cat pfs/images/a', says)}`);
      }
      after = await place.must(look);
      const changed = after.split('\n').filter((line) => !first.includes(line));
      const { [opcodes.read]: more = 0 } = await place.requests();
      if (before !== (await drops())) continue;
      expect(changed.map((line) => line.split(' ')[1])).toEqual(['', '.', './a', './b0']);
      // Two versions of a, and the last of b0; who asks while the head moves may read one of a again. Any of the others
      // would be a fourth at least, and all of them ten.
      expect(more - reads).toBeGreaterThanOrEqual(3);
      expect(more - reads).toBeLessThanOrEqual(5);
    }
    // A later server of the same mount knows which inodes there are, and what was shown.
    const [mount] = await place.mounts();
    await place.must(
      `exec 3< pfs/images/b1; kill -9 ${mount?.pid}; ${until('cat pfs/images/sub/deep/d', 'small')}; cmp src/b1 - <&3`,
    );
    expect(await place.must(look)).toBe(after);
  });
});

describe.each<Who>(someWho)('a mount that follows, of %s, in trouble', (who) => {
  /** What its server says of how it follows. */
  const follows = `pach mounts -v -o json | python3 -c 'import json, sys
follows = json.load(sys.stdin)["counters"]["follows"]
print(follows["missing"], follows.get("failing", {}).get("why", "").split(": ")[-1])'`;

  const doctor = `pach doctor -o json | sed -n 's/.*"follower .*pfs","state":"\\([a-z]*\\)","value":"\\([^"]*\\)".*/\\1 \\2/p'`;

  test('a deleted branch, and a store that is away: what is open goes on, it is said, and it comes back', async () => {
    await using place = await Place.make(who);
    const store = 'home/.pachmount/store';
    const said = await place.must(`${begin} && pachmount --follow images@master pfs >/dev/null
      exec 3< pfs/images/a; (cd pfs/images/sub && exec sleep 60 > /dev/null 2>&1) & sleeper=$!
      until [ "$(readlink /proc/$sleeper/cwd)" != "$PWD" ]; do sleep 0.02; done; pach delete branch images@master >/dev/null; ${until('ls pfs', '')}; ! ls pfs/images 2>/dev/null
      cat - /proc/$sleeper/cwd/c <&3; ${follows}; ${doctor}
      echo two > src/a; ${put('images')}; ${until('cat pfs/images/a', 'two')}; ${follows}
      mv ${store} away; ${until(follows, '[] the folder of the store is not there any more')}; cat pfs/images/a pfs/images/sub/c
      mv away ${store}; echo three > src/a; ${put('images')}; ${until('cat pfs/images/a', 'three')}; ${follows}; ${doctor}
      kill $sleeper; pach unmount pfs >/dev/null 2>&1 || pach unmount --lazy pfs >/dev/null`);
    expect(said).toBe(
      "one\none\n['images'] \nwarn not there now: images\n[] \ntwo\none\n[] \nok shows what is newest\n",
    );
  });

  test('what was purged vanishes; who has it open gets its bytes or an error, never others', async () => {
    await using place = await Place.make(who);
    const said = await place.must(`mkdir src && head -c 500000 /dev/urandom > src/secret && echo one > src/a
      pach create repo images >/dev/null && ${put('images')} && pachmount --follow --cache-size 1MB --memory 32MB images@master pfs >/dev/null
      exec 3< pfs/images/secret; pach purge images:/secret >/dev/null 2>&1; ${until('ls pfs/images', 'a')}; cat pfs/images/a
      pach gc --grace 0 >/dev/null 2>&1; cat <&3 > got 2> errors && cmp got src/secret || cat errors`);
    expect(said).toMatch(/^one\n(cat: -: Input\/output error\n)?$/);
    expect(await place.must('head -c $(stat -c %s got) src/secret | cmp - got && echo fine')).toBe('fine\n');
  });
});
