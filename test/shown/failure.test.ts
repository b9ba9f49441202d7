/**
 * Tracebacks as programs print them.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { failureOf } from '../../src/shown/failure.ts';

const code = [
  { from: '/home/ann/edges/src', to: '/app' },
  { from: '/home/ann/lib/tool.py', to: '/tools/tool.py' },
];
const at = (path: string, line: number) => ({ path: `/home/ann/${path}`, line });

test("Python: the innermost line of one's own code, not of a library's", () => {
  const log = `loading
Traceback (most recent call last):
  File "/app/main.py", line 12, in <module>
    main()
  File "/app/deep/edges.py", line 3, in main
    frame = pandas.read_csv(path)
            ^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3/dist-packages/pandas/io/parsers.py", line 912, in read_csv
    return _read(filepath_or_buffer, kwds)
FileNotFoundError: [Errno 2] No such file or directory: '/pfs/images/a.csv'
`;
  expect(failureOf(log, code)).toEqual({
    at: at('edges/src/deep/edges.py', 3),
    message: "FileNotFoundError: [Errno 2] No such file or directory: '/pfs/images/a.csv'",
  });
});

test('Python: a mistake of syntax, one error while handling another, and a file of code', () => {
  const syntax = `  File "/app/main.py", line 3
    x = (
        ^
SyntaxError: '(' was never closed
`;
  expect(failureOf(syntax, code)).toEqual({
    at: at('edges/src/main.py', 3),
    message: "SyntaxError: '(' was never closed",
  });
  const chained = `Traceback (most recent call last):
  File "/app/main.py", line 2, in <module>
    1/0
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/tools/tool.py", line 4, in <module>
    nothing
NameError: name 'nothing' is not defined
`;
  expect(failureOf(chained, code)).toEqual({
    at: at('lib/tool.py', 4),
    message: "NameError: name 'nothing' is not defined",
  });
});

test('Go, gcc and perl', () => {
  const go = `panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.main()
	/app/main.go:7 +0x1d
exit status 2
`;
  expect(failureOf(go, code)).toEqual({ at: at('edges/src/main.go', 7), message: 'exit status 2' });
  const gcc = "/app/x.c: In function 'main':\n/app/x.c:3:5: error: 'y' undeclared\n";
  expect(failureOf(gcc, code)).toEqual({ at: at('edges/src/x.c', 3), message: "/app/x.c:3:5: error: 'y' undeclared" });
  expect(failureOf('Oh no at /app/x.pl line 9.\n', code).at).toEqual(at('edges/src/x.pl', 9));
});

test('what names no code, and nothing at all', () => {
  expect(failureOf('Segmentation fault\n', code)).toEqual({ at: undefined, message: 'Segmentation fault' });
  expect(failureOf('', code)).toEqual({ at: undefined, message: '' });
  expect(failureOf('/apple/x.py:3: no\n', code).at).toBeUndefined();
});

test('Node and a shell, as they print here', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'pach-failure-'));
  try {
    const here = [{ from: '/home/ann/edges/src', to: dir }];
    const run = (program: string, name: string): string => {
      const { stdout, stderr } = spawnSync(program, [join(dir, name)], { encoding: 'utf8' });
      return stdout + stderr;
    };
    await writeFile(join(dir, 'main.mjs'), "import './lib.mjs';\n");
    await writeFile(join(dir, 'lib.mjs'), 'function inner() {\n  return nothing;\n}\ninner();\n');
    expect(failureOf(run(process.execPath, 'main.mjs'), here)).toEqual({
      at: at('edges/src/lib.mjs', 2),
      message: 'ReferenceError: nothing is not defined',
    });
    await writeFile(join(dir, 'run.sh'), 'true\nno-such-program\n');
    for (const shell of ['sh', 'bash']) {
      expect(failureOf(run(shell, 'run.sh'), here)).toMatchObject({
        at: at('edges/src/run.sh', 2),
        message: expect.stringContaining('not found'),
      });
    }
  } finally {
    await rm(dir, { recursive: true });
  }
});
