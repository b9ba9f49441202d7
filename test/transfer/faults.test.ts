/**
 * Transfers between stores that fail: what is acknowledged is there, what is not is an honest error, and
 * whoever tries again sends nothing for a second time that was announced.
 */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { isPachError, PachError } from '../../src/base/errors.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { RetryingStore } from '../../src/store/retry.ts';
import type { Store } from '../../src/store/store.ts';
import { traceStore } from '../../src/store/trace.ts';
import { faultyStore, refused, seededFaults } from '../store/faults.ts';
import { makeTestProject, openTestProject } from '../versions/project.ts';
import { readAll } from '../versions/simulation-check.ts';
import { emptyProject, move } from './pushing.ts';
import { commitsOf, contentOf, findings, noise, putFile, putMany } from './stores.ts';

/** `unsupported`: damage may hit the number of a format's version, too. */
const honest = ['unreachable', 'damaged', 'unsupported', 'failed', 'conflict'] as const;
const seedGiven = process.env['SEED'];

const failing = (store: Store, seed: number): Store =>
  new RetryingStore(faultyStore(store, seededFaults(seed, 45)), {
    delayMs: 0.1,
    timeoutMs: 300,
    mayHaveHappened: (error) => !refused(error),
  });

test('whatever fails on either side: all of it is there, or nothing and an honest error', async () => {
  const first = Number(seedGiven ?? randomInt(2 ** 31));
  const ended = { done: 0, failed: 0 };
  for (let seed = first; seed < first + (seedGiven === undefined ? 10 : 1); seed += 1) {
    const [from, to] = [new MemoryStore(), new MemoryStore()];
    const { project } = await makeTestProject(from);
    const files = Array.from(
      { length: 60 },
      (_, n) => [`d${n % 3}/f${n}`, noise(100 + 40 * n, `${seed} ${n}`)] as const,
    );
    await putMany(project, new Map(files));
    await emptyProject(to);
    for (let round = 0; round < 3; round += 1) {
      await putFile(project, '/large', noise(1_500_000, `${seed} ${round}`));
      const before = (await commitsOf(openTestProject(to)).catch(() => [])).length;
      const sides = [failing(from, seed + round), failing(to, seed - round)] as const;
      try {
        await move(openTestProject(sides[0]), openTestProject(sides[1]));
        ended.done += 1;
      } catch (error) {
        if (!isPachError(error, ...honest)) throw new Error(`SEED=${seed}`, { cause: error });
        ended.failed += 1;
        const after = (await commitsOf(openTestProject(to)).catch(() => [])).length;
        if (after !== before && after !== 2 + round)
          throw new Error(`SEED=${seed}: ${after} commits`, { cause: error });
        await move(openTestProject(from), openTestProject(to));
      }
      const [here, there] = [openTestProject(from), openTestProject(to)];
      expect({ seed, files: await contentOf(there) }).toEqual({ seed, files: await contentOf(here) });
      expect((await commitsOf(there)).map(({ ref }) => ref.hash)).toEqual(
        (await commitsOf(here)).map(({ ref }) => ref.hash),
      );
    }
    expect({ seed, found: await findings(openTestProject(to)) }).toEqual({ seed, found: [] });
    await readAll(to);
  }
  console.log(`SEED=${first}: ${JSON.stringify(ended)}`);
  expect(ended.done).toBeGreaterThan(0);
}, 120_000);

test('a transfer that broke off goes on where it was: what was announced is not sent again', async () => {
  const from = new MemoryStore();
  const { project } = await makeTestProject(from);
  await putFile(project, '/large', noise(110 * 1024 * 1024, 'large'));
  const to = new MemoryStore();
  await emptyProject(to);
  // The source is lost when three packs are on their way.
  let left = 30;
  const lost = faultyStore(from, (verb, key) =>
    verb === 'read' && key.includes('/data/') && (left -= 1) < 0 ? 'lost' : 'works',
  );
  const failed = move(openTestProject(lost), openTestProject(to));
  await expect(failed).rejects.toSatisfy((error) => error instanceof PachError && error.code === 'unreachable');

  const found = await readAll(to);
  let announced = 0;
  for (let row = 0; row < found.table.size; row += 1) {
    const { kind } = found.table.packs[found.table.packAt(row)]!;
    if (kind === 'data') announced += found.table.storedLengthAt(row);
  }
  expect(announced).toBeGreaterThan(25 * 1024 * 1024);
  const source = traceStore(from);
  const target = traceStore(to);
  await move(openTestProject(source.store), openTestProject(target.store));
  const sum = (requests: readonly { verb: string; key: string; amount: number }[], verb: string) =>
    requests.reduce(
      (total, { verb: by, key, amount }) => total + (by === verb && key.includes('/data/') ? amount : 0),
      0,
    );
  const total = 110 * 1024 * 1024;
  // Each chunk has a byte that says how it is stored.
  expect(sum(source.counts.requests, 'read')).toBeGreaterThanOrEqual(total - announced);
  expect(sum(source.counts.requests, 'read')).toBeLessThan(total - announced + 1024);
  expect(sum(target.counts.requests, 'writeIfAbsent')).toBeLessThan(total - announced + 64 * 1024);
  expect(await contentOf(openTestProject(to))).toEqual(await contentOf(openTestProject(from)));
});
