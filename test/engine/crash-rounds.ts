/**
 * Engines that are killed in the middle of a job, at any time and around every step by which they
 * change the store, until one lives to its end: what must hold after each of them, and at the end.
 */
import assert from 'node:assert/strict';
import { numbers, oneOf } from '../support/numbers.ts';
import { CrashPlace, expectDone, expectKept, type Results } from './crash-place.ts';

const files = 20;
const killsMax = 6;
/** Longest life of an engine that is killed at some time. */
const livesMs = 2500;
const stepsMax = 40;

/** Runs until an engine lives to its end. Kills some before, and looks at what each has left. */
async function runKilling(place: CrashPlace, next: () => number): Promise<{ kills: number; published: number }> {
  let kills = 0;
  let published: Results = await place.results();
  let running: string | undefined;
  for (;;) {
    const isTimed = kills === 0 || next() < 0.5;
    const moment = `${1 + Math.floor(next() ** 2 * stepsMax)},${oneOf(next, ['before', 'during', 'after'])}`;
    const mayDie = kills < killsMax;
    const engine = place.start(['--workers', '2'], mayDie && !isTimed ? moment : undefined);
    const lifeMs = 200 + next() * (kills === 0 ? livesMs / 3 : livesMs);
    const timer = mayDie && isTimed ? setTimeout(() => engine.child.kill('SIGKILL'), lifeMs) : undefined;
    const { code, stderr } = await engine.ended;
    clearTimeout(timer);
    const results = await place.results();
    expectKept(published, results);
    published = results;
    await place.expectWhole();
    const [job] = await place.jobs();
    if (running !== undefined) assert.equal(job?.id, running, 'it did not go on with the job');
    if (code !== undefined) {
      assert.equal(code, 0, stderr);
      return { kills, published: results.size };
    }
    kills += 1;
    running = job?.state === 'running' ? job.id : undefined;
    // Killed after all was published, and before it could say so.
    if (job?.state === 'success') return { kills, published: results.size };
  }
}

/** `rounds` jobs with the seeds from `seed` on. Resolves to how many engines were killed. */
export async function killEngines(seed: number, rounds: number): Promise<number> {
  await using calm = await CrashPlace.make(files);
  await expectDone(calm.start());
  const expected = await calm.head();
  let killed = 0;
  for (let n = 0; n < rounds; n += 1) {
    const next = numbers(seed + n);
    await using place = await CrashPlace.make(files, (seed + n) % 2 === 1 ? { reprocess_spec: 'every_job' } : {});
    const { kills, published } = await runKilling(place, next);
    console.log(`SEED=${seed + n} killed ${kills}`);
    assert.ok(kills > 0);
    assert.equal(published, files);
    const head = await place.head();
    assert.equal(head.contentHash.toString('hex'), expected.contentHash.toString('hex'));
    const [job, ...others] = await place.jobs();
    assert.deepEqual(others, []);
    assert.equal(job?.state, 'success');
    assert.equal(job?.output, head.id);
    assert.deepEqual({ ...job?.counts }, { total: files, processed: files, skipped: 0, failed: 0, recovered: 0 });
    // Who comes next clears away what is left.
    await expectDone(place.start());
    await place.expectNothingLeft();
    await place.expectWhole();
    killed += kills;
  }
  return killed;
}
