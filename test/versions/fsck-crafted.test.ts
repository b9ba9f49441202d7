/**
 * Versions, branches and trees that say what is not so, made by the model's own encoders.
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import { mapFormat } from '../../src/model/map.ts';
import { encodeNode, type Node } from '../../src/model/node.ts';
import { applyEdits } from '../../src/model/ordered-edit.ts';
import { encodeCommit, type CommitId } from '../../src/model/records/commit.ts';
import { encodeCommitEntry } from '../../src/model/records/refs.ts';
import type { Hash, Ref } from '../../src/model/refs.ts';
import type { FileContent } from '../../src/model/tree.ts';
import { packKey } from '../../src/model/keys.ts';
import { newCommitId, type Change } from '../../src/versions/change.ts';
import { Directories } from '../../src/versions/directories.ts';
import type { Project } from '../../src/versions/project.ts';
import { commitKey, timeKey } from '../../src/versions/ref-keys.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf, type Commit } from '../../src/versions/snapshot.ts';
import type { Upload } from '../../src/versions/upload.ts';
import { big, check, errors, filled, flip, packKeys, type Filled } from './fsck-store.ts';

/** Publishes what `apply` does. */
async function by(project: Project, apply: (change: Change, upload: Upload) => Promise<void>): Promise<void> {
  const begun = await project.begin();
  await project.update('by hand', (change) => apply(change, begun.upload), begun);
}

/** Publishes a commit to branch `x` whose only file has this content. Resolves to its id. */
async function commitFile({ project }: Filled, content: (upload: Upload) => Promise<FileContent>): Promise<CommitId> {
  const id = newCommitId();
  await by(project, async (change, upload) => {
    const entry = {
      name: Buffer.from('f'),
      kind: 'file' as const,
      executable: false,
      mtimeSeconds: 0,
      mtimeNanoseconds: 0,
    };
    const tree = await new Directories(project.reader, upload.nodes).apply(undefined, [
      { ...entry, content: await content(upload) },
    ]);
    await change.commit({ id, repo: 'data', branch: 'x', tree, message: '', started: 0 });
  });
  return id;
}

async function newest(project: Project, address = 'data'): Promise<Commit> {
  return resolveCommit(await project.snapshot(), parseAddress(address));
}

/** What the newest commit says of `/big`. */
async function bigContent(project: Project): Promise<FileContent & { readonly form: 'list' }> {
  const root = rootOf(await newest(project));
  const content = (await new Directories(project.reader).find(root, [Buffer.from('big')]))?.content;
  if (content?.form !== 'list') throw new Error('/big is a list');
  return content;
}

test('totals and hashes that a commit only says are computed anew', async () => {
  const { project, store } = await filled();
  const root = rootOf(await newest(project));
  const wrong = [
    { ...root, bytes: root.bytes + 1 },
    { ...root, files: 7 },
    { ...root, contentHash: randomBytes(32) as Hash },
  ];
  for (const [n, tree] of wrong.entries()) {
    const id = newCommitId();
    await by(project, async (change) => {
      await change.commit({ id, repo: 'data', branch: 'x', tree, message: '', started: 0 });
    });
    const { findings } = await check(store);
    expect(findings).toHaveLength(n + 1);
    expect(findings.some(({ affects }) => affects.includes(`data@${id}:/`))).toBe(true);
    for (const { why } of findings) expect(why).toMatch(/^what refers to it says \d+ files, \d+ bytes, content/);
  }
});

test('lengths of files: of lists, their parts, and chunks', async () => {
  const all = await filled();
  const { project, store } = all;
  const list = await bigContent(project);
  const { refs, body } = await project.reader.node(list.ref);
  const [chunk] = refs as [Ref];
  const cases: ((upload: Upload) => Promise<FileContent>)[] = [
    async () => ({ ...list, size: big.length - 1 }),
    async () => ({ ...list, size: big.length + 1 }),
    async () => ({ form: 'chunk', size: 4711, ref: chunk }),
    // A list with other chunks than its lengths are those of.
    async ({ nodes }) => {
      const node: Node = { kind: 'list', level: 0, refs: refs.toReversed(), body };
      return { form: 'list', size: big.length, ref: await nodes.add(node) };
    },
  ];
  for (const make of cases) {
    const before = (await check(store)).findings.length;
    const id = await commitFile(all, make);
    const { findings } = await check(store);
    const own = findings.filter(({ affects }) => affects.includes(`data@${id}:/f`));
    expect(findings.length).toBeGreaterThan(before);
    expect(own.length).toBeGreaterThan(0);
  }
  expect((await check(store, 1)).checked.commits).toBe(7);
});

test('a part of a directory with other totals than its parent says', async () => {
  const { project, store } = await filled();
  const id = newCommitId();
  await by(project, async (change, upload) => {
    const content = { form: 'inline' as const, bytes: Buffer.from('x') };
    const entry = { kind: 'file' as const, executable: false, mtimeSeconds: 0, mtimeNanoseconds: 0, content };
    const entries = Array.from({ length: 5000 }, (_, n) => ({ ...entry, name: Buffer.from(String(n + 10_000)) }));
    const tree = await new Directories(project.reader, upload.nodes).apply(undefined, entries);
    const node = await upload.nodes.add(await wrongSummary(project, tree.ref));
    await change.commit({ id, repo: 'data', branch: 'x', tree: { ...tree, ref: node }, message: '', started: 0 });
  });
  const { findings } = await check(store);
  expect(findings.length).toBeGreaterThan(0);
  expect(findings[0]?.why).toMatch(/^what refers to it says/);
  for (const { affects } of findings) expect(affects).toEqual([`data@${id}:/`]);
});

/** An inner node that names another content hash for its first part. */
async function wrongSummary(project: Project, ref: Ref): Promise<Node> {
  const node = await project.reader.node(ref);
  expect(node.level).toBe(1);
  const body = Buffer.from(node.body);
  // Count (varint of one byte), shared, length and bytes of the first key, then the hash.
  const at = 3 + body.readUInt8(2);
  body.writeUInt8(body.readUInt8(at) ^ 1, at);
  return { ...node, body };
}

test('nodes of a wrong kind or form', async () => {
  const all = await filled();
  const { project, store } = all;
  const list = await bigContent(project);
  // A tree where a list must be.
  const { tree } = await newest(project);
  const first = await commitFile(all, async () => ({ form: 'list', size: big.length, ref: tree }));
  expect((await check(store)).findings).toMatchObject([{ affects: [`data@${first}:/f`] }]);
  // A list that is none, which no version needs: it is known, so that a writer may find it.
  const bad: Node = { kind: 'list', level: 0, refs: [], body: Buffer.from([7]) };
  await by(project, async (change, { nodes }) => {
    await nodes.add(bad);
    change.setRepo({ name: 'other', created: 0, description: '' });
  });
  const hash = encodeNode(bad).hash.toString('hex');
  expect(errors(await check(store)).some((each) => each.startsWith(`list ${hash}`))).toBe(true);
  expect(list.size).toBe(big.length);
});

test('branches and commits that do not fit together', async () => {
  const { project, store, commits } = await filled();
  const snapshot = await project.snapshot();
  const master = await snapshot.branch('data', 'master');
  const dev = await snapshot.branch('data', 'dev');
  const [one, two, three] = (await Promise.all(commits.map((id) => newest(project, `data@${id}`)))) as [
    Commit,
    Commit,
    Commit,
  ];
  const masterHead = master.head as NonNullable<typeof master.head>;
  const devHead = dev.head as NonNullable<typeof dev.head>;
  const rewritten = async ({ nodes }: Upload, of: Commit, changes: Partial<Commit>): Promise<Ref> => {
    return nodes.add({ kind: 'commit', level: 0, refs: [of.tree], body: encodeCommit({ ...of, ...changes }) });
  };
  const entry = (change: Change, id: string, ref: Ref): void => {
    change.set({ key: commitKey('data', id), value: encodeCommitEntry(), refs: [ref] });
  };
  const cases: Record<string, (change: Change, upload: Upload) => Promise<void> | void> = {
    [`data@y: its head is not the last of its commits`]: (change) =>
      change.setBranch({ ...master, name: 'y', head: { ...masterHead, index: devHead.index } }),
    [`data@y: its head has another tree than its commit`]: (change) =>
      change.setBranch({ ...master, name: 'y', head: { ...masterHead, tree: one.tree } }),
    [`none@y: there is no such repo`]: (change) => change.setBranch({ ...master, repo: 'none', name: 'y' }),
    [`data@y: its commit ${three.id} has a wrong time`]: async (change, { nodes: sink }) => {
      // The last one: a millisecond after another may be the next one's time.
      const items = [one, two, three].map((commit) => ({
        key: timeKey(commit.finished + (commit === three ? 1 : 0)),
        value: Buffer.from(commit.id, 'hex'),
        refs: [commit.ref],
      }));
      const edits = items.map((item) => ({ key: item.key, item }));
      const { ref } = await applyEdits({ source: project.reader, sink }, mapFormat, undefined, edits);
      change.setBranch({ ...master, name: 'y', head: { ...masterHead, index: ref } });
    },
    [`data@y: its commit ${three.id} does not follow ${one.id}`]: async (change) =>
      change.setBranch({ ...master, name: 'y', head: { ...masterHead, index: await change.indexOf([one, three]) } }),
    [`data@master: its commit ${two.id} has a different hash than the commit with that id`]: async (change, upload) =>
      entry(change, two.id, await rewritten(upload, two, { message: 'other' })),
    [`data@${'0'.repeat(32)}: it names itself data@${two.id}`]: (change) => entry(change, '0'.repeat(32), two.ref),
    [`data@${'0'.repeat(32)}: its entry does not lead to a commit`]: (change) =>
      entry(change, '0'.repeat(32), two.tree),
    [`data@${'0'.repeat(32)}: its parent ${'f'.repeat(32)} is not a commit of the repo`]: async (change, upload) => {
      const changes = { id: '0'.repeat(32) as CommitId, parent: 'f'.repeat(32) as CommitId };
      entry(change, changes.id, await rewritten(upload, two, changes));
    },
    [`data@master: its commit ${one.id} is missing from the repo or can't be read`]: (change) =>
      change.delete(commitKey('data', one.id)),
  };
  const { head } = await project.load();
  for (const [expected, apply] of Object.entries(cases)) {
    await by(project, async (change, upload) => apply(change, upload));
    expect(errors(await check(store))).toContain(expected);
    const { head: now, token } = await project.load();
    const { refs, operation, operationRef } = head;
    await project.replace(token, { ...now, refs, operation, operationRef });
    expect((await check(store)).findings).toEqual([]);
  }
  await by(project, (change) =>
    Promise.resolve(change.set({ key: Buffer.from('thing/1'), value: Buffer.alloc(0), refs: [] })),
  );
  expect((await check(store)).findings).toMatchObject([{ severity: 'warning', what: 'the ref thing/1' }]);
});

test('a part of the refs that can not be read hides no other', async () => {
  const { project, store } = await filled();
  await by(project, async (change) => {
    for (let n = 0; n < 1000; n += 1) change.setRepo({ name: `repo-${n}`, created: 0, description: '' });
  });
  const root = await project.reader.node((await project.load()).head.refs);
  expect(root.level).toBeGreaterThan(0);
  const place = root.refs.at(-1)?.place;
  if (!place) throw new Error('a part has a place');
  await flip(store, packKey('default', 'meta', place.pack), place.offset + 5);
  const { findings, checked } = await check(store);
  expect(findings).toHaveLength(1);
  expect(findings[0]?.affects).toEqual(['project default']);
  expect(checked.commits).toBe(3);
  expect((await packKeys(project, 'meta')).length).toBeGreaterThan(3);
});
