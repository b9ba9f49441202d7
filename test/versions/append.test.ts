/**
 * Bytes added to a file: the same version as putting the whole, at the cost of what is added.
 */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import type { PachError } from '../../src/base/errors.ts';
import { native } from '../../src/base/native.ts';
import { buildList, type ListItem } from '../../src/model/list.ts';
import type { Hash } from '../../src/model/refs.ts';
import { parseAddress } from '../../src/model/address.ts';
import { fileInfo } from '../../src/shown/files.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { Directories } from '../../src/versions/directories.ts';
import { Files } from '../../src/versions/reading/files.ts';
import type { Project } from '../../src/versions/project.ts';
import { putFiles, type PutResult } from '../../src/versions/writing/put.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { isLong } from '../support/long.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

const mebibyte = 1024 * 1024;

function put(project: Project, path: string, parts: readonly Uint8Array[], append: boolean): Promise<PutResult> {
  const sources = [{ kind: 'stream' as const, stream: streamOf(...parts) }];
  return putFiles(project, {
    repo: 'data',
    branch: 'master',
    message: '',
    sources,
    target: path,
    append,
    watch: silent,
  });
}

async function hashAt(project: Project, path: string): Promise<string | undefined> {
  const commit = await resolveCommit(await project.snapshot(), parseAddress('data'));
  return new Files(project.reader, rootOf(commit), 'data').hashAt(path);
}

/** Bytes that don't repeat. */
function noise(length: number, seed: number): Buffer {
  const out = Buffer.alloc(length);
  let state = BigInt(seed) * 2654435761n + 88172645463325252n;
  for (let at = 0; at + 8 <= length; at += 8) {
    state ^= (state << 13n) & 0xffffffffffffffffn;
    state ^= state >> 7n;
    state ^= (state << 17n) & 0xffffffffffffffffn;
    out.writeBigUInt64LE(state, at);
  }
  return out;
}

const zeros = (length: number): Buffer => Buffer.alloc(length);

test('whatever is added to whatever: the same as putting the whole', async () => {
  const { project } = await makeTestProject();
  const big = noise(7 * mebibyte + 12345, 1);
  const before: Record<string, Buffer> = {
    nothing: zeros(0),
    tiny: Buffer.from('hello'),
    'one chunk': noise(200_000, 2),
    many: big,
    'many and a few zeros': Buffer.concat([big, zeros(700_000)]),
    'zeros over several chunks': Buffer.concat([big, zeros(mebibyte - 1)]),
    'ends in a hole': Buffer.concat([big, zeros(3 * mebibyte)]),
    'a hole alone': zeros(2 * mebibyte),
    'a hole in front': Buffer.concat([zeros(2 * mebibyte), noise(3 * mebibyte, 3)]),
  };
  const more: Record<string, readonly Buffer[]> = {
    nothing: [],
    'a byte': [Buffer.from('x')],
    'zeros that make a hole': [zeros(400_000), zeros(mebibyte)],
    'zeros and bytes': [zeros(5), zeros(400_000), noise(300_000, 4)],
    bytes: [noise(mebibyte, 5), noise(2 * mebibyte, 6)],
  };
  for (const [first, head] of Object.entries(before)) {
    for (const [second, parts] of Object.entries(more)) {
      await put(project, '/whole', [head, ...parts], false);
      await put(project, '/added', [head], false);
      await put(project, '/added', parts, true);
      expect([first, second, await hashAt(project, '/added')]).toEqual([
        first,
        second,
        await hashAt(project, '/whole'),
      ]);
    }
  }
});

test('a file that is not there is made, and one after another they add up', async () => {
  const { project } = await makeTestProject();
  for (let i = 0; i < 20; i += 1) await put(project, '/log', [Buffer.from(`line ${i}\n`)], true);
  const whole = Array.from({ length: 20 }, (_, i) => `line ${i}\n`).join('');
  await put(project, '/whole', [Buffer.from(whole)], false);
  expect(await hashAt(project, '/log')).toBe(await hashAt(project, '/whole'));
});

test('two who add to one file at once: one is told, nothing is lost', async () => {
  const { project, store } = await makeTestProject();
  await put(project, '/log', [Buffer.from('0')], false);
  const results = await Promise.allSettled(
    Array.from({ length: 4 }, () => put(openTestProject(store), '/log', [Buffer.from('x')], true)),
  );
  const won = results.filter(({ status }) => status === 'fulfilled').length;
  const lost = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as PachError).code] : []));
  expect(lost.filter((code) => code !== 'conflict')).toEqual([]);
  expect(won).toBeGreaterThan(0);
  await put(project, '/expected', [Buffer.from(`0${'x'.repeat(won)}`)], false);
  expect(await hashAt(project, '/log')).toBe(await hashAt(project, '/expected'));
});

const chunks = isLong ? 1_000_000 : 400_000;

test(`a list of ${chunks} chunks is opened and added to without reading it`, async () => {
  const { project, store, counts } = await makeTestProject();
  const begun = await project.begin();
  const { upload } = begun;
  // The last chunk is real; of the others there are only names.
  const last = noise(300_000, 7);
  const [lastRef] = await upload.data.add([{ hash: native().hash('plain', last) as Hash, bytes: last }]);
  function* items(): Generator<ListItem> {
    for (let i = 0; i < chunks; i += 1) {
      const hash = createHash('sha256').update(`${i}`).digest() as Hash;
      yield { length: mebibyte, ref: { type: 'chunk', hash, place: lastRef?.place } };
    }
    yield { length: last.length, ref: lastRef };
  }
  const content = await buildList(upload.nodes, items());
  const size = chunks * mebibyte + last.length;
  expect(content.size).toBe(size);
  const entry = { kind: 'file' as const, executable: false, mtimeSeconds: 0, mtimeNanoseconds: 0, content };
  const directories = new Directories(project.reader, upload.nodes);
  const tree = await directories.apply(undefined, [{ name: Buffer.from('huge'), ...entry }]);
  const commit = { id: newCommitId(), repo: 'data', branch: 'master', tree, message: '', started: 0 };
  await project.update('by hand', (change) => change.commit(commit), begun);

  counts.reset();
  const other = openTestProject(store);
  const files = new Files(
    other.reader,
    rootOf(await resolveCommit(await other.snapshot(), parseAddress('data'))),
    'data',
  );
  const { entry: found } = await files.find('/huge');
  expect(await fileInfo(files, { path: '/huge', entry: found })).toMatchObject({ bytes: size });
  expect(counts.bytesRead).toBeLessThan(mebibyte);

  counts.reset();
  const added = await put(other, '/huge', [noise(mebibyte, 8)], true);
  expect(added.storedBytes).toBeLessThan(10 * mebibyte);
  expect(counts.bytesWritten).toBeLessThan(10 * mebibyte);
  expect(counts.bytesRead).toBeLessThan(10 * mebibyte);
  expect((await openTestProject(store).snapshot()).head).toBeDefined();
});
