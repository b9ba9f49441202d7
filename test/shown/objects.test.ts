/**
 * What programs are shown of repos, commits and files: the fields are those that --help tells, and
 * histories are told once and in order.
 */
import { expect, test } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import { commitInfos, commitJson } from '../../src/shown/commits.ts';
import { changeInfo, changeJson, fileInfo, fileJson } from '../../src/shown/files.ts';
import { branchInfos, branchJson, repoInfos, repoJson } from '../../src/shown/repos.ts';
import { putInfo, putJson } from '../../src/shown/stored.ts';
import type { Project } from '../../src/versions/project.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { commitsBefore, commitsOf } from '../../src/versions/reading/history.ts';
import { createBranch } from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf, type Commit } from '../../src/versions/snapshot.ts';
import { putFiles, type PutResult } from '../../src/versions/writing/put.ts';
import { makeTestProject, silent, streamOf } from '../versions/project.ts';

/** The names of the outermost fields of a text such as `{a, b: {c}, d?}`; those with `?` may be missing. */
function fieldsOf(text: string): { all: string[]; needed: string[] } {
  let depth = 0;
  let outer = '';
  for (const character of text) {
    if ('}])'.includes(character)) depth -= 1;
    if (depth === 1) outer += character;
    if (depth === 0 && outer !== '') break;
    if ('{[('.includes(character)) depth += 1;
  }
  const fields = outer.split(',').map((field) => (field.split(':')[0] as string).replace(/[{}[\]]/g, '').trim());
  return { all: fields.map((field) => field.replace('?', '')), needed: fields.filter((field) => !field.endsWith('?')) };
}

function expectFields(value: object | undefined, text: string): void {
  const { all, needed } = fieldsOf(text);
  const names = Object.keys(value ?? {});
  expect(names.filter((name) => !all.includes(name))).toEqual([]);
  expect(names).toEqual(expect.arrayContaining(needed));
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

function put(project: Project, branch: string, path: string, text: string): Promise<PutResult> {
  const sources = [{ kind: 'stream' as const, stream: streamOf(text) }];
  return putFiles(project, { repo: 'data', branch, message: path, sources, target: path, watch: silent });
}

/** master: /a, /b, /a again. dev: begins at the second, then /c. */
async function makeHistory(): Promise<Project> {
  const { project } = await makeTestProject();
  await put(project, 'master', '/a', 'one');
  await put(project, 'master', '/b', 'two');
  await createBranch(project, 'data', 'dev', parseAddress('data@master'));
  await put(project, 'master', '/a', 'three');
  await put(project, 'dev', '/c', 'four');
  return project;
}

const messages = async (commits: AsyncIterable<Commit>): Promise<string[]> =>
  (await collect(commits)).map(({ message }) => message);

test('a text of fields is understood', () => {
  expect(fieldsOf('{a, b: {c, d: [e]}, f?: "x"|"y", g: [h]}; a: {z}')).toEqual({
    all: ['a', 'b', 'f', 'g'],
    needed: ['a', 'b', 'g'],
  });
});

test('objects have the fields that --help tells', async () => {
  const project = await makeHistory();
  const snapshot = await project.snapshot();
  for (const info of await collect(repoInfos(snapshot))) expectFields(info, repoJson);
  for (const info of await collect(branchInfos(snapshot, 'data'))) expectFields(info, branchJson);
  const infos = await collect(commitInfos(snapshot, commitsOf(snapshot, parseAddress('data'))));
  expect(infos).toHaveLength(4);
  for (const info of infos) expectFields(info, commitJson);
  const commit = await resolveCommit(snapshot, parseAddress('data'));
  const files = new Files(project.reader, rootOf(commit), 'data');
  const listed = await collect(files.list('/', true));
  expect(listed).toHaveLength(2);
  for (const file of listed) expectFields(await fileInfo(files, file), fileJson);
  const changes = await collect(files.diff(undefined, '/'));
  expect(changes).toHaveLength(2);
  for (const change of changes) expectFields(await changeInfo(files, change), changeJson);
  expectFields(putInfo(await put(project, 'master', '/d', 'five')), putJson);
});

test('a history of a repo has what several branches share once, newest first', async () => {
  const snapshot = await (await makeHistory()).snapshot();
  const commits = await collect(commitsOf(snapshot, parseAddress('data')));
  expect(commits.map(({ message }) => message).sort()).toEqual(['/a', '/a', '/b', '/c']);
  const times = commits.map(({ finished }) => finished);
  expect(times).toEqual(times.toSorted((a, b) => b - a));
  expect(await messages(commitsOf(snapshot, parseAddress('data@dev')))).toEqual(['/c', '/b', '/a']);
  expect(await messages(commitsOf(snapshot, parseAddress('data@master^')))).toEqual(['/b', '/a']);
});

test('a history of a path has only the commits that changed it', async () => {
  const snapshot = await (await makeHistory()).snapshot();
  const { signal } = new AbortController();
  const of = (path: string | undefined): Promise<string[]> =>
    messages(commitsBefore(snapshot, parseAddress('data'), { path, signal }));
  expect(await of(undefined)).toEqual(['/a', '/b', '/a']);
  expect(await of('/a')).toEqual(['/a', '/a']);
  expect(await of('/b')).toEqual(['/b']);
  expect(await of('/c')).toEqual([]);
});
