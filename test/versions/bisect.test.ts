/**
 * The search for the first bad commit, and the line that it looks at.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import { lineBetween, nextInSearch, type Verdict } from '../../src/versions/reading/bisect.ts';
import { commitEdit } from '../../src/versions/edit.ts';
import { createBranch } from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';
import { traceStore } from '../../src/store/trace.ts';

/** Searches among so many commits, of which those from `firstBad` on are bad. Resolves to the steps and the candidates. */
function search(count: number, firstBad: number, skipped: ReadonlySet<number>): { steps: number; found: number[] } {
  const line = Array.from({ length: count }, (_, at) => String(at) as CommitId);
  const verdicts = new Map<CommitId, Verdict>();
  for (;;) {
    const next = nextInSearch(line, verdicts);
    if (next.kind === 'found') return { steps: verdicts.size, found: next.candidates.map(Number) };
    expect(verdicts.has(next.commit)).toBe(false);
    const at = Number(next.commit);
    verdicts.set(next.commit, skipped.has(at) ? 'skipped' : at < firstBad ? 'good' : 'bad');
  }
}

test('whatever commit is the first bad one, it is found in as many steps as its number has bits', () => {
  for (const count of [1, 2, 3, 7, 8, 9, 100]) {
    const all = Array.from({ length: count }, (_, firstBad) => search(count, firstBad, new Set()));
    expect(all.map(({ found }) => found)).toEqual(all.map((_, at) => [at]));
    expect(Math.max(...all.map(({ steps }) => steps))).toBe(Math.ceil(Math.log2(count)));
  }
  expect(Math.max(...[0, 1, 4999, 9998, 9999].map((at) => search(10_000, at, new Set()).steps))).toBeLessThanOrEqual(
    14,
  );
});

test('skipped commits leave those that it may be: it is one of them, and all before the last were skipped', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(), fc.array(fc.nat(39)), (count, bad, skips) => {
      const firstBad = bad % count;
      // The bad end is known to be bad, whatever else.
      const skipped = new Set(skips.filter((at) => at < count - 1));
      const { found } = search(count, firstBad, skipped);
      expect(found).toContain(firstBad);
      expect(found.slice(0, -1).every((at) => skipped.has(at))).toBe(true);
      const isHidden = skipped.has(firstBad) || skipped.has(firstBad - 1);
      expect(isHidden || found.length === 1).toBe(true);
    }),
  );
});

test('the line between two commits is read from the index, and a good commit must come before the bad one', async () => {
  const { project, store } = await makeTestProject();
  // The clock was an hour ahead once, and goes on from the right time.
  const ahead = { repo: 'data', branch: 'master', message: '0', started: Date.now() + 3_600_000 };
  await commitEdit(project, ahead, (directories) => directories.apply(undefined, []));
  for (let n = 1; n < 40; n += 1) {
    const sources = [{ kind: 'stream' as const, stream: streamOf(String(n)) }];
    await putFiles(project, {
      repo: 'data',
      branch: 'master',
      message: String(n),
      sources,
      target: '/f',
      watch: silent,
    });
    if (n === 19) await createBranch(project, 'data', 'side', parseAddress('data@master'));
  }
  await putFiles(project, {
    repo: 'data',
    branch: 'side',
    message: 'side',
    target: '/f',
    watch: silent,
    sources: [{ kind: 'stream', stream: streamOf('side') }],
  });
  const { store: traced, counts } = traceStore(store);
  const other = openTestProject(traced);
  const snapshot = await other.snapshot();
  const at = (text: string): ReturnType<typeof resolveCommit> => resolveCommit(snapshot, parseAddress(text));
  const [good, bad, side] = [await at('data@master.10'), await at('data@master'), await at('data@side')];
  counts.reset();
  const line = await lineBetween(snapshot, good, bad);
  expect(counts.count()).toBeLessThan(5);
  expect(line).toHaveLength(30);
  expect((await snapshot.maybeCommit('data', line[0] as CommitId))?.message).toBe('10');
  expect(line.at(-1)).toBe(bad.id);
  expect(await lineBetween(snapshot, good, side)).toHaveLength(11);
  await expect(lineBetween(snapshot, bad, good)).rejects.toThrow('not an ancestor of the bad one; it is the newer one');
  await expect(lineBetween(snapshot, await at('data@master.21'), side)).rejects.toThrow('not an ancestor');
  await expect(lineBetween(snapshot, bad, bad)).rejects.toThrow('the same commit');
});
