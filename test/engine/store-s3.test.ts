/**
 * Workers and an engine as processes that share a bucket of a real S3 server.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const command = 'name=$(ls /pfs/data); sleep 0.1; echo "seen $name"; md5sum < /pfs/data/$name > /pfs/out/$name';
const spec = (name: string): string =>
  JSON.stringify({
    pipeline: { name },
    transform: { cmd: ['sh', '-c', command] },
    input: { pfs: { repo: 'data', glob: '/*' } },
  });

test('a job whose workers reach a bucket alone gives what the engine gives; one of them is killed', async () => {
  const { url, env } = await s3ForTests();
  await using place = await Place.make('root', { ...env, PACH_STORE: url });
  for (const name of ['p', 'q']) await writeFile(join(place.dir, `${name}.json`), spec(name));
  await place.must('mkdir in; for n in $(seq 20); do echo $n > in/f$n; done');
  await place.must('pach create repo data && pach put file data@master:/ -r -f in/');
  await place.must('pach create pipeline -f p.json && pach create pipeline -f q.json && pach run pipeline q');
  const shown = JSON.parse(
    await place.must(`
      pach worker & killed=$!
      pach worker --exit-when-idle & other=$!
      pach run pipeline p --pool store -o json > run.json & run=$!
      until pach list job -p p -o json | grep -q running; do sleep 0.1; done
      sleep 1; kill -9 $killed
      wait $run && cat run.json
      kill $other; wait $other; [ $? = 130 ]`),
  ) as { state: string; datums: { processed: number } };
  expect(shown).toMatchObject({ state: 'success', datums: { total: 20, processed: 20 } });
  const files = (pipeline: string) =>
    place.must(`pach list file ${pipeline}@master -r -o json | sed 's/"modified":"[^"]*"//'`);
  expect(await files('p')).toBe(await files('q'));
  expect(await place.must('pach logs -p p | sort')).toBe(await place.must('pach logs -p q | sort'));
  expect(await place.must('pach fsck')).toContain('0 errors, 0 warnings');
});
