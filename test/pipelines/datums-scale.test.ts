/**
 * Plans are streamed, and differences cost by what differs: counted in nodes that are read.
 */
import { beforeAll, expect, test } from 'vitest';
import type { InputVersion } from '../../src/pipelines/datums/pfs.ts';
import { diffDatums, planDatums, type DatumChange } from '../../src/pipelines/datums/plan.ts';
import type { Input } from '../../src/pipelines/spec/spec.ts';
import type { Directory } from '../../src/versions/directories.ts';
import { collect, must } from '../model/nodes.ts';
import { directoryEntry, fileEntry, pfs, readsFrom, shown, versionOf, World } from './datum-world.ts';

const count = 100_000;
const world = new World();
let flat: Directory;
let flatChanged: Directory;
/** Ten directories, each of them `flat`; in the other one entry of one of them is changed. */
let deep: Directory;
let deepChanged: Directory;
let params: InputVersion;

beforeAll(async () => {
  flat = await world.directory(
    (function* entries() {
      for (let i = 0; i < count; i += 1) yield fileEntry(nameAt(i), 'x');
    })(),
  );
  flatChanged = await world.directory([fileEntry(nameAt(70_000), 'y')], flat);
  deep = await world.directory(Array.from({ length: 10 }, (_, i) => directoryEntry(Buffer.from(`d${i}`), flat)));
  deepChanged = await world.directory([directoryEntry(Buffer.from('d7'), flatChanged)], deep);
  params = await world.version({ '/p1': '', '/p2': '', '/p3': '', '/p4': '' });
}, 60_000);

function nameAt(i: number): Buffer {
  return Buffer.from(`entry-${String(i).padStart(5, '0')}`);
}

/** What differs when `before` becomes `after`, and how many nodes were read for it. */
async function diff(
  input: Input,
  before: Directory,
  after: Directory,
): Promise<{ changes: DatumChange[]; reads: number }> {
  const [old, now] = [versionOf(before), versionOf(after)];
  const reads = world.nodes.reads;
  const changes = await collect(
    diffDatums(world.nodes, input, readsFrom({ in: old, params }), readsFrom({ in: now, params })),
  );
  return { changes, reads: world.nodes.reads - reads };
}

const cross: Input = { kind: 'cross', inputs: [pfs('in', '/*'), pfs('params', '/*')] };
const union: Input = { kind: 'union', inputs: [pfs('in', '/*5'), pfs('in', '/*'), pfs('params', '/*')] };

test.each<[string, Input, readonly string[]]>([
  ['/*', pfs('in', '/*'), ['/entry-70000']],
  ['/**', pfs('in', '/**'), ['/entry-70000']],
  ['/', pfs('in', '/'), ['/']],
  ['/*5', pfs('in', '/*5'), []],
  ['cross', cross, ['/p1', '/p2', '/p3', '/p4'].map((param) => `in:/entry-70000 params:${param}`)],
  ['union', union, ['/entry-70000']],
])('one of 100,000 files changes: %s', async (_, input, expected) => {
  const { changes, reads } = await diff(input, flat, flatChanged);
  expect(changes.map(({ after }) => shown(must(after)))).toEqual(expected);
  expect(changes.every(({ before, after }) => before?.id === after?.id)).toBe(true);
  expect(reads).toBeLessThan(20);
  expect((await diff(input, flat, flat)).changes).toEqual([]);
});

test.each([
  ['/*', ['/d7']],
  ['/*/*', ['/d7/entry-70000']],
  ['/**', ['/d7/entry-70000']],
  ['/d[0-6]/*', []],
])('one of 1,000,000 files below changes: %s', async (glob, expected) => {
  const { changes, reads } = await diff(pfs('in', glob), deep, deepChanged);
  expect(changes.map(({ after }) => shown(must(after)))).toEqual(expected);
  expect(reads).toBeLessThan(20);
});

test('only directories in which the pattern can match are read', async () => {
  const { changes, reads } = await diff(pfs('in', '/*'), deep, await world.directory([], undefined));
  expect(changes).toHaveLength(10);
  expect(reads).toBeLessThan(5);
});

test('a cross with a changed parameter: as many as there are', async () => {
  const input: Input = { kind: 'cross', inputs: [pfs('in', '/*5'), pfs('params', '/*')] };
  const changed = await world.version({ '/p1': '', '/p2': 'x', '/p3': '', '/p4': '' });
  const before = readsFrom({ in: versionOf(flat), params });
  const after = readsFrom({ in: versionOf(flat), params: changed });
  const changes = await collect(diffDatums(world.nodes, input, before, after));
  expect(changes).toHaveLength(count / 10);
  expect(changes.every((change) => change.before?.id === change.after?.id)).toBe(true);
  expect(changes.every((change) => change.after?.files[1]?.path === '/p2')).toBe(true);
});

test.each<[string, Input, number]>([
  ['pfs', pfs('in', '/d[0-2]/*'), 3 * count],
  ['cross', { kind: 'cross', inputs: [pfs('in', '/d0/*'), pfs('params', '/p[12]')] }, 2 * count],
])('many datums come one after the other: %s', { timeout: 120_000 }, async (_, input, expected) => {
  const before = world.nodes.reads;
  let readsAtFirst = 0;
  let found = 0;
  for await (const datum of planDatums(world.nodes, input, readsFrom({ in: versionOf(deep), params }))) {
    if (found === 100) readsAtFirst = world.nodes.reads - before;
    if (datum.id.length !== 64) throw new Error(`${found} has no id`);
    found += 1;
  }
  expect(found).toBe(expected);
  expect(readsAtFirst).toBeLessThan(15);
  expect(world.nodes.reads - before).toBeGreaterThan(200);
});
