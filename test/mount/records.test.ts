/**
 * Which mounts there are: the kernel says it, whatever has become of the files that tell more of them; and
 * mounts that another mount namespace has, too.
 */
import { describe, expect, test } from 'vitest';
import { Place, type MountInfo, type Who } from '../support/place.ts';

const put =
  'mkdir src && echo x > src/f && pach create repo data >/dev/null && pach put file data@master -r -f src/ -q';
/** Does something to every record. */
const eachRecord = (script: string): string => `for r in "$PACH_HOME"/mounts/*.json; do ${script}; done`;
/** Starts a process in a mount namespace of its own, as `$held`, which has the mount `pfs`. */
const inNamespace = (who: Who): string =>
  `unshare ${who === 'root' ? '-m' : '-Urm'} sh -c 'touch held; exec sleep 100' & held=$!
   until [ -e held ]; do sleep 0.02; done; grep -q "$PWD/pfs " /proc/$held/mountinfo || exit 9`;

/** Makes a record into what is none. */
const breakings: readonly (readonly [string, string])[] = [
  ['empty', ': > "$r"'],
  ['random bytes', 'head -c 300 /dev/urandom > "$r"'],
  ['of wrong types', `sed -i 's/"sources":[^]]*]/"sources":5/' "$r"`],
  ['with a foreign pid that is a text', `sed -i "s/\\"pid\\":[0-9]*/\\"pid\\":\\"$PPID\\"/" "$r"`],
  ['of another mount', `sed -i 's/pfs"/other"/' "$r"`],
  ['a list', 'echo "[1, 2]" > "$r"'],
  ['a folder', 'rm "$r" && mkdir -p "$r/sub" && echo x > "$r/sub/x"'],
  ['a FIFO', 'rm "$r" && mkfifo "$r"'],
  ['a link to itself', 'rm "$r" && ln -s "$r" "$r"'],
];

describe.each<Who>(['root', 'user'])('as %s', (who) => {
  // Who it is makes a difference to what can be removed, and none to what can be read.
  const some = who === 'root' ? breakings : breakings.slice(-3);

  test('a record that is broken or gone hides no mount; it is named once, and removed', async () => {
    await using place = await Place.make(who);
    await place.must(`${put} && pachmount data@master pfs`);
    const [whole] = await place.mounts();
    await place.must('cp "$PACH_HOME"/mounts/*.json kept');
    for (const [what, script] of some) {
      const broken = await place.run(`${eachRecord(script)}; pach mounts -v -o json`, 20);
      expect({ what, code: broken.code, stderr: broken.stderr }).toEqual({
        what,
        code: 0,
        stderr: expect.stringMatching(
          /^pach: .*\/mounts\/[0-9a-f]{16}\.json: it was not a valid mount record, so pach removed it\n$/,
        ),
      });
      // Its server says the same of it.
      const { counters, ...record } = JSON.parse(broken.stdout) as MountInfo;
      expect(record).toEqual({ ...whole, counters: undefined });
      expect(counters.requests.length).toBeGreaterThan(0);
      await place.must('cp kept "$(ls "$PACH_HOME"/mounts/*.sock | sed s/sock$/json/)"');
    }
    expect(await place.run('rm "$PACH_HOME"/mounts/*.json; pach mounts -o json')).toMatchObject({
      stderr: '',
      stdout: await place.must('cat kept; echo'),
    });
    // Also where nothing at all is left of it.
    await place.must('rm -r "$PACH_HOME/mounts"');
    expect(await place.must('pach mounts -o json')).toBe(
      `${JSON.stringify({ mountpoint: `${place.dir}/pfs`, device: whole?.device })}\n`,
    );
    expect(await place.must('pach unmount --all -o json')).toBe(
      `${JSON.stringify({ mountpoint: `${place.dir}/pfs` })}\n`,
    );
    expect(await place.run(`kill -0 ${whole?.pid}; ls pfs`)).toMatchObject({ code: 0, stdout: '' });
  });

  test('a broken record ends no process, and stops no mount or unmount', async () => {
    await using place = await Place.make(who);
    await place.must(`${put} && pachmount data@master pfs`);
    for (const [what, script] of some.slice(who === 'root' ? -3 : -1)) {
      await place.must(eachRecord(script));
      expect({
        what,
        ...(await place.run('pach unmount pfs; ls pfs; pachmount data@master pfs && cat pfs/data/f', 30)),
      }).toMatchObject({
        what,
        code: 0,
        stdout: expect.stringMatching(/\nx\n$/),
      });
    }
    const foreign = `sleep 100 & sed -i "s/\\"pid\\":[0-9]*/\\"pid\\":$!/" "$PACH_HOME"/mounts/*.json; pach mounts -o json >/dev/null
      pach unmount --all >/dev/null; kill $! && echo ours`;
    expect(await place.must(foreign)).toBe('ours\n');
  });

  test('mounts of another PACH_HOME are not unmounted by --all, but by their name', async () => {
    await using place = await Place.make(who);
    await place.must(`${put} && pachmount data@master pfs && export PACH_STORE="$PACH_HOME/store" && PACH_HOME=$PWD/home/other pachmount data two
      rm "$PACH_HOME"/mounts/*.json`);
    expect(await place.must('pach unmount --all')).not.toContain('two');
    expect(await place.must('cat two/data/f; pach mounts; PACH_HOME=$PWD/home/other pach mounts')).toMatch(
      new RegExp(`^x\n.*\n${place.dir}/two `),
    );
    expect(await place.must('pach unmount two; ls two')).toBe(`UNMOUNTED\n${place.dir}/two\n`);
  });

  test('a mount that another mount namespace has: it is said, and the server is ended', async () => {
    await using place = await Place.make(who);
    await place.must(`${put} && pachmount data@master pfs`);
    const [mount] = await place.mounts();
    const { stdout, stderr } = await place.run(`${inNamespace(who)}; pach unmount pfs; echo $?
      kill -0 ${mount?.pid} 2>/dev/null || echo ended; ls /proc/$held/root$PWD/pfs 2>&1; kill $held`);
    // A command of a test beside this one may have it as well, and be the one that is named.
    expect(stderr).toMatch(
      /pfs: process \d+ \((?:sleep|launcher)\) has it in another mount namespace\. The server was ended/,
    );
    expect(stdout).toMatch(/pfs\n0\nended\n(?:.*Transport endpoint is not connected|.*Permission denied)\n$/);
    // Who asked for open files to be kept hears of it, and how to end it.
    const lazy = await place.run(`pachmount data@master pfs && rm held
      ${inNamespace(who)}; pach unmount --lazy pfs; pach unmount pfs; code=$?
      eval "$(pach unmount pfs 2>&1 | sed -n 's/^try: //p')"; for i in $(seq 100); do pach unmount pfs 2>&1 | grep -q serves || break; done
      pach unmount pfs; kill $held; exit $code`);
    expect(lazy).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/namespace\. Its server runs until that ends\. To end it now: kill \d+/),
    });
    expect(lazy.stderr).toMatch(
      /but its server still runs \(process \d+\): files are open, or another mount namespace has the mount\ntry: kill \d+\n/,
    );
    expect(lazy.stderr).toMatch(/no pachmount mount is there\ntry: pach mounts\n$/);
  });

  test('in a mount namespace of its own, unmounting leaves the mount to those that have it', async () => {
    await using place = await Place.make(who);
    await place.must(`${put} && pachmount data@master pfs`);
    // An ordinary user's namespace gets the mount locked.
    const within = `unshare ${who === 'root' ? '-m' : '-Urm'} sh -c 'pach unmount pfs; pach mounts; pach unmount --all'`;
    const { stderr } = await place.run(within);
    expect(stderr).toMatch(
      who === 'root'
        ? /pfs: it is still mounted where its server sees it, process \d+\n/
        : /pfs: it was mounted in another mount namespace/,
    );
    expect(await place.must('cat pfs/data/f')).toBe('x\n');
    expect(await place.must('cat "$PACH_HOME"/mounts/*.json')).toContain(`"mountpoint":"${place.dir}/pfs"`);
    expect((await place.mounts()).length).toBe(1);
  });

  test('a mountpoint may be a link to a folder', async () => {
    await using place = await Place.make(who);
    await place.must(`${put} && mkdir -p a/real && ln -s real a/link && ln -s "$PWD/a/link" far`);
    expect(await place.must('pachmount data@master far && ls a/real far && pach unmount a/link')).toBe(
      `${place.dir}/a/real\na/real:\ndata\n\nfar:\ndata\nUNMOUNTED\n${place.dir}/a/real\n`,
    );
    // Where a folder is meant, names that look like sources are mountpoints as well.
    await place.must(`mkdir data@master && pachmount data@master && pachmount data ./data && pachmount data@master ./a@b
      pachmount data -r data@master data@x/ && ls data/data data@master/data a@b/data data@x/data`);
    expect((await place.mounts()).length).toBe(4);
  });

  test('a PACH_HOME whose path is longer than a socket can have', async () => {
    await using place = await Place.make(who);
    const spec = JSON.stringify({
      pipeline: { name: 'p' },
      input: { pfs: { repo: 'data', glob: '/' } },
      transform: { cmd: ['sh', '-c', 'cp /pfs/data/f /pfs/out/'] },
    });
    const script = `export PACH_HOME=$PWD/home/${'l'.repeat(90)}/${'m'.repeat(200)}/home; mkdir -p "$(dirname "$PACH_HOME")"; (${put}) > out
      pachmount data@master one && pachmount data@master two && cat one/data/f two/data/f && pach mounts -v -o json | grep -c counters
      find "$PWD" -type s -printf '%h\\n' | sort -u | sed "s,$PACH_HOME,PACH_HOME,"
      pach unmount --all && find "$PWD" -type s
      echo '${spec}' | pach run pipeline -f - -q >ran && pach get file p@master:/f`;
    expect(await place.must(script)).toBe(
      `${place.dir}/one\n${place.dir}/two\nx\nx\n2\nPACH_HOME/mounts\nUNMOUNTED\n${place.dir}/one\n${place.dir}/two\nx\n`,
    );
  });
});
