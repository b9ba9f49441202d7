/**
 * The live screen of `pach dev` in a real terminal.
 */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PipelinePlace } from '../pipelines/cli-world.ts';
import type { Terminal } from '../support/terminal.ts';

const copies = (text: string): string => `import os
for name in os.listdir("/pfs/in"):
    open("/pfs/out/" + name, "w").write(${text})
`;

/** A pipeline whose code is `src/main.py`, and its development on a terminal. */
class Development implements AsyncDisposable {
  readonly here: PipelinePlace;

  private constructor(here: PipelinePlace) {
    this.here = here;
  }

  static async make(code: string, files: Readonly<Record<string, string>> = { a: '1', b: '22' }): Promise<Development> {
    const here = await PipelinePlace.make(files);
    const development = new Development(here);
    await here.must('mkdir src');
    await development.save(code);
    const dev = { code: [{ from: './src', to: '/app' }] };
    await here.spec('p', '', { transform: { cmd: ['python3', '/app/main.py'] }, dev });
    return development;
  }

  /** As most editors do it. */
  async save(code: string): Promise<void> {
    const path = join(this.here.place.dir, 'src/main.py');
    await writeFile(`${path}~`, code);
    await rename(`${path}~`, path);
  }

  /** Then says whether the terminal is as it was. */
  start(size?: { columns: number; rows: number }): Promise<Terminal> {
    const script =
      'before=$(stty -g); sh -c \'echo $$ >pid; exec pach dev -f p.json\'; echo "ended $?"; [ "$before" = "$(stty -g)" ] && echo same modes; read -r end';
    return this.here.place.terminal(script, size);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.here[Symbol.asyncDispose]();
  }
}

/** Of a screen, the save that was last. */
function lastSave(screen: string): string {
  return screen.slice(Math.max(screen.lastIndexOf('\nsaved '), screen.lastIndexOf('\nstarted ')) + 1);
}

/** The terminal was given back. */
async function givenBack(terminal: Terminal, code: number): Promise<string> {
  const screen = await terminal.waitFor(/same modes/);
  expect(screen).toContain(`ended ${code}\n`);
  expect(await terminal.showsCursor()).toBe(true);
  return screen;
}

test('a Python error with its file and line first; mended, it goes; what was before stays above', async () => {
  await using development = await Development.make(copies('text'));
  await using terminal = await development.start();
  const failed = await terminal.waitFor(/\d s · 2 ran, 0 known, 2 failed\n/);
  expect(await terminal.showsCursor()).toBe(false);
  expect(failed).toMatch(/^watching p; results go to branch dev-\S+\nstarted [\d:]{8} · /);
  expect(lastSave(failed).split('\n').slice(1)).toEqual([
    expect.stringMatching(/^✗ src\/main\.py:3: NameError: name 'text' is not defined/),
    '  p: the command ended with exit code 1',
    expect.stringMatching(/^ {2}reads in@[0-9a-f]{12}:\/[ab]$/),
    expect.stringMatching(/^ {2}datum [0-9a-f]{16}$/),
    '  │ Traceback (most recent call last):',
    '  │   File "/app/main.py", line 3, in <module>',
    expect.any(String),
    expect.any(String),
    expect.stringMatching(/^ {2}│ NameError: /),
    '  1 other datum failed in the same way',
    '',
    'f only failed  enter rerun  s shell  d diff  w why  ↑↓ other  q quit',
  ]);

  await development.save(copies('"x"'));
  const mended = await terminal.waitFor((screen) =>
    /\d s · 2 ran, 0 known · [^]*production has no output yet/.test(lastSave(screen)),
  );
  expect(mended).toMatch(/^started .* 2 failed\n✗ src\/main\.py:3: .*\n {2}and 1 more failed\nsaved /m);
  const rows = lastSave(mended).split('\n');
  expect(rows[0]).toMatch(/^saved [\d:]{8} · \d+\.\d\d s · 2 ran, 0 known · src\/main\.py$/);
  expect(rows.slice(1, 3)).toEqual([
    'p from the last save: 2 added, 0 changed, 0 removed; +2B',
    'p: production has no output yet',
  ]);

  await terminal.type('d');
  await terminal.waitFor(/\n\+ \/a {2}\+1B\n\+ \/b {2}\+1B\n/);
  await terminal.type('w');
  await terminal.waitFor(/\ndatum [0-9a-f]{16}: changed since job [0-9a-f]{12}: code \/app\n/);
  await terminal.type('w');
  await terminal.waitFor((screen) => !screen.includes('changed since'));

  await terminal.type('q');
  const left = await givenBack(terminal, 0);
  expect(lastSave(left).split('\n')).toEqual([...rows.slice(0, 3), 'ended 0', 'same modes']);
  expect(await terminal.history()).not.toMatch(/q quit|reading/);
});

test('what differs from production, and a run again that finds nothing to do', async () => {
  await using development = await Development.make(copies('"x"'));
  await development.here.must('pach run pipeline -f p.json');
  await using terminal = await development.start();
  await terminal.waitFor(/0 ran, 2 known\n[^]*p from production: nothing\n/);
  await development.save(copies('"xyz"'));
  await terminal.waitFor(/p from production: 0 added, 2 changed, 0 removed; \+4B\n/);
  await terminal.type('\n');
  const again = await terminal.waitFor((screen) => /^started .* s · 0 ran, 2 known/.test(lastSave(screen)));
  expect(lastSave(again)).toContain('p from the last save: nothing\n');
});

test('only what failed, through saves; then all of it', async () => {
  const fails = (name: string): string => `${copies('"x"')}    assert name != "${name}", "odd"\n`;
  await using development = await Development.make(fails('a'));
  await using terminal = await development.start();
  await terminal.waitFor(/\d s · 2 ran, 0 known, 1 failed\n[^]*q quit/);
  await terminal.type('f');
  await terminal.waitFor((screen) => /only 1 datum that failed: 1 left out\n[^]*a all/.test(lastSave(screen)));
  // b is not looked at.
  await development.save(fails('b'));
  await terminal.waitFor((screen) =>
    /^saved .*\d s · 1 ran, 0 known · .*\nonly 1 datum that failed: 1 left out\n/.test(lastSave(screen)),
  );
  await terminal.type('a');
  const all = await terminal.waitFor((screen) => /\d s · 1 ran, 1 known, 1 failed\n[^]*q quit/.test(lastSave(screen)));
  expect(lastSave(all)).not.toContain('left out');
  expect(lastSave(all)).toMatch(/\n✗ src\/main\.py:4: AssertionError: odd\n/);
});

test('another size: lines that fit, and none of the old ones', async () => {
  await using development = await Development.make(copies('text'));
  await using terminal = await development.start();
  await terminal.waitFor(/\d s · 2 ran, 0 known, 2 failed\n[^]*q quit/);
  await terminal.resize(40, 24);
  const narrow = await terminal.waitFor(/^✗ src\/main.py:3$/m);
  expect(lastSave(narrow).split('\n').slice(0, 4)).toEqual([
    expect.stringMatching(/^started [\d:]{8} · \d+\.\d\d s$/),
    '2 ran, 0 known, 2 failed',
    '✗ src/main.py:3',
    "  NameError: name 'text' is not",
  ]);
  await terminal.resize(100, 24);
  const wide = await terminal.waitFor((screen) =>
    /^✗ src\/main.py:3: NameError: .*not defined/m.test(lastSave(screen)),
  );
  expect(lastSave(wide)).toMatch(/q quit$/);
  await terminal.type('q');
  await givenBack(terminal, 0);
});

test.each([
  ['Ctrl-C', (_: Development, terminal: Terminal) => terminal.key('C-c')],
  ['SIGTERM', ({ here }: Development) => here.must('kill -TERM $(cat pid)')],
])('%s gives the terminal back', async (_, end) => {
  await using development = await Development.make(copies('text'));
  await using terminal = await development.start();
  await terminal.waitFor(/\d s · 2 ran, 0 known, 2 failed\n[^]*q quit/);
  await end(development, terminal);
  expect(await givenBack(terminal, 130)).toContain('✗ src/main.py:3');
});

test('a mistake in the spec at first gives the terminal back', async () => {
  await using development = await Development.make(copies('text'));
  await development.here.must('echo "{" >p.json');
  await using terminal = await development.start();
  expect(await givenBack(terminal, 2)).toMatch(/^pach: p\.json/m);
});

test('nothing of a log or a name acts on the terminal', async () => {
  const clears = 'import sys\nprint("\\x1b[2J\\x1b[Hgone\\x1b]0;title\\x07 \\x1b[31mred\\x1b[0m")\nsys.exit(1)\n';
  await using development = await Development.make(clears);
  const { here } = development;
  await here.must(
    `printf 1 >nasty; pach put file in@master:/$'\\e[2Jx' -f nasty; pach delete file in@master:/a; pach delete file in@master:/b`,
  );
  await using terminal = await development.start();
  const screen = await terminal.waitFor(/1 failed\n[^]*q quit/);
  expect(screen).toMatch(/^watching p; /);
  expect(lastSave(screen)).toContain(String.raw`│ \u001b[2J\u001b[Hgone\u001b]0;title\u0007 red`);
  expect(lastSave(screen)).toContain(String.raw`✗ \u001b[2J\u001b[Hgone\u001b]0;title\u0007 red`);
  expect(lastSave(screen)).toMatch(/reads '.*'\$'\\033''\[2Jx'/);
});

test('a shell where the datum failed; leaving it comes back to the screen', async () => {
  await using development = await Development.make(copies('text'));
  await using terminal = await development.start();
  await terminal.waitFor(/\d s · 2 ran, 0 known, 2 failed\n[^]*q quit/);
  await terminal.type('s');
  await terminal.waitFor(/exit ends the shell\n[^]*[#$] ?$/);
  await terminal.type('echo here; ls /pfs/in; exit\n');
  const back = await terminal.waitFor(/\nhere\n[ab]\n[^]*\nstarted [^]*q quit$/);
  expect(back).toContain('the job stored none');
  await terminal.type('q');
  await givenBack(terminal, 0);
});

test('Ctrl-Z stops it and gives the terminal back; continued, it goes on', async () => {
  await using development = await Development.make(copies('text'));
  await using terminal = await development.here.place.terminal(['bash', '--norc', '-i']);
  await terminal.type('PS1="> "; pach dev -f p.json\n');
  await terminal.waitFor(/\d s · 2 ran, 0 known, 2 failed\n[^]*q quit/);
  await terminal.key('C-z');
  await terminal.waitFor(/Stopped[^]*>$/);
  expect(await terminal.showsCursor()).toBe(true);
  await terminal.type('fg\n');
  await terminal.waitFor(/> fg\n[^]*q quit$/);
  expect(await terminal.showsCursor()).toBe(false);
  await development.save(copies('"x"'));
  await terminal.waitFor(/has no output yet\n/);
  await terminal.type('q');
  await terminal.waitFor(/has no output yet\n>$/);
  expect(await terminal.showsCursor()).toBe(true);
});
