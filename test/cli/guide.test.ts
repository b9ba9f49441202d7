/**
 * The guide: its pages on a terminal, and all its commands and those of the README run as they are
 * written.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

test('pach help lists the pages, shows one, and the help of a verb', async () => {
  await using place = await Place.make('root');
  const list = await place.must('pach help');
  expect(list).toMatch(/^mounting +How to read versions as folders/m);
  for (const page of ['importing', 'pipelines', 'storage', 'troubleshooting', 'from-pachyderm', 'from-dvc', 'limits']) {
    expect(list).toMatch(new RegExp(`^${page} +[A-Z].*\\.$`, 'm'));
  }
  const page = await place.must('pach help importing');
  expect(page).toMatch(/^# Importing\n\nHow files/);
  expect(page).not.toContain('<!--');
  expect(await place.must('pach help put file')).toBe(await place.must('pach put file --help'));
  expect(await place.must('pach help mount')).toMatch(/^pach mount <words/);
});

test('a page that does not exist is answered with the nearest name', async () => {
  await using place = await Place.make('root');
  const page = await place.run('pach help mountin');
  expect(page).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('try: pach help mounting\n') });
  const verb = await place.run('pach help lst');
  expect(verb).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('try: pach help list\n') });
});
