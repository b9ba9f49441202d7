/**
 * Pools whose workers are told in bytes what to run, as those of other processes are.
 */
import { expect, test } from 'vitest';
import { Queue } from '../../src/base/queue.ts';
import type { Pool, PoolJob } from '../../src/execution/pool.ts';
import {
  decodeClaim,
  decodePlanned,
  decodeReport,
  encodeClaim,
  encodePlanned,
  encodeReport,
} from '../../src/model/records/work.ts';
import { plannedOfRecord, recordOfPlanned, type PlannedDatum } from '../../src/pipelines/jobs/planned.ts';
import { pfsInputs } from '../../src/pipelines/spec/input.ts';
import { copy, EngineWorld } from './world.ts';

/** Has `workers` run the datums, and passes everything between them and the engine on as bytes. */
class BytesPool implements Pool {
  /** Datums before and after. */
  readonly sent: [PlannedDatum, PlannedDatum][] = [];
  /** Datums that were claimed and have no report. */
  readonly claimed = new Map<string, PlannedDatum>();
  private readonly workers: Pool;

  constructor(workers: Pool) {
    this.workers = workers;
  }

  async run(job: PoolJob): Promise<void> {
    const inputs = pfsInputs(job.spec.input);
    const { claimed } = this;
    const queue = new Queue<PlannedDatum>(1);
    const name = { job: job.job, worker: 'elsewhere' };
    const running = this.workers.run({
      ...job,
      queue,
      done: ({ datum }, { outcome, tree }) => {
        const report = decodeReport(encodeReport({ ...name, datum: datum.id, outcome, tree }));
        const planned = claimed.get(report.datum);
        if (!planned) throw new Error('a report of a datum that nobody had claimed');
        claimed.delete(report.datum);
        job.done(planned, report);
      },
    });
    running.catch(() => job.queue.drop());
    for (let planned = await job.queue.take(); planned; planned = await job.queue.take()) {
      const sent = plannedOfRecord(decodePlanned(encodePlanned(recordOfPlanned(planned))), inputs);
      this.sent.push([{ isRecheck: false, ...planned }, sent]);
      const claim = decodeClaim(encodeClaim({ ...name, datum: sent.datum.id, since: Date.now() }));
      claimed.set(claim.datum, planned);
      await queue.add(sent);
    }
    queue.end();
    await running;
  }
}

const specs = [
  { name: 'files', input: { pfs: { repo: 'data', glob: '/**' } } },
  { name: 'whole', input: { pfs: { repo: 'data', glob: '/' } } },
  {
    name: 'joined',
    input: {
      join: [
        { pfs: { repo: 'data', name: 'a', glob: '/(*)', join_on: '$1' } },
        { pfs: { repo: 'more', name: 'b', glob: '/(*)', join_on: '$1' } },
      ],
    },
  },
  { name: 'grouped', input: { group: [{ pfs: { repo: 'more', glob: '/(?)*', group_by: '$1' } }] } },
];

test('datums that are passed on as bytes give the same results, under the same keys', async () => {
  await using world = await EngineWorld.make(copy);
  await world.commit('data', { a: '1', b: '2', 'd/e': '3' });
  await world.commit('more', { a: '4', b: '5', bc: '6' });
  for (const spec of specs) await world.set(spec);
  const expected: unknown[] = [];
  for (const { name } of specs) {
    const { job } = await world.run(name);
    expected.push([job.counts.processed, await world.files(name)]);
  }
  const runs = world.executor.ran.length;
  expect(runs).toBeGreaterThan(specs.length);
  for (const spec of specs) await world.set(spec, true);
  let passed = 0;
  for (const [index, { name }] of specs.entries()) {
    const pool = new BytesPool(world.pool(2));
    const { job } = await world.run(name, { pool });
    expect([job.counts.processed, await world.files(name)]).toEqual(expected[index]);
    for (const [before, after] of pool.sent) expect(after).toEqual(before);
    expect(pool.claimed.size).toBe(0);
    passed += pool.sent.length;
    // What came of them is kept under their keys.
    expect((await world.run(name, { branch: `again-${index}` })).job.counts).toMatchObject({ processed: 0 });
  }
  expect(passed).toBe(runs);
  expect(world.executor.ran).toHaveLength(2 * runs);
});
