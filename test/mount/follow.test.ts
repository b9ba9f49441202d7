/**
 * Mounts that follow branches: what moves, and what stays in its version.
 */
import { describe, expect, test } from 'vitest';
import { Place, type Who } from '../support/place.ts';

/** Waits, in a script, until a command says something. */
const until = (command: string, says: string): string =>
  `for i in $(seq 400); do [ "$(${command} 2>/dev/null)" = '${says}' ] && break; sleep 0.05; done; [ "$(${command} 2>/dev/null)" = '${says}' ]`;
const put = (repo: string): string => `pach put file ${repo}@master -r -f src/ >/dev/null`;
const begin = `mkdir -p src/sub && echo one > src/a && echo same > src/b && echo one > src/sub/c &&
pach create repo images >/dev/null && ${put('images')}`;

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
});
