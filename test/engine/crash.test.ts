/**
 * Engines that are killed in the middle of a job: the next one goes on with the same job, and its
 * result is that of an engine that was left alone.
 */
import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { CrashPlace, expectDone, expectKept } from './crash-place.ts';
import { killEngines } from './crash-rounds.ts';

const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));

test('the result of engines that were killed is that of one that was not', { timeout: 900_000 }, async () => {
  expect(await killEngines(seed, 1)).toBeGreaterThan(0);
});

test('an engine that was killed is in nobody’s way, and one that lives is', async () => {
  await using place = await CrashPlace.make(20);
  const first = place.start();
  while ((await place.jobs()).length === 0) await sleep(50);
  const refused = await place.place.run('pach run pipeline p');
  expect(refused.code).toBe(4);
  expect(refused.stderr).toMatch(/pipeline p: .*, process \d+ is running it/);
  first.child.kill('SIGKILL');
  await first.ended;
  const [killed] = await place.jobs();
  expect(killed?.state).toBe('running');
  const waited = await place.place.run(`pach wait job ${killed?.id}`);
  expect(waited.code).toBe(1);
  expect(waited.stderr).toContain('the engine that ran it is gone');
  await expectDone(place.start());
  expect((await place.place.run(`pach wait job ${killed?.id}`)).code).toBe(0);
  expect(await place.jobs()).toHaveLength(1);
  await place.expectNothingLeft();
});

test('a job whose engine was killed does not go on with another spec, and leaves nothing', async () => {
  await using place = await CrashPlace.make(20);
  const first = place.start();
  while ((await place.results()).size === 0) await sleep(50);
  first.child.kill('SIGKILL');
  await first.ended;
  await place.set({ description: 'another' });
  const before = await place.results();
  await expectDone(place.start());
  expectKept(before, await place.results());
  const [next, killed] = await place.jobs();
  expect(killed).toMatchObject({ state: 'killed', reason: 'its engine is gone' });
  expect(next).toMatchObject({ state: 'success', counts: { total: 20, skipped: before.size } });
  await place.expectNothingLeft();
});

test('a job is stopped from another shell, and what it has computed stays', async () => {
  await using place = await CrashPlace.make(60);
  const engine = place.start();
  while ((await place.results()).size === 0) await sleep(100);
  const [job] = await place.jobs();
  const waiting = place.place.run(`pach wait job ${job?.id}`);
  const stopped = await place.place.run(`pach stop job ${job?.id}`);
  expect(stopped.code).toBe(0);
  expect(stopped.stdout).toBe(`${job?.id} killed\n`);
  expect((await engine.ended).code).toBe(1);
  expect((await waiting).code).toBe(1);
  expect((await place.place.run(`pach stop job ${job?.id}`)).code).toBe(4);
  const before = await place.results();
  await expectDone(place.start());
  expectKept(before, await place.results());
  const [next] = await place.jobs();
  expect(next?.id).not.toBe(job?.id);
  expect(next?.counts).toMatchObject({ total: 60, skipped: before.size });
  await place.expectNothingLeft();
});

test('an engine that sleeps while another takes over ends without a word in the store', async () => {
  await using place = await CrashPlace.make(30);
  const first = place.start();
  while ((await place.results()).size === 0) await sleep(100);
  first.child.kill('SIGSTOP');
  await place.endLease();
  await expectDone(place.start());
  const before = { results: await place.results(), jobs: await place.jobs(), head: await place.head() };
  first.child.kill('SIGCONT');
  const { code, stderr } = await first.ended;
  expect(code).toBe(4);
  expect(stderr).toContain('its lease has ended');
  expect({ results: await place.results(), jobs: await place.jobs(), head: await place.head() }).toEqual(before);
  expect(before.jobs).toHaveLength(1);
  await expectDone(place.start());
  await place.expectNothingLeft();
  await place.expectWhole();
});
