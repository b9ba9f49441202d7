/**
 * A big real tree, Debian's kernel source, there and back: through the mount and through get.
 */
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const source = '/usr/src/linux-source-6.1.tar.xz';
const objectsMax = 60;

/** One line for each thing below a folder: all that a commit keeps of it but its bytes. */
function listing(folder: string): string {
  return (
    `{ (cd ${folder} && find . -type f -printf '%P file %s %T@\\n' -o -type l -printf '%P link %T@ %l\\n' -o -printf '%P %y\\n';` +
    ` find . -type f -perm /111 -printf '%P executable\\n'); } | sort`
  );
}

test('comes back the same: bytes, times, executable bits, symlinks', async () => {
  await using place = await Place.make('root', { PACH_STORE: 'store' });
  await place.must(`mkdir tree && tar -xJf ${source} -C tree --strip-components=1`, 300);
  await place.must(
    "touch -h -d '2020-02-02 02:02:02.123456789' tree/Makefile tree/Documentation $(find tree -type l | head -1)",
  );
  await place.must(`${listing('tree')} > before`);
  const files = Number(await place.must('find tree ! -type d | wc -l'));
  expect(files).toBeGreaterThan(50_000);
  expect(Number(await place.must('grep -c " link " before'))).toBeGreaterThan(10);
  expect(Number(await place.must('grep -c executable before'))).toBeGreaterThan(100);

  await place.must('pach create repo linux');
  const put = 'pach put file linux@master:/ -r -f tree/ -o json';
  const first = JSON.parse(await place.must(put, 600)) as { commit: string; files: number; newBytes: number };
  expect(first.files).toBe(files);
  expect(Number(await place.must('find store -type f | wc -l'))).toBeLessThan(objectsMax);

  await place.must('pachmount linux mnt');
  expect(await place.must('diff -r --no-dereference tree mnt/linux', 600)).toBe('');
  await place.must(`${listing('mnt/linux')} > mounted`, 120);
  expect(await place.must('diff before mounted')).toBe('');
  await place.must('pach unmount mnt');

  await place.must('pach get file linux@master:/ -r -o got', 600);
  expect(await place.must('diff -r --no-dereference tree got', 300)).toBe('');
  await place.must(`${listing('got')} > after`);
  // Node sets times to the microsecond only.
  const micro = "sed -E 's/( [0-9]+\\.[0-9]{6})[0-9]{4}/\\1/'";
  expect(await place.must(`${micro} before > want; ${micro} after > have; diff want have`)).toBe('');

  const second = JSON.parse(await place.must(put, 600)) as { commit: string; newBytes: number; storedBytes: number };
  expect(second).toMatchObject({ commit: first.commit, newBytes: 0, storedBytes: 0 });
  expect((await place.must('pach list commit linux@master -o json')).trim().split('\n')).toHaveLength(1);
});
