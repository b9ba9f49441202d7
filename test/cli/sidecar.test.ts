/**
 * `pach sidecar`, without a pod: two containers that share a folder are two processes.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';

test('a sidecar stays when all is written out, also one that comes again, until a signal ends it', async () => {
  await using place = await Place.make('user');
  await place.must('pach create repo images; echo one | pach put file images@master:/a/b -f -; mkdir pod');
  for (let n = 0; n < 2; n += 1) {
    const stays = await place.must(
      [
        'pach sidecar images@master --pod pod & pid=$!',
        'until [ -e pod/bin/launcher ]; do kill -0 $pid || exit 1; sleep 0.1; done',
        // One that does not stay has ended by then, on a machine that is not very slow.
        'sleep 3; kill -0 $pid && echo there; kill $pid; wait $pid || true',
      ].join('\n'),
    );
    expect(stays).toBe('there\n');
    expect(readFileSync(join(place.dir, 'pod/pfs/images/a/b'), 'utf8')).toBe('one\n');
  }
});
