/**
 * The command line's entry: parses, runs one verb, and turns what happens into an exit code.
 */
import { readFile } from 'node:fs/promises';
import yargs from 'yargs';
import { settingsFrom } from '../app/settings.ts';
import { version } from '../app/version.ts';
import { isPachError, PachError } from '../base/errors.ts';
import { textOfName } from '../model/paths.ts';
import { Output, type Format } from './output.ts';
import type { Verb } from './verb.ts';
import { firstWords, verbs } from './verbs.ts';

interface CommonFlags {
  readonly store?: string;
  readonly project?: string;
  readonly singleWriter?: boolean;
  readonly output?: string;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly color?: boolean;
}

/** Runs one command line (without the program's name). Resolves to its exit code; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  const interrupt = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    if (interrupt.signal.aborted) {
      // Asked twice: at once, and as the system does it. exit() would wait for threads that a file system holds.
      process.off('SIGINT', stop).off('SIGTERM', stop);
      process.kill(process.pid, signal);
      return;
    }
    interrupt.abort(new PachError('interrupted', { what: 'interrupted', why: 'nothing was committed' }));
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  // A reader that has seen enough (`| head`) is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : output.error(unprinted(error)));
  });
  process.stderr.on('error', () => undefined); // nobody is left to be told
  let output = new Output({ format: 'table', quiet: false, verbose: argv.includes('-v'), color: true });
  try {
    const chosen = await parse(argv);
    if (!chosen) return 0;
    const { verb, args } = chosen;
    const flags = args as unknown as CommonFlags;
    output = new Output({
      format: verb.formats === false ? 'table' : ((flags.output ?? 'table') as Format),
      quiet: flags.quiet ?? false,
      verbose: flags.verbose ?? false,
      color: flags.color ?? true,
    });
    const settings = settingsFrom(flags, process.env);
    const code = (await verb.run(args, { settings, output, signal: interrupt.signal })) ?? 0;
    output.endProgress();
    return code;
  } catch (error) {
    // Who knows what is left says so; what else was broken off is of no interest.
    return output.error(
      interrupt.signal.aborted && !isPachError(error, 'interrupted') ? interrupt.signal.reason : error,
    );
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function unprinted(cause: NodeJS.ErrnoException): PachError {
  const [code, why] =
    cause.code === 'ENOSPC' ? (['no-space', 'the disk is full'] as const) : (['failed', cause.message] as const);
  return new PachError(code, { what: 'standard output', why, cause });
}

/**
 * What a command line says to do. Thrown: after a handler that returns, yargs renders the help for
 * nobody, which takes longer than many a command.
 */
class Chosen extends Error {
  readonly verb: Verb;
  readonly args: Parameters<Verb['run']>[0];

  constructor(verb: Verb, args: Parameters<Verb['run']>[0]) {
    super(verb.command);
    this.verb = verb;
    this.args = args;
  }
}

/** Undefined when what was asked for has been printed: a help, the version, a completion. */
async function parse(argv: readonly string[]): Promise<Chosen | undefined> {
  try {
    await program().parseAsync(helpWords(readable(await exact(argv))));
    return undefined;
  } catch (error) {
    if (error instanceof Chosen) return error;
    throw error;
  }
}

function program(): ReturnType<typeof yargs> {
  const parser = yargs()
    .scriptName('pach')
    .usage('$0 <verb> …\n\nVersion control, lineage and lazy mounts for terabytes of files.')
    .parserConfiguration({ 'parse-positional-numbers': false, 'parse-numbers': false })
    .strict()
    .exitProcess(false)
    .version(version)
    .help()
    .alias('help', 'h')
    .completion('completion', 'Print a completion script for this shell', () => firstWords())
    .wrap(process.stdout.isTTY ? Math.min(110, process.stdout.columns) : null)
    .option('store', { type: 'string', describe: 'Where the store is: a folder or s3://bucket/prefix', global: true })
    .option('project', { type: 'string', describe: 'The project', global: true })
    .option('single-writer', {
      type: 'boolean',
      describe: 'Write to an S3 server without conditional writes: nobody else does at the same time',
      global: true,
    })
    .option('quiet', { alias: 'q', type: 'boolean', describe: 'Say only what was asked for', global: true })
    .option('verbose', { alias: 'v', type: 'boolean', describe: 'Say more, and show stacks of errors', global: true })
    .option('color', { type: 'boolean', default: true, hidden: true, global: true })
    .fail((message: string | undefined, error: Error | undefined) => {
      if (error && error.name !== 'YError') throw error;
      // Several lines where it names the arguments that are wrong.
      const why = (message ?? error?.message ?? 'not understood').trim().replaceAll(/\s*\n\s*/g, ' ');
      throw new PachError('usage', { what: 'command line', why, next: 'pach --help' });
    })
    .demandCommand(1, 'say what to do');
  const groups = new Map<string, Verb[]>();
  for (const verb of verbs) {
    const [first = ''] = verb.command.split(' ');
    groups.set(first, [...(groups.get(first) ?? []), verb]);
  }
  for (const [first, members] of groups) {
    const [only] = members;
    if (members.length === 1 && only && !/^[a-z]+ [a-z]/.test(only.command)) {
      addVerb(parser, only, only.command);
      continue;
    }
    const nouns = members.map((verb) => verb.command.split(' ')[1]).join('|');
    parser.command(`${first} <noun>`, nouns, (group) => {
      for (const verb of members) addVerb(group, verb, verb.command.slice(first.length + 1));
      return group.demandCommand(1, `say what to ${first}: ${nouns}`).usage(`$0 ${first} <${nouns}> …`);
    });
  }
  return parser;
}

function addVerb(parser: ReturnType<typeof yargs>, verb: Verb, command: string): void {
  parser.command(
    command,
    verb.summary,
    (own) => {
      const withOptions = verb.options ? verb.options(own) : own;
      if (verb.formats !== false) {
        withOptions.option('output', {
          alias: 'o',
          choices: ['table', 'json', 'yaml'],
          default: 'table',
          describe: 'How to print',
        });
      }
      for (const [line, what] of verb.examples) withOptions.example(`pach ${line}`, what);
      if (verb.json !== undefined) withOptions.epilogue(`JSON (-o json): ${verb.json}`);
      return withOptions;
    },
    (args) => {
      const { array } = (parser as unknown as { getOptions(): { readonly array: readonly string[] } }).getOptions();
      for (const [name, value] of Object.entries(args)) {
        if (name === '_' || !Array.isArray(value) || array.includes(name)) continue;
        throw new PachError('usage', { what: name.length > 1 ? `--${name}` : `-${name}`, why: 'it is given twice' });
      }
      throw new Chosen(verb, args);
    },
  );
}

/** The words as they were typed: Node gives bytes that are not UTF-8 as U+FFFD, whatever they are. */
async function exact(argv: readonly string[]): Promise<string[]> {
  if (!argv.some((word) => word.includes('\ufffd'))) return [...argv];
  // Without /proc they stay as they are. The last byte ends the last word.
  const bytes = await readFile('/proc/self/cmdline', 'latin1').catch(() => '');
  const typed = bytes.split('\0').slice(0, -1);
  return argv.map((word, at) => {
    const name = Buffer.from(typed.at(at - argv.length) ?? '', 'latin1');
    return name.toString() === word ? textOfName(name) : word;
  });
}

const plurals: Readonly<Record<string, string>> = {
  repos: 'repo',
  branches: 'branch',
  commits: 'commit',
  files: 'file',
  projects: 'project',
  pipelines: 'pipeline',
  jobs: 'job',
  datums: 'datum',
  secrets: 'secret',
};

/**
 * pachctl's plurals (`list repos` is `list repo`), and a lone `-` tied to its option, which the
 * parser would not take for a value.
 */
function readable(argv: readonly string[]): string[] {
  const words: string[] = [];
  for (const [index, word] of argv.entries()) {
    const before = words.at(-1);
    if (word === '-' && before !== undefined && /^-(\w|-\w[\w-]*)$/.test(before))
      words[words.length - 1] = `${before}=-`;
    else words.push(index === 1 ? (plurals[word] ?? word) : word);
  }
  return words;
}

/** `help put file` is `put file --help`. A last word `help` would be taken for `--help`: `help` alone gets another. */
function helpWords(words: readonly string[]): readonly string[] {
  const [first, of, ...rest] = words;
  if (first !== 'help') return words;
  if (of === undefined) return ['help', ''];
  return firstWords().includes(of) && of !== 'help' ? [of, ...rest, '--help'] : words;
}
