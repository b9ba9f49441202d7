/**
 * The numbers of an engine, counted from the events of jobs that a real one ran.
 */
import { expect, test } from 'vitest';
import { forPipeline, pipelineMeter } from '../../src/app/metered.ts';
import { tellAll } from '../../src/engine/events.ts';
import { EngineMetrics } from '../../src/metrics/engine.ts';
import { Labels } from '../../src/metrics/registry.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { observeStore } from '../../src/store/observe.ts';
import { statusInfo } from '../../src/shown/status.ts';
import { traceStore } from '../../src/store/trace.ts';
import { copy, EngineWorld } from '../engine/world.ts';

const transfers = () => ({ requests: 0, bytes: 0 });
const time = 1_700_000_000_000;

/** The lines of a page that are not about the process. */
async function numbers(metrics: EngineMetrics): Promise<Map<string, number>> {
  const page = await metrics.pages['/metrics']?.();
  const lines = page?.text.split('\n').filter((line) => line.startsWith('pach_')) ?? [];
  return new Map(lines.map((line) => [line.replace(/ \S+$/, ''), Number(line.split(' ').at(-1))]));
}

test('jobs, datums and requests to the store are counted by pipeline', async () => {
  const meter = pipelineMeter();
  await using world = await EngineWorld.make(copy, observeStore(new MemoryStore(), meter));
  const metrics = new EngineMetrics({
    store: () => meter.counts,
    transfers,
    pipelines: async () => (await statusInfo(world.project, Date.now() + 60_000)).pipelines,
  });
  await world.commit('data', { a: '1', b: '2' });
  await world.set({ name: 'p', input: { pfs: { repo: 'data', glob: '/*' } } });
  const before = await numbers(metrics);
  const written = 'pach_store_bytes_total{pipeline="",direction="written"}';
  const tell = tellAll([metrics.listen]);
  await forPipeline('p', () => world.run('p', { tell }));
  world.executor.command = () => ({ ending: { kind: 'exit', code: 1 } });
  await forPipeline('p', async () => {
    await world.commit('data', { a: '1', b: '3' });
    await world.run('p', { tell });
  });
  const all = await numbers(metrics);
  expect(Object.fromEntries(all)).toMatchObject({
    'pach_jobs_total{pipeline="p",state="success"}': 1,
    'pach_jobs_total{pipeline="p",state="failure"}': 1,
    'pach_jobs_running{pipeline="p"}': 0,
    'pach_datums_total{pipeline="p",result="processed"}': 2,
    'pach_datums_total{pipeline="p",result="failed"}': 1,
    'pach_datums_total{pipeline="p",result="skipped"}': 1,
    'pach_pipelines{state="failed"}': 1,
  });
  // The failed job has not read it: the lag is that of its input, of a clock a minute ahead.
  expect(all.get('pach_pipeline_lag_seconds{pipeline="p"}')).toBeGreaterThanOrEqual(59);
  expect(all.get('pach_last_success_timestamp_seconds{pipeline="p"}')).toBeGreaterThan(Date.now() / 1000 - 600);
  expect(all.get('pach_store_requests_total{pipeline="p",request="writeIfUnchanged"}')).toBeGreaterThan(1);
  expect(all.get('pach_store_bytes_total{pipeline="p",direction="written"}')).toBeGreaterThan(100);
  // What was asked outside of the pipeline's work does not count for it, and the other way round.
  expect(before.get(written)).toBeGreaterThan(100);
  expect(all.get(written)).toBe(before.get(written));
});

test('it is ready while it serves and its store answers', async () => {
  const metrics = new EngineMetrics({
    store: () => new Map(),
    transfers,
    pipelines: () => Promise.reject(new Error('away')),
  });
  const ready = async () => (await metrics.pages['/readyz']?.())?.status;
  expect(await ready()).toBe(503);
  metrics.listen({ kind: 'serving', time, executor: 'process', workers: 1, only: null, branch: null });
  expect(await ready()).toBe(200);
  const error = { code: 'unreachable', message: 'the store does not answer' } as const;
  metrics.listen({ kind: 'trouble', time, pipeline: 'p', error });
  expect(await ready()).toBe(200);
  metrics.listen({ kind: 'trouble', time, pipeline: null, error });
  expect(await metrics.pages['/readyz']?.()).toMatchObject({ status: 503, text: 'the store does not answer\n' });
  expect((await numbers(metrics)).get('pach_troubles')).toBe(1);
  metrics.listen({ kind: 'trouble-over', time, pipeline: null });
  expect(await ready()).toBe(200);
  metrics.listen({ kind: 'hook-failed', time, hook: 'h', tries: 1, answer: 'no' });
  expect((await numbers(metrics)).get('pach_hook_messages_total{result="refused"}')).toBe(1);
  metrics.listen({ kind: 'ending', time, running: [] });
  expect(await ready()).toBe(503);
  expect((await metrics.pages['/healthz']?.())?.status).toBe(200);
});

test('there is a limit to labels', () => {
  const labels = new Labels();
  const all = new Set(Array.from({ length: 3000 }, (_, n) => labels.of(`p${n}`)));
  expect(all.size).toBe(1001);
  expect(labels.of('p5')).toBe('p5');
  expect(labels.of('p2999')).toBe('other');
});

test('what only counts lets native code read past it, and what must see all does not', async () => {
  const direct = () => Promise.resolve({ path: '/x' });
  const store = Object.assign(new MemoryStore(), { direct });
  expect(await observeStore(store, pipelineMeter()).direct?.('a')).toEqual({ path: '/x' });
  expect(traceStore(store).store.direct === undefined).toBe(true);
  expect(observeStore(new MemoryStore(), pipelineMeter()).direct === undefined).toBe(true);
});
