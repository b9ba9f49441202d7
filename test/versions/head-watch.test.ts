/**
 * One watcher for all who want to know of moves of a head: what they are told, and what the store is asked.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import type { OperationId } from '../../src/model/records/operation.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store, Token } from '../../src/store/store.ts';
import { traceStore } from '../../src/store/trace.ts';
import { HeadWatch, lookMs, type SeenHead } from '../../src/versions/head-watch.ts';
import type { Project } from '../../src/versions/project.ts';
import { createRepo } from '../../src/versions/refs.ts';
import type { Snapshot } from '../../src/versions/snapshot.ts';
import { faultyStore } from '../store/faults.ts';
import { s3ForTests } from '../support/s3.ts';
import { makeTestProject, openTestProject } from './project.ts';

const base = mkdtempSync(join(tmpdir(), 'pachmount-head-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

const stores: readonly (readonly [string, () => Promise<Store>])[] = [
  ['memory', async () => new MemoryStore()],
  ['a folder', () => openStore(mkdtempSync(join(base, 'store-')))],
  ['S3 (Ceph)', async () => openStore((await s3ForTests()).url)],
];

const operationOf = (snapshot: Snapshot) => snapshot.head.operation.id;

/** Notes what it is told. */
class Listener {
  readonly heard: OperationId[] = [];
  readonly failures: unknown[] = [];
  private wake: () => void = () => undefined;

  moved(snapshot: Snapshot): void {
    this.heard.push(operationOf(snapshot));
    this.wake();
  }

  failed(error: unknown): void {
    this.failures.push(error);
    this.wake();
  }

  async until(fact: () => boolean): Promise<void> {
    while (!fact()) await new Promise<void>((woken) => (this.wake = woken));
  }
}

async function move(project: Project, repo: string): Promise<OperationId> {
  await createRepo(project, repo, '');
  return operationOf(await project.snapshot());
}

describe.concurrent.each(stores)('ten listeners to one head of %s', (_name, make) => {
  test('are told of each move by one request in its time, and of nothing when they have left', async () => {
    const store = await make();
    const { project: other } = await makeTestProject(store);
    const traced = traceStore(store);
    const watching = openTestProject(traced.store);
    const first = operationOf(await other.snapshot());
    const listeners = Array.from({ length: 10 }, () => new Listener());

    const begin = performance.now();
    const listening = listeners.map((listener) => watching.head.listen(listener));
    const allHear = (operation: OperationId) =>
      Promise.all(listeners.map((each) => each.until(() => each.heard.at(-1) === operation)));
    await allHear(first);
    const moves = [first];
    for (const repo of ['a', 'b', 'c']) {
      const operation = await move(other, repo);
      moves.push(operation);
      // A look that begins after the move sees it.
      const before = traced.counts.count();
      await allHear(operation);
      expect(traced.counts.count() - before).toBeLessThanOrEqual(1);
    }
    const looks = Math.floor((performance.now() - begin) / lookMs) + 1;
    expect(traced.counts.count()).toBeLessThanOrEqual(looks);
    expect(traced.counts.count('readIfChanged')).toBe(traced.counts.count());

    // What this process does itself they know when it is done.
    await createRepo(watching, 'own', '');
    moves.push(operationOf(await other.snapshot()));
    for (const { heard } of listeners) expect(heard).toEqual(moves);

    for (const one of listening.slice(1)) one[Symbol.dispose]();
    moves.push(await move(other, 'd'));
    const [last] = listeners as [Listener];
    await last.until(() => last.heard.length === moves.length);
    expect(last.heard).toEqual(moves);
    for (const { heard } of listeners.slice(1)) expect(heard).toEqual(moves.slice(0, -1));
    listening[0]![Symbol.dispose]();

    // As many looks as another watch makes meanwhile, this one does not.
    traced.counts.reset();
    const clock = new Listener();
    using _ = other.head.listen(clock);
    for (const repo of ['e', 'f']) {
      const operation = await move(openTestProject(store), repo);
      await clock.until(() => clock.heard.at(-1) === operation);
    }
    expect(traced.counts.count()).toBe(0);
    await store.close();
  });
});

test('a look that fails is told, and the next one comes', async () => {
  const inner = new MemoryStore();
  const { project: other } = await makeTestProject(inner);
  const outcomes = ['works', 'lost', 'refused'] as const;
  let looks = 0;
  const watching = openTestProject(faultyStore(inner, () => outcomes[looks++] ?? 'works'));
  const listener = new Listener();
  using _ = watching.head.listen(listener);
  await listener.until(() => listener.heard.length === 1);
  const operation = await move(other, 'a');
  await listener.until(() => listener.heard.at(-1) === operation);
  expect(listener.failures.map((error) => isPachError(error, 'unreachable'))).toEqual([true, true]);
  expect([looks, listener.heard.length]).toEqual([4, 2]);
});

test('an answer that own moves have overtaken is no news', async () => {
  const head = (name: string): SeenHead => ({ token: name as Token, snapshot: name as unknown as Snapshot });
  const answers: ((seen: SeenHead | undefined) => void)[] = [];
  let asked: () => void = () => undefined;
  const watch = new HeadWatch(() => {
    asked();
    return new Promise((answer) => answers.push(answer));
  });
  const heard: unknown[] = [];
  const nextLook = () => new Promise<void>((begun) => (asked = begun));
  using _ = watch.listen({ moved: (snapshot) => heard.push(snapshot) });
  answers.shift()!(head('a'));
  await nextLook();
  watch.published('a' as Token, head('b'));
  watch.published('b' as Token, head('c'));
  // One that another writer has followed is left to the next look.
  watch.published('x' as Token, head('y'));
  answers.shift()!(head('b'));
  await nextLook();
  answers.shift()!(head('z'));
  await nextLook();
  expect(heard).toEqual(['a', 'b', 'c', 'z']);
});

test('a process in which nobody listens any more ends', async () => {
  const root = mkdtempSync(join(base, 'ends-'));
  await makeTestProject(await openStore(root));
  const dist = (path: string) => JSON.stringify(new URL(`../../dist/${path}`, import.meta.url).href);
  const program = `
    const { openStore } = await import(${dist('store/open.js')});
    const { ExtentCache } = await import(${dist('cache/extents.js')});
    const { Project } = await import(${dist('versions/project.js')});
    const { ProjectMemory } = await import(${dist('versions/project-memory.js')});
    const store = await openStore(${JSON.stringify(root)});
    const extents = new ExtentCache(store, { memoryBytesMax: 1e6, readAroundBytes: 1e5 });
    const project = new Project({ store, extents, name: 'default', author: 'child', memory: new ProjectMemory(1e6) });
    for (let round = 0; round < 2; round += 1) {
      await new Promise((moved) => {
        const listening = project.head.listen({ moved: () => (listening[Symbol.dispose](), moved()) });
      });
      console.log('heard');
    }`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    timeout: 60_000,
  });
  expect(stdout).toBe('heard\nheard\n');
});
