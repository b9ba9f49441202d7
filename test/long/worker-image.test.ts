/** The worker image from clean clones: built twice, elsewhere and by somebody with other habits, it is the same bytes. */
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

const root = resolve(import.meta.dirname, '../..');

test('two clones make the same archive', async () => {
  await using place = await Place.make('root');
  const sums: string[] = [];
  for (const [folder, mask] of [
    ['one', '022'],
    ['deep/er two', '027'],
  ]) {
    // The packages are the same ones: npm has checked them against the lock file.
    const sum = await place.must(
      `umask ${mask}; git -c safe.directory='*' clone -q '${root}' '${folder}'
      ln -s '${root}/node_modules' '${folder}/node_modules'
      make -s -C '${folder}' build >log 2>&1 || { tail log >&2; exit 1; }
      node '${folder}/bin/image.mjs' >/dev/null; sha256sum <'${folder}/dist/pachmount-image.tar'`,
      900,
    );
    sums.push(sum);
  }
  expect(sums[0]).toMatch(/^[0-9a-f]{64}/);
  expect(sums[1]).toBe(sums[0]);
});
