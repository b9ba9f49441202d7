/**
 * From the words of a command line to a verb with its arguments, or to the help that was asked for.
 */
import yargs, { type Argv } from 'yargs';
import { version } from '../../app/version.ts';
import { PachError } from '../../base/errors.ts';
import { allHelp, groupHelp } from './help-text.ts';
import { isTaking, misuse, optionsOf, positionalsOf, unknownNoun, unknownOption, unknownVerb } from './misuse.ts';
import { alternatives } from '../text.ts';
import type { Verb } from '../verb.ts';
import { firstWords, verbs } from './verbs.ts';

type Arguments = Parameters<Verb['run']>[0];

/** `isMissing`: the help is what is printed where nothing was said to do. */
export type Asked =
  | { readonly kind: 'verb'; readonly verb: Verb; readonly args: Arguments }
  | { readonly kind: 'help'; readonly text: string; readonly isMissing: boolean };

/** Throws `usage`, in our own words, for what can't be understood. */
export async function asked(argv: readonly string[]): Promise<Asked> {
  const words = helpWords(argv);
  const named = namedIn(words);
  const [first, noun] = named;
  const wantsHelp = words.some((word) => word === '--help' || word === '-h');
  const unknownBefore = (end: number): PachError | undefined => {
    const common = commonOptions(yargs()).option('output', { alias: 'o' });
    return words.slice(0, end).flatMap((word) => unknownOption(word, common, 'pach') ?? [])[0];
  };
  if (!first) {
    const unknown = unknownBefore(words.length);
    if (unknown) throw unknown;
    if (words.includes('--version')) return help(`${version}\n`);
    return { kind: 'help', text: allHelp(), isMissing: !wantsHelp };
  }
  const members = verbs.filter(({ command }) => command.split(' ')[0] === first.word);
  const single = members.find(({ command }) => path(command).length === 1);
  // What was taken for a verb may be the value of an option that there is not.
  if (members.length === 0) throw unknownBefore(first.at) ?? unknownVerb(first.word, firstWords());
  if (single) return parsed(single, without(words, [first]));
  const nouns = members.map(({ command }) => path(command)[1] as string);
  if (!noun && wantsHelp) return help(groupHelp(first.word, members));
  if (!noun) {
    throw new PachError('usage', {
      what: first.word,
      why: `say what to ${first.word}: ${alternatives(nouns)}`,
      next: `pach ${first.word} --help`,
    });
  }
  const verb = members[nouns.indexOf(plurals[noun.word] ?? noun.word)];
  if (!verb) throw unknownNoun(first.word, noun.word, nouns);
  return parsed(verb, without(words, [first, noun]));
}

const help = (text: string): Asked => ({ kind: 'help', text, isMissing: false });

/** The words that name a verb: `put`, `file`. */
function path(command: string): string[] {
  return command.split(' ').filter((word) => /^[a-z]+$/.test(word));
}

interface Named {
  readonly word: string;
  readonly at: number;
}

/** The first two words that are no options. Before them stand options of all verbs. */
function namedIn(words: readonly string[]): Named[] {
  const named: Named[] = [];
  for (let at = 0; at < words.length && named.length < 2; at += 1) {
    const word = words[at] as string;
    if (word === '--') break;
    if (!/^-./.test(word)) named.push({ word, at });
    else if (isTaking(word, ['store', 'project', 'output', 'o'])) at += 1;
  }
  return named;
}

function without(words: readonly string[], named: readonly Named[]): string[] {
  return words.filter((_, at) => !named.some((each) => each.at === at));
}

/**
 * Thrown to leave yargs: if its handler returned, yargs would render the help and discard it, which
 * takes longer than many a command.
 */
class Parsed extends Error {
  readonly args: Arguments;

  constructor(args: Arguments) {
    super('parsed');
    this.args = args;
  }
}

async function parsed(verb: Verb, words: readonly string[]): Promise<Asked> {
  const parser = parserOf(verb, words);
  let text = '';
  try {
    await parser.parseAsync(readable(words), {}, (_error, _argv, output) => void (text = output));
  } catch (error) {
    if (error instanceof Parsed) return { kind: 'verb', verb, args: error.args };
    throw error;
  }
  return help(`${verb.usage === undefined ? text : text.replace(verb.command, verb.usage)}\n`);
}

/** The parser of one verb, with the options that all verbs have, for the words that follow its name. */
function parserOf(verb: Verb, words: readonly string[]): Argv {
  const name = path(verb.command).join(' ');
  const parser = commonOptions(yargs())
    .scriptName(`pach ${name}`)
    .detectLocale(false)
    .parserConfiguration({ 'parse-positional-numbers': false, 'parse-numbers': false })
    .strict()
    .exitProcess(false)
    .version(false)
    .help()
    .alias('help', 'h')
    .wrap(process.stdout.isTTY ? Math.min(110, process.stdout.columns) : null)
    .fail((message: string | undefined, error: Error | undefined) => {
      if (error && error.name !== 'YError') throw error;
      throw misuse(verb, words, parser, message ?? error?.message ?? 'not understood');
    });
  const positionals = verb.command.slice(name.length);
  parser.command(
    `$0${positionals}`,
    verb.summary,
    (own) => describeVerb(verb, own),
    (args) => {
      // What a verb takes several of: options, and positional arguments, which can't be given twice.
      const array = [...optionsOf(parser).array, ...positionalsOf(verb.command).map(({ name: word }) => word)];
      for (const [key, value] of Object.entries(args)) {
        if (key === '_' || !Array.isArray(value) || array.includes(key)) continue;
        throw new PachError('usage', { what: key.length > 1 ? `--${key}` : `-${key}`, why: 'it is given twice' });
      }
      throw new Parsed(args);
    },
  );
  return parser;
}

function describeVerb(verb: Verb, own: Argv): Argv {
  const withOptions = verb.options ? verb.options(own) : own;
  if (verb.formats !== false) {
    withOptions.option('output', {
      alias: 'o',
      choices: ['table', 'json', 'yaml'],
      default: 'table',
      describe: 'How to print the result',
    });
  }
  const { key, boolean } = optionsOf(withOptions);
  const positionals = positionalsOf(verb.command).map(({ name }) => name);
  withOptions.requiresArg(Object.keys(key).filter((name) => !boolean.includes(name) && !positionals.includes(name)));
  for (const [line, what] of verb.examples) withOptions.example(`pach ${line}`, what);
  if (verb.json !== undefined) withOptions.epilogue(`JSON (-o json): ${verb.json}`);
  return withOptions;
}

/** The verb that words name, and those of them that do; a verb of two words needs both. */
export function verbAt(words: readonly string[]): { named: string[]; verb: Verb | undefined } {
  const named = namedIn(words).map(({ word }) => word);
  const [first = '', noun = ''] = named;
  const verb = verbs.find(({ command }) => {
    const [one, two] = path(command);
    return one === first && (two === undefined || two === (plurals[noun] ?? noun));
  });
  return { named: verb ? named.slice(0, path(verb.command).length) : named, verb };
}

/** The options that people are told of, the names that each has, and which take no value. */
export function describedOptions(verb: Verb | undefined): {
  readonly options: readonly string[];
  readonly alias: Readonly<Record<string, readonly string[]>>;
  readonly boolean: readonly string[];
} {
  const parser = commonOptions(yargs()).version(false);
  const { key, alias, boolean, hiddenOptions } = optionsOf(verb ? describeVerb(verb, parser) : parser);
  const positionals = verb ? positionalsOf(verb.command).map(({ name }) => name) : [];
  const options = Object.keys(key).filter(
    (name) =>
      !positionals.includes(name) && !hiddenOptions.includes(name) && /^[a-z-]{2,}$/.test(name) && name !== 'help',
  );
  return { options, alias, boolean };
}

/** The values that an option or a positional argument may have, where they are few. */
export function choicesOf(verb: Verb | undefined, name: string): readonly string[] | undefined {
  const parser = commonOptions(yargs());
  return optionsOf(verb ? describeVerb(verb, parser) : parser).choices[name];
}

function commonOptions(parser: Argv): Argv {
  return parser
    .option('store', { type: 'string', describe: 'Where the store is: a folder or s3://bucket/prefix' })
    .option('project', { type: 'string', describe: 'The project to work in' })
    .option('single-writer', {
      type: 'boolean',
      describe: 'Write to an S3 server that lacks conditional writes; safe only if you are the only writer',
    })
    .option('quiet', { alias: 'q', type: 'boolean', describe: 'Print only results: no progress, no notes' })
    .option('verbose', { alias: 'v', type: 'boolean', describe: 'Print more, and stack traces of errors' })
    .option('color', { type: 'boolean', default: true, hidden: true });
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

/** A lone `-` tied to its option: the parser would not take it for a value. */
function readable(words: readonly string[]): string[] {
  const tied: string[] = [];
  for (const word of words) {
    const before = tied.at(-1);
    if (word === '-' && before !== undefined && /^-(\w|-\w[\w-]*)$/.test(before)) tied[tied.length - 1] = `${before}=-`;
    else tied.push(word);
  }
  return tied;
}

/** `help put file` is `put file --help`. */
function helpWords(words: readonly string[]): readonly string[] {
  const [first, of, ...rest] = words;
  if (first !== 'help' || of === undefined || of === 'help' || !firstWords().includes(of)) return words;
  return [of, ...rest, '--help'];
}
