/**
 * The guide: its pages on a terminal, and the commands of all pages and of the README as they are
 * written. What stands before a block in a comment of the Markdown says how it is run:
 * `not run: REASON` (only its syntax and its verbs and options are checked), `ends with N` (its exit
 * code), and `before`, whose further lines are commands that make what the page needs.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { expect, test } from 'vitest';
import type { Verb } from '../../src/cli/verb.ts';
import { verbs } from '../../src/cli/parsing/verbs.ts';
import { Place, type Who } from '../support/place.ts';
import { s3ForTests } from '../support/s3.ts';

const root = join(import.meta.dirname, '../..');
const guide = 'src/cli/guide';
const pages = ['README.md', ...readdirSync(join(root, guide)).map((name) => `${guide}/${name}`)];
/** The bucket that the pages name. */
const bucket = 'my-bucket';

interface Block {
  readonly line: number;
  readonly language: string;
  readonly text: string;
  readonly before: string;
  readonly code: number;
  readonly run: boolean;
}

function blocksOf(markdown: string): Block[] {
  const form = /((?:<!--[\s\S]*?-->\n)*)^```(.*)\n([\s\S]*?)^```$/gm;
  return [...markdown.matchAll(form)].map(({ 1: remarks = '', 2: language = '', 3: text = '', index }) => {
    let before = '';
    let code = 0;
    let run = language === 'sh';
    for (const [, remark = ''] of remarks.matchAll(/<!-- ?([\s\S]*?)\s*-->/g)) {
      const commands = /^before\n([\s\S]*)$/.exec(remark)?.[1];
      const ends = /^ends with (\d+)$/.exec(remark)?.[1];
      if (commands !== undefined) before = commands;
      else if (ends !== undefined) code = Number(ends);
      else if (/^not run: \S/.test(remark)) run = false;
      else throw new Error(`a remark that says nothing: ${remark}`);
    }
    const line = markdown.slice(0, index + remarks.length).split('\n').length;
    return { line, language, text, before, code, run };
  });
}

/** One bash for a page. A block that ends otherwise than it should names its line and its last command. */
function scriptOf(blocks: readonly Block[]): string {
  const parts = blocks
    .filter(({ run }) => run)
    .map(({ line, text, before, code }) => {
      const body =
        code === 0 ? text : `set +e\n(\ntrap - ERR\nset -e\n${text})\ncode=$?\nset -e\n[ $code = ${code} ]\n`;
      return `block=${line}\n${before}\n${body}`;
    });
  return `set -eE\ntrap 'echo "the block at line $block failed: $BASH_COMMAND" >&2' ERR\n${parts.join('')}`;
}

/** A bucket of its own for each run of a page. */
async function makeBucket(): Promise<{ name: string; env: NodeJS.ProcessEnv }> {
  const { endpoint, env } = await s3ForTests();
  const name = `guide-${randomUUID()}`;
  const client = new S3Client({ endpoint, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: name }));
  client.destroy();
  return { name, env: { ...env, AWS_ENDPOINT_URL: endpoint } };
}

/** Runs a page; resolves to what it printed last when it failed, else to nothing. */
async function failureOf(page: string, who: Who): Promise<string> {
  const script = scriptOf(blocksOf(readFileSync(join(root, page), 'utf8')));
  const { name, env } = script.includes(`s3://${bucket}/`) ? await makeBucket() : { name: bucket, env: {} };
  await using place = await Place.make(who, env);
  const { code, stdout, stderr } = await place.run(script.replaceAll(`s3://${bucket}/`, `s3://${name}/`), 170);
  return code === 0 ? '' : `ended with ${code}\n${stdout.slice(-2000)}\n${stderr.slice(-2000)}`;
}

const pagesThatRun = pages.filter((page) => blocksOf(readFileSync(join(root, page), 'utf8')).some(({ run }) => run));

test.concurrent.each(pagesThatRun)('the commands of %s work', async (page) => {
  expect(await failureOf(page, 'root')).toBe('');
});

test.concurrent('the commands of the README work for an ordinary user', async () => {
  expect(await failureOf('README.md', 'user')).toBe('');
});

test.each(pages)('%s begins with a title and a sentence, and says what each block is', (page) => {
  const text = readFileSync(join(root, page), 'utf8');
  expect(text).toMatch(/^# \w.*\n\n\w.*\.\n\n/);
  expect(blocksOf(text).length).toBe((text.match(/^```/gm) ?? []).length / 2);
  for (const { language, text: block } of blocksOf(text)) {
    expect(['sh', 'text', 'yaml']).toContain(language);
    if (language === 'sh') execFileSync('bash', ['-n'], { input: block });
  }
});

/** Options of every verb. */
const common = 'store project single-writer quiet q verbose v help h output o no-color version'.split(' ');

function namesOf(verb: Verb): Set<string> {
  const letters = Object.values(verb.options).flatMap(({ alias }) => alias ?? []);
  // What holds unless one says no.
  const negated = Object.entries(verb.options).flatMap(([name, option]) =>
    option.type === 'flag' && option.default === true ? [`no-${name}`] : [],
  );
  return new Set([...common, ...Object.keys(verb.arguments), ...Object.keys(verb.options), ...letters, ...negated]);
}

const optionName = (word: string): string => word.replace(/^--?/, '').replace(/=.*/, '');

/** Why a command line that begins with `pach` or `pachmount` can't be right, or undefined. */
function fault(line: string): string | undefined {
  const [program, ...rest] = line.trim().split(/\s+/);
  const words = program === 'pachmount' ? ['mount', ...rest] : rest;
  const verb = verbs.find(({ command }) =>
    command
      .split(' ')
      .filter((word) => /^[a-z]+$/.test(word))
      .every((word, at) => words[at] === word),
  );
  if (!verb) return `no such verb: ${line}`;
  const known = namesOf(verb);
  const unknown = words.find((word) => /^--?[a-z]/.test(word) && !known.has(optionName(word)));
  return unknown === undefined ? undefined : `no such option: ${unknown}: ${line}`;
}

/** Flags that are set unless one says otherwise: `--no-wait`. */
function negatedOf({ options }: (typeof verbs)[number]): string[] {
  return Object.entries(options).flatMap(([name, option]) =>
    option.type === 'flag' && option.default === true ? [`no-${name}`] : [],
  );
}

test.each(pages)('%s names verbs and options that exist', (page) => {
  const text = readFileSync(join(root, page), 'utf8').replaceAll(/<!--[\s\S]*?-->\n/g, '');
  const inBlocks = blocksOf(text).flatMap((block) => (block.language === 'sh' ? block.text.split('\n') : []));
  const inText = (text.replaceAll(/^```[\s\S]*?^```$/gm, '').match(/`[^`\n]+`/g) ?? []).map((code) =>
    code.slice(1, -1),
  );
  const lines = [...inBlocks.map((line) => line.replace(/#.*/, '')), ...inText];
  const commands = lines.flatMap(
    (line) => line.match(/(?<![\w/.:~-])pach(?:mount)? +(?!--?\w+$)[^|;&()<>"'$]+/g) ?? [],
  );
  expect(commands.map(fault).filter((why) => why !== undefined)).toEqual([]);
  const options = new Set(verbs.flatMap((verb) => [...namesOf(verb), ...negatedOf(verb)]));
  const bare = inText.filter((code) => code.startsWith('--')).map((code) => optionName(code.split(' ')[0] ?? ''));
  expect(bare.filter((name) => !options.has(name))).toEqual([]);
});

test('pach help lists the pages, shows one, and the help of a verb', async () => {
  await using place = await Place.make('root');
  const list = await place.must('pach help');
  expect(list).toMatch(/^mounting +How to read versions as folders/m);
  for (const page of ['importing', 'pipelines', 'storage', 'troubleshooting', 'from-pachyderm', 'from-dvc', 'limits']) {
    expect(list).toMatch(new RegExp(`^${page} +[A-Z].*\\.$`, 'm'));
  }
  expect(list.split('\n').filter((line) => line.length > 80)).toEqual([]);
  const page = await place.must('pach help importing');
  expect(page).toMatch(/^# Importing\n\nHow files/);
  expect(page).not.toContain('<!--');
  expect(await place.must('pach help put file')).toBe(await place.must('pach put file --help'));
  expect(await place.must('pach help mount')).toMatch(/^pach mount \[source..\] <mountpoint>\n/);
});

test('a page that does not exist is answered with the nearest name', async () => {
  await using place = await Place.make('root');
  const page = await place.run('pach help mountin');
  expect(page).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('try: pach help mounting\n') });
  const verb = await place.run('pach help lst');
  expect(verb).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('try: pach help list\n') });
});

test('a page on a terminal is laid out for its width, and in a pager where it is longer than the screen', async () => {
  await using place = await Place.make('root', { LESS: '' });
  await using terminal = await place.terminal('pach help scripting', { columns: 60, rows: 200 });
  expect(await terminal.exitCode()).toBe(0);
  const shown = await terminal.screen();
  expect(shown).toMatch(/^Scripting\n\nExit codes, JSON/);
  expect(shown).toMatch(/^Exit codes\n\ncode +meaning\n0 +done\n/m);
  expect(shown).toMatch(/^ {4}pach list file images@master -o json$/m);
  expect(shown).toMatch(/^- Names are quoted .*\n {2}\S/m);
  expect(shown).not.toMatch(/`|\*\*|<!--|^\|/m);
  expect(Math.max(...shown.split('\n').map((line) => line.length))).toBeLessThanOrEqual(60);
  expect(await terminal.screen({ colours: true })).toContain('\u001b[4mScripting');
  await using long = await place.terminal('pach help scripting', { columns: 60, rows: 10 });
  await long.waitFor(/^Scripting\n[^]*\n:$/);
  await long.key('q');
  expect(await long.exitCode()).toBe(0);
  await using plain = await place.terminal('PAGER=/no/such/pager pach help scripting --no-color', {
    columns: 60,
    rows: 10,
  });
  expect(await plain.exitCode()).toBe(0);
  expect(await plain.history()).toContain('Scripting\n\nExit codes, JSON');
});
