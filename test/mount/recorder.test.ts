/**
 * What is noted of a mount's readers, and when it is kept.
 */
import { randomBytes } from 'node:crypto';
import { afterEach, expect, test, vi } from 'vitest';
import { readsMax, type FirstRead } from '../../src/cache/first-reads.ts';
import { parseAddress } from '../../src/model/address.ts';
import type { NodeSource } from '../../src/model/node.ts';
import { ProjectView } from '../../src/mount/project-view.ts';
import { Recorder } from '../../src/mount/recorder.ts';
import type { ViewEntry, ViewNode } from '../../src/mount/view.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { makeTestProject, openTestProject, silent, streamOf } from '../versions/project.ts';

const bytes = 100_000;
afterEach(() => {
  vi.useRealTimers();
});

/** A store that does not answer. */
const away: NodeSource = { node: () => new Promise(() => undefined) };

/** A recorder of a mount that shows `data:/a` as /part, with /a/b/c; what it keeps, and the nodes on the way to c. */
async function recorded(old: readonly FirstRead[] = [], isAway = false) {
  const store = new MemoryStore();
  const { project: writer } = await makeTestProject(store);
  const sources = [{ kind: 'stream' as const, stream: streamOf(randomBytes(bytes)) }];
  await putFiles(writer, { repo: 'data', branch: 'master', message: '', sources, target: '/a/b/c', watch: silent });
  const project = openTestProject(store);
  const source = { name: 'part', address: parseAddress('data:/a') };
  const view = await ProjectView.open(await project.snapshot(), project.reader, [source], { readaheadBytesMax: 0 });
  const nodes: ViewNode[] = [view.root()];
  for (const name of ['part', 'b', 'c']) {
    const parent = nodes.at(-1) as ViewNode;
    const entry = (await view.lookup(parent, Buffer.from(name))) as ViewEntry;
    nodes.push({ ...entry, ino: nodes.length + 1, parent: parent.ino, top: 0 });
  }
  const saved: { repo: string; reads: readonly FirstRead[] }[] = [];
  const recorder = new Recorder({
    reader: isAway ? away : project.idleReader(1 << 20),
    shown: (ordinal) => view.shownAt(ordinal),
    load: async () => old,
    save: (repo, reads) => Promise.resolve(void saved.push({ repo, reads })),
  });
  const [, part, b, c] = nodes as [ViewNode, ViewNode, ViewNode, ViewNode];
  const nodeOf = (ino: number): ViewNode => nodes[ino - 1] as ViewNode;
  return { recorder, saved, part, b, c, root: nodes[0] as ViewNode, nodeOf };
}

test('paths are of the repo, also where a part is shown; what was known stays behind', async () => {
  const old: FirstRead[] = [
    { kind: 'file', path: '/z', from: 0, to: 10 },
    { kind: 'file', path: '/a/b/c', from: 4096, to: 8192 },
  ];
  const { recorder, saved, root, part, b, c, nodeOf } = await recorded(old);
  recorder.note({ kind: 'name', node: root, name: Buffer.from('part'), from: 0, to: 0 }, nodeOf);
  recorder.note({ kind: 'name', node: part, name: Buffer.from('absent'), from: 0, to: 0 }, nodeOf);
  recorder.note({ kind: 'list', node: b, from: 0, to: 1 }, nodeOf);
  recorder.note({ kind: 'file', node: c, from: 0, to: 4096 }, nodeOf);
  recorder.note({ kind: 'list', node: part, from: 0, to: 1 }, nodeOf);
  await recorder.end();
  expect(saved).toEqual([
    {
      repo: 'data',
      reads: [
        { kind: 'name', path: '/a/absent', from: 0, to: 0 },
        { kind: 'list', path: '/a/b', from: 0, to: 1 },
        { kind: 'file', path: '/a/b/c', from: 0, to: 8192 },
        { kind: 'list', path: '/a', from: 0, to: 1 },
        { kind: 'file', path: '/z', from: 0, to: 10 },
      ],
    },
  ]);
});

test('it is kept when readers are calm, and at the end only what is new', async () => {
  const { recorder, saved, part, c, nodeOf } = await recorded();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const turns = async (): Promise<void> => {
    for (let n = 0; n < 50; n += 1) await new Promise((done) => setImmediate(done));
  };
  for (let n = 0; n < 4; n += 1) {
    recorder.note({ kind: 'file', node: c, from: n * 4096, to: (n + 1) * 4096 }, nodeOf);
    await turns();
    vi.advanceTimersByTime(4000);
    await turns();
  }
  expect(saved).toEqual([]);
  vi.advanceTimersByTime(1000);
  await turns();
  expect(saved.map(({ reads }) => reads)).toEqual([[{ kind: 'file', path: '/a/b/c', from: 0, to: 16384 }]]);
  await recorder.end();
  expect(saved.length).toBe(1);
  recorder.note({ kind: 'list', node: part, from: 0, to: 1 }, nodeOf);
  await recorder.end();
  expect(saved.at(-1)?.reads.length).toBe(2);
});

test('who reads on and on is noted up to a limit', async () => {
  const { recorder, saved, part, nodeOf } = await recorded();
  for (let n = 0; n < 2 * readsMax; n += 1) {
    recorder.note({ kind: 'name', node: part, name: Buffer.from(`${n}`), from: 0, to: 0 }, nodeOf);
    await new Promise((done) => setImmediate(done));
  }
  await recorder.end();
  expect(saved[0]?.reads.length).toBe(readsMax);
  expect(saved[0]?.reads[0]?.path).toBe('/a/0');
});

test('a mount without readers leaves what is known, and none waits for long at its end', async () => {
  const idle = await recorded([{ kind: 'name', path: '/z', from: 0, to: 0 }]);
  await idle.recorder.end();
  expect(idle.saved).toEqual([]);
  const { recorder, saved, part, c, nodeOf } = await recorded([], true);
  recorder.note({ kind: 'list', node: part, from: 0, to: 1 }, nodeOf);
  recorder.note({ kind: 'file', node: c, from: 0, to: 4096 }, nodeOf);
  await recorder.end();
  expect(saved).toEqual([{ repo: 'data', reads: [{ kind: 'list', path: '/a', from: 0, to: 1 }] }]);
});
