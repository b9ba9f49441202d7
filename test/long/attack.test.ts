/** The attacks of `test/pipelines/attack.test.ts` at length, and processes that can't be stopped. */
import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { attack, nothing, ways } from '../execution/attack.ts';
import { PipelinePlace } from '../pipelines/cli-world.ts';

test.each(ways)('reaches nothing of the host, as %s, executor %s', async (who, executor) => {
  expect(await attack(who, executor, 150)).toEqual(nothing);
});

test('a datum whose processes can not be stopped fails, and the next ones are computed', async () => {
  await using here = await PipelinePlace.make({ a: '1', b: '2', c: '3' });
  await here.must('mkdir app');
  const source = resolve(import.meta.dirname, '../support/vfork.c');
  execFileSync('gcc', ['-static', '-O1', '-o', join(here.place.dir, 'app/vfork'), source]);
  const script = `while pachctl next datum; do . /pfs/.env; cp $in /pfs/out/
    if test $(cat $in) = 1; then /app/vfork 100000 & until grep -qs D.*disk /proc/$!/status; do :; done; fi; done`;
  const dev = { code: [{ from: join(here.place.dir, 'app'), to: '/app' }] };
  await here.spec('p', script, { transform: { datum_batching: true }, dev });
  const { lines, stderr } = await here.run('-f p.json');
  expect(lines).toMatchObject([{ state: 'failure', datums: { processed: 2, failed: 1 } }]);
  expect(stderr).toContain('pach could not stop processes of the command');
});
