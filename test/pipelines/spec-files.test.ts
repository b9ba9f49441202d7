/**
 * Specs in files, folders and streams, and the lines that errors name.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { jsonFault } from '../../src/pipelines/spec/json.ts';
import { readSpecs } from '../../src/pipelines/spec/specs.ts';

let dir = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-specs-'));
});
afterAll(() => rm(dir, { recursive: true }));

const spec = (name: string) => ({
  pipeline: { name },
  transform: { cmd: ['sh'] },
  input: { pfs: { repo: 'images', glob: '/*' } },
});
const yaml = (name: string) => `pipeline: {name: ${name}}
transform:
  cmd: [sh]
input:
  pfs:
    repo: images
    glob: /*
`;

async function read(path: string, text?: string | Buffer): Promise<string[]> {
  if (text !== undefined) await writeFile(join(dir, path), text);
  const specs = await readSpecs({
    path: join(dir, path),
    project: 'default',
    stdin: () => expect.fail('not asked for'),
  });
  return specs.map(({ name }) => name);
}

/** The error's text without the folder. */
async function said(path: string, text?: string | Buffer): Promise<string> {
  try {
    return `read: ${(await read(path, text)).join()}`;
  } catch (error) {
    if (!isPachError(error)) throw error;
    return `${error.code} ${error.message.replaceAll(`${dir}/`, '')}`;
  }
}

test('one spec, a list, several documents, in JSON and YAML', async () => {
  expect(await read('one.json', JSON.stringify(spec('a')))).toEqual(['a']);
  expect(await read('tabs.json', JSON.stringify(spec('a'), undefined, '\t'))).toEqual(['a']);
  expect(await read('list.json', JSON.stringify([spec('a'), spec('b')]))).toEqual(['a', 'b']);
  expect(await read('one.yaml', yaml('a'))).toEqual(['a']);
  expect(await read('several.yml', `${yaml('a')}---\n${yaml('b')}---\n`)).toEqual(['a', 'b']);
  expect(await read('several.json', `${JSON.stringify(spec('a'))}\n---\n${JSON.stringify(spec('b'))}`)).toEqual([
    'a',
    'b',
  ]);
  const merged = `- &base\n  ${yaml('a').trim().replaceAll('\n', '\n  ')}\n- <<: *base\n  pipeline: {name: b}\n`;
  expect(await read('merged.yaml', merged)).toEqual(['a', 'b']);
});

test('a folder, in the order of names, by extension only', async () => {
  await mkdir(join(dir, 'graph/sub.json'), { recursive: true });
  await writeFile(join(dir, 'graph/b.yaml'), yaml('b'));
  await writeFile(join(dir, 'graph/a.yml'), yaml('z'));
  await writeFile(join(dir, 'graph/c.json'), JSON.stringify(spec('c')));
  await writeFile(join(dir, 'graph/README.md'), '# no spec');
  expect(await read('graph')).toEqual(['z', 'b', 'c']);
  expect(await said('graph/package.json', '{"version": 1}')).toBe(
    'usage graph/package.json:1: version: there is no such field',
  );
  await mkdir(join(dir, 'none'));
  expect(await said('none')).toBe('usage none: it has no pipeline');
});

test('standard input', async () => {
  async function* stdin(): AsyncGenerator<Buffer> {
    const text = Buffer.from(JSON.stringify({ ...spec('a'), dev: { code: [{ from: 'src', to: '/app' }] } }));
    yield text.subarray(0, 10);
    yield text.subarray(10);
  }
  const [found] = await readSpecs({ path: '-', project: 'default', stdin });
  expect(found?.code).toEqual([{ from: join(process.cwd(), 'src'), to: '/app' }]);
});

test('code lies beside the spec', async () => {
  await mkdir(join(dir, 'beside/src'), { recursive: true });
  const path = join(dir, 'beside/spec.json');
  await writeFile(path, JSON.stringify({ ...spec('a'), dev: { code: [{ from: './src', to: '/app' }] } }));
  const [found] = await readSpecs({ path, project: 'default', stdin: () => expect.fail() });
  expect(found?.code).toEqual([{ from: join(dir, 'beside/src'), to: '/app' }]);
});

test('errors name the file and the line', async () => {
  const lines = (text: string) => yaml('a').replace('  cmd: [sh]', text);
  expect(await said('x.yaml', lines('  cmmd: [sh]'))).toBe('usage x.yaml:3: transform.cmmd: there is no such field');
  expect(await said('x.yaml', lines('  image: x'))).toMatch(/^usage x\.yaml:2: transform\.cmd: invalid pipeline tr/);
  expect(await said('x.yaml', lines('  cmd:\n  - sh\n  - 7'))).toMatch(/^usage x\.yaml:5: transform\.cmd\[1\]: /);
  expect(await said('x.yaml', `- ${JSON.stringify(spec('a'))}\n- {}`)).toMatch(/^usage x\.yaml:2: pipeline: invalid/);
  expect(await said('x.yaml', `${yaml('a')}---\ndatum_trys: 3\n`)).toMatch(/^usage x\.yaml:9: datum_trys: there is/);
  const json = JSON.stringify({ ...spec('a'), dev: { limits: { log: 'x' } } }, undefined, 2);
  expect(await said('x.json', json)).toMatch(/^usage x\.json:\d+: dev\.limits\.log: it must be a size/);
});

test('what is no document, or too much', async () => {
  expect(await said('none-such.json')).toBe('not-found none-such.json: there is no such file');
  expect(await said('x.json', '')).toBe('usage x.json: it has no pipeline');
  expect(await said('x.json', '{"a": 1')).toBe('usage x.json:1:8: it ends before a }');
  expect(await said('x.json', '{"a": 1,\n"a": 2}')).toBe('usage x.json:2: Map keys must be unique');
  expect(await said('y.yaml', 'a: 1\nb: {c: 1,\n  c: 2}')).toBe('usage y.yaml:3: Map keys must be unique');
  for (const [name, text] of [
    ['y.yaml', '['.repeat(1_000_000)],
    ['y.yaml', '- '.repeat(1_000_000)],
    ['y.yaml', '{? '.repeat(1_000_000)],
  ] as const) {
    expect(await said(name, text)).toMatch(/^usage .*nested too deep/);
  }
  // A kilobyte for each of them would be a gigabyte.
  for (const [name, text] of [
    ['x.json', `[${'1,'.repeat(1_000_000)}1]`],
    ['x.json', `[${'[],'.repeat(330_000)}[]]`],
    ['y.yaml', `a:\n${'- 1\n'.repeat(500_000)}`],
    ['y.yaml', '---\n'.repeat(500_000)],
  ] as const) {
    expect(await said(name, text)).toBe(`usage ${name}: it has more than 250000 lines, values and names`);
  }
  expect(await said('x.yaml', '*a')).toMatch(/^usage x\.yaml: Unresolved alias/);
  expect(await said('x.yaml', Buffer.from([0xff, 0xfe, 0x00]))).toBe('usage x.yaml: it is not text in UTF-8');
  expect(await said('x.yaml', '# '.repeat(2 ** 21 + 1))).toBe('usage x.yaml: it has more than 4 MiB');
  expect(await said('x.json', '['.repeat(30_000))).toBe('usage x.json:1:30001: it ends before a ]');
  expect(await said('x.json', `${'['.repeat(30_000)}${']'.repeat(30_000)}`)).toMatch(/^usage x\.json(:1)?: /);
  const laughs = ['a: &a0 [x]', ...Array.from({ length: 20 }, (_, n) => `b${n}: &a${n + 1} [${`*a${n},`.repeat(9)}]`)];
  expect(await said('x.yaml', laughs.join('\n'))).toMatch(/^usage x\.yaml: Excessive alias count/);
});

test('a file that is called JSON is that, and YAML may be more', async () => {
  const trailing = `{\n  "pipeline": { "name": "a" },\n  "transform": { "cmd": ["sh", ] }\n}`;
  expect(await said('x.json', trailing)).toBe(
    'usage x.json:3:30: there is a comma before ]; JSON allows commas only between items',
  );
  for (const [text, why] of [
    ['{"a": 1,}', '1:8: there is a comma before }; JSON allows commas only between items'],
    ['{"a": 1,,"b": 2}', '1:9: names in JSON must be in double quotes'],
    ['{a: 1}', '1:2: names in JSON must be in double quotes'],
    ['{"a" 1}', '1:6: a : is missing after a name'],
    ['{"a": }', '1:7: a value is missing before }'],
    ['{"a": 01}', '1:7: this is not a JSON value'],
    ["{'a': 1}", '1:2: names in JSON must be in double quotes'],
    ['{"a": "x\ny"}', '1:7: a text has no closing quote, or has a character that JSON needs written with a backslash'],
    ['[1 2]', '1:4: a comma or a ] is missing'],
    ['{}\n// more', '2:1: there is text after its end'],
    ['{\n# a remark\n}', '2:1: JSON has no comments'],
    [`${JSON.stringify(spec('a'))}\n---\n[\n1,]`, '4:2: there is a comma before ]'],
    ['pipeline: { name: a }', '1:1: this is not a JSON value'],
  ] as const) {
    expect({ text, said: await said('x.JSON', text) }).toEqual({
      text,
      said: expect.stringContaining(`x.JSON:${why}`),
    });
  }
  // Nothing that is JSON is refused.
  const odd = { ...spec('a'), description: '\u2028 \\ " \t ] , } #', metadata: { labels: {} }, datum_tries: 1e1 };
  expect(await read('odd.json', JSON.stringify(odd, undefined, 1))).toEqual(['a']);
  expect(await read('x.yaml', JSON.stringify(spec('a')).replace('}}', '},}'))).toEqual(['a']);
});

test('what is JSON is what JSON.parse takes', () => {
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"\\u00e9"',
    '"\\x"',
    '1',
    '-0.5e+3',
    '01',
    'true',
    'nul',
    ' ',
    '\n',
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), fc.json(), fc.nat(), (words, json, at) => {
      const cut = at % (json.length + 1);
      for (const text of [words.join(''), json, json.slice(0, cut) + words.join('') + json.slice(cut)]) {
        expect({ text, ok: jsonFault(text) === undefined }).toEqual({ text, ok: isJson(text) });
      }
    }),
    { numRuns: 3000 },
  );
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

test.each([
  [
    'expect: { max_shrink: 20 }',
    '8: dev.expect.max_shrink: it must be a share from "0%" to "100%", such as "20%", not 20',
  ],
  ['expect: { max_shrink: 120% }', '8: dev.expect.max_shrink: it must be a share'],
  ['expect: { min_files: 0 }', '8: dev.expect.min_files: it must be 1 or more, not 0'],
  ['expect: { not_empty: please }', '8: dev.expect.not_empty: it must be true or false'],
  ['expect: { check: [] }', '8: dev.expect.check: it names no command'],
  ['expect: { check: "test -s x" }', '8: dev.expect.check: it must be a list'],
  ['expect: { check: [""] }', '8: dev.expect.check[0]: the name of the program is empty'],
  ['expect: { check_timeout: 5m }', '8: dev.expect.check_timeout: it needs a check'],
  ['expect: { check: [true], check_timeout: 0s }', '8: dev.expect.check[0]: it must be text, not true'],
  ['expect: { check: ["true"], check_timeout: 0s }', '8: dev.expect.check_timeout: it must be a time'],
  ['expect: { maxshrink: 5% }', '8: dev.expect.maxshrink: there is no such field'],
  ['on_datum_failure: ignore', '8: dev.on_datum_failure: it must be fail or skip, not "ignore"'],
  ['retry: { tries: 0 }', '8: dev.retry.tries: it must be 1 or more, not 0'],
  ['retry: { pause: 30 }', '8: dev.retry.pause: it must be a time such as'],
  ['retry: 3', '8: dev.retry: it must be an object with fields, not 3'],
])('dev: { %s } is refused with its place', async (field, why) => {
  const text = `pipeline:\n  name: p\ninput:\n  pfs: { repo: in, glob: / }\ntransform:\n  cmd: [sh]\ndev:\n  ${field}\n`;
  expect(await said('dev.yaml', text)).toContain(`usage dev.yaml:${why}`);
});
