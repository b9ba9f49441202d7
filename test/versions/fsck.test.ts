/**
 * What is damaged in a store is found, and said with what it affects; what is whole is clean.
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { native } from '../../src/base/native.ts';
import { rowBytes } from '../../src/chunks/blob-table.ts';
import { parseAddress } from '../../src/model/address.ts';
import { condemnedKey, packKey, segmentKey } from '../../src/model/keys.ts';
import { encodeHead } from '../../src/model/records/head.ts';
import type { PackId } from '../../src/model/refs.ts';
import { writeCondemned } from '../../src/versions/condemned.ts';
import { deleteFiles } from '../../src/versions/writing/put.ts';
import { deleteBranch } from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { projectStats } from '../../src/versions/upkeep/stats.ts';
import {
  big,
  bytesAt,
  check,
  collect,
  collected,
  errors,
  filled,
  findingOf,
  flip,
  packKeys,
  put,
  reindex,
  replace,
  type Row,
} from './fsck-store.ts';

const oneHour = 3_600_000;
const unknownId = 'ab'.repeat(16) as PackId;

test('what was written, deleted and collected is clean, with all data read', async () => {
  const { project, store } = await filled();
  expect(await check(store, 1)).toMatchObject({ findings: [], checked: { commits: 3, packs: 9 } });
  await deleteFiles(project, { repo: 'data', branch: 'master', message: '', paths: ['/dir'], recursive: true });
  await put(project, '/x', randomBytes(1_500_000), 'short');
  await deleteBranch(project, 'data', 'short');
  for (const grace of [oneHour, 0]) {
    await collect(project, grace);
    const { findings, checked, garbage } = await check(store, 1);
    expect(findings).toEqual([]);
    expect(checked.bytesRead).toBeGreaterThan(big.length + 1_500_000);
    expect(checked.commits).toBe(5);
    // What is condemned waits an hour, then nothing is left.
    expect(garbage.objects > 0).toBe(grace > 0);
  }
});

test('what a writer left waits for a collection; what is not ours is a warning', async () => {
  const { store } = await filled();
  await store.writeIfAbsent(packKey('default', 'data', unknownId), [Buffer.from('left over')]);
  expect(await check(store)).toMatchObject({ findings: [], garbage: { objects: 1, bytes: 9 } });
  await store.writeIfAbsent('projects/default/notes.txt', [Buffer.from('mine')]);
  const { findings, garbage } = await check(store);
  expect(findings).toMatchObject([{ severity: 'warning', affects: ['projects/default/notes.txt'] }]);
  expect(garbage).toEqual({ objects: 1, bytes: 9 });
});

test('a byte in a chunk is found when its pack is read, with all paths that need it', async () => {
  const { project, store } = await filled();
  const last = await put(project, '/other/copy', big);
  const [key = ''] = await packKeys(project, 'data');
  await flip(store, key, 2_000_000);
  expect((await check(store)).findings).toEqual([]);
  const result = await check(store, 1);
  expect(errors(result)).toHaveLength(1);
  const { why, affects, next } = findingOf(result, key);
  expect(why).toMatch(/^its bytes \d+ to \d+ are damaged$/);
  expect(affects).toEqual([`data@${last}:/big`, `data@${last}:/other/copy`]);
  expect(next).toMatch(/copy of the store/);
});

test('a share of the packs is read', async () => {
  const { project, store } = await filled();
  for (let n = 0; n < 7; n += 1) await put(project, `/n${n}`, randomBytes(1000));
  expect(await packKeys(project, 'data')).toHaveLength(10);
  expect((await check(store)).checked.bytesRead).toBe(0);
  let [all, half] = [0, 0];
  for (const key of await packKeys(project, 'data')) all += (await bytesAt(store, key)).length;
  for (let n = 0; n < 40 && (half === 0 || half === all); n += 1) half = (await check(store, 0.5)).checked.bytesRead;
  expect(half).toBeLessThan(all);
  expect((await check(store, 1)).checked.bytesRead).toBe(all);
});

test.each([
  { how: 'gone', why: /^it is missing from the store$/ },
  { how: 'short', why: /^it ends before a blob that the indexes list, and \d+ more/ },
  { how: 'another', why: /^it lacks a blob that the indexes list, and \d+ more/, readShare: 1 },
])('a data pack that is $how', async ({ how, why, readShare }) => {
  const { project, store } = await collected();
  await put(project, '/later', randomBytes(5_000_000));
  await reindex(project, (row) => row);
  const [key = '', second = ''] = await packKeys(project, 'data');
  const bytes = await bytesAt(store, key);
  if (how === 'gone') await store.delete(key);
  else if (how === 'short') await replace(store, key, bytes.subarray(0, 1_000_000));
  else await replace(store, key, await bytesAt(store, second));
  const result = await check(store, readShare);
  expect(errors(result)).toHaveLength(1);
  expect(findingOf(result, key).why).toMatch(why);
  expect(findingOf(result, key).affects[0]).toMatch(/^data@[0-9a-f]{32}:\/(big|later)$/);
});

test('a data pack with something behind it', async () => {
  const { project, store } = await collected();
  const [key = ''] = await packKeys(project, 'data');
  const bytes = await bytesAt(store, key);
  await replace(store, key, Buffer.concat([bytes, bytes]));
  expect(errors(await check(store, 1))).toEqual([`${key}: its blobs do not fill it`]);
});

test('nodes, indexes and footers of metadata packs', async () => {
  const { store, project } = await filled();
  for (const key of await packKeys(project, 'meta')) {
    const bytes = await bytesAt(store, key);
    for (const at of [20, bytes.length - 60, bytes.length - 20]) {
      await flip(store, key, at);
      const found = errors(await check(store));
      expect(found.length, `${key} at ${at}`).toBeGreaterThan(0);
      expect(
        found.some((each) => each.includes(key)),
        `${key} at ${at}: ${found.join('; ')}`,
      ).toBe(true);
      await replace(store, key, bytes);
    }
  }
  expect((await check(store)).findings).toEqual([]);
});

test('a lost metadata pack is told with what needs it, and other versions are checked still', async () => {
  const { store, project, commits } = await filled();
  const before = (await project.load()).head;
  const later = await put(project, '/dir/one', randomBytes(3000));
  const last = (await project.load()).head.indexes.fresh.find(
    ({ kind, id }) => kind === 'meta' && !before.indexes.fresh.some((each) => each.id === id),
  );
  // The refs of before, as if the last put had not been: its pack is lost without harm to them.
  const { head, token } = await project.load();
  const back = { operation: before.operation, operationRef: before.operationRef, refs: before.refs };
  await project.replace(token, { ...head, ...back });
  const key = packKey('default', 'meta', last?.id as PackId);
  await store.delete(key);
  const unneeded = await check(store);
  expect(unneeded.findings).toMatchObject([{ what: key, why: 'it is missing from the store', affects: [] }]);
  expect(unneeded.checked.commits).toBe(3);
  const { token: now } = await project.readHead();
  await project.replace(now, head);
  const needed = await check(store);
  expect(findingOf(needed, key).why).toBe('it is missing from the store');
  expect(needed.checked.commits).toBe(0);
  expect(commits).not.toContain(later);
});

test('a directory that can not be read is told by its path, newest version first', async () => {
  const { store, project, commits } = await filled();
  const commit = await resolveCommit(await project.snapshot(), parseAddress(`data@${commits[1]}`));
  await flip(
    store,
    packKey('default', 'meta', commit.tree.place?.pack as PackId),
    (commit.tree.place?.offset ?? 0) + 30,
  );
  const { affects } = findingOf(await check(store), packKey('default', 'meta', commit.tree.place?.pack as PackId));
  expect(affects).toEqual([`data@${commits[1]}:/`]);
});

test.each(['block', 'end', 'short', 'gone'])('a segment is damaged: %s', async (how) => {
  const { project, store } = await collected();
  await put(project, '/more', randomBytes(2000));
  const [segment] = (await project.load()).head.indexes.segments;
  const key = segmentKey('default', segment?.id as PackId);
  const bytes = await bytesAt(store, key);
  if (how === 'block') await flip(store, key, 100);
  else if (how === 'end') await flip(store, key, bytes.length - 100);
  else if (how === 'short') await replace(store, key, bytes.subarray(5));
  else await store.delete(key);
  const result = await check(store);
  const whys = {
    block: /block 0 does not match/,
    end: /does not match its hash/,
    short: /the head says/,
    gone: /missing/,
  };
  expect(findingOf(result, key).why).toMatch(whys[how as keyof typeof whys]);
  expect(result.findings.some(({ affects }) => affects.length > 0)).toBe(true);
});

test('a segment whose filter hides what is in it', async () => {
  const { project, store } = await collected();
  const [segment] = (await project.load()).head.indexes.segments;
  const key = segmentKey('default', segment?.id as PackId);
  const bytes = await bytesAt(store, key);
  const footer = bytes.subarray(-52);
  const body = bytes.subarray(8 + footer.readUInt32LE(4) * rowBytes, -52);
  body.fill(0, footer.readUInt32LE(0) * 17, footer.readUInt32LE(0) * 17 + footer.readUInt32LE(8) * 64);
  native().hash('plain', body).copy(footer, 12);
  await replace(store, key, bytes);
  const entries = segment?.entries ?? 0;
  expect(errors(await check(store))).toEqual([
    `${key}: its filter, or its order, hides an entry, and ${entries - 1} more like it`,
  ]);
});

test('a fresh pack that is another than the head says', async () => {
  const { project, store } = await filled();
  const [first = '', second = ''] = await packKeys(project, 'data');
  const [one, two] = [await bytesAt(store, first), await bytesAt(store, second)];
  await replace(store, first, two);
  await replace(store, second, one);
  const result = await check(store);
  expect(findingOf(result, first).why).toMatch(/^it has 1 blobs in \d+ bytes, the head says \d+ in \d+$/);
  expect(findingOf(result, second).why).toMatch(/the head says 1 in/);
});

test('the list of what is condemned', async () => {
  for (const how of ['changed', 'gone']) {
    const { project, store } = await filled();
    await store.writeIfAbsent(packKey('default', 'data', unknownId), [Buffer.from('left over')]);
    await collect(project, oneHour);
    expect(await check(store)).toMatchObject({ findings: [], garbage: { objects: 1, bytes: 9 } });
    const key = condemnedKey('default', (await project.load()).head.condemned?.id as PackId);
    if (how === 'gone') await store.delete(key);
    else await flip(store, key, 20);
    const result = await check(store);
    expect(errors(result)).toHaveLength(1);
    expect(findingOf(result, key).why).toBe(
      how === 'gone' ? 'it is missing from the store' : 'it does not match its hash',
    );
  }
});

test('a pack that is condemned, and that an index lists', async () => {
  const { project, store } = await filled();
  const { head, token } = await project.load();
  const [pack] = head.indexes.fresh;
  if (!pack) throw new Error('there is a fresh pack');
  const condemned = await writeCondemned(store, 'default', [{ ...pack, deleting: true, since: 0 }]);
  await project.replace(token, { ...head, condemned });
  const key = packKey('default', pack.kind, pack.id);
  expect(errors(await check(store))).toEqual([`${key}: it is condemned, but an index lists it`]);
});

test('an index that leads elsewhere in a pack', async () => {
  const { project, store, commits } = await filled();
  const { tree } = await resolveCommit(await project.snapshot(), parseAddress('data'));
  const shifted = (row: Row): Row => ({ ...row, offset: row.offset + 1, length: row.length - 1 });
  await reindex(project, (row) => (row.plainLength > 10_000 ? shifted(row) : row));
  // That takes the pack's own index.
  expect((await check(store)).findings).toEqual([]);
  const [data, ...others] = (await check(store, 1)).findings;
  expect(others).toEqual([]);
  expect(data?.why).toMatch(/^it has a blob at another place than the indexes say, and \d more like it$/);
  expect(data?.affects).toEqual([`data@${commits[2]}:/big`]);
  await reindex(project, (row) => (row.hash.equals(tree.hash) ? shifted(row) : row));
  const [meta] = (await check(store)).findings;
  expect(meta).toMatchObject({
    why: 'it has a blob at another place than the indexes say',
    affects: [`data@${commits[2]}:/`],
  });
});

test('an index that knows a node but not what it refers to', async () => {
  const { project, store, commits } = await filled();
  const { tree } = await resolveCommit(await project.snapshot(), parseAddress('data'));
  await reindex(project, (row) => (row.hash.equals(tree.hash) ? undefined : row));
  const result = await check(store);
  expect(result.findings).toMatchObject([{ severity: 'error', affects: [`data@${commits[2]}:/`] }]);
  expect(result.findings[0]?.why).toMatch(/^node [0-9a-f]{64} lies in it: versions need it, and no index has it$/);
  // A collection that can't be sure deletes nothing.
  await expect(projectStats(project)).rejects.toMatchObject({ code: 'damaged' });
  await expect(collect(project, 0)).rejects.toMatchObject({ code: 'damaged' });
});

test('chunks need no entry of their own while their pack is known', async () => {
  const { project, store, commits } = await filled();
  let kept = false;
  await reindex(project, (row) => {
    if (row.kind === 'meta' || row.plainLength < 10_000 || !kept) {
      kept ||= row.kind === 'data' && row.plainLength >= 10_000;
      return row;
    }
    return undefined;
  });
  expect(await check(store, 1)).toMatchObject({ findings: [] });
  await reindex(project, (row) => (row.kind === 'data' && row.plainLength >= 10_000 ? undefined : row));
  const { findings } = await check(store);
  expect(findings).toHaveLength(1);
  expect(findings[0]?.why).toMatch(/^chunk [0-9a-f]{64} lies in it: .* no index has it, and \d more like it$/);
  expect(findings[0]?.affects).toEqual([`data@${commits[2]}:/big`]);
});

test('a head that can not be read is an error of its own', async () => {
  const { store } = await filled();
  await flip(store, 'projects/default/head', 40);
  await expect(check(store)).rejects.toMatchObject({ code: 'damaged', what: 'projects/default/head' });
});

test('a head whose last operation is another', async () => {
  const { project, store } = await filled();
  const { head, token } = await project.load();
  const other = { ...head, operation: { ...head.operation, what: 'something else' } };
  expect(encodeHead(other)).not.toEqual(encodeHead(head));
  await project.replace(token, other);
  expect(errors(await check(store))).toEqual(['the log of operations: its last entry differs from the head']);
});

test('a collection meanwhile is no damage', async () => {
  const { project, store } = await filled();
  let collecting = false;
  const racing = new Proxy(store, {
    get(target, name: keyof typeof store) {
      if (name === 'list' && !collecting) {
        collecting = true;
        return async function* (prefix: string) {
          await collect(project, 0);
          yield* target.list(prefix);
        };
      }
      const value = target[name];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  await expect(check(racing)).rejects.toMatchObject({ code: 'conflict' });
  expect((await check(store)).findings).toEqual([]);
});
