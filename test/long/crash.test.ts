/**
 * As test/engine/crash.test.ts, more rounds.
 */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { CrashPlace, expectDone } from '../engine/crash-place.ts';
import { killEngines } from '../engine/crash-rounds.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

test('the result of engines that were killed is that of one that was not', async () => {
  expect(await killEngines(seed, 12)).toBeGreaterThan(0);
});

test('an engine that is killed while an output is checked leaves the head, and no process', async () => {
  const expects = (check: string): object => ({ dev: { expect: { check: ['sh', '-c', check] } } });
  await using place = await CrashPlace.make(3, expects('true'));
  const first = place.start();
  await expectDone(first);
  const good = await place.head();
  await place.place.must('echo new > new && pach put file data@master:/new -f new');
  await place.set(expects('echo begun; sleep 98764'));
  const engine = place.start();
  await place.place.must('until pach logs -p p --datum check | grep -q begun; do sleep 0.1; done');
  engine.child.kill('SIGKILL');
  await engine.ended;
  expect((await place.head()).id).toBe(good.id);
  expect((await place.jobs())[0]?.state).toBe('running');
  // The next engine tests too, before it moves the head.
  await place.set(expects('ls /pfs/p | wc -l; exit 3'));
  const again = await place.start().ended;
  expect(again.code).toBe(1);
  expect(again.stderr).toContain('found: the command ended with exit code 3');
  expect((await place.head()).id).toBe(good.id);
  expect((await place.jobs()).map(({ state }) => state)).toEqual(['rejected', 'killed', 'success']);
  expect((await place.place.run('pgrep -xf "sleep 98764"')).code).toBe(1);
  await place.expectNothingLeft();
  await place.expectWhole();
});
