/**
 * What a difference costs: what differs, whatever the versions hold beside it.
 */
import { expect, test } from 'vitest';
import { fileTime } from '../../src/base/file-time.ts';
import { traceStore } from '../../src/store/trace.ts';
import { commitEdit } from '../../src/versions/edit.ts';
import type { DirectoryEdit } from '../../src/versions/directories.ts';
import type { Project } from '../../src/versions/project.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { parentOf } from '../../src/versions/reading/history.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { parseAddress } from '../../src/model/address.ts';
import { makeTestProject, openTestProject } from './project.ts';

const folders = 100;
const filesInFolder = 1000;

function file(name: number, text: string): DirectoryEdit & { name: Buffer } {
  const content = { form: 'inline', bytes: Buffer.from(text) } as const;
  const key = Buffer.from(String(name).padStart(4, '0'));
  return { name: key, kind: 'file', executable: false, ...fileTime(0), content };
}

/** One commit that sets files, by folder. */
async function set(project: Project, files: ReadonlyMap<number, readonly DirectoryEdit[]>): Promise<void> {
  await commitEdit(project, { repo: 'data', branch: 'master', message: '' }, async (directories, base) => {
    const edits: DirectoryEdit[] = [];
    for (const [folder, own] of [...files].toSorted(([a], [b]) => a - b)) {
      const name = Buffer.from(String(folder).padStart(4, '0'));
      const there = base && (await directories.find(base, [name]));
      const before = there?.content.form === 'directory' ? there.content : undefined;
      const content = await directories.apply(before, own);
      edits.push({ name, kind: 'directory', executable: false, ...fileTime(0), content });
    }
    return directories.apply(base, edits);
  });
}

test('of 100,000 files ten that changed cost few reads, and no more than what leads to them', async () => {
  const { project, store } = await makeTestProject();
  const all = Array.from({ length: filesInFolder }, (_, n) => file(n, `content ${n}`));
  await set(project, new Map(Array.from({ length: folders }, (_, n) => [n, all] as const)));
  const costs: { where: string; nodes: number; reads: number }[] = [];
  for (const [where, changed] of [
    ['in one folder', new Map([[7, Array.from({ length: 10 }, (_, n) => file(n, 'changed'))]])],
    ['in ten folders', new Map(Array.from({ length: 10 }, (_, n) => [n * 9, [file(n * 90, 'changed')]] as const))],
  ] as const) {
    await set(project, changed);
    const { store: traced, counts } = traceStore(store);
    const other = openTestProject(traced);
    const snapshot = await other.snapshot();
    const after = await resolveCommit(snapshot, parseAddress('data'));
    const before = await parentOf(snapshot, after);
    counts.reset();
    const { reader } = other;
    let nodes = 0;
    const node = reader.node.bind(reader);
    reader.node = (ref) => {
      nodes += 1;
      return node(ref);
    };
    const paths: string[] = [];
    const old = before && new Files(reader, rootOf(before), '');
    for await (const { path } of new Files(reader, rootOf(after), '').diff(old, '/')) paths.push(path);
    expect(paths).toHaveLength(10);
    costs.push({ where, nodes, reads: counts.count() });
  }
  // Of both versions: the root, and the folders that differ.
  expect(costs).toMatchObject([
    { where: 'in one folder', nodes: 4 },
    { where: 'in ten folders', nodes: 22 },
  ]);
  expect(Math.max(...costs.map(({ reads }) => reads))).toBeLessThan(10);
});
