/**
 * Lineage as people and programs ask for it: up and down, declared, explained, and computed again.
 */
import { expect, test } from 'vitest';
import type { Edge } from '../../src/pipelines/lineage/edges.ts';
import { linesOf, PipelinePlace } from '../pipelines/cli-world.ts';

/** A file with code, an odd name, input on stdin and a variable. */
async function world(): Promise<PipelinePlace> {
  const here = await PipelinePlace.make({ 'a.txt': 'a', 'b.txt': 'b' });
  await here.must(`printf q > "odd'"$'\\n\\a'; pach put file in@master -f "odd'"$'\\n\\a'`);
  await here.must(
    `mkdir code; printf 'for f in /pfs/in/*; do n=$(basename "$f"; echo .); n=\${n%%??}; (cat "$f"; echo $MODE; cat) > "/pfs/out/$n"; done' > code/main.sh`,
  );
  await here.must('cd code && git init -q . && git add . && git -c user.name=a -c user.email=b commit -qm x');
  await here.must('cd code && git remote add origin https://user:secret@example.org/x.git && echo >> main.sh');
  await here.spec('p', '', {
    transform: { cmd: ['sh', '/code/main.sh'], stdin: ['one', "two's"], env: { MODE: "fast 'x'" } },
    dev: { code: [{ from: './code', to: '/code' }] },
  });
  await here.spec('q', 'cat /pfs/p/* > /pfs/out/all', { input: { pfs: { repo: 'p', glob: '/' } } });
  await here.must('pach create pipeline -f p.json && pach create pipeline -f q.json');
  await here.run('q');
  return here;
}

test('from a file to its sources and back', async () => {
  await using here = await world();
  const ids = Object.fromEntries(
    await Promise.all(
      ['in', 'p', 'q'].map(async (repo) => {
        const { commit } = JSON.parse(await here.must(`pach inspect commit ${repo}@master -o json`)) as {
          commit: string;
        };
        return [repo, commit] as const;
      }),
    ),
  ) as Record<'in' | 'p' | 'q', string>;
  const ask = async (words: string): Promise<Edge[]> => linesOf<Edge>(await here.must(`pach lineage ${words} -o json`));
  const git = (await here.must('git -C code rev-parse HEAD')).trim();
  const [edge, ...none] = await ask('p@master:/a.txt');
  expect(none).toEqual([]);
  expect(edge).toEqual({
    from: { repo: 'in', commit: ids.in, path: '/a.txt' },
    to: { repo: 'p', commit: ids.p, path: '/a.txt' },
    kind: 'computed',
    pipeline: 'p',
    version: 1,
    job: ids.p,
    datum: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    image: 'ubuntu:20.04',
    code: {
      hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      remote: 'https://example.org/x.git',
      commit: git,
      dirty: true,
    },
  });
  // The same edge, found from its other end, and what was made of that.
  const down = await ask('in@master:/a.txt --down');
  expect(down[0]).toEqual(edge);
  expect(down.slice(1)).toMatchObject([{ from: { repo: 'p' }, to: { repo: 'q', path: '/all' }, kind: 'computed' }]);
  expect(await ask('in@master:/a.txt --down --depth 1')).toEqual([edge]);
  expect((await ask('q@master')).map(({ from }) => from.repo)).toEqual(['p', 'in']);
  // People see names that do not act on their terminal, and a word for what is nothing.
  const odd = await here.shell(`pach lineage "p@master:/odd'"$'\\n\\a'`);
  expect(odd.stdout).toContain(String.raw`:/odd'\n\u0007`);
  expect(odd.stdout.split('\n')).toHaveLength(4);
  const source = await here.shell('pach lineage in@master');
  expect(source).toMatchObject({ code: 0, stderr: 'pach: it was computed from nothing: it was put\n' });
  expect(await here.must('pach lineage q@master -o dot')).toMatch(/"p@[0-9a-f]{12}" -> "q@[0-9a-f]{12}"/);
  expect(await here.must('pach lineage p@master:/a.txt -o svg')).toMatch(/^<svg [\s\S]*in@[0-9a-f]{12}:\/a.txt/);
  for (const [words, code] of [
    ['p@master:/none', 3],
    ['p@none', 3],
    ['none', 3],
    ['p@master --depth 0', 2],
    ['p@master -o xml', 2],
  ] as const) {
    expect((await here.shell(`pach lineage ${words}`)).code).toBe(code);
  }
});

test('a file is explained, and computed again by what is exported', async () => {
  await using here = await world();
  const text = await here.must('pach explain p@master:/a.txt --export again');
  for (const part of ['sh /code/main.sh', '(changed since)', 'https://example.org/x.git', 'in@', 'hash ']) {
    expect(text).toContain(part);
  }
  expect(text).not.toContain('secret');
  // What lies in the store is not needed any more.
  await here.must('mv home/.pachmount/store gone; mv again moved');
  expect(await here.must('./moved/run.sh')).toMatch(/^the same: sha256 [0-9a-f]{64}\n$/);
  await here.must('echo changed > moved/pfs/in/a.txt');
  expect(await here.shell('./moved/run.sh')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('it differs') as string,
  });
  await here.must('mv gone home/.pachmount/store');
  await here.must(`pach explain "p@master:/odd'"$'\\n\\a' --export odd && ./odd/run.sh`);
  const info = JSON.parse(await here.must('pach explain p@master:/b.txt -o json')) as {
    readonly computed: { readonly inputs: readonly object[] };
  };
  expect(info.computed.inputs).toMatchObject([{ name: 'in', repo: 'in', path: '/b.txt', state: 'there' }]);
  const full = await here.shell('pach explain p@master:/b.txt --export moved');
  expect(full).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('there is something in this folder') as string,
  });
  expect((await here.shell('pach explain in@master:/b.txt --export new')).stderr).toContain('no pipeline computed it');
  expect((await here.shell('pach explain p@master:/')).code).toBe(2);
  // What was purged is said to be.
  await here.must('pach purge in:/b.txt');
  const purged = await here.shell('pach lineage p@master:/b.txt -o json');
  expect(purged.stderr).toContain('was purged, so only commits are shown');
  expect(await here.must('pach lineage p@master:/b.txt 2>/dev/null')).toContain('computed by p version 1');
  expect(linesOf<Edge>(purged.stdout)).toMatchObject([{ from: { repo: 'in' }, to: { repo: 'p' }, kind: 'computed' }]);
});

test('what was made elsewhere is declared', async () => {
  await using here = await world();
  await here.must('pach create repo models && pach create repo copies');
  await here.must(
    'echo 1 > m && pach put file models@master:/m -f m --provenance p@master:/a.txt --provenance in@master',
  );
  await here.must('echo 2 > n && pach put file models@master:/n -f n');
  const ask = async (words: string): Promise<Edge[]> => linesOf<Edge>(await here.must(`pach lineage ${words} -o json`));
  // It holds for later commits, and for nothing else in them.
  expect(await ask('models@master:/m')).toMatchObject([
    { from: { repo: 'p', path: '/a.txt' }, to: { repo: 'models', path: '/m' }, kind: 'declared' },
    { from: { repo: 'in' }, to: { repo: 'models', path: '/m' }, kind: 'declared' },
    { from: { repo: 'in', path: '/a.txt' }, to: { repo: 'p', path: '/a.txt' }, kind: 'computed' },
  ]);
  expect(await ask('models@master:/n')).toEqual([]);
  const down = await ask('in@master:/a.txt --down');
  expect(down).toContainEqual(
    expect.objectContaining({ kind: 'declared', from: expect.objectContaining({ repo: 'p' }) as object }),
  );
  await here.must('echo 3 > m && pach put file models@master:/m -f m');
  expect(await ask('models@master:/m')).toEqual([]);
  // Afterwards, with what was done; where nothing changes it is declared too.
  await here.must('echo made by hand > how; pach update commit models@master:/m --provenance q@master --spec how');
  await here.must('pach put file models@master:/n -f n --provenance q@master:/all');
  const details = JSON.parse(await here.must('pach inspect commit models@master -o json')) as {
    readonly provenance: readonly object[];
    readonly declared: object;
  };
  expect(details.provenance).toMatchObject([{ repo: 'q', branch: 'master' }]);
  expect(details.declared).toMatchObject({
    madeOf: [
      { path: '/m', from: { repo: 'q', path: '/' } },
      { path: '/n', from: { repo: 'q', path: '/all' } },
    ],
    spec: 'made by hand\n',
  });
  expect(await here.must('pach inspect commit models@master')).toContain('made by hand');
  expect(await here.must('pach explain models@master:/m')).toContain('made by hand');
  const copied = 'pach copy file models@master:/m copies@master:/dir/';
  await here.must(copied);
  expect(await ask('copies@master:/dir/m --depth 1')).toMatchObject([
    { from: { repo: 'models', path: '/m' }, kind: 'declared' },
  ]);
  for (const [words, code, why] of [
    ['in@master --provenance models@master', 4, 'was made of it'],
    ['models@master --provenance models@master', 4, 'was made of it'],
    ['models@master', 2, 'nothing is declared'],
    ['models@master --provenance none', 3, 'no such repo'],
    ['models@master --provenance q@master:/none', 3, 'no such path'],
    ['models@master:/none --provenance q@master', 3, 'no such path'],
    ['models@master --provenance other/q@master', 2, 'within one project'],
    ['models@master --spec /dev/zero', 2, 'more than 16 KiB'],
  ] as const) {
    const ran = await here.shell(`pach update commit ${words}`);
    expect([words, ran.code, ran.stderr]).toEqual([words, code, expect.stringContaining(why) as string]);
  }
  expect((await here.shell('pach put file in@master:/c -f m --provenance copies@master:/dir/m')).code).toBe(0);
  expect(await here.must('pach fsck')).toContain('0 errors, 0 warnings');
  await here.must('pach delete repo models --force && pach delete repo copies --force');
  expect(await ask('q@master --down')).toEqual([]);
  expect(await here.must('pach fsck')).toContain('0 errors, 0 warnings');
});
