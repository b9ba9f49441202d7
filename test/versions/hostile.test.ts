/**
 * Stores that somebody has damaged or written by hand: whatever lies in them, readers and writers
 * end with a result or an error of ours, and nothing is written where it does not belong.
 */
import { randomInt } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { native } from '../../src/base/native.ts';
import { Writer } from '../../src/model/bytes.ts';
import { parseAddress } from '../../src/model/address.ts';
import type { Hash, Ref } from '../../src/model/refs.ts';
import { treeFormat, type TreeEntry } from '../../src/model/tree.ts';
import { encodeItems } from '../../src/model/ordered-format.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/store.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { Files } from '../../src/versions/reading/files.ts';
import type { Project } from '../../src/versions/project.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import type { Upload } from '../../src/versions/upload.ts';
import { Place } from '../support/place.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

function putText(project: Project, path: string, text: string | Uint8Array): Promise<unknown> {
  const sources = [{ kind: 'stream' as const, stream: streamOf(text) }];
  return putFiles(project, { repo: 'data', branch: 'master', message: '', sources, target: path, watch: silent });
}

/** Reads all there is: refs, history, trees, bytes. */
async function readAll(project: Project): Promise<void> {
  const snapshot = await project.snapshot();
  for await (const repo of snapshot.repos()) for await (const _ of snapshot.branches(repo.name));
  const commit = await resolveCommit(snapshot, parseAddress('data'));
  for await (const each of snapshot.ancestors(commit)) expect(each.id).toHaveLength(32);
  const files = new Files(project.reader, rootOf(commit), 'data');
  for await (const file of files.list('/', true)) {
    if (file.entry.kind === 'directory') continue;
    for await (const _ of files.read(file.entry));
  }
}

async function objectsOf(store: Store): Promise<Map<string, Buffer>> {
  const objects = new Map<string, Buffer>();
  for await (const { key, size } of store.list('')) objects.set(key, Buffer.from(await store.read(key, 0, size)));
  return objects;
}

async function storeOf(objects: ReadonlyMap<string, Buffer>): Promise<Store> {
  const store = new MemoryStore();
  for (const [key, bytes] of objects) await store.writeIfAbsent(key, [bytes]);
  return store;
}

/** Bytes that are not to be had by cutting: the same at each run for the same seed. */
function noise(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0, state = seed * 2 + 1; at < length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

test('a wrong, missing or short object anywhere ends in an error of ours, or does not matter', async () => {
  const seed = Number(process.env['SEED'] ?? randomInt(2 ** 31));
  console.log(`SEED=${seed}`);
  let state = seed;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
  const { project, store } = await makeTestProject();
  // Enough changes for a segment; and a file of several chunks, a tree of several folders.
  for (let i = 0; i < 34; i += 1) await putText(project, `/d${i % 3}/f${i}`, noise(300, i));
  await putText(project, '/d0/big', noise(2_500_000, 99));
  const objects = await objectsOf(store);
  const kinds = new Set([...objects.keys()].map((key) => key.split('/')[2] ?? key));
  expect([...kinds].sort()).toEqual(['data', 'head', 'meta', 'pachmount', 'segments']);
  await readAll(openTestProject(await storeOf(objects)));

  const keys = [...objects.keys()];
  const outcomes = { same: 0, refused: 0 };
  for (let round = 0; round < 200; round += 1) {
    // The head is the one object that no hash protects: it gets half of the rounds.
    const key = (round % 2 ? keys[next(keys.length)] : 'projects/default/head') as string;
    const bytes = Buffer.from(objects.get(key) as Buffer);
    const how = next(10);
    const changed = new Map(objects);
    const at = next(bytes.length);
    bytes[at] = ((bytes[at] as number) + 1 + next(255)) % 256;
    if (how === 0) changed.delete(key);
    else changed.set(key, how === 1 ? bytes.subarray(0, at) : bytes);
    const hurt = openTestProject(await storeOf(changed));
    for (const work of [() => readAll(hurt), () => putText(hurt, '/d1/new', noise(300, 5))]) {
      try {
        await work();
        outcomes.same += 1;
      } catch (error) {
        if (!isPachError(error, 'damaged', 'unsupported', 'not-found')) {
          throw new Error(`round ${round}: ${key}, byte ${at}, way ${how}`, { cause: error });
        }
        outcomes.refused += 1;
      }
    }
  }
  expect(outcomes.refused).toBeGreaterThan(60);
  expect(outcomes.same).toBeGreaterThan(20);
});

/** Commits a tree of which only its bytes are known, to the store that `place` uses. */
async function commitTree(
  place: Place,
  make: (upload: Upload) => Promise<{ readonly refs: readonly Ref[]; readonly body: Buffer }>,
): Promise<void> {
  const project = openTestProject(await openStore(place.store));
  const begun = await project.begin();
  const { upload } = begun;
  const { refs, body } = await make(upload);
  const ref = await upload.nodes.add({ kind: 'tree', level: 0, refs, body });
  const contentHash = native().hash('plain', body) as Hash;
  await project.update(
    'by hand',
    (change) =>
      change.commit({
        id: newCommitId(),
        repo: 'data',
        branch: 'master',
        tree: { form: 'directory', ref, contentHash, files: 1, bytes: 1 },
        message: '',
        started: 0,
      }),
    begun,
  );
}

function entry(name: string, content: TreeEntry['content'], more: Partial<TreeEntry> = {}): TreeEntry {
  const kind = content.form === 'directory' ? 'directory' : 'file';
  return {
    name: Buffer.from(name),
    kind,
    executable: false,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    content,
    ...more,
  };
}

/** A leaf as a writer that checks nothing would make it: each item an inline file `x`. */
function leafOf(names: readonly string[], counted = names.length): Buffer {
  const writer = new Writer();
  writer.varint(counted);
  for (const name of names) {
    writer.varint(0);
    writer.bytes(Buffer.from(name));
    writer.u8(0);
    writer.varint(0);
    writer.varint(0);
    writer.bytes(Buffer.from('x'));
  }
  return writer.finish();
}

test('trees that no program of ours writes: exit code 6, and nothing outside of the target', async () => {
  await using place = await Place.make('root');
  await place.must('mkdir outside && pach create repo data');
  const refused: [string, Parameters<typeof commitTree>[1]][] = [
    ...['../outside/evil', '/etc/evil', '..', '.', '', 'a\0b', 'n'.repeat(256)].map(
      (name): [string, Parameters<typeof commitTree>[1]] => [
        `name ${JSON.stringify(name).slice(0, 30)}`,
        () => Promise.resolve({ refs: [], body: leafOf([name]) }),
      ],
    ),
    ['one name twice', () => Promise.resolve({ refs: [], body: leafOf(['a', 'a']) })],
    ['names out of order', () => Promise.resolve({ refs: [], body: leafOf(['b', 'a']) })],
    ['a huge count', () => Promise.resolve({ refs: [], body: leafOf(['a'], 2 ** 40) })],
    ['bytes that follow', () => Promise.resolve({ refs: [], body: Buffer.concat([leafOf(['a']), Buffer.alloc(9)]) })],
    [
      'a folder that is a list',
      async (upload) => {
        const ref = await upload.nodes.add({ kind: 'list', level: 0, refs: [], body: Buffer.from([1, 3]) });
        const contentHash = Buffer.alloc(32) as Hash;
        return encodeItems(treeFormat, [entry('d', { form: 'directory', ref, contentHash, files: 1, bytes: 1 })]);
      },
    ],
    [
      'a file that is longer than its chunk',
      async (upload) => {
        const bytes = noise(1000, 1);
        const [ref] = await upload.data.add([{ hash: native().hash('plain', bytes) as Hash, bytes }]);
        return encodeItems(treeFormat, [entry('short', { form: 'chunk', size: 2000, ref: ref as Ref })]);
      },
    ],
    [
      'a bomb: a chunk that grows far beyond what one may have',
      async (upload) => {
        const bytes = Buffer.alloc(256 << 20);
        Object.assign(upload.data, { bytesMax: bytes.length }); // as a writer that checks nothing
        const [ref] = await upload.data.add([{ hash: native().hash('plain', bytes) as Hash, bytes }]);
        return encodeItems(treeFormat, [entry('bomb', { form: 'chunk', size: 4 << 20, ref: ref as Ref })]);
      },
    ],
    [
      'a chunk that was never stored',
      () => {
        const ref: Ref = { type: 'chunk', hash: Buffer.alloc(32, 7) as Hash };
        return Promise.resolve(encodeItems(treeFormat, [entry('gone', { form: 'chunk', size: 2000, ref })]));
      },
    ],
  ];
  for (const [what, make] of refused) {
    await commitTree(place, make);
    const got = await place.run('ulimit -v 4000000; rm -rf out; pach get file data:/ -r -o out');
    expect({ what, code: got.code, stderr: got.stderr }).toEqual({
      what,
      code: 6,
      stderr: expect.stringMatching(/^pach: .+: .+/) as string,
    });
    expect(got.stderr).not.toMatch(/\n\s+at |unexpected/);
    // A file that is not whole does not stand there under its name.
    expect(await readdir(join(place.dir, 'out')).catch(() => [])).toEqual(what.startsWith('a folder') ? ['d'] : []);
  }
  expect(await place.must('ls outside; ls -A | sort')).toBe('home\nout\noutside\n');
});

test('times at the ends of the world and links to anywhere are only what they are', async () => {
  await using place = await Place.make('root');
  await place.must('mkdir outside && pach create repo data');
  const inline = (text: string): TreeEntry['content'] => ({ form: 'inline', bytes: Buffer.from(text) });
  await commitTree(place, () =>
    Promise.resolve(
      encodeItems(treeFormat, [
        entry('early', inline('x'), { mtimeSeconds: -(2 ** 51) }),
        entry('late', inline('x'), { mtimeSeconds: 2 ** 51 }),
        entry('link', inline('../outside/f'), { kind: 'symlink' }),
      ]),
    ),
  );
  const listed = await place.must('pach list file data -o json');
  expect(listed.split('\n').filter(Boolean)).toHaveLength(3);
  await place.must('pach get file data:/ -r -o out && pach get file data:/ -r -o out');
  expect(await place.must('ls out; readlink out/link; ls outside')).toBe('early\nlate\nlink\n../outside/f\n');
  // A version that has a folder where the one before had a link out of the tree.
  await mkdir(join(place.dir, 'src/link'), { recursive: true });
  await writeFile(join(place.dir, 'src/link/f'), 'inside');
  await place.must('pach delete file data:/link && pach put file data@master -r -f src/');
  const over = await place.run('pach get file data:/ -r -o out');
  expect({ code: over.code, stderr: over.stderr }).toMatchObject({
    code: 4,
    stderr: expect.stringMatching(/out\/link: it is not a folder, and a folder must be written there/) as string,
  });
  expect(await place.must('ls outside')).toBe('');
});
