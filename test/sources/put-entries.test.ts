/**
 * Entries in any order become a version: what replaces what, and what must not meet.
 */
import { expect, test } from 'vitest';
import type { EntrySource, SourceEntry } from '../../src/sources/source.ts';
import { Directories } from '../../src/versions/directories.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { putEntries } from '../../src/versions/writing/put-entries.ts';
import { headOf } from './head.ts';
import { makeTestProject, silent, streamOf, type TestProject } from '../versions/project.ts';

const names = (path: string): Buffer[] => path.split('/').map((name) => Buffer.from(name));
const time = { mtimeSeconds: 1000, mtimeNanoseconds: 5 };

function file(path: string, text: string, stop?: () => Promise<void>): SourceEntry {
  const open = async () => {
    await stop?.();
    return { executable: false, ...time, bytes: streamOf(text) };
  };
  return { kind: 'file', path: names(path), shown: path, size: text.length, open };
}
const folder = (path: string): SourceEntry => ({ kind: 'directory', path: names(path), shown: path, ...time });
const symlink = (path: string, target: string): SourceEntry => ({
  kind: 'symlink',
  path: names(path),
  shown: path,
  target: Buffer.from(target),
  ...time,
});
const link = (path: string, target: string): SourceEntry => ({
  kind: 'link',
  path: names(path),
  shown: path,
  target: names(target),
});

function source(...entries: readonly SourceEntry[]): EntrySource {
  return {
    kind: 'entries',
    ahead: 4,
    entries: async function* () {
      yield* entries;
    },
  };
}

function put(made: TestProject, entries: EntrySource, target = '') {
  const request = { repo: 'data', branch: 'master', message: '', target, watch: silent };
  return putFiles(made.project, { ...request, sources: [entries] });
}

async function listed(made: TestProject): Promise<string[]> {
  const found: string[] = [];
  const files = (await headOf(made))?.files;
  if (!files) return found;
  for await (const { path, entry } of files.list('/', true)) {
    let text = '';
    if (entry.kind !== 'directory') for await (const bytes of files.read(entry)) text += bytes.toString();
    found.push(`${path} ${entry.kind} ${entry.mtimeSeconds === 1000 ? 'then' : 'now'} ${text}`.trim());
  }
  return found;
}

test('entries in any order; later ones replace earlier ones; links are copies', async () => {
  const made = await makeTestProject();
  const entries = [
    file('b/c', '1'),
    file('a', '1'),
    folder('b'),
    file('a', '2'),
    link('b/d', 'a'),
    file('a', '3'),
    symlink('s', 'a'),
    link('t', 's'),
  ];
  await put(made, source(...entries), 'in/');
  const first = [
    '/in directory now',
    '/in/a file then 3',
    '/in/b directory then',
    '/in/b/c file then 1',
    '/in/b/d file then 2',
    '/in/s symlink then a',
    '/in/t symlink then a',
  ];
  expect(await listed(made)).toEqual(first);
  await put(made, source(file('b/e', 'new'), file('s', 'no link now')), 'in/');
  expect(await listed(made)).toEqual([
    ...first.slice(0, 5),
    '/in/b/e file then new',
    '/in/s file then no link now',
    first[6],
  ]);
  const { commit } = await put(
    made,
    source(...entries.slice(1), file('s', 'no link now'), link('t', 'in/none')),
    'in/',
  ).catch(() => ({ commit: 'refused' }));
  expect(commit).toBe('refused');
});

test.each([
  [
    'a symlink of the source',
    [symlink('l', '/etc'), file('l/x', '')],
    'l/x: /l must be a folder, but there is a symlink',
  ],
  ['a directory over a symlink', [symlink('l', '/etc'), folder('l')], 'l: /l must be a folder, but there is a symlink'],
  ['a file of the source', [file('f', ''), file('f/x', '')], 'f/x: /f must be a folder, but there is a file'],
  ['a file over a directory', [file('d/x', ''), file('d', '')], 'd: there is already a folder at /d'],
  [
    'a symlink of the branch',
    [file('old/link/x', '')],
    '/old/link: /old/link must be a folder, but there is a symlink',
  ],
  ['a file of the branch', [file('old/file/x', '')], '/old/file: /old/file must be a folder, but there is a file'],
  ['a directory of the branch', [file('old', '')], '/old: there is a folder at this path, and the new entry is a file'],
])('nothing goes through %s', async (_, entries, message) => {
  const made = await makeTestProject();
  const { commit } = await put(made, source(symlink('old/link', '/etc'), file('old/file', 'f')));
  await expect(put(made, source(file('first', '1'), ...entries))).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining(message) as string,
  });
  expect((await headOf(made))?.id).toBe(commit);
});

test('one that fails stops those beside it, and its error is told', async () => {
  const made = await makeTestProject();
  let stopped = false;
  const hanging: SourceEntry = {
    ...file('hanging', 'x'),
    kind: 'file',
    size: 1,
    open: (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          stopped = true;
          reject(new Error('stopped'));
        });
      }),
  };
  const broken = file('broken', 'x', () => Promise.reject(new Error('it broke')));
  await expect(put(made, source(file('a', '1'), hanging, broken))).rejects.toThrow('it broke');
  expect(stopped).toBe(true);
  expect(await headOf(made)).toBeUndefined();
});

test('more entries than are kept in memory give the same version', async () => {
  const made = await makeTestProject();
  const entries = Array.from({ length: 3000 }, (_, index) =>
    file(`d${index % 5}/e${index % 3}/f${index}`, `text ${index}`),
  );
  const many = source(...entries, link('copy', 'd0/e0/f0'));
  await put(made, many, 'whole');
  const { upload } = await made.project.begin();
  const sink = { data: upload.data, nodes: upload.nodes };
  const directories = new Directories(made.project.reader, upload.nodes);
  let rounds = 0;
  const options = { ...silent, sink, directories, pendingMax: 500 };
  const finish = () => {
    rounds += 1;
    return upload.finish();
  };
  const parts = await putEntries({ ...options, finish }, undefined, names('whole'), many);
  expect(rounds).toBe(5);
  const whole = (await headOf(made))?.root;
  expect(parts?.files).toBe(3001);
  expect(parts?.contentHash.equals(whole?.contentHash ?? Buffer.alloc(0))).toBe(true);
});
