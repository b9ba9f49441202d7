/**
 * Pipelines that are on a branch only: looked at, taken to production, deleted.
 */
import { expect, test } from 'vitest';
import { linesOf, PipelinePlace } from './cli-world.ts';

/** A place with the pipeline `q`, which has run on the branch `exp` and is nowhere else. */
async function beside(): Promise<PipelinePlace> {
  const here = await PipelinePlace.make({ a: '1', b: '2' });
  await here.spec('q', 'echo saw $(cat $in); cp $in /pfs/out/');
  await here.ran('-f q.json --branch exp');
  return here;
}

test('a pipeline that is on a branch only and its jobs can be looked at', async () => {
  await using here = await beside();
  const [job] = linesOf<{ job: string }>(await here.must('pach list job -p q -o json'));
  expect(job).toMatchObject({ pipeline: 'q', branch: 'exp', state: 'success', datums: { processed: 2 } });
  expect(JSON.parse(await here.must('pach inspect job q -o json'))).toEqual(job);
  expect(await here.must('pach logs -p q')).toContain('saw 1\n');
  const [datum] = await here.datums('q');
  expect(await here.must(`pach why q ${datum?.id}`)).toBe('success: it is new\n');
  expect(await here.must('pach wait job q')).toContain('success');

  const inspected = await here.must('pach inspect pipeline q --branch exp -o json');
  expect(JSON.parse(inspected)).toMatchObject({ version: 1, outputBranch: 'exp', lastJob: { job: job?.job } });
  const elsewhere = (verb: string): string =>
    `pach: pipeline q: it is only on branch exp\n` +
    `try: pach ${verb} pipeline q --branch exp\n or: pach create pipeline -f SPEC\n`;
  for (const [command, verb] of [
    ['inspect pipeline q', 'inspect'],
    ['inspect pipeline q --branch nope', 'inspect'],
    ['stop pipeline q', 'inspect'],
    ['run pipeline q', 'run'],
    ['run pipeline q --branch nope', 'run'],
  ] as const) {
    expect({ command, ...(await here.shell(`pach ${command}`)) }).toMatchObject({
      command,
      code: 3,
      stderr: elsewhere(verb),
    });
  }
  await here.ran('-f q.json --branch two');
  expect((await here.shell('pach inspect pipeline q')).stderr).toContain('it is only on branches exp, two\n');
  // A key is no name: nothing of a branch becomes production's by a slip of the pen.
  for (const command of [
    'stop pipeline q@exp',
    'inspect pipeline q@exp',
    'delete pipeline q@exp',
    'list job -p q@exp',
  ]) {
    const { code, stderr } = await here.shell(`pach ${command}`);
    expect({ command, code, stderr }).toMatchObject({
      command,
      code: 3,
      stderr: expect.stringContaining('there is no such pipeline'),
    });
  }
  expect(await here.must('pach list pipeline')).toBe('');
});

test.each(['create', 'update'])('%s pipeline takes it to production, and the branch stays', async (verb) => {
  await using here = await beside();
  const { commit } = JSON.parse(await here.must('pach inspect commit q@exp -o json')) as { commit: string };
  await here.must(`pach ${verb} pipeline -f q.json`);
  expect(linesOf(await here.must('pach list pipeline -o json'))).toMatchObject([
    { pipeline: 'q', version: 2, outputBranch: 'master', lastJob: null },
  ]);
  expect(await here.ran('q')).toMatchObject({ datums: { processed: 0, skipped: 2 } });
  expect((await here.shell('pach diff file q@master q@exp')).stdout).toBe('');
  expect(JSON.parse(await here.must('pach inspect commit q@exp -o json'))).toMatchObject({ commit });
  expect((await here.shell('pach create pipeline -f q.json')).stderr).toContain('it already exists');
  expect(JSON.parse(await here.must('pach inspect pipeline q --branch exp -o json'))).toMatchObject({ version: 1 });
  expect((await here.shell('pach inspect pipeline q --branch nope')).stderr).toBe(
    'pach: pipeline q: it has no version of its own on branch nope\ntry: pach inspect pipeline q\n',
  );
});

test('what people have put beside its output stays theirs', async () => {
  await using here = await beside();
  await here.must('echo mine > x; pach put file q@master:/x -f x');
  for (const verb of ['create', 'update']) {
    expect(await here.shell(`pach ${verb} pipeline -f q.json`)).toMatchObject({
      code: 4,
      stderr:
        'pach: branch q@master: it has commits that no pipeline made\nhint: choose another output_branch for the pipeline\n',
    });
  }
  expect(await here.must('pach list pipeline')).toBe('');
  await here.spec('q', 'cp $in /pfs/out/', { output_branch: 'out' });
  await here.ran('-f q.json');
  expect(await here.files('q@out')).toEqual(['/a', '/b']);
  // Nor does a change of where the output goes take a branch.
  await here.spec('q', 'cp $in /pfs/out/');
  expect((await here.shell('pach update pipeline -f q.json')).code).toBe(4);
  expect(await here.read('q@master:/x')).toBe('mine\n');
  expect(await here.ran('q')).toMatchObject({ datums: { skipped: 2 } });
});

test('it is deleted with all that is of it, but not from under those that read it', async () => {
  await using here = await beside();
  await here.spec('r', 'cp $q /pfs/out/', { input: { pfs: { repo: 'q', glob: '/*' } } });
  await here.ran('-f r.json --branch exp');
  for (const [command, why] of [
    ['delete pipeline q', 'r on branch exp reads its output'],
    ['delete repo q --force', 'it is the output of a pipeline'],
  ] as const) {
    const { code, stderr } = await here.shell(`pach ${command}`);
    expect({ command, code, stderr }).toMatchObject({ command, code: 4, stderr: expect.stringContaining(why) });
  }
  expect(await here.must('pach delete pipeline r; pach delete pipeline q')).toBe('r\nq\n');
  expect(await here.must('pach list job -o json')).toBe('');
  expect(linesOf(await here.must('pach list repo -o json'))).toMatchObject([{ repo: 'in' }]);
  expect((await here.shell('pach inspect pipeline q --branch exp')).stderr).toContain('there is no such pipeline');
  expect((await here.shell('pach delete pipeline q')).code).toBe(3);
  // Nothing of it is left that would get into the way of another, or be taken for its result.
  await here.must('pach create pipeline -f q.json');
  expect(await here.ran('q')).toMatchObject({ datums: { processed: 2, skipped: 0 } });
});
