/**
 * How many jobs stay, as people say it.
 */
import { expect, test } from 'vitest';
import { linesOf, PipelinePlace } from './cli-world.ts';

test('update pipeline NAME --keep-jobs, and what it refuses', async () => {
  await using here = await PipelinePlace.make({ '1': '1' });
  await here.spec('p', 'cp $in /pfs/out/');
  await here.must('pach create pipeline -f p.json');
  expect(await here.must('pach update pipeline p --keep-jobs 2')).toBe('p\n');
  for (const text of ['2', '3', '4']) {
    await here.put('in', { '1': text });
    await here.must('pach run pipeline p');
  }
  expect(linesOf(await here.must('pach list job -p p -o json'))).toHaveLength(2);
  const told = [
    'pach update pipeline',
    'pach update pipeline p -f p.json',
    'pach update pipeline p',
    'pach update pipeline p --keep-jobs 0',
    'pach update pipeline p --keep-jobs 1 --reprocess',
  ].map(async (command) => {
    const { code, stderr } = await here.shell(command);
    return `${code} ${stderr.split('\n')[0]}`;
  });
  const either = '2 pach: update pipeline: give a spec (-f SPEC), or a pipeline and how many of its jobs stay';
  const only =
    '2 pach: pipeline p: of a pipeline that is named only --keep-jobs can be changed; all else needs its spec';
  expect(await Promise.all(told)).toEqual([
    either,
    either,
    only,
    '2 pach: --keep-jobs: give a whole number of at least 1',
    only,
  ]);
  await here.must('pach update pipeline -f p.json --keep-jobs 5');
  expect(JSON.parse(await here.must('pach inspect pipeline p'))).toMatchObject({
    spec: { dev: { keep: { jobs: 5 } } },
  });
});
