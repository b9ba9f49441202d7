/**
 * Clocks that are wrong, of the engine and of workers as processes that share a bucket: neither judges the other
 * by its own time, and the server's word on the time counts.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const preload = join(import.meta.dirname, '../support/other-clock.cjs');
/** Of a machine whose clock is an hour off; from when a file is there, where that is said. */
const clock = (hours: number, after = ''): string =>
  `NODE_OPTIONS='--require ${preload}' PACH_TEST_CLOCK=${hours * 3_600_000} ${after && `PACH_TEST_CLOCK_AFTER=${after}`}`;

const count = 6;

test('an engine and workers whose clocks are hours apart, or jump in the middle, compute each datum once', async () => {
  const { url, env } = await s3ForTests();
  await using place = await Place.make('root', { ...env, PACH_STORE: url });
  const cmd = 'name=$(ls /pfs/data); md5sum < /pfs/data/$name > /pfs/out/$name; sleep 0.1';
  const spec = { pipeline: { name: 'p' }, transform: { cmd: ['sh', '-c', cmd] } };
  const input = { pfs: { repo: 'data', glob: '/*' } };
  await writeFile(join(place.dir, 'p.json'), JSON.stringify({ ...spec, input }));
  await place.must(`mkdir in; for n in $(seq ${count}); do head -c 1500000 /dev/urandom > in/f$n; done`);
  await place.must('pach create repo data && pach put file data@master:/ -r -f in/ && pach create pipeline -f p.json');
  const shown = await place.must(`
    ${clock(1)} pach worker 2>said-1 & ahead=$!
    ${clock(2, 'jump')} pach worker 2>said-2 & jumping=$!
    ${clock(-1)} pach run pipeline p --pool store -o json & run=$!
    until pach list datum -p p -o json 2>/dev/null | grep -q success || ! kill -0 $run; do sleep 0.1; done; touch jump
    wait $run; code=$?; kill $ahead $jumping; wait; exit $code`);
  expect(JSON.parse(shown)).toMatchObject({ state: 'success', datums: { total: count, processed: count } });
  const said = await place.must('cat said-1 said-2');
  expect([...said.matchAll(/ran (\d+) datum/g)].reduce((sum, [, ran]) => sum + Number(ran), 0)).toBe(count);
  const wanted = await place.must('cd in; for f in *; do md5sum < $f; done');
  expect(await place.must('pach get file p@master:/ -r -o got >&2 && cat got/*')).toBe(wanted);
  expect(await place.must(`${clock(1)} pach fsck`)).toContain('0 errors, 0 warnings');
});
