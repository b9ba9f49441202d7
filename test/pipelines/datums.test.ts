/**
 * What inputs give: Pachyderm's worked examples, and what its own code does in the corners.
 */
import { expect, test } from 'vitest';
import { inputDocument } from '../../src/pipelines/datums/document.ts';
import { diffDatums } from '../../src/pipelines/datums/plan.ts';
import type { Input } from '../../src/pipelines/spec/spec.ts';
import { collect, must } from '../model/nodes.ts';
import { pfs, readsFrom, shown, World, type Contents } from './datum-world.ts';

const example = { '/a/1': '1', '/a/2': '2', '/b/1': '3', '/c': '4' };

/** The datums of an input whose repos have these files. */
async function datumsOf(input: Input, repos: Readonly<Record<string, Contents>>): Promise<string[]> {
  const world = new World();
  const versions = Object.fromEntries(
    await Promise.all(Object.entries(repos).map(async ([repo, files]) => [repo, await world.version(files)] as const)),
  );
  const datums = await world.plan(input, versions);
  expect(new Set(datums.map(({ id }) => id)).size).toBe(datums.length);
  for (const { id } of datums) expect(id).toMatch(/^[0-9a-f]{64}$/);
  return datums.map(shown);
}

/** What differs, as `path` of new ones, `-path` of those gone and `~path` of changed ones. */
async function changes(input: Input, before: Contents, after: Contents): Promise<string[]> {
  const world = new World();
  const [old, now] = [readsFrom({ in: await world.version(before) }), readsFrom({ in: await world.version(after) })];
  const found = await collect(diffDatums(world.nodes, input, old, now));
  return found.map((pair) =>
    pair.before && pair.after
      ? `~${shown(pair.after)}`
      : pair.after
        ? shown(pair.after)
        : `-${shown(must(pair.before))}`,
  );
}

test.each([
  ['/', ['/']],
  ['/*', ['/a', '/b', '/c']],
  ['/*/', ['/a', '/b', '/c']],
  ['/*/*', ['/a/1', '/a/2', '/b/1']],
  ['/**', ['/a/1', '/a/2', '/b/1', '/c']],
  ['/a/*', ['/a/1', '/a/2']],
  ['/a', ['/a']],
  ['/*(b|c)', ['/b', '/c']],
  ['/none/*', []],
])('pfs %s', async (glob, expected) => {
  expect(await datumsOf(pfs('in', glob), { in: example })).toEqual(expected);
});

test('what changes is a datum: of /* the directory that it lies in', async () => {
  const more = { ...example, '/a/3': '5' };
  const without = { '/a/1': '1', '/a/2': '2', '/c': '4' };
  const deep = { ...example, '/a/deep/er/1': '1' };
  expect(await changes(pfs('in', '/'), example, more)).toEqual(['~/']);
  expect(await changes(pfs('in', '/*'), example, more)).toEqual(['~/a']);
  expect(await changes(pfs('in', '/*'), example, without)).toEqual(['-/b']);
  expect(await changes(pfs('in', '/*'), example, deep)).toEqual(['~/a']);
  expect(await changes(pfs('in', '/*/*'), example, more)).toEqual(['/a/3']);
  expect(await changes(pfs('in', '/*/*'), example, { ...example, '/c': 'x' })).toEqual([]);
  expect(await changes(pfs('in', '/*/*'), example, { '/a/1': 'x', '/b/1': '3' })).toEqual(['~/a/1', '-/a/2']);
  // What was a file is a directory: `/**` means what lies in it.
  const [{ '/c': file, ...rest }] = [example];
  expect(file).toBe('4');
  expect(await changes(pfs('in', '/**'), example, { ...rest, '/c/1': '4' })).toEqual(['-/c', '/c/1']);
  expect(await changes(pfs('in', '/*'), example, { ...rest, '/c/1': '4' })).toEqual(['~/c']);
});

test('cross: every combination', async () => {
  const params = { '/p1': '', '/p2': '', '/p3': '', '/p4': '' };
  const cross = (glob: string): Input => ({ kind: 'cross', inputs: [pfs('in', '/*/*'), pfs('params', glob)] });
  const repos = { in: example, params };
  expect(await datumsOf(cross('/'), repos)).toEqual(['in:/a/1 params:/', 'in:/a/2 params:/', 'in:/b/1 params:/']);
  expect(await datumsOf(cross('/*'), repos)).toHaveLength(12);
  expect(await datumsOf(cross('/none'), repos)).toEqual([]);
  expect(await datumsOf(cross('/*'), { in: example })).toEqual([]);

  const world = new World();
  const versions = { in: await world.version(example), params: await world.version(params) };
  const changed = { ...versions, params: await world.version({ ...params, '/p2': 'x' }) };
  const found = await collect(diffDatums(world.nodes, cross('/*'), readsFrom(versions), readsFrom(changed)));
  expect(found.map(({ before, after }) => [shown(must(before)), shown(must(after))])).toEqual([
    ['in:/a/1 params:/p2', 'in:/a/1 params:/p2'],
    ['in:/a/2 params:/p2', 'in:/a/2 params:/p2'],
    ['in:/b/1 params:/p2', 'in:/b/1 params:/p2'],
  ]);
});

test('union: one after the other, and what two sides have counts once', async () => {
  const union: Input = {
    kind: 'union',
    inputs: [pfs('in', '/a/*'), pfs('in', '/*/1'), pfs('in', '/c', { name: 'x' })],
  };
  expect(await datumsOf(union, { in: example })).toEqual(['/a/1', '/a/2', '/b/1', '/c']);
  const nested: Input = { kind: 'union', inputs: [pfs('in', '/c'), union, { kind: 'cross', inputs: [union] }] };
  expect(await datumsOf(nested, { in: example })).toEqual(['/c', '/a/1', '/a/2', '/b/1', '/c']);
});

test('the first side of a union decides, also when a side gets or loses a datum', async () => {
  // `/**` means files: the datum /c moves from one side to the other.
  const union: Input = { kind: 'union', inputs: [pfs('in', '/**'), pfs('in', '/*')] };
  expect(await datumsOf(union, { in: example })).toEqual(['/a/1', '/a/2', '/b/1', '/c', '/a', '/b']);
  expect(await changes(union, { '/c': '1' }, { '/c/1': '1' })).toEqual(['~/c', '/c/1']);
  expect(await changes(union, { '/c/1': '1' }, { '/c': '1' })).toEqual(['~/c', '-/c/1']);
  expect(await changes(union, { '/c': '1' }, { '/c': '2' })).toEqual(['~/c']);
});

test('join: what has the same key', async () => {
  const repos = { x: { '/1.txt': '', '/2.txt': '' }, y: { '/1.csv': '', '/3.csv': '' } };
  const join = (outerX: boolean, outerY = false): Input => ({
    kind: 'join',
    inputs: [
      pfs('x', '/(*).txt', { joinOn: '$1', outerJoin: outerX }),
      pfs('y', '/(*).csv', { joinOn: '${1}', outerJoin: outerY }),
    ],
  });
  expect(await datumsOf(join(false), repos)).toEqual(['x:/1.txt y:/1.csv']);
  expect(await datumsOf(join(true), repos)).toEqual(['x:/1.txt y:/1.csv', '/2.txt']);
  expect(await datumsOf(join(true, true), repos)).toEqual(['x:/1.txt y:/1.csv', '/2.txt', '/3.csv']);
  expect(await datumsOf(join(true), { x: repos.x })).toEqual(['/1.txt', '/2.txt']);
});

test('a join without keys is a cross', async () => {
  const repos = { x: { '/1.txt': '', '/2.txt': '' }, y: { '/1.csv': '', '/3.csv': '' }, z: { '/a': '' } };
  const sides = [pfs('x', '/*'), pfs('y', '/*'), pfs('z', '/')];
  const joined = await datumsOf({ kind: 'join', inputs: sides }, repos);
  expect(joined).toEqual(await datumsOf({ kind: 'cross', inputs: sides }, repos));
  expect(joined).toHaveLength(4);
});

test('join of three: without the third only outer sides remain, together', async () => {
  const files = { '/1': '', '/2': '' };
  const join = (outerB: boolean): Input => ({
    kind: 'join',
    inputs: [
      pfs('a', '/(*)', { joinOn: '$1', outerJoin: true }),
      pfs('b', '/(*)', { joinOn: '$1', outerJoin: outerB }),
      pfs('c', '/(*)', { joinOn: '$1' }),
    ],
  });
  const repos = { a: files, b: files, c: { '/1': '' } };
  expect(await datumsOf(join(true), repos)).toEqual(['a:/1 b:/1 c:/1', 'a:/2 b:/2']);
  expect(await datumsOf(join(false), repos)).toEqual(['a:/1 b:/1 c:/1', '/2']);
});

test('join with itself by swapped captures', async () => {
  const files = Object.fromEntries([11, 12, 21, 22].map((number) => [`/foo${number}`, '']));
  const glob = '/foo(?)(?)';
  const sides = [pfs('in', glob, { name: 'l', joinOn: '$1$2' }), pfs('in', glob, { name: 'r', joinOn: '$2$1' })];
  expect(await datumsOf({ kind: 'join', inputs: sides }, { in: files })).toEqual([
    'l:/foo11 r:/foo11',
    'l:/foo12 r:/foo21',
    'l:/foo21 r:/foo12',
    'l:/foo22 r:/foo22',
  ]);
});

test('group: all files of one key', async () => {
  const files = { '/a-1.log': '', '/a-2.log': '', '/b-1.log': '' };
  const glob = '/(*)-(*).log';
  expect(await datumsOf({ kind: 'group', inputs: [pfs('in', glob, { groupBy: '$1' })] }, { in: files })).toEqual([
    '/a-1.log /a-2.log',
    '/b-1.log',
  ]);
  const two = [pfs('in', glob, { name: 'l', groupBy: '$1' }), pfs('more', '/(*)', { name: 'r', groupBy: '$1' })];
  expect(await datumsOf({ kind: 'group', inputs: two }, { in: files, more: { '/b': '', '/c': '' } })).toEqual([
    '/a-1.log /a-2.log',
    'l:/b-1.log r:/b',
    '/c',
  ]);
});

test('datums of nested inputs are joined and grouped file by file', async () => {
  const files = Object.fromEntries([11, 12, 21, 22].map((number) => [`/foo${number}`, '']));
  const glob = '/foo(?)(?)';
  const join: Input = {
    kind: 'join',
    inputs: [
      pfs('in', glob, { name: 'l', joinOn: '$1$2', groupBy: '$1' }),
      pfs('in', glob, { name: 'r', joinOn: '$2$1', groupBy: '$2' }),
    ],
  };
  expect(await datumsOf({ kind: 'group', inputs: [join] }, { in: files })).toEqual([
    'l:/foo11 l:/foo12 r:/foo11 r:/foo21',
    'l:/foo21 l:/foo22 r:/foo12 r:/foo22',
  ]);
  // A file is in a group once, however often it was in the cross.
  const cross: Input = {
    kind: 'cross',
    inputs: [pfs('in', '/foo1?', { name: 'l' }), pfs('in', '/foo2?', { name: 'r' })],
  };
  expect(await datumsOf({ kind: 'group', inputs: [cross] }, { in: files })).toEqual([
    'l:/foo11 l:/foo12 r:/foo21 r:/foo22',
  ]);
  // Files of a group go in order of paths, not of the keys that they came by.
  const odd: Input = {
    kind: 'join',
    inputs: [
      pfs('l', '/(*)', { joinOn: '$1', groupBy: 'all' }),
      pfs('r', '/a{-,/}([12])', { joinOn: '$1', groupBy: 'all' }),
    ],
  };
  const repos = { l: { '/1': '', '/2': '' }, r: { '/a-1': '', '/a/2': '' } };
  expect(await datumsOf(odd, repos)).toEqual(['l:/1 r:/a-1', 'l:/2 r:/a/2']);
  expect(await datumsOf({ kind: 'group', inputs: [odd] }, repos)).toEqual(['l:/1 l:/2 r:/a/2 r:/a-1']);
});

test('templates: numbers, braces, the path, a dollar, and what no group took', async () => {
  const input = pfs('in', '/(*)-(*)', { joinOn: '${2}1:$0:$$1:$3:${x}', groupBy: 'same' });
  const world = new World();
  const [datum] = await world.plan(input, { in: await world.version({ '/a-b': '' }) });
  expect(datum?.files[0]).toMatchObject({ joinOn: 'b1:/a-b:$1:$3:${x}', groupBy: 'same' });
});

test('directories count by what is in them', async () => {
  expect(await datumsOf(pfs('in', '/'), { in: {} })).toEqual([]);
  expect(await datumsOf(pfs('in', '/*'), { in: { '/a': true, '/b/1': '' } })).toEqual(['/b']);
  expect(await changes(pfs('in', '/'), { '/a': '' }, {})).toEqual(['-/']);
});

test('names of any bytes', async () => {
  const files = { '/ä/😀': '1', '/\udcff/x': '2' };
  expect(await datumsOf(pfs('in', '/(*)/*', { groupBy: '$1' }), { in: files })).toEqual(['/ä/😀', '/\udcff/x']);
  const group: Input = { kind: 'group', inputs: [pfs('in', '/(*)/*', { groupBy: '$1' })] };
  expect(await datumsOf({ kind: 'cross', inputs: [group] }, { in: files })).toEqual(['/ä/😀', '/\udcff/x']);
});

test('ids are of inputs, repos, branches and paths, in that order', async () => {
  const world = new World();
  const version = await world.version({ '/ab': '1', '/b': '2' });
  const idOf = async (input: Input, in2 = version): Promise<string | undefined> =>
    (await world.plan(input, { in: in2, in2 }))[0]?.id;
  const id = await idOf(pfs('in', '/ab'));
  // Written into results: another id would be another datum.
  expect(id).toBe('01d48ec6a4a7e54161794e870530ada0e18053251dd8fc54661781562baa9348');
  expect(await idOf(pfs('in', '/ab', { lazy: true, joinOn: 'x' }), await world.version({ '/ab': 'other' }))).toBe(id);
  const others = await Promise.all([
    idOf(pfs('in', '/b')),
    idOf(pfs('in2', '/ab', { name: 'in' })),
    idOf(pfs('in', '/ab', { name: 'in2' })),
    idOf(pfs('in', '/ab', { branch: 'exp' })),
    idOf(pfs('in', '/b', { branch: 'mastera' })),
    idOf({ kind: 'cross', inputs: [pfs('in', '/ab'), pfs('in', '/b')] }),
    idOf({ kind: 'cross', inputs: [pfs('in', '/b'), pfs('in', '/ab')] }),
  ]);
  expect(new Set([id, ...others]).size).toBe(8);
});

test('documents tell what a command sees, and nothing else', async () => {
  const world = new World();
  const documents = async (input: Input, ...files: readonly Contents[]): Promise<string[]> => {
    const found: string[] = [];
    for (const contents of files) {
      const [datum] = await world.plan(input, {
        in: await world.version(contents),
        in2: await world.version(contents),
      });
      found.push(JSON.stringify(await inputDocument(world.nodes, must(datum))));
    }
    return found;
  };
  const [a, b, moved] = [{ '/d/1': 'a' }, { '/d/1': 'b' }, { '/d/2': 'a' }];
  const same = (input: Input): Promise<string[]> => documents(input, a, b, moved);
  const [whole] = await same(pfs('in', '/d'));
  expect(new Set(await same(pfs('in', '/d'))).size).toBe(3);
  expect(await documents(pfs('in2', '/d', { name: 'in', branch: 'exp', lazy: true }), a)).toEqual([whole]);
  expect(JSON.parse(must(whole))).toEqual({
    files: [{ name: 'in', path: '/d', kind: 'directory', executable: false, content: expect.any(String) as string }],
  });

  const empty = await same(pfs('in', '/d', { emptyFiles: true }));
  expect(empty[0]).toBe(empty[1]);
  expect(new Set([whole, ...empty]).size).toBe(3);
  const emptyFile = await documents(pfs('in', '/d/1', { emptyFiles: true }), a, b);
  expect(emptyFile[0]).toBe(emptyFile[1]);
  const reference = await same(pfs('in', '/d', { reference: true }));
  expect(new Set(reference).size).toBe(1);
  expect(new Set([whole, ...reference, ...empty]).size).toBe(4);

  const keyed = await same(pfs('in', '/(d)', { joinOn: '$1', groupBy: 'x' }));
  expect(JSON.parse(must(keyed[0]))).toMatchObject({ files: [{ joinOn: 'd', groupBy: 'x' }] });
  const sides = [pfs('in', '/d'), pfs('in', '/d/*', { name: 'b' })];
  expect(await documents({ kind: 'cross', inputs: sides }, a)).toEqual(
    await documents({ kind: 'cross', inputs: sides.toReversed() }, a),
  );
});

test('what is not read makes no difference', async () => {
  const [before, after] = [
    { '/d/1': 'a', '/d/2': 'a' },
    { '/d/1': 'b', '/d/2': 'a' },
  ];
  expect(await changes(pfs('in', '/d', { reference: true }), before, after)).toEqual([]);
  expect(await changes(pfs('in', '/d/*', { emptyFiles: true }), before, after)).toEqual([]);
  expect(await changes(pfs('in', '/*', { reference: true }), { '/d': 'a' }, before)).toEqual(['~/d']);
});
