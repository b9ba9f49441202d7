/**
 * From the words of a command line to a verb with its arguments, or to the help that was asked for.
 */
import yargs, { type Argv, type PositionalOptions } from 'yargs';
import { version } from '../../app/version.ts';
import { PachError } from '../../base/errors.ts';
import { allHelp, groupHelp } from './help-text.ts';
import { commonOptions, type Parameters } from '../parameters.ts';
import { alternatives } from '../text.ts';
import type { Verb } from '../verb.ts';
import { misuse, unknownNoun, unknownOption, unknownVerb } from './misuse.ts';
import { ownOptions, parametersOf, takingWords, yargsArgument, yargsOptions } from './parameters.ts';
import { firstWords, verbs } from './verbs.ts';

type Arguments = Readonly<Record<string, unknown>>;

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
    return words.slice(0, end).flatMap((word) => unknownOption(word, beforeNames, 'pach') ?? [])[0];
  };
  if (!first) {
    const unknown = unknownBefore(words.length);
    if (unknown) throw unknown;
    if (words.includes('--version')) return help(`${version}\n`);
    return { kind: 'help', text: allHelp(), isMissing: !wantsHelp };
  }
  const members = verbs.filter(({ name }) => name.split(' ')[0] === first.word);
  const single = members.find(({ name }) => !name.includes(' '));
  // What was taken for a verb may be the value of an option that there is not.
  if (members.length === 0) throw unknownBefore(first.at) ?? unknownVerb(first.word, firstWords());
  if (single) return parsed(single, without(words, [first]));
  const nouns = members.map(({ name }) => name.split(' ')[1] as string);
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

/** Options that stand before what names the verb. Which values `output` may have depends on the verb. */
const beforeNames: Parameters = {
  ...commonOptions,
  output: { type: 'text', alias: 'o', describe: '' },
  version: { type: 'flag', describe: '' },
};
const takingBefore = takingWords(beforeNames);

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
    else if (takingBefore.has(word)) at += 1;
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
  const { name } = verb;
  const parser = yargs()
    .options(yargsOptions(commonOptions))
    .scriptName(`pach ${name}`)
    .detectLocale(false)
    .parserConfiguration({
      'parse-positional-numbers': false,
      'parse-numbers': false,
      'populate--': verb.takesCommand === true,
    })
    .strict()
    .exitProcess(false)
    .version(false)
    .help()
    .alias('help', 'h')
    .wrap(process.stdout.isTTY ? Math.min(110, process.stdout.columns) : null)
    .fail((message: string | undefined, error: Error | undefined) => {
      if (error && error.name !== 'YError') throw error;
      throw misuse(verb, words, message ?? error?.message ?? 'not understood');
    });
  const positionals = verb.command.slice(name.length);
  parser.command(
    `$0${positionals}`,
    verb.summary,
    (own) => describeVerb(verb, own),
    (args) => {
      // What a verb takes several of; an argument can't be given twice.
      const several = Object.entries(verb.options).filter(([, { type }]) => type === 'list');
      const ofCommand = ['_', '--'];
      const array = [
        ...several.flatMap(([key, { alias }]) => [key, alias]),
        ...Object.keys(verb.arguments),
        ...ofCommand,
      ];
      for (const [key, value] of Object.entries(args)) {
        // yargs gives `secrets-from` as `secretsFrom` too.
        const written = key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
        if (!Array.isArray(value) || array.includes(key) || array.includes(written)) continue;
        throw new PachError('usage', { what: key.length > 1 ? `--${key}` : `-${key}`, why: 'it is given twice' });
      }
      throw new Parsed(args);
    },
  );
  return parser;
}

function describeVerb(verb: Verb, own: Argv): Argv {
  for (const [name, argument] of Object.entries(verb.arguments)) {
    own.positional(name, yargsArgument(argument) as PositionalOptions);
  }
  const options = ownOptions(verb);
  own.options(yargsOptions(options));
  own.requiresArg(
    Object.keys({ ...commonOptions, ...options }).filter((name) => parametersOf(verb)[name]?.type !== 'flag'),
  );
  for (const [line, what] of verb.examples) own.example(`pach ${line}`, what);
  if (verb.json !== undefined) own.epilogue(`JSON (-o json): ${verb.json}`);
  return own;
}

/** The verb that words name, and those of them that do; a verb of two words needs both. */
export function verbAt(words: readonly string[]): { named: string[]; verb: Verb | undefined } {
  const named = namedIn(words).map(({ word }) => word);
  const [first = '', noun = ''] = named;
  const verb = verbs.find(({ name }) => {
    const [one, two] = name.split(' ');
    return one === first && (two === undefined || two === (plurals[noun] ?? noun));
  });
  return { named: verb ? named.slice(0, verb.name.split(' ').length) : named, verb };
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
  crons: 'cron',
};

/** A lone `-` tied to its option: the parser would not take it for a value. */
function readable(words: readonly string[]): string[] {
  const tied: string[] = [];
  const end = words.indexOf('--');
  for (const [at, word] of words.entries()) {
    const before = end === -1 || at < end ? tied.at(-1) : undefined;
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
