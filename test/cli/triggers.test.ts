/**
 * Branches with triggers as people use them.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

test('work is put into staging, and master follows when there is enough of it', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo images');
  const made = await place.run(
    'pach create branch images@master --trigger staging --trigger-size 1kB --trigger-commits 2 -o json',
  );
  expect(JSON.parse(made.stdout)).toMatchObject({
    branch: 'master',
    head: null,
    trigger: { branch: 'staging', all: false, size: 1000, commits: 2, cronSpec: null, rateLimitSpec: null },
  });
  expect(made.stderr).toBe(
    'pach: there is no branch images@staging yet; commits to it will count once there are some\n',
  );
  await place.must('echo 1 | pach put file images@staging:/a -f -');
  expect(await place.must('pach list branch images')).toMatch(
    /^BRANCH +HEAD +TRIGGER\nmaster +- +staging: 1.00kB or 2 commits\nstaging +\w{32} +-\n$/,
  );
  await place.must('echo 1 | pach put file images@staging:/b -f -');
  const heads = async (): Promise<string[]> => {
    const lines = (await place.must('pach list branch images -o json')).trim().split('\n');
    return lines.map((line) => (JSON.parse(line) as { head: string }).head);
  };
  const [master, staging] = await heads();
  expect(master).toBe(staging);
  expect(await place.must('pach undo')).toMatch(
    /Took back: put images@staging, .*\n {2}branch images@master is as it was: without commits\n {2}branch images@staging goes back /,
  );
  expect((await heads())[0]).toBeNull();

  const refused = await place.run('echo 1 | pach put file images@master:/a -f -');
  expect([refused.code, refused.stderr]).toEqual([
    4,
    'pach: images@master: its trigger moves it to the head of staging, which would undo this\n' +
      'hint: commit to images@staging, or take the trigger away (update branch --remove-trigger)\n',
  ]);
  expect((await place.run('pach delete branch images@staging')).stderr).toBe(
    'pach: branch images@staging: its commits move branch master by a trigger\n' +
      'try: pach delete branch images@staging --force\n or: pach update branch images@master --remove-trigger\n',
  );
  expect((await place.run('pach delete branch images@staging --force')).stderr).toBe(
    'pach: until there is a branch images@staging again, no trigger moves master\n',
  );
  await place.must('pach update branch images@master --remove-trigger');
  expect(JSON.parse(await place.must('pach inspect branch images@master'))).not.toHaveProperty('trigger');
});

const refused = [
  ['--trigger-commits 2', 'a condition of a trigger: give the branch that triggers, as --trigger BRANCH'],
  ['--trigger-all', '--trigger-all: give the branch that triggers'],
  ['--trigger staging', '--trigger staging: give a condition: --trigger-commits 1 follows each commit'],
  ['--trigger other@staging --trigger-commits 1', 'it must be a branch of the same repo, images'],
  ['--trigger staging --trigger-size large', '--trigger-size large: give a size like 256MB'],
  ['--trigger staging --trigger-commits 0', '--trigger-commits: give a whole number of at least 1'],
  ['--trigger staging --trigger-cron "0 0 31 2 *"', 'it never happens'],
  ['--trigger staging --trigger-rate-limit often', 'it has 1 field, and must have five'],
  ['--trigger staging --trigger-commits 1 --trigger-cron "TZ=Mars/Base @daily"', 'there is no such time zone'],
] as const;

test('conditions that make no sense are refused', async () => {
  await using place = await Place.make('root');
  await place.must('pach create repo images');
  const tried = refused.map(async ([options, why]) => {
    const { code, stderr } = await place.run(`pach create branch images@master ${options}`);
    return { options, code, why: stderr.includes(why) ? why : stderr };
  });
  expect(await Promise.all(tried)).toEqual(refused.map(([options, why]) => ({ options, code: 2, why })));
});
