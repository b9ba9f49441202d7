/**
 * `make demo` without its build: the script says itself what it must print.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const script = join(import.meta.dirname, '../demo.sh');

test('the demo works for an ordinary user, and again where an earlier one was', async () => {
  await using place = await Place.make('user', { DEMO_DIR: 'demo' });
  // A demo that was killed before it was done.
  await place.must('mkdir demo && touch demo/.pachmount-demo demo/scan.raw');
  const shown = await place.must(script, 150);
  expect(shown).toContain('only the new one of three datums runs');
  // What it says to try next can be pasted.
  const next = shown.slice(shown.indexOf('Three commands')).split('\n').slice(2).join('\n');
  expect(await place.must(`mkdir mine && cd mine && echo hello > file\n${next}`)).toMatch(/^file$/m);
  expect(await place.must('cat ~/pfs/mine/file')).toBe('hello\n');
});

test('the demo leaves a folder alone that no demo made', async () => {
  await using place = await Place.make('user', { DEMO_DIR: 'demo' });
  await place.must('mkdir demo && echo mine > demo/file');
  expect(await place.run(script)).toMatchObject({ code: 1, stderr: expect.stringContaining('move it away') });
  expect(await place.must('cat demo/file')).toBe('mine\n');
});
