/**
 * One folder with 100,000 entries through the mount.
 */
import { expect, test } from 'vitest';
import { opcodes, Place } from '../support/place.ts';

const entries = 100_000;
/** What two listings may ask for besides opening and closing: far below one request an entry. */
const extraRequestsMax = 50;

test('is listed, looked into, and listed again from the kernel alone', async () => {
  await using place = await Place.make('root', { PACH_STORE: 'store' });
  await place.must(`mkdir many && cd many && seq -f 'entry-%06g' ${entries} | split -l 1 -d -a 6 - f`, 120);
  await place.must('pach create repo many && pach put file many@master:/ -r -f many', 300);
  await place.must('pachmount many mnt');

  expect(Number(await place.must('ls mnt/many/many | wc -l', 120))).toBe(entries);
  expect(await place.must('ls mnt/many/many | sort -u > there; ls many | sort > here; cmp here there', 120)).toBe('');
  for (const n of [0, 1, 499, 50_000, 77_777, entries - 1]) {
    const name = `f${String(n).padStart(6, '0')}`;
    expect(await place.must(`cat mnt/many/many/${name}`)).toBe(`entry-${String(n + 1).padStart(6, '0')}\n`);
  }
  expect((await place.run('cat mnt/many/many/f100000')).code).toBe(1);

  await place.must('ls -lR mnt > first', 120);
  const before = await place.requests();
  await place.must('ls -lR mnt > second', 120);
  const after = await place.requests();
  expect(await place.must('cmp first second')).toBe('');
  const opening = new Set([opcodes.open, opcodes.release, opcodes.opendir, opcodes.releasedir]);
  const grown = after.reduce((sum, count, opcode) => (opening.has(opcode) ? sum : sum + count - before[opcode]!), 0);
  expect(grown).toBeLessThan(extraRequestsMax);
});
