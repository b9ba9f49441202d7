/**
 * Very many workers in a few processes that share a bucket of a real S3 server with their engine, at the
 * pace of real ones: how often the head moves, what is asked of the store, and what is left in it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { setPipelines } from '../../src/pipelines/editing/edit-pipelines.ts';
import { openStore } from '../../src/store/open.ts';
import { resultsPrefix } from '../../src/versions/ref-keys.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { commitMany, expectNoWork } from '../engine/store-workers.ts';
import { Place } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';
import { makeTestProject, openTestProject } from '../versions/project.ts';

const datums = Number(process.env['DATUMS'] ?? 100_000);
const workers = Number(process.env['WORKERS'] ?? 1000);
const processes = Number(process.env['PROCESSES'] ?? 4);
/** What a command takes. */
const commandMs = Number(process.env['COMMAND_MS'] ?? 1000);

interface Engine {
  readonly job: { readonly state: string; readonly counts: { readonly total: number; readonly processed: number } };
  readonly seconds: number;
  readonly mebibytesPeak: number;
  readonly datums: number;
  readonly endedMax: number;
  readonly requests: Readonly<Record<string, number>>;
  readonly conflicts: number;
}

interface Workers {
  readonly ran: number;
  readonly requests: Readonly<Record<string, number>>;
}

/** A process that prints lines. */
function start(program: string, args: readonly string[], env: Record<string, string>) {
  const path = fileURLToPath(new URL(`../engine/${program}`, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const { value, done } = (await lines.next()) as IteratorResult<string, undefined>;
    if (done) throw new Error(`${program} ended: ${child.exitCode}`);
    return value;
  };
  return { child, next };
}

async function objectsOf(store: Parameters<typeof openTestProject>[0]): Promise<number> {
  let count = 0;
  for await (const _ of store.list('projects/')) count += 1;
  return count;
}

const sum = (counts: readonly Readonly<Record<string, number>>[]): Record<string, number> => {
  const all: Record<string, number> = {};
  for (const each of counts) for (const [what, count] of Object.entries(each)) all[what] = (all[what] ?? 0) + count;
  return all;
};
const total = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);

test('a thousand workers and a hundred thousand datums in a bucket', async () => {
  const { url, env } = await s3ForTests();
  await using place = await Place.make('root', { ...env, PACH_STORE: url });
  const store = await openStore(url);
  const { project } = await makeTestProject(store);
  await commitMany(project, datums);
  const document = {
    pipeline: { name: 'p' },
    transform: { cmd: ['f'] },
    input: { pfs: { repo: 'data', glob: '/*' } },
    parallelism_spec: { constant: workers },
  };
  const spec = parseSpec(document, { file: 'spec', folder: place.dir, project: 'default' });
  const { signal } = new AbortController();
  await setPipelines(project, [spec], { update: true, reprocess: false, signal, skipped: () => undefined });

  const own = { ...env, PACH_STORE: url, PACH_HOME: join(place.dir, 'home/.pachmount') };
  const engine = start('virtual-engine.mjs', ['p'], own);
  const job = await engine.next();
  const children = Array.from({ length: processes }, () => {
    return start('virtual-workers.mjs', [job, String(workers / processes), String(commandMs)], own);
  });
  const done = JSON.parse(await engine.next()) as Engine;
  const worked = await Promise.all(children.map(async ({ next }) => JSON.parse(await next()) as Workers));
  for (const { child } of [engine, ...children]) if (child.exitCode === null) await once(child, 'exit');

  const asked = sum(worked.map(({ requests }) => requests));
  const deliveries = asked['writeIfAbsent work delivery'] ?? 0;
  const before = await objectsOf(store);
  await collectGarbage(project, { grace: 0, dryRun: false, progress: () => undefined });
  const after = await objectsOf(store);
  console.log(JSON.stringify({ datums, workers, done, worked }, null, 1));
  console.log({
    engineRequestsPerDatum: total(done.requests) / datums,
    workersRequestsPerDatum: total(asked) / datums,
    deliveries,
    objectsBefore: before,
    objectsAfter: after,
  });
  expect(done.job).toMatchObject({ state: 'success', counts: { total: datums, processed: datums } });
  expect(done).toMatchObject({ datums, endedMax: 1 });
  // The engine alone moves the head. It may meet itself once: its last change can begin before the last results are published.
  expect(asked['writeIfUnchanged head']).toBeUndefined();
  expect(done.conflicts).toBeLessThanOrEqual(1);
  let results = 0;
  for await (const _ of (await openTestProject(store).snapshot()).items(resultsPrefix)) results += 1;
  expect(results).toBe(datums);
  // What was computed twice was published once.
  expect(worked.reduce((all, { ran }) => all + ran, 0)).toBeGreaterThanOrEqual(datums);
  await expectNoWork(store);
  // It makes its branch, begins and ends; else at most one in five seconds.
  expect(done.requests['writeIfUnchanged head']).toBeLessThanOrEqual(3 + done.seconds / 5);
  expect(after).toBeLessThan(2 * deliveries);
  expect(done.mebibytesPeak).toBeLessThan(500);
  // However many there are: what each asks for by itself, and what for its shards and deliveries.
  const shards = asked['read work shard'] ?? 0;
  expect(asked['writeIfUnchanged work claim']).toBeLessThan(shards * 3 + workers * 20);
  expect(total(asked)).toBeLessThan(6 * (shards + deliveries) + workers * (20 + done.seconds));
  await store.close();
});
