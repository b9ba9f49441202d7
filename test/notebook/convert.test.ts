/**
 * What becomes of a notebook, looked at in its text. `test/cli/init.test.ts` runs it.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { blocksOf, setNames, usedNames } from '../../src/notebook/blocks.ts';
import { convertNotebook, type ConvertOptions, type Draft } from '../../src/notebook/convert.ts';
import { filesOf } from '../../src/notebook/files.ts';
import { modulesOf } from '../../src/notebook/imports.ts';
import { parseNotebook } from '../../src/notebook/notebook.ts';
import { parametersOf } from '../../src/notebook/parameters.ts';
import { tokensOf } from '../../src/notebook/python.ts';
import { code, heading, notebook } from '../support/notebook.ts';

const options: ConvertOptions = {
  name: 'edges',
  from: 'analysis.ipynb',
  split: false,
  keepPaths: false,
  local: new Map(),
  installed: new Map([['numpy', { name: 'numpy', version: '1.26.4' }]]),
};

function convert(cells: readonly object[], more: Partial<ConvertOptions> = {}): Draft {
  return convertNotebook(parseNotebook(notebook(cells), 'analysis.ipynb'), { ...options, ...more });
}

const script = (draft: Draft, name = 'main'): string => draft.files.get(`src/${name}.py`) ?? '';

test('strings, comments and brackets of Python are told apart', () => {
  const source = `a = 'it\\'s' # "no"\nb = r"\\d" + f"{a}" + b'x'\nc = ("""two\nlines""",\n  1_000)\n`;
  const tokens = tokensOf(source);
  expect(tokens.filter(({ kind }) => kind === 'newline')).toHaveLength(3);
  const strings = tokens.flatMap((token) => (token.kind === 'string' ? [token.value] : []));
  expect(strings).toEqual(["it's", '\\d', undefined, undefined, 'two\nlines']);
  expect(tokens.map(({ start, text }) => source.slice(start, start + text.length) === text)).not.toContain(false);
});

test('magics are comments, and what only looks like one stays', () => {
  const source = [
    '%load_ext autoreload',
    "!echo it's",
    'x = 7 \\',
    '  % 4',
    's = """',
    '%not a magic',
    '!nor this"""',
    'y = (x',
    '  % 3)',
    'if x:',
    '    !ls',
    'z = !pwd',
    'x?',
  ].join('\n');
  const { cells, magics } = parseNotebook(notebook([code(source), code('%%bash\nls'), code('%%time\nq = 1')]), 'x');
  expect(cells[0]?.source.split('\n')).toEqual([
    '# %load_ext autoreload',
    "# !echo it's",
    'x = 7 \\',
    '  % 4',
    's = """',
    '%not a magic',
    '!nor this"""',
    'y = (x',
    '  % 3)',
    'if x:',
    '    pass  # !ls',
    '# z = !pwd',
    '# x?',
  ]);
  expect(cells.slice(1).map((cell) => cell.source)).toEqual(['# %%bash\n# ls', '# %%time\nq = 1']);
  expect(magics.map(({ cell, text }) => `${cell} ${text}`)).toEqual([
    '1 %load_ext autoreload',
    "1 !echo it's",
    '1 !ls',
    '1 z = !pwd',
    '1 x?',
    '2 %%bash',
    '3 %%time',
  ]);
});

test('files are found by the calls that open them, and nothing else is', () => {
  const source = `
DATA = 'data/train.csv'
twice = 'a'
twice = 'b'
df = pd.read_csv(DATA, sep=';')
df.to_csv(path_or_buf="out/result.csv")
open('notes.txt'); open("log.txt", 'a'); open('both', mode='r+')
torch.save(model, 'm.pt'); np.save('a.npy', a); model.load('m2.pt')
with h5py.File('x.h5', 'w') as f: pass
Path('a.txt').read_text(); Path('b.txt').write_text('c.txt'); Path('d')
read_csv('https://example.org/x.csv'); read_csv(f'{DATA}x'); read_csv(twice); json.load(handle)
def open(x): pass
print(f"{open('in.txt').read()} {DATA}")
# open('comment')
print('open("no")', my.opened('x'))
`;
  const { uses, unknown } = filesOf(source);
  expect(uses.map(({ access, path }) => `${access} ${path}`)).toEqual([
    'read data/train.csv',
    'write out/result.csv',
    'read notes.txt',
    'write log.txt',
    'write both',
    'write m.pt',
    'write a.npy',
    'read m2.pt',
    'write x.h5',
    'read a.txt',
    'write b.txt',
  ]);
  expect(unknown.map(({ by }) => by)).toEqual(['read_csv', 'read_csv', 'an f-string']);
});

test('paths become those of repos and of /pfs/out, each change shown', () => {
  const draft = convert([
    code("import numpy as np\nDATA = '../data/in/a.csv'"),
    code("x = open(DATA).read()\ny = np.load('/home/ann/models/m.npy')\nz = open('/pfs/labels/l.txt')"),
    code("open('figs/a.txt', 'w').write(x)\nprint(open('figs/a.txt').read())"),
  ]);
  expect(draft.changes).toEqual([
    { cell: 1, before: "DATA = '../data/in/a.csv'", after: 'DATA = "/pfs/data/in/a.csv"' },
    { cell: 2, before: "y = np.load('/home/ann/models/m.npy')", after: 'y = np.load("/pfs/models/m.npy")' },
    { cell: 3, before: "open('figs/a.txt', 'w').write(x)", after: 'open("/pfs/out/figs/a.txt", \'w\').write(x)' },
    { cell: 3, before: "print(open('figs/a.txt').read())", after: 'print(open("/pfs/out/figs/a.txt").read())' },
  ]);
  expect(draft.repos).toEqual([
    { repo: 'data', sources: ['../data/'] },
    { repo: 'models', sources: ['/home/ann/models/'] },
    { repo: 'labels', sources: [] },
  ]);
  expect(script(draft)).toContain('os.makedirs("/pfs/out/figs", exist_ok=True)');
  expect(draft.files.get('edges.yaml')).toContain('- pfs: { repo: models, glob: "/" }');
  expect(draft.files.get('requirements.txt')).toBe('numpy==1.26.4\n');
  const kept = convert([code("open('data/a')")], { keepPaths: true });
  expect({ changes: kept.changes, has: script(kept).includes("open('data/a')") }).toEqual({ changes: [], has: true });
});

test('names of any kind are text: of the notebook, of repos, of variables, and long values', () => {
  const from = 'a"""\nimport os\u2028pipeline: x.ipynb';
  const cells = [code(`null = 'x'\nlong = '${'word '.repeat(40)}'`, ['parameters']), code("open('2026/a')")];
  const draft = convert(cells, { name: '123', from });
  const lines = [...draft.files.values()].flatMap((text) => text.split(/[\r\n\u2028]/));
  expect(lines.filter((line) => /^(?:import os.*x\.ipynb|pipeline: x)/.test(line))).toEqual([]);
  const spec = parse(draft.files.get('123.yaml') ?? '') as Record<string, object>;
  expect(spec).toMatchObject({
    pipeline: { name: '123' },
    input: { pfs: { repo: '2026', glob: '/' } },
    transform: { env: { NULL: 'x', LONG: 'word '.repeat(40) } },
  });
});

test('what can not be told is said, and nothing is made up', () => {
  const draft = convert([code('import unheard_of, os\nfor p in paths:\n    open(p)'), code('get_it()')]);
  expect(draft.notes).toEqual([
    'cell 1: open opens a path that only running it would tell: look at it yourself',
    'no file that main.py reads was found, so its input is the repo data: change it in the spec',
    'requirements.txt: unheard_of is not installed here, so unheard-of has no version: write one',
  ]);
  expect(draft.changes).toEqual([]);
});

test('parameters are read from the environment, with their values by default', () => {
  expect(parametersOf('a = 1_000\nb = -2.5\nc = "x"  # why\nd = True\ne = [1]\nf = a + 1\n')).toEqual({
    source:
      'a = int(os.environ.get("A", "1000"))\nb = float(os.environ.get("B", "-2.5"))\nc = os.environ.get("C", "x")  # why\n' +
      "d = os.environ.get(\"D\", \"true\").lower() in ('1', 'true', 'yes')\ne = [1]\nf = a + 1\n",
    env: { A: '1000', B: '-2.5', C: 'x', D: 'true' },
    left: ['e', 'f'],
  });
});

test('imports name packages: not the own library, nor relative ones, nor those beside the notebook', () => {
  const source =
    'import os, numpy as np, cv2\nfrom sklearn.svm import SVC\nfrom . import x\nimport a.b as c\ntry:\n    import ujson\nexcept ImportError:\n    import json\n# import no\n"""\nimport neither\n"""\n';
  expect(modulesOf(source)).toEqual(['a', 'cv2', 'numpy', 'sklearn', 'ujson']);
  const draft = convert([code(source), code('!pip install -q "pandas>=2" a==1.0')], {
    local: new Map([['ujson', '']]),
  });
  expect(draft.files.get('requirements.txt')?.split('\n')).toEqual([
    'a==1.0',
    'numpy==1.26.4',
    'opencv-python-headless',
    'pandas>=2',
    'scikit-learn',
    '',
  ]);
});

test('blocks of the top level are whole, and names are those of the script itself', () => {
  const source =
    '@deco\n# why\ndef f(a,\n      b):\n    c = 1\n\n    return c\n\nif f(1, 2):\n    d = 3\nelse:\n    e, g = 4, 5\nh.i = j[k] = 1\nfor m in d: n += 1\nwith o() as q: pass\nx: int = 3\n';
  expect(blocksOf(source).map(({ kind, text }) => `${kind}: ${text.split('\n')[0]}`)).toEqual([
    'definition: @deco',
    'other: ',
    'other: h.i = j[k] = 1',
    'other: for m in d: n += 1',
    'other: with o() as q: pass',
    'other: x: int = 3',
  ]);
  expect([...setNames(source)].sort()).toEqual(['d', 'e', 'g', 'h', 'j', 'm', 'n', 'q', 'x']);
  expect([...usedNames('a.b(c=d, e=f"{g.h} {i!r}")')].sort()).toEqual(['a', 'c', 'd', 'e', 'g', 'i']);
});

test('a chain hands on what later stages use, and reads files where an earlier one wrote them', () => {
  const cells = [
    code('import math\nrate = 2', ['parameters']),
    heading('## Preparation'),
    code("rows = [1, 2]\nunused = 3\ndef double(x):\n    return rate * x\nopen('rows.txt', 'w').write(str(rows))"),
    heading('## Training'),
    code("model = [double(x) for x in rows]\nprint(open('rows.txt').read())"),
    heading('## Evaluation!'),
    code('print(math.pi, rows, model)'),
  ];
  const draft = convert(cells, { split: true });
  expect([...draft.files.keys()].filter((path) => path.startsWith('src/'))).toEqual([
    'src/1-preparation.py',
    'src/2-training.py',
    'src/3-evaluation.py',
  ]);
  expect(script(draft, '1-preparation')).toContain('for name in ["rows"]}, file)');
  expect(script(draft, '2-training')).toContain('globals().update(pickle.load(file))  # rows\n');
  expect(script(draft, '2-training')).toContain('for name in ["model", "rows"]}, file)');
  expect(script(draft, '2-training')).toContain('open("/pfs/edges-preparation/rows.txt")');
  expect(script(draft, '2-training')).toContain('rate = int(os.environ.get("RATE", "2"))');
  expect(script(draft, '3-evaluation')).toContain('import math');
  expect(script(draft, '3-evaluation')).not.toContain('pickle.dump');
  const tagged = convert([code('a = input()', ['stage:one']), code('b = a'), code('print(b)', ['stage:two'])], {
    split: true,
  });
  expect(script(tagged, '1-one')).toContain('["b"]');
  expect(script(tagged, '2-two')).toContain('# b\n');
});

test('headings of any length are read, whatever closes them', () => {
  const marks = '#'.repeat(100_000);
  const source = `# One ##\n## a${' '.repeat(100_000)}b\n### ${marks} c\n#no heading\n## ${marks}`;
  const { headings } = parseNotebook(JSON.stringify({ nbformat: 4, cells: [{ cell_type: 'markdown', source }] }), 'x');
  expect(headings.map(({ level, text }) => [level, text.length])).toEqual([
    [1, 3],
    [2, 100_002],
    [3, 100_002],
  ]);
});

test('what is no notebook, another language and another format are refused by name', () => {
  const refused = (text: string) => () => parseNotebook(text, 'x.ipynb');
  expect(refused('{')).toThrow('x.ipynb: it is no notebook: not JSON');
  expect(refused('[]')).toThrow('x.ipynb: it is no notebook');
  expect(refused('{"nbformat": 4, "cells": 5}')).toThrow('x.ipynb: it is no notebook');
  expect(refused('{"nbformat": 3, "worksheets": []}')).toThrow('it has notebook format 3, and pach reads 4');
  const inR = { nbformat: 4, cells: [], metadata: { kernelspec: { language: 'R' } } };
  expect(refused(JSON.stringify(inR))).toThrow('it is written in "R", and only Python can be converted');
  const odd = { nbformat: 4, cells: [null, 7, { cell_type: 'code' }, { cell_type: 'code', source: [1, 'a'] }] };
  expect(parseNotebook(JSON.stringify(odd), 'x').cells.map(({ source }) => source)).toEqual(['', 'a']);
});

test('real notebooks become scripts that Python can read', async () => {
  const examples = join(dirname(createRequire(import.meta.url).resolve('@nteract/examples/package.json')), 'python');
  const notebooks = (await readdir(examples)).filter((name) => name.endsWith('.ipynb'));
  expect(notebooks.length).toBeGreaterThan(3);
  const dir = await mkdtemp(join(tmpdir(), 'pach-notebook-'));
  try {
    const scripts: string[] = [];
    for (const name of notebooks) {
      const parsed = parseNotebook(await readFile(join(examples, name), 'utf8'), name);
      for (const split of [false, true]) {
        for (const [path, text] of convertNotebook(parsed, { ...options, split }).files) {
          if (!path.endsWith('.py')) continue;
          const target = join(dir, `${scripts.length}.py`);
          await writeFile(target, text);
          scripts.push(target);
        }
      }
    }
    execFileSync('/usr/bin/python3', ['-m', 'py_compile', ...scripts]);
    expect(scripts.length).toBeGreaterThan(2 * notebooks.length);
  } finally {
    await rm(dir, { recursive: true });
  }
});
