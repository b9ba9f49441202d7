/**
 * What a spec expects of its output: what does not meet it never becomes a branch's head, and is there
 * by its id.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Job } from '../../src/pipelines/jobs/jobs.ts';
import { baseOf } from '../../src/pipelines/jobs/plan.ts';
import { checkId, checkName } from '../../src/pipelines/jobs/checks.ts';
import { logLines, type LogLine } from '../../src/shown/logs.ts';
import { resultsPrefix } from '../../src/versions/ref-keys.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import type { Ending } from '../../src/execution/executor.ts';
import { Looping } from './looping.ts';
import { openTestProject } from '../versions/project.ts';
import { copy, EngineWorld, type Command, type SpecWords, type Tree } from './world.ts';

const input = { pfs: { repo: 'data', glob: '/*' } };

/** Copies; a check looks at what it sees of `p`. */
function withCheck(check: (seen: Tree) => { readonly log?: string; readonly ending?: Ending }): Command {
  return (seen, argv, task) => {
    if (argv[0] !== 'check') return copy(seen, argv, task);
    return check(seen);
  };
}

const failing: Ending = { kind: 'exit', code: 3 };

async function world(command: Command = copy): Promise<EngineWorld> {
  return EngineWorld.make(command);
}

function spec(expected: object, more: Partial<SpecWords> = {}): SpecWords {
  return { name: 'p', input, dev: { expect: expected }, ...more };
}

async function headOf({ project }: EngineWorld, repo = 'p'): Promise<string | undefined> {
  return (await (await project.snapshot()).maybeBranch(repo, 'master'))?.head?.id;
}

test('sizes: what does not meet them leaves the head, is there by its id, and the next job begins with the last success', async () => {
  await using here = await world();
  await here.set(spec({ not_empty: true, min_files: 2, max_shrink: '50%' }));
  await here.commit('data', {});
  const empty = await here.run('p');
  expect(empty.job).toMatchObject({
    state: 'rejected',
    reason: 'dev.expect.not_empty: expected files, found none; dev.expect.min_files: expected 2 files or more, found 0',
  });
  expect(await headOf(here)).toBeUndefined();

  const ten = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`f${n}`, 'x'.repeat(10)]));
  await here.commit('data', ten);
  const good = await here.run('p');
  expect(good.job).toMatchObject({ state: 'success', reason: '', counts: { processed: 10 } });
  const head = await headOf(here);
  expect(head).toBe(good.job.output);

  // As few as may be stay.
  const { f0 = '', f1 = '', f2 = '', f3 = '', f4 = '', ...others } = ten;
  await here.commit('data', { f0, f1, f2, f3 });
  const { job, result } = await here.run('p');
  expect(job).toMatchObject({
    state: 'rejected',
    output: job.id,
    reason:
      'dev.expect.max_shrink: expected to lose at most 50% of 10 files, found 4, which is 60% less; ' +
      'dev.expect.max_shrink: expected to lose at most 50% of 100 bytes, found 40, which is 60% less',
  });
  expect(result?.after?.id).toBe(job.id);
  expect(await headOf(here)).toBe(head);
  const snapshot = await here.project.snapshot();
  const aside = await snapshot.maybeCommit('p', job.id);
  expect(aside && Object.keys(await here.filesOf(rootOf(aside)))).toHaveLength(4);
  expect((await baseOf(snapshot, 'p', 'master'))?.job.id).toBe(good.job.id);

  // Again, as nothing has changed: it is tested again.
  here.executor.ran.length = 0;
  expect((await here.run('p')).job).toMatchObject({ state: 'rejected', counts: { skipped: 4, processed: 0 } });
  expect(here.executor.ran).toEqual([]);
  await here.commit('data', { f0, f1, f2, f3, f4 });
  expect((await here.run('p')).job).toMatchObject({ state: 'success', counts: { total: 5, processed: 0 } });
  expect(await here.files('p')).toEqual(prefixed({ f0, f1, f2, f3, f4 }));
  expect(Object.keys(others)).toHaveLength(5);

  // Fewer bytes are less too.
  await here.commit('data', { f0, f1, f2: '', f3: '', f4: '' });
  expect((await here.run('p')).job.reason).toBe(
    'dev.expect.max_shrink: expected to lose at most 50% of 50 bytes, found 20, which is 60% less',
  );
});

function prefixed(tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).map(([path, text]) => [`data/${path}`, text]));
}

test('a check sees the output and nothing else; what it says decides, and is kept', async () => {
  let verdict: Ending = failing;
  const saw: Tree[] = [];
  await using here = await world(
    withCheck((seen) => {
      saw.push(seen);
      return { log: 'three lines\nof a\ncheck\n', ending: verdict };
    }),
  );
  await here.set(spec({ check: ['check', 'it'] }));
  await here.commit('data', { a: '1', b: '2' });
  const { job } = await here.run('p');
  expect(job).toMatchObject({
    state: 'rejected',
    counts: { total: 2, processed: 2, failed: 0 },
    reason: `dev.expect.check: expected exit code 0 of check it, found: the command ended with exit code 3; pach logs -j ${job.id} --datum check`,
  });
  expect(saw).toEqual([{ 'p/data/a': '1', 'p/data/b': '2' }]);
  expect(await headOf(here)).toBeUndefined();
  const logOf = async (of: Job, datum?: string): Promise<LogLine[]> => {
    const lines: LogLine[] = [];
    const signal = new AbortController().signal;
    for await (const line of logLines(here.project, of, { folder: '/nowhere', follow: false, signal, datum }))
      lines.push(line);
    return lines;
  };
  const log = await logOf(job, checkName);
  expect(log).toEqual(
    ['three lines', 'of a', 'check', '[failed: the command ended with exit code 3]'].map((line) => ({
      datum: 'check',
      line,
    })),
  );
  expect(await logOf(job)).toEqual(log);

  verdict = { kind: 'exit', code: 0 };
  const good = await here.run('p');
  expect(good.job).toMatchObject({ state: 'success', counts: { skipped: 2 } });
  expect(await headOf(here)).toBe(good.job.id);
  expect(await logOf(good.job, checkName)).toEqual(log.slice(0, 3));
  // It has no result that a datum could be taken to have.
  const results: string[] = [];
  for await (const { key } of (await here.project.snapshot()).items(resultsPrefix)) results.push(key.toString());
  expect(results).toHaveLength(2);
  // While it runs, it is called the same.
  await writeFile(join(here.dir, checkId(job.id)), 'so far\n');
  const running = { folder: here.dir, datum: checkName, follow: false, signal: new AbortController().signal };
  const lines = logLines(here.project, { ...job, state: 'running' }, running);
  expect(await lines.next()).toMatchObject({ value: { datum: 'check', line: 'so far' } });
  expect(here.executor.workers).toBe(0);

  // The head itself is not checked again.
  saw.length = 0;
  verdict = failing;
  expect((await here.run('p')).job).toMatchObject({ state: 'success', output: good.job.id });
  expect(saw).toEqual([]);
});

test.each([
  [{ kind: 'timeout' }, {}, 'the command took longer than 3600 s'],
  [{ kind: 'timeout' }, { check_timeout: '2s' }, 'the command took longer than 2 s'],
  [{ kind: 'signal', signal: 'SIGSEGV' }, {}, 'signal SIGSEGV ended the command'],
  [
    { kind: 'not-started', why: 'there is no program check' },
    {},
    'the command did not start: there is no program check',
  ],
  [{ kind: 'out-of-memory' }, {}, 'the command ran out of memory'],
] as const)('a check that ends by %j rejects', async (ending, more, found) => {
  await using here = await world(withCheck(() => ({ ending })));
  await here.set(spec({ check: ['check'], ...more }, { transform: { cmd: ['f'], accept_return_code: [3] } }));
  await here.commit('data', { a: '1' });
  const { job } = await here.run('p');
  expect(job.state).toBe('rejected');
  expect(job.reason).toContain(`found: ${found}`);
  expect(await headOf(here)).toBeUndefined();
});

test('what reads a rejected output does not run, and goes on with the last success', async () => {
  let verdict: Ending = { kind: 'exit', code: 0 };
  await using here = await world(withCheck(() => ({ ending: verdict })));
  await here.set(spec({ check: ['check'] }));
  await here.set({ name: 'q', input: { pfs: { repo: 'p', glob: '/*' } } });
  await here.commit('data', { a: '1' });
  expect((await here.run('q')).job.state).toBe('success');
  const head = await headOf(here, 'q');
  await here.commit('data', { a: '2' });
  verdict = failing;
  const { job, result } = await here.run('q');
  expect(job).toMatchObject({ state: 'unrunnable', reason: expect.stringContaining('did not succeed') as string });
  expect(result).toBeUndefined();
  expect(await headOf(here, 'q')).toBe(head);
  expect(await here.files('q')).toEqual({ 'p/data/a': '1' });
});

test('expectations are part of no key', async () => {
  await using here = await world();
  await here.set(spec({}));
  await here.commit('data', { a: '1', b: '2' });
  expect((await here.run('p')).job).toMatchObject({ state: 'success', counts: { processed: 2 } });
  await here.set(spec({ min_files: 3 }));
  expect((await here.run('p')).job).toMatchObject({ state: 'rejected', counts: { processed: 0, skipped: 2 } });
});

test('development tests outputs too, and a sample not by sizes of all', async () => {
  const isBad = (text: unknown): boolean => text === 'bad';
  await using here = await world((seen) =>
    Object.values(seen).some(isBad) ? { ending: { kind: 'exit', code: 1 } } : { out: seen },
  );
  await here.commit('data', { a: '1', b: 'bad' });
  const expected = { expect: { min_files: 3 }, on_datum_failure: 'skip' };
  await using looping = new Looping(here, [], { dev: expected });
  expect((await looping.next('job-ended')).outcome).toMatchObject({
    state: 'rejected',
    reason: 'dev.expect.min_files: expected 3 files or more, found 1',
    counts: { total: 2, failed: 1 },
  });
  expect(await looping.next('settled')).toMatchObject({ failed: ['p'] });
  looping.loop.onlyFailed();
  here.executor.command = copy;
  looping.fields = { transform: { cmd: ['g'] }, dev: expected };
  looping.loop.filesMayHaveChanged();
  expect((await looping.next('job-ended')).outcome).toMatchObject({ state: 'success', counts: { total: 1 } });
});

test('a job that is stopped while its output is checked ends as one that was stopped', async () => {
  const stop = new AbortController();
  await using here = await world(
    withCheck(() => {
      stop.abort(new Error('enough'));
      return { ending: { kind: 'aborted' } };
    }),
  );
  await here.set(spec({ check: ['check'] }));
  await here.commit('data', { a: '1' });
  await expect(here.run('p', { signal: stop.signal })).rejects.toThrow('interrupted');
  expect(await headOf(here)).toBeUndefined();
  here.executor.command = withCheck(() => ({}));
  expect((await here.run('p')).job).toMatchObject({ state: 'success', counts: { skipped: 1 } });
});

/** A store that fails at the n-th move of a head, before it or after it, and at all that is asked for then, until it lives again. */
class DyingStore extends MemoryStore {
  /** Called before the n-th move. */
  before: ((move: number) => Promise<void>) | undefined;
  private left = Infinity;
  private isAfter = false;
  moves = 0;

  dieAt(move: number, when: 'before' | 'after'): void {
    this.left = move;
    this.isAfter = when === 'after';
  }

  live(): void {
    this.left = Infinity;
  }

  get isDead(): boolean {
    return this.left <= 0;
  }

  override async writeIfUnchanged(
    ...words: Parameters<MemoryStore['writeIfUnchanged']>
  ): ReturnType<MemoryStore['writeIfUnchanged']> {
    this.moves += 1;
    await this.before?.(this.moves);
    this.left -= 1;
    if (this.left > 0) return super.writeIfUnchanged(...words);
    if (this.left === 0 && this.isAfter) await super.writeIfUnchanged(...words);
    throw new Error('the machine has died');
  }
}

test.each(['before', 'after'] as const)(
  'a machine that dies %s any move of the head: no output is the head that was not checked',
  async (when) => {
    for (let move = 1, isOver = false; !isOver; move += 1) {
      const store = new DyingStore();
      let verdict: Ending = { kind: 'exit', code: 0 };
      let checks = 0;
      await using here = await EngineWorld.make(
        withCheck(() => {
          checks += 1;
          return { ending: verdict };
        }),
        store,
      );
      await here.set(spec({ check: ['check'], max_shrink: '90%' }));
      await here.commit('data', { a: '1', b: '2' });
      const good = (await here.run('p')).job.id;
      await here.commit('data', { a: '1', b: '3' });
      verdict = failing;
      checks = 0;
      store.dieAt(move, when);
      const ended = await here.run('p').catch(() => undefined);
      isOver = ended?.job.state === 'rejected';
      expect(isOver).toBe(!store.isDead);
      store.live();
      expect(await headOf(here)).toBe(good);
      expect((isOver ? ended : await here.run('p'))?.job.state).toBe('rejected');
      expect(checks).toBeGreaterThan(0);
      expect(await headOf(here)).toBe(good);
      verdict = { kind: 'exit', code: 0 };
      const { job } = await here.run('p');
      expect(job.state).toBe('success');
      expect(await headOf(here)).toBe(job.id);
    }
  },
);

test('an output that was the head when it was looked at, and is not when it is written down, is not published untested', async () => {
  const store = new DyingStore();
  let verdict: Ending = { kind: 'exit', code: 0 };
  await using here = await EngineWorld.make(
    withCheck(() => ({ ending: verdict })),
    store,
  );
  await here.set(spec({ check: ['check'] }));
  await here.commit('data', { a: '1' });
  await here.run('p');
  verdict = failing;
  // The job begins with one move and ends with the next: before that, somebody takes the branch's commits away.
  const last = store.moves + 2;
  store.before = async (move) => {
    if (move !== last) return;
    store.before = undefined;
    await openTestProject(store).update('test', async (change) => {
      const branch = await change.maybeBranch('p', 'master');
      if (branch) change.setBranch({ ...branch, head: undefined });
    });
  };
  await expect(here.run('p')).rejects.toThrow('its output branch was changed while the job ended');
  expect(await headOf(here)).toBeUndefined();
  expect((await here.run('p')).job.state).toBe('rejected');
});
