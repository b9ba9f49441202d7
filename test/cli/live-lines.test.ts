/**
 * The live screen as lines, of events as the loop of development tells them.
 */
import { PassThrough } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { keysOf } from '../../src/cli/live/keys.ts';
import { liveLines, pastLines } from '../../src/cli/live/lines.ts';
import { LiveView } from '../../src/cli/live/live-view.ts';
import type { View } from '../../src/cli/live/rows.ts';
import type { Terminal } from '../../src/cli/live/screen.ts';
import { atFirst, next, type LiveEvent, type LiveState } from '../../src/cli/live/state.ts';
import { widthOf } from '../../src/cli/quote.ts';
import type { DevEvent } from '../../src/engine/dev-events.ts';
import type { RunEvent } from '../../src/engine/events.ts';
import type { JobId } from '../../src/model/records/pipelines.ts';
import type { Project } from '../../src/versions/project.ts';

const at = new Date(2026, 3, 1, 14, 3, 22).getTime();
const of = { job: 'aa'.repeat(16) as JobId, pipeline: 'edges', branch: 'dev-ann' };
const keys = ['f only failed', 'enter rerun', 's shell', 'd diff', 'w why', 'q quit'];
const view: View = { columns: 80, rows: 24, color: false, cwd: '/home/ann/edges', now: at + 500, keys };
const narrow: View = { ...view, columns: 40 };

const watching = (selection: Extract<LiveEvent, { kind: 'watching' }>['selection'] = { kind: 'all' }): LiveEvent => ({
  kind: 'watching',
  time: at,
  branch: 'dev-ann',
  executor: 'process',
  pipelines: [{ name: 'edges', outputBranch: 'master', code: [{ from: '/home/ann/edges/src', to: '/app' }] }],
  selection,
});
const saved = (...files: string[]): LiveEvent => ({
  kind: 'saved',
  time: at,
  cause: 'code',
  files,
  fileCount: files.length,
  pipelines: ['edges'],
});
const started: LiveEvent = { kind: 'started', time: at, pipelines: ['edges'] };
const jobStarted: LiveEvent = { kind: 'job-started', time: at, executor: 'process', ...of };
const counts = (processed: number, skipped: number, failed: number) => ({
  total: processed + skipped + failed,
  processed,
  skipped,
  failed,
  recovered: 0,
});
const progress = (...numbers: [number, number, number]): LiveEvent => ({
  kind: 'progress',
  time: at,
  counts: counts(...numbers),
  isPlanned: true,
  ...of,
});
const datum = (id: string, path: string) => ({
  id: id.repeat(32),
  files: [{ repo: 'images', commit: '3f2a'.repeat(8), path }],
  fileCount: 1,
  isRecheck: false,
});
const stats = {
  startedMs: 0,
  downloadMs: 0,
  processMs: 0,
  uploadMs: 0,
  cpuMs: 0,
  inputBytes: 0,
  outputBytes: 0,
  memoryBytesPeak: 0,
};
const failing = (id: string, path: string, log: string): LiveEvent[] => [
  { kind: 'datum-begun', time: at, datum: datum(id, path), ...of },
  { kind: 'printed', time: at, datum: id.repeat(32), text: log, ...of },
  {
    kind: 'datum-ended',
    time: at,
    datum: datum(id, path),
    outcome: {
      state: 'failed',
      failure: { cause: 'ending', ending: { kind: 'exit', code: 1 } },
      reason: 'the command ended with exit code 1',
      stats,
    },
    ...of,
  },
];
const jobEnded = (
  state: 'success' | 'failure' | 'unrunnable' | 'rejected',
  numbers: [number, number, number],
  more: { reason?: string; added?: number } = {},
): LiveEvent => ({
  kind: 'job-ended',
  time: at + 100,
  outcome: {
    state,
    reason: more.reason ?? '',
    error: null,
    counts: counts(...numbers),
    started: at,
    finished: at + 100,
    inputs: [],
    commit: null,
    output:
      state === 'success' ? { added: more.added ?? 0, changed: 0, removed: 0, bytes: 1200, becameEmpty: false } : null,
    recomputed: null,
    outside: null,
  },
  ...of,
});
const settled = (failed: readonly string[] = []): LiveEvent => ({ kind: 'settled', time: at + 120, failed });

const traceback = (line: number, message: string): string => `loading
Traceback (most recent call last):
  File "/app/main.py", line ${line}, in <module>
    main()
\t\u001b[31m${message}\u001b[0m
${message}
`;
const nameError = traceback(3, "NameError: name 'undefined_variable' is not defined");

/** The state after events, from a state or from nothing. */
function after(...given: readonly (LiveState | LiveEvent | readonly LiveEvent[])[]): LiveState {
  let state = atFirst;
  for (const each of given) {
    if ('logs' in each) state = each;
    else state = [each].flat().reduce(next, state);
  }
  return state;
}
const shown = (state: LiveState, size: View = view): string => liveLines(state, size).join('\n');

const oneFailed = after(
  watching(),
  saved('src/main.py'),
  started,
  jobStarted,
  failing('3c', '/a b.png', nameError),
  jobEnded('failure', [11, 988, 1], { reason: '1 of 1000 datums failed' }),
  settled(['edges']),
);

test('a failed datum: counts, then file and line, its input and its log', () => {
  expect(shown(oneFailed)).toMatchInlineSnapshot(`
    "saved 14:03:22 · 0.12 s · 12 ran, 988 known, 1 failed · src/main.py
    ✗ src/main.py:3: NameError: name 'undefined_variable' is not defined
      edges: the command ended with exit code 1
      reads 'images@3f2a3f2a3f2a:/a b.png'
      datum 3c3c3c3c3c3c3c3c
      │ loading
      │ Traceback (most recent call last):
      │   File "/app/main.py", line 3, in <module>
      │     main()
      │     NameError: name 'undefined_variable' is not defined
      │ NameError: name 'undefined_variable' is not defined

    f only failed  enter rerun  s shell  d diff  w why  q quit"
  `);
});

test('the same at 40 columns', () => {
  expect(shown(oneFailed, narrow)).toMatchInlineSnapshot(`
    "saved 14:03:22 · 0.12 s
    12 ran, 988 known, 1 failed
    ✗ src/main.py:3
      NameError: name 'undefined_variable'
      is not defined
      edges: the command ended with exit
        code 1
      reads 'images@3f2a3f2a3f2a:/a b.png'
      datum 3c3c3c3c3c3c3c3c
      │ loading
      │ Traceback (most recent call last):
      │   File "/app/main.py", line 3, in …
      │     main()
      │     NameError: name 'undefined_var…
      │ NameError: name 'undefined_variabl…

    f only failed  enter rerun  s shell
    d diff  w why  q quit"
  `);
});

test('a save that runs, one that succeeded, and what it changed', () => {
  const running = after(watching(), saved('src/main.py', 'src/b.py'), started, jobStarted, progress(3, 12, 0));
  expect(shown(running)).toMatchInlineSnapshot(`
    "saved 14:03:22 · running edges · 3 ran, 12 known · src/main.py and 1 more

    f only failed  enter rerun  s shell  d diff  w why  q quit"
  `);
  // Seconds are counted when there are some.
  expect(shown(running, { ...view, now: at + 3400, keys: [] })).toMatchInlineSnapshot(
    `"saved 14:03:22 · 3 s · running edges · 3 ran, 12 known · src/main.py and 1 more"`,
  );
  const done = after(running, jobEnded('success', [12, 988, 0], { added: 2 }), settled(), {
    kind: 'compared',
    job: of.job,
    differences: {
      before: { added: 2, changed: 0, removed: 0, bytes: 1200, files: [] },
      production: {
        added: 1,
        changed: 1,
        removed: 1,
        bytes: -300,
        files: [
          { path: '/a b.png', change: 'added', bytes: 200 },
          { path: '/c.png', change: 'changed', bytes: -300 },
          { path: '/d.png', change: 'removed', bytes: -200 },
        ],
      },
    },
  });
  expect(shown(done)).toMatchInlineSnapshot(`
    "saved 14:03:22 · 0.12 s · 12 ran, 988 known · src/main.py and 1 more
    edges from the last save: 2 added, 0 changed, 0 removed; +1.20kB
    edges from production: 1 added, 1 changed, 1 removed; -300B

    f only failed  enter rerun  s shell  d diff  w why  q quit"
  `);
  expect(shown(done, narrow)).toMatchInlineSnapshot(`
    "saved 14:03:22 · 0.12 s
    12 ran, 988 known
    edges from the last save: 2 added, 0
      changed, 0 removed; +1.20kB
    edges from production: 1 added, 1
      changed, 1 removed; -300B

    f only failed  enter rerun  s shell
    d diff  w why  q quit"
  `);
  const diff = after(done, { kind: 'panel', panel: { kind: 'diff' } });
  expect(shown(diff)).toMatchInlineSnapshot(`
    "saved 14:03:22 · 0.12 s · 12 ran, 988 known · src/main.py and 1 more
    edges from the last save: 2 added, 0 changed, 0 removed; +1.20kB
    edges from production: 1 added, 1 changed, 1 removed; -300B
    edges from the last save: nothing
    edges from production:
    + '/a b.png'  +200B
    ~ /c.png  -300B
    - /d.png  -200B

    f only failed  enter rerun  s shell  d diff  w why  q quit"
  `);
  // What a datum that is left out would have made is not missing.
  const sample = after(diff, watching({ kind: 'count', count: 5 }));
  expect(shown(sample, { ...view, keys: [] })).toMatchInlineSnapshot(`
    "saved 14:03:22 · 0.12 s · 12 ran, 988 known · src/main.py and 1 more
    a sample of 5 datums: the others are left out
    edges from the last save: 2 added, 0 changed, 0 removed; +1.20kB
    edges from production: 1 added, 1 changed; a sample can't tell what was removed
    edges from the last save: nothing
    edges from production:
    + '/a b.png'  +200B
    ~ /c.png  -300B"
  `);
  expect(pastLines(done, done.save as NonNullable<LiveState['save']>, view)).toEqual(
    shown(done, { ...view, keys: [] }).split('\n'),
  );
});

test('only failed datums: says what it leaves out, through saves', () => {
  const only = after(
    oneFailed,
    watching({ kind: 'failed', datums: { edges: ['3c'.repeat(32)] }, leftOut: 999 }),
    saved('src/main.py'),
    started,
  );
  expect(shown(only)).toMatchInlineSnapshot(`
    "saved 14:03:22 · running · 0 ran, 0 known · src/main.py
    only 1 datum that failed: 999 left out

    f only failed  enter rerun  s shell  d diff  w why  q quit"
  `);
});

test('several failed datums: one of them whole, those like it counted, the others a line each', () => {
  const several = after(
    watching(),
    saved(),
    started,
    jobStarted,
    failing('3c', '/a.png', nameError),
    failing('4d', '/b.png', traceback(9, "KeyError: 'x'")),
    failing('5e', '/c.png', nameError),
    failing('6f', '/d.png', ''),
    { kind: 'progress', time: at, counts: counts(0, 0, 7), isPlanned: true, ...of },
  );
  expect(shown(several)).toMatchInlineSnapshot(`
    "saved 14:03:22 · running edges · 7 ran, 0 known, 7 failed
    ✗ src/main.py:3: NameError: name 'undefined_variable' is not defined
      edges: the command ended with exit code 1
      reads images@3f2a3f2a3f2a:/a.png
      datum 3c3c3c3c3c3c3c3c
      │ loading
      │ Traceback (most recent call last):
      │   File "/app/main.py", line 3, in <module>
      │     main()
      │     NameError: name 'undefined_variable' is not defined
      │ NameError: name 'undefined_variable' is not defined
      1 other datum failed in the same way
    ✗ src/main.py:9: KeyError: 'x'
    ✗ the command ended with exit code 1
      and more that failed

    f only failed  enter rerun  s shell  d diff  w why  q quit"
  `);
  expect(shown(after(several, { kind: 'step', by: -1 }), { ...view, keys: [] })).toMatchInlineSnapshot(`
    "saved 14:03:22 · running edges · 7 ran, 0 known, 7 failed
    ✗ the command ended with exit code 1
      edges
      reads images@3f2a3f2a3f2a:/d.png
      datum 6f6f6f6f6f6f6f6f
    ✗ src/main.py:3: NameError: name 'undefined_variable' is not defined (2 datums)
    ✗ src/main.py:9: KeyError: 'x'
      and more that failed"
  `);
});

test('an output that was rejected: why, also where datums failed', () => {
  const reason = 'dev.expect.min_files: expected 100 files or more, found 3';
  const state = after(
    watching(),
    saved('src/main.py'),
    started,
    jobStarted,
    jobEnded('rejected', [2, 1, 1], { reason }),
  );
  expect(shown(after(state, settled(['edges'])))).toMatchInlineSnapshot(`
    "saved 14:03:22 · 0.12 s · 3 ran, 1 known, 1 failed, rejected · src/main.py
    ✗ edges: dev.expect.min_files: expected 100 files or more, found 3

    f only failed  enter rerun  s shell  d diff  w why  q quit"
  `);
});

test('a mistake in a spec, a run that can not go on, a job that can not run', () => {
  const state = after(
    oneFailed,
    {
      kind: 'spec-fault',
      time: at,
      file: '/home/ann/edges/edges.json',
      line: 12,
      message: 'there is no field transfrom',
      next: 'did you mean transform?',
    },
    { kind: 'fault', time: at, error: { code: 'unreachable', message: 'the store does not answer' }, isRetried: true },
    jobEnded('unrunnable', [0, 0, 0], { reason: 'image edges:3 does not exist' }),
    { kind: 'note', time: at, line: 'memory is not limited by this executor' },
  );
  expect(shown(state, narrow)).toMatchInlineSnapshot(`
    "saved 14:03:22 · 0.12 s
    1 ran, 0 known, 1 failed
    ✗ edges.json:12
      there is no field transfrom
      did you mean transform?
    ✗ the store does not answer
    ✗ edges: image edges:3 does not exist
    ✗ src/main.py:3
      NameError: name 'undefined_variable'
      is not defined
      edges: the command ended with exit
        code 1
      reads 'images@3f2a3f2a3f2a:/a b.png'
      datum 3c3c3c3c3c3c3c3c
      │ Traceback (most recent call last):
      │   File "/app/main.py", line 3, in …
      │     main()
      │     NameError: name 'undefined_var…
      │ NameError: name 'undefined_variabl…
    memory is not limited by this executor

    f only failed  enter rerun  s shell
    d diff  w why  q quit"
  `);
  // Another try is no news.
  expect(shown(after(state, started))).toContain('the store does not answer');
  expect(shown(after(state, started, jobStarted, settled()))).not.toContain('the store');
  // They go with what made them.
  const mended = shown(after(state, watching(), saved('edges.json'), started));
  expect(mended).not.toMatch(/transfrom|the store|image/);
});

test('a newer save: what goes on stays, what was cancelled goes', () => {
  const other = { ...of, pipeline: 'other', job: 'bb'.repeat(16) as JobId };
  const two = after(watching(), saved('src/main.py'), started, jobStarted, failing('3c', '/a.png', nameError), {
    kind: 'job-started',
    time: at,
    executor: 'process',
    ...other,
  });
  const kept = after(two, saved('src/b.py'));
  expect(kept.save?.jobs.map(({ pipeline }) => pipeline)).toEqual(['edges', 'other']);
  expect(kept.save?.failed).toHaveLength(1);
  const reason = 'a newer save of its code replaced it';
  const cancelled = after(kept, { kind: 'restarted', time: at, pipeline: 'edges', cause: 'code', reason });
  expect(cancelled.save?.jobs.map(({ pipeline }) => pipeline)).toEqual(['other']);
  expect(cancelled.save?.failed).toEqual([]);
  expect(cancelled.notes).toEqual([`edges: stopped, because ${reason}`]);
});

test('nothing of a name or a log acts on a terminal, and every line fits, whatever the size', () => {
  const nasty = '\u001b[2J\u001b]0;title\u0007\r\b\u202e\u009b31m漢字\udcff';
  const state = after(
    watching({ kind: 'glob', glob: nasty }),
    saved(nasty),
    started,
    jobStarted,
    failing('3c', `/${nasty}`, `${nasty}\n${nasty.repeat(20)}\n\u001b[31mred\u001b[0m\n`),
    { kind: 'note', time: at, line: nasty },
    { kind: 'fault', time: at, error: { code: 'failed', message: nasty }, isRetried: false },
  );
  for (const columns of [200, 80, 40, 20, 5]) {
    for (const rows of [50, 24, 5, 2]) {
      const lines = liveLines(state, { ...view, columns, rows });
      expect(lines.length).toBeLessThan(rows);
      for (const line of lines) {
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
        expect(widthOf(line)).toBeLessThan(columns);
      }
    }
  }
});

/** A live screen without a project, and what it has written. */
function liveView(): { live: LiveView; written: () => string } {
  const output = Object.assign(new PassThrough(), { columns: 80, rows: 24 });
  let text = '';
  const terminal = { input: Object.assign(new PassThrough(), { isTTY: false }), output } as unknown as Terminal;
  const live = new LiveView({ terminal, project: {} as Project, color: false, cwd: '/', shell: async () => undefined });
  return { live, written: () => (text += (output.read() as Buffer | null)?.toString() ?? '') };
}

test('the first result of a save is drawn at once, later ones soon', async () => {
  const { live, written } = liveView();
  using _ = live;
  for (const event of [watching(), saved('src/main.py'), started, jobStarted]) live.listen(event as DevEvent);
  live.listen(progress(1, 0, 0) as RunEvent);
  expect(written()).toContain('1 ran');
  live.listen(progress(2, 0, 0) as RunEvent);
  expect(written()).not.toContain('2 ran');
  await expect.poll(written).toContain('2 ran');
});

test('a clock that is set back keeps nothing from being drawn', async () => {
  const { live, written } = liveView();
  using _ = live;
  for (const event of [watching(), saved('src/main.py'), started, jobStarted]) live.listen(event as DevEvent);
  await expect.poll(written).toContain('0 ran');
  const clock = vi.spyOn(Date, 'now').mockReturnValue(Date.now() - 3_600_000);
  try {
    live.listen(progress(3, 12, 0) as RunEvent);
    await expect.poll(written).toContain('3 ran, 12 known');
  } finally {
    clock.mockRestore();
  }
  // Nor does it show a time that went backwards.
  expect(
    shown(after(watching(), { ...started, time: at + 3_600_000 }, jobEnded('success', [1, 0, 0]), settled())),
  ).toContain(' 0.00 s ');
});

test('keys: letters, arrows in both forms, and nothing of other sequences', () => {
  expect(keysOf('ax\rq')).toEqual(['a', 'enter', 'q']);
  expect(keysOf('\u001b[A\u001bOB\u0003')).toEqual(['up', 'down', 'interrupt']);
  // Delete, a mouse, Alt and a letter, a paste: none of their letters is a key.
  expect(keysOf('\u001b[3~\u001b[<0;1;1M\u001bq\u001b[200~')).toEqual([]);
});
