/**
 * Several pipelines as one graph, beside production, and what becomes of the whole when one of
 * them is stopped, changed or deleted.
 */
import { expect, test } from 'vitest';
import { linesOf, PipelinePlace, type RunLine, type SpecParts } from './cli-world.ts';

const of = (repo: string, more: object = {}): SpecParts => ({ input: { pfs: { repo, glob: '/*', ...more } } });
const both = {
  input: {
    join: ['b', 'c'].map((repo) => ({ pfs: { repo, glob: '/(*)', join_on: '$1' } })),
  },
};

/** A diamond of specs in the folder `g`. */
async function diamond(): Promise<PipelinePlace> {
  const here = await PipelinePlace.make({ '1': '1', '2': '2' });
  await here.must('mkdir g');
  await here.spec('a', 'cp $in /pfs/out/', of('in'), 'g');
  await here.spec('b', 'sed s/^/b/ $a > /pfs/out/$(basename $a)', of('a'), 'g');
  await here.spec('c', 'sed s/^/c/ $a > /pfs/out/$(basename $a)', of('a'), 'g');
  await here.spec('d', 'cat $b $c > /pfs/out/$(basename $b)', both, 'g');
  return here;
}

function states(lines: readonly RunLine[]): string[] {
  return lines.map(({ pipeline, state, datums }) => `${pipeline} ${state} ${datums.processed}+${datums.skipped}`);
}

test('a folder of specs runs in order, and beside production without computing anything', async () => {
  await using here = await diamond();
  const first = await here.run('-f g');
  expect(states(first.lines)).toEqual(['a success 2+0', 'b success 2+0', 'c success 2+0', 'd success 2+0']);
  expect(await here.read('d@master:/2')).toBe('b2c2');
  await here.put('in', { '2': '22', '3': '3' });
  expect(states((await here.run('d')).lines)).toEqual([
    'a success 2+1',
    'b success 2+1',
    'c success 2+1',
    'd success 2+1',
  ]);
  // Only what it depends on.
  expect(states((await here.run('b')).lines)).toEqual(['a success 0+3', 'b success 0+3']);

  const exp = await here.run('d --branch exp');
  expect(states(exp.lines)).toEqual(['a success 0+3', 'b success 0+3', 'c success 0+3', 'd success 0+3']);
  expect((await here.shell('pach diff file d@master d@exp')).stdout).toBe('');
  const [branch] = linesOf<{ provenance: object[] }>(await here.must('pach list branch d -o json'));
  expect(branch).toMatchObject({
    branch: 'exp',
    provenance: [
      { repo: 'b', branch: 'exp' },
      { repo: 'c', branch: 'exp' },
    ],
  });
  const head = JSON.parse(await here.must('pach inspect commit d@exp -o json')) as { provenance: object[] };
  expect(head.provenance).toMatchObject([
    { repo: 'b', branch: 'exp' },
    { repo: 'c', branch: 'exp' },
  ]);

  const pipelines = linesOf(await here.must('pach list pipeline -o json'));
  expect(pipelines).toMatchObject(['a', 'b', 'c', 'd'].map((pipeline) => ({ pipeline, version: 1 })));
  await here.spec('c', 'sed s/^/C/ $a > /pfs/out/$(basename $a)', of('a'), 'g');
  expect(states((await here.run('-f g --branch exp')).lines).slice(2)).toEqual(['c success 3+0', 'd success 3+0']);
  const diff = await here.shell('pach diff file d@master d@exp -o json');
  expect(diff.code).toBe(10);
  expect(linesOf(diff.stdout)).toMatchObject(['/1', '/2', '/3'].map((path) => ({ path, change: 'changed' })));
  // Production is what it was, and so is what it computes.
  expect(linesOf(await here.must('pach list pipeline -o json'))).toEqual(pipelines);
  expect(states((await here.run('d')).lines)).toEqual(states(exp.lines));
  expect(await here.read('d@master:/2')).toBe('b22c22');
});

test('what reads the output of a failed job does not run, and says why', async () => {
  await using here = await diamond();
  await here.run('-f g');
  await here.spec('b', 'test $a != /pfs/a/2', of('a'), 'g');
  const { code, lines, stderr } = await here.run('-f g');
  expect(code).toBe(1);
  expect(states(lines)).toEqual(['a success 0+2', 'b failure 1+0', 'c success 0+2', 'd unrunnable 0+0']);
  const reason = `it reads the output of pipeline b, and job ${lines[1]?.job} of that pipeline did not succeed`;
  expect(lines[3]).toMatchObject({ reason, commit: null });
  expect(stderr).toContain(reason);
  expect(await here.read('d@master:/2')).toBe('b2c2');
  expect(JSON.parse(await here.must('pach inspect job d -o json'))).toMatchObject({ state: 'unrunnable', reason });
});

test('versions can be named, and two branches of one repo read', async () => {
  await using here = await PipelinePlace.make({ '1': '1' });
  const old = JSON.parse(await here.must('pach inspect commit in@master -o json')) as { commit: string };
  await here.put('in', { '2': '2' });
  await here.spec('p', 'cp $in /pfs/out/');
  await here.ran('-f p.json');
  expect(await here.ran(`p --input in@${old.commit} --branch old`)).toMatchObject({
    datums: { total: 1, processed: 0 },
  });
  expect(await here.files('p@old')).toEqual(['/1']);
  expect((await here.run('p --input p@master')).code).toBe(2);
  expect((await here.run('p --input in@nope')).code).toBe(3);
  // Also of a pipeline that is there on a branch only.
  await here.spec('beside', 'cp $in /pfs/out/');
  expect(await here.run('-f beside.json --branch exp --input p@master')).toMatchObject({
    code: 2,
    stderr: 'pach: --input p@master: beside does not read p\n',
  });

  await here.must('pach create branch in@dev --head master^');
  const input = {
    cross: [
      { pfs: { repo: 'in', name: 'm', glob: '/' } },
      { pfs: { repo: 'in', name: 'd', branch: 'dev', glob: '/' } },
    ],
  };
  await here.spec('two', 'echo $(ls $m) / $(ls $d) > /pfs/out/x', { input });
  await here.ran('-f two.json');
  expect(await here.read('two@master:/x')).toBe('1 2 / 1\n');
  expect(JSON.parse(await here.must('pach inspect commit two@master -o json'))).toMatchObject({
    provenance: [{ branch: 'master' }, { branch: 'dev', commit: old.commit }],
  });
});

test('repos and branches are not deleted from under those that read or write them', async () => {
  await using here = await PipelinePlace.make({ a: '1' });
  await here.must('pach create branch in@other --head master; pach create branch in@free --head master');
  await here.spec('p', 'cp $in /pfs/out', { input: { pfs: { repo: 'in', branch: 'other', glob: '/*' } } });
  await here.spec('q', 'cp $p /pfs/out', { input: { pfs: { repo: 'p', glob: '/*' } } });
  await here.must('mkdir g; mv p.json q.json g; pach run pipeline -f g');
  await here.spec('q', 'cp $p /pfs/out/', { input: { pfs: { repo: 'p', glob: '/*' } } });
  await here.spec('r', 'cp $p /pfs/out/', { input: { pfs: { repo: 'p', glob: '/*' } } });
  await here.must('mkdir e; mv q.json r.json e; pach run pipeline -f e --branch exp');
  const refused = async (what: string, why: string): Promise<void> => {
    const { code, stdout, stderr } = await here.shell(`pach delete ${what}`);
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
    expect(stderr).toBe(`pach: ${what}: ${why}\n`);
  };
  await refused('repo in', 'p reads it\ntry: pach delete repo in --force');
  await refused('branch in@other', 'p reads it\ntry: pach delete branch in@other --force');
  await refused('branch p@master', 'q reads it\ntry: pach delete branch p@master --force');
  await refused(
    'branch q@master',
    'it is the output of pipeline q, and the next run would make it again\ntry: pach delete branch q@master --force\n or: pach delete pipeline q',
  );
  // What an experiment reads of another one beside production is the branch of that name.
  await here.must('pach run pipeline p --branch exp');
  await refused('branch p@exp', 'q on branch exp, r on branch exp read it\ntry: pach delete branch p@exp --force');
  // Nothing depends on these: another branch, and an experiment that goes with its branch.
  await here.must('pach delete branch in@free; pach delete branch q@exp');
  await here.must('pach delete branch r@exp; pach delete branch p@exp');

  const branch = await here.shell('pach delete branch p@master --force -o json');
  expect(JSON.parse(branch.stdout)).toEqual({ repo: 'p', branch: 'master', broken: ['q'] });
  expect(branch).toMatchObject({
    code: 0,
    stderr: "pach: these pipelines can't run any more, because it was their input: q\n",
  });
  const repo = await here.shell('pach delete repo in --force');
  expect(repo).toEqual({
    code: 0,
    stdout: 'in\n',
    stderr: "pach: these pipelines can't run any more, because it was their input: p\n",
  });
  expect((await here.run('p')).code).toBe(3);
});

test('nobody writes to outputs, deletes them from under a pipeline, or runs one that is stopped', async () => {
  await using here = await diamond();
  await here.run('-f g');
  await here.must('pach stop pipeline c');
  expect(await here.must('pach list pipeline')).toMatch(/\nc +1 +\S+ +stopped +success\n/);
  const stopped = await here.run('d');
  expect(stopped).toMatchObject({ code: 4, lines: [] });
  expect(stopped.stderr).toBe('pach: pipeline c: it is stopped\ntry: pach start pipeline c\n');
  await here.must('pach start pipeline c');
  await here.must('echo x > x');
  for (const [command, why] of [
    ['put file a@master:/x -f x', 'it is the output of a pipeline'],
    ['delete file a@master:/1', 'it is the output of a pipeline'],
    ['delete repo a --force', 'it is the output of a pipeline'],
    ['delete pipeline a', 'b, c read its output'],
    ['create pipeline -f g/a.json', 'it already exists'],
    ['create repo a', 'it already exists'],
  ]) {
    const { code, stderr } = await here.shell(`pach ${command}`);
    expect({ command, code }).toEqual({ command, code: 4 });
    expect(stderr).toContain(why);
  }
  // A branch of people stays theirs; an output branch that was deleted comes back as one.
  await here.must('pach put file a@mine:/x -f x; pach delete branch a@master --force');
  expect((await here.run('a --branch mine')).stderr).toContain('it has commits that no pipeline made');
  expect(await here.ran('a')).toMatchObject({ datums: { skipped: 2 }, output: { added: 2 } });
  expect((await here.shell('pach put file a@master:/x -f x')).code).toBe(4);

  await here.must('pach delete pipeline d --keep-repo; pach put file d@master:/x -f x; pach delete pipeline c');
  expect(await here.files('d@master')).toEqual(['/1', '/2', '/x']);
  expect((await here.shell('pach list file c')).code).toBe(3);
  expect((await here.run('-f g/d.json')).stderr).toContain('repo c');
  await here.must('pach delete pipeline a --force');
  expect((await here.run('b')).stderr).toContain('repo a: there is no such repo');
  await here.must('pach delete pipeline b');
  expect(await here.must('pach list pipeline')).toBe('');
  expect(linesOf<{ repo: string }>(await here.must('pach list repo -o json')).map(({ repo }) => repo)).toEqual([
    'd',
    'in',
  ]);
});
