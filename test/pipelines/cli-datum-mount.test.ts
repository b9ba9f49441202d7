/**
 * One datum of a spec as a folder: beside what the command of a real run of the same spec sees.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isLong, someWho } from '../support/long.ts';
import { leaveMounts, type Who } from '../support/place.ts';
import { linesOf, PipelinePlace, type DatumLine } from './cli-world.ts';

/** What `mount --datum` and `datum next` print as JSON. */
interface Shown {
  readonly mountpoint: string;
  readonly datum: {
    readonly pipeline: string;
    readonly index: number;
    readonly total: number;
    readonly id: string;
    readonly files: readonly { readonly path: string }[];
    readonly out: string;
  };
}

/** All that is below the working directory but `out`: names, kinds, rights, links, bytes, and the times of files that have some. */
const look = `find . -path ./out -prune -o -mindepth 1 \\( -type d -printf '%p %M\\n' -o -type l -printf '%p %l\\n' -o -size 0 -printf '%p %M\\n' -o -printf '%p %M %Ts\\n' \\) | LC_ALL=C sort
find . -path ./out -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum`;
/** The variables of a datum, but for those that name a job. */
const variables = `env | grep -E '^(PACH_DATUM|PPS|in|labels|both|KIND)' | LC_ALL=C sort`;
const files = {
  'a/1.png': 'one',
  'a/2.png': 'two',
  'b/1.png': 'three',
  'b/sub/deep.txt': 'deep',
  'top.txt': 'top',
};
const labels = { '1.csv': 'label one', '2.csv': 'label two', '9.csv': 'nobody' };

async function placeOf(who: Who): Promise<PipelinePlace> {
  const here = await PipelinePlace.make(files, who);
  await here.must(`pach create repo labels && mkdir more && printf run > more/run.sh && chmod +x more/run.sh &&
    ln -s run.sh more/link && ln -s ../top.txt more/up && pach put file in@master:/b/more/ -r -f more/`);
  await here.put('labels', labels);
  return here;
}

async function mounted(here: PipelinePlace, spec: string): Promise<Shown['datum']> {
  return (JSON.parse(await here.must(`pachmount --datum ${spec} pfs -o json`)) as Shown).datum;
}

async function moved(here: PipelinePlace, step: string): Promise<Shown['datum']> {
  return (JSON.parse(await here.must(`pach datum ${step} -o json`)) as Shown).datum;
}

const named = (line: DatumLine | undefined): object => ({ id: line?.id, files: line?.files });
const pfs = (repo: string, glob: string, more: object = {}): object => ({ pfs: { repo, glob, ...more } });
const inputs: Record<string, object> = {
  glob: pfs('in', '/*'),
  whole: pfs('in', '/'),
  empty: pfs('in', '/*', { empty_files: true }),
  join: {
    join: [
      pfs('in', '/*/(*).png', { join_on: '$1' }),
      pfs('labels', '/(*).csv', { join_on: '$1', outer_join: true, name: 'labels' }),
    ],
  },
  group: { group: [pfs('in', '/(*)/**', { group_by: '$1' }), pfs('labels', '/(*).csv', { group_by: '$1' })] },
  cross: { cross: [pfs('in', '/[at]*'), pfs('labels', '/[12].csv', { empty_files: true })] },
  union: { union: [pfs('in', '/a', { name: 'both' }), pfs('labels', '/*', { name: 'both' })] },
};

describe.each<Who>(['root', 'user'])('as %s', (who) => {
  const isAll = who === 'root' || isLong;
  const some = Object.entries(inputs).filter(([kind]) => isAll || ['whole', 'join'].includes(kind));

  test('a mount shows what the command of a real run sees', async () => {
    await using here = await placeOf(who);
    await here.must('mkdir specs');
    for (const [kind, input] of some) {
      const script = `cd /pfs && { ${look}\n${variables}\n} > /pfs/out/$PACH_DATUM_ID`;
      await here.spec(kind, script, { input, transform: { env: { KIND: `'${kind}' & $more` } } }, 'specs');
    }
    const { code } = await here.run('-f specs');
    expect(code).toBe(0);
    for (const [kind] of some) {
      const spec = `specs/${kind}.json`;
      const listed = linesOf<DatumLine>(
        await here.must(`pach get file ${kind}@master -r -o got-${kind} && pach list datum -f ${spec} -o json`),
      );
      expect(listed.length).toBeGreaterThan(0);
      expect(await mounted(here, spec)).toMatchObject({
        pipeline: kind,
        index: 1,
        total: listed.length,
        ...named(listed[0]),
      });
      for (const [index, { id }] of listed.entries()) {
        const step = index === 0 ? `goto pfs ${id}` : 'next pfs';
        const seen = await here.must(
          `eval "$(pach datum ${step} --export)"; cd pfs; { ${look}\n${variables}\n} > ../seen; cat ../got-${kind}/${id}; cmp ../seen ../got-${kind}/${id}`,
        );
        expect(seen).toContain(`PACH_DATUM_ID=${id}\n`);
      }
      expect((await here.shell('pach datum next pfs')).code).toBe(3);
      const [mount] = await here.place.mounts();
      expect(mount).toMatchObject({ datum: { index: listed.length, ...named(listed.at(-1)) } });
      await here.must('pach unmount pfs');
    }
  }, 240_000);
});

describe.each<Who>(someWho)('as %s', (who) => {
  test('what is open stays; what is opened next is of the next datum', async () => {
    await using here = await placeOf(who);
    await here.spec('one', 'true', { input: pfs('in', '/*/*.png') });
    const first = await mounted(here, 'one.json:2');
    expect(first).toMatchObject({ index: 2, total: 3 });
    const text = await here.must(`set -e
      exec 3< pfs/in/a/2.png; cd pfs/in/a; at=$OLDPWD; ls
      (cd $at; pach datum next pfs > /dev/null; cat pfs/in/b/1.png; ls pfs/in); echo
      cat <&3; echo; cat 2.png; echo; ls; cd $at
      pach datum prev pfs > /dev/null; ls pfs/in pfs/in/a; pach datum goto pfs 1 > /dev/null; ls pfs/in/a; ! stat pfs/in/b 2>&1`);
    expect(text.replace(/stat:.*/, 'gone')).toBe(
      '2.png\nthreeb\n\ntwo\ntwo\n2.png\npfs/in:\na\n\npfs/in/a:\n2.png\n1.png\ngone\n',
    );
    const [mount] = await here.place.mounts();
    expect(mount?.counters.replyErrors).toBe(0);
    expect(mount).toMatchObject({ datum: { index: 1, pipeline: 'one' } });
    expect(await here.must('pach mounts')).toMatch(/ datum 1 of 3 of one \([0-9a-f]{16}\) /);
  });

  test('each datum has an out folder of its own; what lies there stays', async () => {
    await using here = await placeOf(who);
    await here.spec('one', 'true');
    const { out: first } = await mounted(here, 'one.json');
    const home = join(here.place.dir, 'home/.pachmount');
    expect(first.startsWith(`${home}/out/one-`)).toBe(true);
    expect(await here.must('readlink pfs/out; stat -Lc %a pfs/out; ls pfs/out')).toBe(`${first}\n700\n`);
    await here.must('mkdir pfs/out/sub && echo result > pfs/out/sub/f && cd pfs/out && pach datum next "$OLDPWD/pfs"');
    const { out: second } = await moved(here, 'goto pfs 3');
    expect(second).not.toBe(first);
    expect(await here.must('ls pfs/out')).toBe('');
    await moved(here, 'goto pfs 1');
    expect(await here.must('cat pfs/out/sub/f')).toBe('result\n');
    const { stderr, stdout } = await here.shell('pach unmount pfs -o json');
    const left = first.replace(/\/1$/, '');
    expect(stderr).toContain(`stays in ${left}\n`);
    expect(JSON.parse(stdout)).toMatchObject({ out: left });
    expect(await here.must(`find ${home}/out -mindepth 1 | LC_ALL=C sort`)).toBe(
      [left, first, `${first}/sub`, `${first}/sub/f`, ''].join('\n'),
    );
  });

  test('nothing stays of a mount that ends, however it ends', async () => {
    await using here = await placeOf(who);
    await here.spec('one', 'true');
    const home = join(here.place.dir, 'home/.pachmount');
    const left = `find ${home}/out ${home}/mounts -mindepth 1 ! -name '*.log'`;
    for (const end of ['pach unmount pfs', 'fusermount3 -u pfs', 'pach unmount --all']) {
      await mounted(here, 'one.json');
      await moved(here, 'next pfs');
      await here.must(`${end} && for i in $(seq 200); do [ -z "$(${left})" ] && break; sleep 0.05; done`);
      expect(await here.must(left)).toBe('');
    }
  });

  test('a server that takes over shows the same datum, and what is open stays', async () => {
    await using here = await placeOf(who);
    await here.spec('one', 'true', { input: pfs('in', '/*/*.png') });
    await mounted(here, 'one.json');
    const [mount] = await here.place.mounts();
    const text = await here.must(`set -e; exec 3< pfs/in/a/1.png; cd pfs/in/a; at=$OLDPWD
      (cd $at; pach datum goto pfs 3 > /dev/null; readlink pfs/out > out); kill -9 ${mount?.pid}
      cat <&3; echo; ls; cat 1.png; echo; cd $at; find pfs/in -type f; readlink pfs/out | cmp - out
      pach datum prev pfs > /dev/null; cat pfs/in/a/2.png`);
    expect(text).toBe('one\n1.png\none\npfs/in/b/1.png\ntwo');
    const [now] = await here.place.mounts();
    expect(now?.pid).not.toBe(mount?.pid);
  });

  test('what cannot be shown is said, and nothing is mounted', async () => {
    await using here = await placeOf(who);
    await here.spec('one', 'true');
    await here.spec('none', 'true', { input: pfs('in', '/no*') });
    await here.spec('absent', 'true', { input: pfs('nobody', '/*') });
    await here.must('echo "{" > broken.json; mkdir two; cp one.json none.json two; echo x > "with:colon"');
    const cases: readonly (readonly [string, number, string])[] = [
      ['--datum one.json:5 pfs', 3, 'there is no such datum: pipeline one has 3'],
      ['--datum one.json:0 pfs', 2, 'the first datum is number 1'],
      ['--datum one.json:abcabc pfs', 3, 'there is no such datum'],
      ['--datum one.json:x/y pfs', 2, 'neither a number'],
      ['--datum none.json pfs', 3, "it has no datum, as its input gives none ('in@master:/no*')"],
      ['--datum absent.json pfs', 3, 'nobody'],
      ['--datum broken.json pfs', 2, 'broken.json'],
      ['--datum gone.json:1 pfs', 3, 'gone.json'],
      ['--datum two pfs', 2, 'it has 2 pipelines'],
      ['--datum one.json in@master pfs', 2, 'no repos beside them (in@master)'],
      ['--export in@master pfs', 2, '--datum'],
    ];
    for (const [words, code, said] of cases) {
      const result = await here.shell(`pachmount ${words}`);
      expect({ words, code: result.code, stderr: result.stderr }).toEqual({ words, code, stderr: result.stderr });
      expect(result.stderr).toContain(said);
    }
    expect(await here.place.mounts()).toEqual([]);
    expect(await here.must('ls home/.pachmount/mounts | grep -v log; ls home/.pachmount/out 2>/dev/null; true')).toBe(
      '',
    );
    await here.must('pachmount in@master pfs');
    const repos = await here.shell('pach datum next pfs');
    expect([repos.code, repos.stderr]).toEqual([3, expect.stringContaining('that mount shows no datum')]);
    const nothing = await here.shell('pach datum goto elsewhere 2');
    expect([nothing.code, nothing.stderr]).toEqual([3, expect.stringContaining('no pachmount mount is there')]);
    await here.must('pach unmount pfs && pachmount --datum one.json pfs');
    const shown = await here.must('ls -R pfs; readlink pfs/out');
    for (const [step, code] of [
      ['prev pfs', 3],
      ['goto pfs 4', 3],
      ['goto pfs 0', 2],
      ['goto pfs zz', 2],
    ] as const) {
      expect([step, (await here.shell(`pach datum ${step}`)).code]).toEqual([step, code]);
    }
    // A second mount at the same place is refused and changes nothing.
    expect((await here.shell('pachmount --datum one.json:2 pfs')).code).toBe(4);
    expect(await here.must('ls -R pfs; readlink pfs/out')).toBe(shown);
    expect(await readdir(join(here.place.dir, 'home/.pachmount/out'))).toHaveLength(1);
  });

  test('a moment passes: the datums are those of when it was mounted', async () => {
    await using here = await placeOf(who);
    await here.spec('one', 'true', { input: pfs('in', '/*/*.png') });
    await mounted(here, 'one.json');
    await here.put('in', { 'a/0.png': 'new', 'a/2.png': 'changed' });
    await here.must('rm one.json');
    expect(await moved(here, 'next pfs')).toMatchObject({ index: 2, total: 3, files: [{ path: '/a/2.png' }] });
    expect(await here.must('cat pfs/in/a/2.png')).toBe('two');
  });
});

test('what it says to show it at /pfs works', async () => {
  await using here = await placeOf('root');
  await here.spec('one', 'true', { input: pfs('in', '/*/*.png') });
  await here.must('mkdir root');
  // In a root folder made for it, with the folders of this machine in it: there nobody else meets /pfs.
  const inside = `set -e; cd '${here.place.dir}'; said=$(pachmount --datum one.json:2 pfs)
    command=$(echo "$said" | sed -n 's/^as .pfs: //p'); echo "$command"; eval "$command"
    eval "$(pach datum goto /pfs 2 --export)"; cat $in; echo x > /pfs/out/f; ls pfs/out/
    pach datum next pfs | grep '^as'; pach unmount /pfs`;
  const text = await here.must(
    `unshare -m sh -c '${leaveMounts}
    mount -t tmpfs none root && for each in /*; do
      if [ -L $each ]; then cp -P $each root; elif [ -d $each ] && [ $each != /pfs ]; then mkdir root$each && mount --rbind $each root$each; fi
    done && exec chroot root bash -c "$0"' ${JSON.stringify('$INSIDE')}`.replace(
      '"$INSIDE"',
      `'${inside.replaceAll("'", `'\\''`)}'`,
    ),
  );
  expect(text).toBe(`ln -s ${here.place.dir}/pfs /pfs\ntwof\nas /pfs: it is there\nUNMOUNTED\n${here.place.dir}/pfs\n`);
});
