/**
 * What people are advised to do after an error is a command that they can paste, or a hint in words.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { adviceLines, isCommand } from '../../src/cli/advice.ts';
import { verbs } from '../../src/cli/parsing/verbs.ts';
import { Place } from '../support/place.ts';

const src = resolve(import.meta.dirname, '../../src');

interface Advice {
  readonly where: string;
  readonly text: string;
}

/** Every text of a `next` or `or` in the sources, with a word where a name is put in. */
function allAdvice(): Advice[] {
  const found: Advice[] = [];
  for (const name of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue;
    const text = readFileSync(join(src, name), 'utf8');
    const starts = text.matchAll(/\b(?:next|or)(?::| =)\s*(?:[\w.]+(?: [=!]== [\w.']+)?\s*\?\s*)?(?=['"`])/g);
    for (const start of starts) {
      for (const literal of literalsAt(text, start.index + start[0].length)) {
        const line = text.slice(0, start.index).split('\n').length;
        found.push({ where: `${name}:${line}`, text: literal });
      }
    }
  }
  return found;
}

/** The string at a place of a source, and that after a `:` behind it. */
function literalsAt(text: string, at: number): string[] {
  const quote = text[at] as string;
  let value = '';
  let depth = 0;
  let end = at + 1;
  for (; depth > 0 || text[end] !== quote; end += 1) {
    if (text[end] === '\\') value += text[++end];
    else if (text.startsWith('${', end)) {
      if (depth === 0) value += 'NAME';
      depth += 1;
      end += 1;
    } else if (depth > 0 && text[end] === '}') depth -= 1;
    else if (depth === 0) value += text[end];
  }
  const other = /^\s*:\s*(?=['"`])/.exec(text.slice(end + 1));
  return [value, ...(other ? literalsAt(text, end + 1 + other[0].length) : [])];
}

/** Why a command can't be pasted, or undefined. */
function fault(command: string): string | undefined {
  try {
    execFileSync('bash', ['-n'], { input: command, stdio: 'pipe' });
  } catch (error) {
    return String((error as { stderr: Buffer }).stderr);
  }
  if (/, | or |;|\.$|…|</.test(command.replaceAll(/"[^"]*"/g, ''))) return 'it has words of a sentence in it';
  const [, ours] = /(?:^|\| )pach (.*)/.exec(command) ?? [];
  if (ours === undefined) return undefined;
  const words = ours.replaceAll(/--(store|project) NAME /g, '').split(' ');
  const isThere = verbs.some((verb) => {
    const path = verb.command.split(' ').filter((word) => /^[a-z]+$/.test(word));
    return path.every((word, at) => words[at] === word || words[at] === 'NAME');
  });
  return isThere || words[0]?.startsWith('--') || words[1] === '--help' ? undefined : 'there is no such verb';
}

test('all advice in the sources is a command that can be pasted, or does not look like one', () => {
  const advice = allAdvice();
  expect(advice.length).toBeGreaterThan(120);
  const commands = advice.filter(({ text }) => isCommand(text));
  expect(commands.length).toBeGreaterThan(60);
  const faults = commands.flatMap(({ where, text }) => {
    const why = fault(text);
    return why === undefined ? [] : [`${where}: ${text}: ${why}`];
  });
  expect(faults).toEqual([]);
  // Words with a command in their midst are no advice that can be pasted.
  const hidden = advice.filter(
    ({ text }) => !isCommand(text) && /\bpach [a-z]/.test(text) && !text.startsWith('NAME '),
  );
  expect(hidden).toEqual([]);
  expect(fault('pach list nothing')).toBe('there is no such verb');
  expect(fault("mkdir -p it's")).toMatch(/unexpected EOF/);
});

test('where to work is repeated, and names are quoted', async () => {
  expect(adviceLines({ next: 'choose another' }, '--store x')).toEqual(['hint: choose another']);
  expect(adviceLines({ next: 'xz -dc A | pach put file B -f -', or: 'pach stats' }, '--store x')).toEqual([
    'try: xz -dc A | pach --store x put file B -f -',
    ' or: pach --store x stats',
  ]);
  await using place = await Place.make('root');
  const store = 'it"s a $store';
  const said = `--store '${store}' --project default`;
  await place.must(`pach ${said} create repo data`);
  const missing = await place.run(`pach ${said} list branch nope`);
  expect(missing).toMatchObject({ code: 3, stderr: expect.stringContaining(`try: pach ${said} list repo\n`) });
  const [, command = ''] = /try: (.*)/.exec(missing.stderr) ?? [];
  expect(await place.must(command)).toMatch(/\ndata /);
  const parent = await place.run("pachmount data 'no folder/here/m'");
  const [, mkdir = ''] = /try: (.*)/.exec(parent.stderr) ?? [];
  await place.must(`${mkdir} && test -d 'no folder/here'`);
});
