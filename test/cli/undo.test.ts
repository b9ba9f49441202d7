/**
 * op log, undo and redo as people and programs use them.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

interface Line {
  readonly operation: string;
  readonly what: string;
  readonly undone: boolean;
}

test('what was deleted comes back, and the log tells all of it', async () => {
  await using place = await Place.make('root', { PACH_COMPLETION_MS: '20000' });
  await place.must('pach create repo images && echo 1 | pach put file images@master:/a -f -');
  const log = async (): Promise<Line[]> => {
    const text = await place.must('pach op log -o json');
    return text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
  };
  await place.must('pach delete repo images --force');
  const before = await log();
  expect(before.map(({ what }) => what)).toEqual([
    'delete repo images',
    'put images@master',
    'create repo images',
    'create project',
  ]);
  const told = JSON.parse(await place.must('pach undo --dry-run -o json')) as object;
  expect(told).toMatchObject({ dryRun: true, operation: { operation: before[0]?.operation }, kept: [] });
  expect(await log()).toEqual(before);

  const undone = await place.must('pach undo');
  expect(undone).toMatch(
    /^Took back: delete repo images, by .*\n {2}branch images@master comes back, at \w{32}\n {2}1 commit of images comes back\n {2}repo images comes back\n$/,
  );
  expect(await place.must('pach get file images@master:/a')).toBe('1\n');
  expect((await log()).slice(0, 2)).toMatchObject([
    { what: 'undo: delete repo images', undoes: before[0]?.operation, kind: 'person', undone: false },
    { what: 'delete repo images', undone: true },
  ]);
  expect(await place.must('pach redo')).toMatch(/^Made again: delete repo images, by /);
  await place.must('pach undo');
  await place.must('echo 2 | PACH_AUTHOR="bob" pach put file images@master:/a -f -');

  const put = before[1]?.operation as string;
  const blocked = await place.run(`pach undo ${put}`);
  expect(blocked).toMatchObject({ code: 4 });
  const [later] = await log();
  expect(blocked.stderr).toMatch(/branch images@master was changed since by \w{12}, put images@master, by bob at /);
  expect(blocked.stderr).toContain(`try: pach undo ${later?.operation}\n`);
  expect(await place.run('pach undo 12')).toMatchObject({ code: 2 });
  expect(await place.run('pach undo ffffffff')).toMatchObject({ code: 3 });
  // Bob has put something into what would be deleted again.
  expect(await place.run('pach redo')).toMatchObject({ code: 4 });
  expect((await place.must('pach op log -n 2')).trim().split('\n')).toHaveLength(3);
  const complete = await place.must(`pach __complete zsh '' pach undo ''`);
  expect(complete).toContain(put.slice(0, 12));
  await place.must('pach fsck');
});
