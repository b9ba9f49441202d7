/**
 * Names, messages and errors of others as people see them: nothing of them acts on a terminal,
 * forges a line or moves other rows.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { constantFrom, sample, string } from 'fast-check';
import { expect, test } from 'vitest';
import { visible } from '../../src/base/visible.ts';
import { quotedName } from '../../src/base/shell.ts';
import { visibleLog } from '../../src/cli/quote.ts';
import { Place } from '../support/place.ts';

/** Bytes of a terminal's sequences, and what it may act on as one character. */
const acting = /(?![\r\n])[\p{Cc}\p{Cf}]/u;

/** What a command prints to a terminal of 80 columns. */
async function onTerminal(place: Place, command: string): Promise<string> {
  const typed = await place.must(`script -qec ${quotedName(`stty cols 80; ${command}`, true)} /dev/null </dev/null`);
  return typed.replaceAll('\r\n', '\n');
}

test('names are quoted as ls does, and a shell reads them back', () => {
  const dir = mkdtempSync(join(tmpdir(), 'pach-names-'));
  try {
    const piece = constantFrom(...Array.from(' ab\'"\\$!#~{}\n\t\u001b\u0007\u007f?*@é漢[]=;'));
    const name = string({ unit: piece, minLength: 1, maxLength: 6 });
    const known = ["it's", "it's $x", '~', 'a~', '{', '{}', 'two\nlines', '\n', 'a\u001b[31mred', 'a\\b'];
    const names = [...new Set([...known, ...sample(name, { numRuns: 400, seed: 1 })])];
    for (const each of names) writeFileSync(join(dir, each), '');
    const env = { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8' };
    const listed = (style: string, end: string): string[] =>
      execFileSync('ls', ['-1UA', `--quoting-style=${style}`, ...(end === '\0' ? ['--zero'] : []), dir], { env })
        .toString()
        .split(end)
        .slice(0, -1);
    const quoted = listed('shell-escape', '\n');
    const found = listed('literal', '\0');
    expect(found.toSorted()).toEqual(names.toSorted());
    // For names with both a quote and a control character, ls writes more pieces than it needs.
    const alike = found
      .map((each, at) => [each, quoted[at]])
      .filter(([each = '']) => !(each.includes("'") && visible(each) !== each));
    expect(alike.length).toBeGreaterThan(300);
    expect(alike.map(([each = '']) => quotedName(each, true))).toEqual(alike.map(([, word]) => word));
    const words = names.map((each) => quotedName(each, true)).join(' ');
    const read = execFileSync('bash', ['-c', `printf '%s\\0' ${words}`], { env }).toString();
    expect(read).toBe(names.map((each) => `${each}\0`).join(''));
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('hidden characters are written out, log lines keep colours', () => {
  expect(visible('a\n\u001b[31m\u009b\u202e\udcff\u200b漢é')).toBe('a\\n\\u001b[31m\\u009b\\u202e\\udcff\\u200b漢é');
  expect(quotedName('caf\udce9\u0085\u202e', false)).toBe("'caf'$'\\351\\302\\205\\342\\200\\256'");
  expect(quotedName('a b*', false)).toBe('a b*');
  expect(visibleLog('\u001b[1;31mred\u001b[0m\tx\u001b[2J\u001b]0;t\u0007\r', true)).toBe(
    '\u001b[1;31mred\u001b[0m\tx\\u001b[2J\\u001b]0;t\\u0007\u001b[0m',
  );
  expect(visibleLog('\u001b[31mred', false)).toBe('red');
});

test('what people see of odd names, messages and errors', async () => {
  await using place = await Place.make('root');
  const odd = String.raw`mkdir s && touch "s/$(printf 'a\033[31mred')" "s/$(printf 'two\nlines')" "s/$(printf 'caf\351')" "s/$(printf 'c\302\233 1m')" s/漢字漢字 "s/a b" &&
    ln -s "$(head -c 3000 /dev/zero | tr '\0' t)" s/link && pach create repo r -d "$(printf 'one\ntwo\033[2J')" >/dev/null &&
    pach put file r@master -r -f s -m "$(printf 'first\033[31m\rline\nsecond \342\200\256')" >/dev/null`;
  await place.must(odd);
  const rows = (await place.must('pach list file r@master:/s')).trimEnd().split('\n');
  expect(rows).toHaveLength(1 + 7);
  expect(Math.max(...rows.map((row) => row.length))).toBeLessThan(200);
  expect(rows.join('\n')).not.toMatch(acting);
  expect(rows.map((row) => row.replace(/ {2}.*/, ''))).toEqual(
    expect.arrayContaining(['/s/a b', String.raw`'/s/two'$'\n''lines'`, String.raw`'/s/caf'$'\351'`]),
  );
  // JSON is as it was, so that programs get the names themselves.
  expect(await place.must('pach list file r@master:/s -o json')).toContain('"path":"/s/two\\nlines"');
  expect(await place.must('pach list file r@master:/s -o json')).toContain('"path":"/s/c\u009b 1m"');

  const commands = [
    'pach list file r@master:/s',
    'pach list file r@master:/s -o json',
    'pach list file r@master:/s -o yaml',
    "pach glob file 'r@master:/**'",
    'pach inspect file "r@master:/s/$(printf \'two\\nlines\')"',
    'pach list repo',
    'pach inspect repo r',
    'pach list commit r',
    'pach inspect commit r@master',
    'pach log r@master',
    'pach diff file r@master || true',
    'pach diff file r@master --name-only || true',
    'pach get file "r@master:/no$(printf \'\\033[31m\\nx\')" || true',
    'pach list file "$(printf \'r\\033[31m\\nx\')" || true',
    'pach list "$(printf \'no\\033[31m\')" || true',
    'pach put file r@master -v -f "$(printf \'no\\033[31m\\nx\')" || true',
  ];
  for (const command of commands) expect(`${command}: ${await onTerminal(place, command)}`).not.toMatch(acting);
  const shown = await onTerminal(place, commands[0] as string);
  expect(shown).toContain(String.raw`'/s/a'$'\033''[31mred'`);
  expect(shown).toContain("'/s/a b'");
  // Wide characters take two columns: the next column begins at the same one in all rows but that of the link.
  const columns = shown.split('\n').flatMap((row) => {
    const at = row.search(/ (?:TYPE|file) /);
    return at < 0 || row.includes('link') ? [] : [at + (row.match(/[漢字]/g)?.length ?? 0)];
  });
  expect(columns).toHaveLength(7);
  expect(new Set(columns).size).toBe(1);
  const error = await place.run(`pach get file "r@master:/no$(printf '\\nx')"`);
  expect(error.stderr.split('\n')[0]).toMatch(/^pach: .*\/no\\nx/);
  expect(await place.must('pach inspect commit r@master | tail -2')).toBe(
    '    first\\u001b[31m\\rline\n    second \\u202e\n',
  );
});

test('names that are not UTF-8 can be typed, as their bytes and as JSON has them', async () => {
  await using place = await Place.make('root');
  await place.must(
    String.raw`mkdir s; printf raw > "s/caf$(printf '\351')"; printf literal > 's/caf\udce9'; pach create repo r; pach put file r@master:/ -r -f s/`,
  );
  const raw = String.raw`"r@master:/caf$(printf '\351')"`;
  const json = String.raw`'r@master:/caf\udce9'`;
  const literal = String.raw`'r@master:/caf\\udce9'`;
  const paths = (text: string): string[] =>
    text
      .split('\n')
      .filter(Boolean)
      .map((row) => (JSON.parse(row) as { path: string }).path);
  for (const address of [raw, json]) {
    expect(await place.must(`pach get file ${address}; pach get file ${address} -o out; cat out`)).toBe('rawraw');
    for (const verb of ['list', 'inspect', 'glob']) {
      expect(paths(await place.must(`pach ${verb} file ${address} -o json`))).toEqual(['/caf\udce9']);
    }
    expect(paths((await place.run(`pach diff file ${address} -o json`)).stdout)).toEqual(['/caf\udce9']);
    expect(await place.must(`printf x | pach put file ${address} -f -; pach get file ${address}`)).toMatch(/x$/);
    expect(await place.must(String.raw`pach log r@master -n 1 -o json -- '/caf\udce9' | wc -l`)).toBe('1\n');
    await place.must(`pach delete file ${address} && pach put file r@master:/ -r -f s/ --reread`);
  }
  expect(await place.must(`pach get file ${literal}`)).toBe('literal');
  const gone = await place.run(String.raw`pach get file 'r@master:/no\udcff'`);
  expect(gone).toMatchObject({
    code: 3,
    stderr: expect.stringContaining(String.raw`r@master:/no\udcff: there is no such file`) as string,
  });
  // A file of this machine of such a name, too.
  await place.must(String.raw`pach put file r@master:/one -f "s/caf$(printf '\351')"`);
  expect(await place.must('pach get file r@master:/one')).toBe('raw');
});
