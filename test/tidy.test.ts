/**
 * The shape of the code, held by a test: which room may import which, who owns a dependency, how
 * long files may be, what lies at the top of the repository.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const src = join(root, 'src');

/**
 * Bottom to top: a room may import itself and what stands before it. The folders within a room are
 * listed in the same order; `.` stands for the room's own files, but for those that are listed by name.
 */
const floors: ReadonlyMap<string, readonly string[]> = new Map([
  ['base', ['.']],
  ['model', ['.', 'records']],
  ['store', ['.', 's3', 'open.ts']],
  ['local', ['.']],
  ['chunks', ['.']],
  ['cache', ['.']],
  ['sources', ['.']],
  ['images', ['.']],
  ['versions', ['.', 'undo', 'reading', 'writing', 'upkeep']],
  ['mount', ['.']],
  ['pipelines', ['spec', 'datums', '.', 'jobs', 'editing', 'lineage']],
  ['notebook', ['.']],
  ['imports', ['.']],
  ['results', ['.']],
  ['transfer', ['.']],
  ['execution', ['.', 'executors', 'workers', 'store']],
  ['kubernetes', ['client', 'objects', '.', 'promotion']],
  ['engine', ['.']],
  ['shown', ['.']],
  ['hooks', ['.']],
  ['metrics', ['.']],
  ['app', ['.']],
  ['cli', ['.', 'live', 'verbs', 'parsing', 'completion', 'entry']],
]);
const rooms = [...floors.keys()];

/** Rooms side by side: what they share belongs below them. */
const strangers = [['mount', ['pipelines', 'results', 'transfer', 'execution', 'engine']]] as const;

/** The rooms that may use a package; every package of package.json that src imports is here. */
const packageOwners: ReadonlyMap<string, readonly string[]> = new Map([
  ['@aws-sdk/client-s3', ['store']],
  ['@aws-sdk/s3-request-presigner', ['store']],
  ['@aws-sdk/credential-provider-node', ['store']],
  ['@smithy/core', ['store']],
  ['http-proxy-agent', ['store']],
  ['https-proxy-agent', ['store']],
  ['yargs', ['cli']],
  ['string-width', ['cli']],
  ['croner', ['model']],
  ['ignore', ['pipelines']],
  ['yaml', ['pipelines', 'notebook', 'shown', 'cli']],
  ['diff', ['shown']],
  ['dockerode', ['execution']],
  ['rfc6902', ['kubernetes']],
  ['@kubernetes/client-node', ['kubernetes']],
  ['ws', ['kubernetes']],
  ['prom-client', ['metrics']],
  ['pino', ['cli']],
]);

/** The files or rooms that may name a native addon. */
const addonOwners: ReadonlyMap<string, string> = new Map([
  ['data', 'base/native.ts'],
  ['fetch', 'base/native.ts'],
  ['fuse', 'mount/'],
]);

/** The library never prints and never reads the environment: it is told what it must know. */
const manners = [
  { what: 'prints', pattern: /\bconsole\s*\.|\bprocess\s*\.\s*(?:stdout|stderr)\b/, allowed: ['cli'] },
  {
    what: 'reads the environment',
    pattern: /\bprocess\s*(?:\.\s*env\b|\[\s*'env')|\benv\b[^;]*\bfrom 'node:process'/,
    allowed: ['app', 'cli'],
  },
  // base/remove.ts walks by descriptors: a path may lead elsewhere by the time it is used.
  { what: 'removes folders by path', pattern: /\brm(?:Sync|dir|dirSync)?\s*\([^;]*\brecursive\b/, allowed: [] },
  { what: 'ends the process', pattern: /\bprocess\s*\.\s*(?:exit|abort|kill|exitCode)\b/, allowed: ['app', 'cli'] },
];

const fileLinesMax = 350;

const topLevel = new Set([
  'package.json',
  'package-lock.json',
  'knip.json',
  'vitest.config.ts',
  'Makefile',
  'README.md',
  'ARCHITECTURE.md',
  'LICENSE',
  'src',
  'native',
  'bin',
  'fixtures',
  'test',
]);

interface SourceFile {
  /** Below src, with slashes: `store/folder.ts`. */
  readonly path: string;
  readonly room: string;
  readonly text: string;
  /** The text without its comments. */
  readonly code: string;
}

/** Strings are matched first, so that a `//` or `/*` within one is no comment. */
function withoutComments(text: string): string {
  const token = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
  return text.replaceAll(token, (match) => (match.startsWith('/') ? ' ' : match));
}

/** What a file imports: statically, as types, again exported, dynamically, and by require. */
function importsOf(code: string): string[] {
  const forms = [
    /(?:^|[;\n}])\s*(?:import|export)\s[^;'"]*?\bfrom\s*['"]([^'"]+)['"]/g,
    /(?:^|[;\n}])\s*import\s*['"]([^'"]+)['"]/g,
    /\bimport\s*\(\s*['"]([^'"]+)['"]/g,
    /\brequire\s*\(\s*['"]([^'"]+)['"]/g,
    /\bimport\.meta\.resolve\s*\(\s*['"]([^'"]+)['"]/g,
  ];
  return forms.flatMap((form) => [...code.matchAll(form)].map((match) => match[1] ?? ''));
}

/** Imports whose target is not written down cannot be judged. */
function hasHiddenImport(code: string): boolean {
  return /\b(?:import|require)\s*\(\s*(?!['"])[^\s)]/.test(code);
}

/** Why a file in `room` at `path` (below src) may not import `specifier`, or undefined. */
function fault(path: string, room: string, specifier: string): string | undefined {
  if (specifier.startsWith('node:')) return undefined;
  if (!specifier.startsWith('.')) {
    const name = specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/');
    const owners = packageOwners.get(name);
    if (owners === undefined) return `${name} has no owner in the table`;
    return owners.includes(room) ? undefined : `${name} belongs to ${owners.join(', ')}`;
  }
  const target = resolve(dirname(join(src, path)), specifier);
  const inside = relative(src, target).split(sep).join('/');
  const addon = /^\.\.\/native\/build\/(\w+)\.node$/.exec(inside)?.[1];
  if (addon !== undefined) {
    const owner = addonOwners.get(addon);
    return owner !== undefined && path.startsWith(owner) ? undefined : `the addon ${addon} belongs to ${owner}`;
  }
  if (inside.startsWith('..')) return 'leaves src';
  if (!existsSync(target)) return 'names no file';
  const other = inside.split('/')[0] ?? '';
  if (rooms.indexOf(other) > rooms.indexOf(room)) return `${other} stands above ${room}`;
  if (strangers.some(([low, highs]) => low === other && (highs as readonly string[]).includes(room))) {
    return `${other} and ${room} are strangers`;
  }
  const within = floors.get(room) ?? [];
  if (other === room && within.indexOf(placeOf(inside)) > within.indexOf(placeOf(path))) {
    return `${room}/${placeOf(inside)} stands above ${room}/${placeOf(path)}`;
  }
  return undefined;
}

/** Where in its room a file stands: by its own name, or the folder that it lies in; `.` for the room itself. */
function placeOf(path: string): string {
  const [room = '', ...rest] = path.split('/');
  const own = rest.join('/');
  return floors.get(room)?.includes(own) ? own : rest.slice(0, -1).join('/') || '.';
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? walk(join(folder, entry.name)) : [join(folder, entry.name)],
  );
}

function readSources(): SourceFile[] {
  return walk(src)
    .filter((file) => /\.[cm]?[jt]sx?$/.test(file))
    .map((file) => {
      const path = relative(src, file).split(sep).join('/');
      const text = readFileSync(file, 'utf8');
      return { path, room: path.split('/')[0] ?? '', text, code: withoutComments(text) };
    });
}

const sources = readSources();

test('every file stands in a room and a place of the table', () => {
  expect(sources.length).toBeGreaterThan(0);
  expect(sources.filter(({ room, path }) => !floors.get(room)?.includes(placeOf(path))).map((f) => f.path)).toEqual([]);
});

test('every room and place of the table is there', () => {
  const listed = [...floors].flatMap(([room, places]) => places.map((place) => `${room}/${place}`));
  const used = new Set(sources.map(({ room, path }) => `${room}/${placeOf(path)}`));
  expect(listed.filter((place) => !used.has(place))).toEqual([]);
});

test('imports point down, and dependencies have one owner', () => {
  let visited = 0;
  const faults: string[] = [];
  for (const file of sources) {
    if (hasHiddenImport(file.code)) faults.push(`${file.path}: an import whose target is not a literal`);
    for (const specifier of importsOf(file.code)) {
      visited++;
      const why = fault(file.path, file.room, specifier);
      if (why !== undefined) faults.push(`${file.path}: ${specifier}: ${why}`);
    }
  }
  expect(faults).toEqual([]);
  // As many as files at the least: a scan that has gone blind must not pass.
  expect(visited).toBeGreaterThan(sources.length);
});

test('each room that exists was visited', () => {
  const folders = readdirSync(src).filter((name) => statSync(join(src, name)).isDirectory());
  const visited = new Set(sources.map((file) => file.room));
  expect(folders.filter((name) => walk(join(src, name)).length > 0 && !visited.has(name))).toEqual([]);
});

test('the scan sees every form of import', () => {
  const code = withoutComments(`
    // import { no } from './comment.ts';
    import './effect.ts';
    import type { A } from './type.ts';
    import {
      many,
      lines,
    } from './lines.ts';
    export { x } from "./export.ts"; export * from './star.ts';
    const glob = '/**/*.png'; let b: import('./inline-type.ts').B;
    const c = await import('./dynamic.ts'); /* import('./block.ts') */
    require('./required.node');
  `);
  expect(importsOf(code).toSorted()).toEqual(
    ['dynamic', 'effect', 'export', 'inline-type', 'lines', 'star', 'type']
      .map((name) => `./${name}.ts`)
      .concat('./required.node')
      .toSorted(),
  );
  expect(hasHiddenImport(code)).toBe(false);
  expect(hasHiddenImport('await import(name)')).toBe(true);
});

test('the rules refuse what they are there to refuse', () => {
  expect(fault('base/errors.ts', 'base', '../model/refs.ts')).toBe('model stands above base');
  expect(fault('model/refs.ts', 'model', '../base/errors.ts')).toBeUndefined();
  expect(fault('model/refs.ts', 'model', '../base/absent.ts')).toBe('names no file');
  expect(fault('model/refs.ts', 'model', '../../test/tidy.test.ts')).toBe('leaves src');
  expect(fault('versions/upload.ts', 'versions', './upkeep/gc.ts')).toBe('versions/upkeep stands above versions/.');
  expect(fault('versions/upkeep/gc.ts', 'versions', '../upload.ts')).toBeUndefined();
  expect(fault('store/limit.ts', 'store', './s3/client.ts')).toBe('store/s3 stands above store/.');
  expect(fault('store/s3/client.ts', 'store', '../open.ts')).toBe('store/open.ts stands above store/s3');
  expect(fault('store/open.ts', 'store', './s3/client.ts')).toBeUndefined();
  expect(fault('engine/x.ts', 'engine', '../mount/view.ts')).toBe('mount and engine are strangers');
  expect(fault('cache/x.ts', 'cache', '@aws-sdk/client-s3')).toBe('@aws-sdk/client-s3 belongs to store');
  expect(fault('cache/x.ts', 'cache', 'lodash/map')).toBe('lodash has no owner in the table');
  expect(fault('chunks/x.ts', 'chunks', '../../native/build/data.node')).toBe(
    'the addon data belongs to base/native.ts',
  );
  expect(fault('mount/x.ts', 'mount', '../../native/build/fuse.node')).toBeUndefined();
});

test('the library does not print, read the environment, remove by path or end the process', () => {
  const faults = sources.flatMap((file) =>
    manners
      .filter(({ pattern, allowed }) => !allowed.includes(file.room) && pattern.test(file.code))
      .map(({ what }) => `${file.path} ${what}`),
  );
  expect(faults).toEqual([]);
});

test(`no file of src is longer than ${fileLinesMax} lines`, () => {
  const lines = (file: SourceFile) => file.text.split('\n').length - 1;
  expect(sources.filter((file) => lines(file) > fileLinesMax).map((file) => `${file.path}: ${lines(file)}`)).toEqual(
    [],
  );
});

test('the lock file names no registry', () => {
  expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved"/);
});

test('the top of the repository holds only what is meant to be there', () => {
  // A checkout may belong to somebody else than who tests it. Without git, what lies there counts.
  const listed = existsSync(join(root, '.git'))
    ? execFileSync('git', ['-c', `safe.directory=${resolve(root)}`, 'ls-files', '-z'], { cwd: root, encoding: 'utf8' })
        .split('\0')
        .filter((path) => path !== '')
    : readdirSync(root).filter((name) => !['node_modules', 'dist', 'bench.json'].includes(name));
  const top = new Set(listed.map((path) => path.split('/')[0] ?? ''));
  expect(top.size).toBeGreaterThan(0);
  const strays = [...top].filter((name) => !topLevel.has(name) && !/^\.|^tsconfig.*\.json$/.test(name));
  expect(strays).toEqual([]);
});
