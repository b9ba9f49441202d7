/**
 * Matches of a pattern in two versions, beside listing all there is and asking for each path.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileGlob } from '../../src/model/glob.ts';
import { parsePath, pathOf } from '../../src/model/paths.ts';
import type { TreeEntry } from '../../src/model/tree.ts';
import { Directories, sameContent, type Directory } from '../../src/versions/directories.ts';
import { matchFiles, type Match } from '../../src/versions/reading/match.ts';
import { collect, MemoryNodes, must } from '../model/nodes.ts';

const nodes = new MemoryNodes();
const directories = new Directories(nodes, nodes);

const path = fc.array(fc.constantFrom('a', 'b', 'c.x', 'é'), { minLength: 1, maxLength: 3 });
const files = fc.uniqueArray(fc.record({ path, text: fc.constantFrom('1', '2') }), {
  maxLength: 12,
  selector: ({ path: names }) => names.join('/'),
});
const patterns = ['/', '/*', '/**', '/*/*', '/a', '/a/*', '/a/**', '/**/*.x', '/{a,b/a}', '/?/*', '/a/b/c.x', '/a**'];

/** Files whose names are taken by directories, or the other way, are left out. */
async function treeOf(all: readonly { readonly path: readonly string[]; readonly text: string }[]): Promise<Directory> {
  let root = await directories.apply(undefined, []);
  for (const { path: names, text } of all) {
    const name = Buffer.from(must(names.at(-1)));
    const content = { form: 'inline' as const, bytes: Buffer.from(text) };
    const file = { name, kind: 'file' as const, executable: false, mtimeSeconds: 0, mtimeNanoseconds: 0, content };
    const at = parsePath(names.join('/'));
    if (await directories.find(root, at)) continue;
    root = await directories.set(root, at, file, 0).catch(() => root);
  }
  return root;
}

async function everything(root: Directory): Promise<Map<string, TreeEntry>> {
  const found = new Map<string, TreeEntry>();
  const add = async (names: readonly Buffer[], entry: TreeEntry): Promise<void> => {
    found.set(pathOf(names), entry);
    if (entry.content.form !== 'directory') return;
    for await (const below of directories.reader(entry.content).items()) await add([...names, below.name], below);
  };
  await add([], must(await directories.find(root, [])));
  return found;
}

test('matches are what asking for each path would find, and changes those that differ', async () => {
  await fc.assert(
    fc.asyncProperty(files, files, fc.constantFrom(...patterns), async (first, second, pattern) => {
      const glob = compileGlob(pattern);
      const [before, after] = [await treeOf(first), await treeOf(second)];
      const [old, now] = [await everything(before), await everything(after)];
      const meant = (entry?: TreeEntry): TreeEntry | undefined =>
        glob.filesOnly && entry?.kind === 'directory' ? undefined : entry;
      const expected = [...new Set([...old.keys(), ...now.keys()])]
        .filter((at) => glob.matches(at))
        .map((at): Match => ({ path: at, before: meant(old.get(at)), after: meant(now.get(at)) }))
        .filter((match) => match.before ?? match.after)
        .toSorted((a, b) => Buffer.compare(walkKey(a.path), walkKey(b.path)));
      const all = await collect(matchFiles(directories, { glob, before, after, which: 'all' }));
      expect(all).toEqual(expected);
      expect(await collect(matchFiles(directories, { glob, before, after, which: 'changed' }))).toEqual(
        expected.filter((match) => !match.before || !match.after || !sameContent(match.before, match.after)),
      );
      expect(await collect(matchFiles(directories, { glob, before: undefined, after, which: 'all' }))).toEqual(
        expected.filter((match) => match.after).map(({ path: at, after: entry }) => ({ path: at, after: entry })),
      );
    }),
    { numRuns: 300 },
  );
});

/** As directories are walked: what lies in one comes right after it. */
function walkKey(at: string): Buffer {
  return Buffer.from(at.replaceAll('/', '\0'));
}
