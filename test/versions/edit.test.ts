import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { parsePath, textOfName } from '../../src/model/paths.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { commitEdit, type Edit, type EditResult, type Precondition } from '../../src/versions/edit.ts';
import { storeStream } from '../../src/versions/content.ts';
import { decodeOperation } from '../../src/model/records/operation.ts';
import type { Project } from '../../src/versions/project.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';
import { contentOf } from './simulation-check.ts';

const master = { repo: 'data', branch: 'master', message: 'why' };

/** Sets files to these contents; null removes one. `first` comes before. */
function edits(files: Readonly<Record<string, string | null>>, first?: () => Promise<unknown>): Edit {
  return async (directories, base, upload) => {
    await first?.();
    let root = base;
    for (const [path, text] of Object.entries(files)) {
      const names = parsePath(path);
      const content = text !== null && (await storeStream(upload, streamOf(text)));
      const entry = content && {
        name: names.at(-1)!,
        kind: 'file' as const,
        executable: false,
        mtimeSeconds: 1,
        mtimeNanoseconds: 0,
        content,
      };
      root = await directories.set(root, names, entry || undefined, 0);
    }
    return root;
  };
}

async function edit(
  project: Project,
  files: Readonly<Record<string, string | null>>,
  precondition: Precondition = { kind: 'none' },
  first?: () => Promise<unknown>,
): Promise<EditResult> {
  return (await commitEdit(project, { ...master, precondition }, edits(files, first))).result;
}

function idOf(result: EditResult): CommitId {
  if (result.kind === 'conflicts') throw new Error('there are conflicts');
  return result.commit.id;
}

async function filesNow(store: Store): Promise<Readonly<Record<string, string>>> {
  const project = openTestProject(store);
  const snapshot = await project.snapshot();
  const { head } = await snapshot.branch('data', 'master');
  return contentOf(project, await snapshot.commitAt(head!.commit));
}

/** Paths and what lies there now: the size of a file, or nothing. */
function shown(result: EditResult): readonly string[] {
  if (result.kind === 'committed') return ['committed'];
  return result.conflicts.map((conflict) => {
    if (conflict.kind === 'head') return `head ${conflict.commit ?? 'none'}`;
    return `/${conflict.path.map(textOfName).join('/')} ${conflict.entry?.kind ?? 'nothing'}`;
  });
}

test('an edit says who made it, when and why, and so do its commit and its operation', async () => {
  const { project } = await makeTestProject();
  const by = { ...master, author: 'somebody', started: 1_234_567 };
  const { result } = await commitEdit(project, by, edits({ '/a': 'a' }));
  expect(result).toMatchObject({
    kind: 'committed',
    isUnchanged: false,
    commit: { author: 'somebody', started: 1_234_567, message: 'why' },
  });
  const { head } = await project.load();
  expect(decodeOperation((await project.reader.node(head.operationRef)).body).who).toBe('somebody');
  const own = await edit(project, { '/b': 'b' });
  expect(own).toMatchObject({ commit: { author: 'tester' } });
  expect(await edit(project, { '/b': 'b' })).toMatchObject({ isUnchanged: true, commit: { id: idOf(own) } });
});

test('the branch must be at a commit where an edit wants it so', async () => {
  const { project, store } = await makeTestProject();
  const first = idOf(await edit(project, { '/a': '1' }, { kind: 'head', commit: undefined }));
  expect(shown(await edit(project, { '/a': '2' }, { kind: 'head', commit: undefined }))).toEqual([`head ${first}`]);
  const at = { kind: 'head', commit: first } as const;
  // Somebody else is faster: the head that counts is the one that the change would be made on.
  const other = () => edit(openTestProject(store), { '/b': '1' });
  const lost = await edit(project, { '/a': '3' }, at, other);
  expect(shown(lost)).toEqual([`head ${(await headNow(project))!}`]);
  expect(await filesNow(store)).toEqual({ '/a': '1', '/b': '1' });
  expect(shown(await edit(project, { '/a': '4' }, { kind: 'head', commit: await headNow(project) }))).toEqual([
    'committed',
  ]);
});

async function headNow(project: Project): Promise<CommitId | undefined> {
  return (await (await project.snapshot()).branch('data', 'master')).head?.id;
}

test('what an edit changes must be as it was: all conflicts are told, and nothing is changed', async () => {
  const { project, store } = await makeTestProject();
  const base = idOf(await edit(project, { '/a': '1', '/b': '1', '/d/c': '1', '/d/e': '1', '/gone': '1' }));
  const theirs = { '/a': '2', '/d/c': '2', '/gone': null, '/new': '2' };
  const mine = { '/a': '3', '/b': '3', '/d/c': '3', '/d/e': '3', '/gone': '3', '/new': '3' };
  const other = () => edit(openTestProject(store), theirs);
  const found = ['/a file', '/d/c file', '/gone nothing', '/new file'];
  expect(shown(await edit(project, mine, { kind: 'paths' }, other))).toEqual(found);
  // A commit of old may be what it is held against, and then it is what is edited.
  expect(shown(await edit(project, mine, { kind: 'paths', commit: base }))).toEqual(found);
  expect(await filesNow(store)).toEqual({ '/a': '2', '/b': '1', '/d/c': '2', '/d/e': '1', '/new': '2' });
  const apart = await edit(project, { '/b': '3', '/d/e': null }, { kind: 'paths', commit: base });
  expect(shown(apart)).toEqual(['committed']);
  expect(await filesNow(store)).toEqual({ '/a': '2', '/b': '3', '/d/c': '2', '/new': '2' });
  const unknown = { kind: 'paths', commit: 'f'.repeat(32) as CommitId } as const;
  await expect(edit(project, { '/b': '4' }, unknown)).rejects.toMatchObject({ code: 'not-found' });
});

/** A memory store whose writes of packs begin, and end only when they are let go. */
class SlowStore extends MemoryStore {
  isSlow = false;
  begun = 0;
  running = 0;
  /** Resolves once so many writes have begun. */
  private waiting: { count: number; go: () => void } | undefined;
  private held: (() => void)[] = [];

  reached(count: number): Promise<void> {
    return new Promise((go) => {
      this.waiting = { count, go };
      this.look();
    });
  }

  letGo(): void {
    this.isSlow = false;
    for (const go of this.held.splice(0)) go();
  }

  override writeIfAbsent(...of: Parameters<MemoryStore['writeIfAbsent']>): Promise<boolean> {
    return this.count(() => super.writeIfAbsent(...of));
  }

  override writeIfUnchanged(
    ...of: Parameters<MemoryStore['writeIfUnchanged']>
  ): ReturnType<MemoryStore['writeIfUnchanged']> {
    return this.count(() => super.writeIfUnchanged(...of));
  }

  private async count<T>(write: () => Promise<T>): Promise<T> {
    this.begun += 1;
    this.running += 1;
    this.look();
    try {
      if (this.isSlow) await new Promise<void>((go) => this.held.push(go));
      return await write();
    } finally {
      this.running -= 1;
    }
  }

  private look(): void {
    if (this.waiting && this.begun >= this.waiting.count) this.waiting.go();
  }
}

test('an edit that is broken off leaves no write running, and begins none any more', async () => {
  const inner = new SlowStore();
  const { project } = await makeTestProject(inner);
  const stop = new AbortController();
  inner.isSlow = true;
  inner.begun = 0;
  // A pack that is being stored, and a part of the next one.
  async function* parts(): AsyncGenerator<Uint8Array> {
    for (let n = 0; n < 7; n += 1) yield randomBytes(4 << 20);
    await inner.reached(1);
    stop.abort(new Error('stop'));
    for (;;) yield randomBytes(1 << 20);
  }
  const sources = [{ kind: 'stream' as const, stream: parts() }];
  const watch = { ...silent, signal: stop.signal };
  const put = putFiles(project, { ...master, sources, target: '/big', watch });
  let state = 'running';
  const ended = put.then(
    () => (state = 'done'),
    (error: unknown) => (state = error === stop.signal.reason ? 'stopped' : 'failed'),
  );
  await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
  // It has nothing more to do than to wait for what is under way.
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(state).toBe('running');
  inner.letGo();
  await ended;
  expect({ state, running: inner.running }).toEqual({ state: 'stopped', running: 0 });
  const { begun } = inner;
  for (let turn = 0; turn < 1000; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect({ begun: inner.begun, running: inner.running }).toEqual({ begun, running: 0 });
});
