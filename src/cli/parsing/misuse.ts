/**
 * What is wrong with a command line, in one line that names the word and what may have been meant.
 */
import { PachError } from '../../base/errors.ts';
import { nearest } from '../../pipelines/spec/nearest.ts';
import { choicesOf, type Parameters } from '../parameters.ts';
import { alternatives } from '../text.ts';
import type { Verb } from '../verb.ts';
import { parametersOf } from './parameters.ts';

/** Words of other programs for what ours are called. */
const otherWords: Readonly<Record<string, string>> = {
  add: 'put',
  cat: 'get',
  cp: 'put',
  describe: 'inspect',
  ls: 'list',
  new: 'create',
  rm: 'delete',
  show: 'inspect',
};

export function unknownVerb(word: string, verbs: readonly string[]): PachError {
  const meant = otherWords[word] ?? nearest(word, verbs);
  return notThere(word, 'no such command', meant, 'pach --help');
}

export function unknownNoun(verb: string, word: string, nouns: readonly string[]): PachError {
  const meant = nearest(word, nouns);
  const why = meant === undefined ? `no such command; ${verb} takes ${alternatives(nouns)}` : 'no such command';
  return notThere(`${verb} ${word}`, why, meant && `${verb} ${meant}`, `pach ${verb} --help`);
}

/** Undefined for a word that is no option, or one that there is. `of` is what has the options. */
export function unknownOption(word: string, options: Parameters, of: string): PachError | undefined {
  const names = [...Object.keys(options), 'help'];
  const letters = ['h', ...Object.values(options).flatMap(({ alias }) => alias ?? [])];
  const next = of === 'pach' ? 'pach --help' : `pach ${of} --help`;
  const [, long] = /^--([^=]+)/.exec(word) ?? [];
  if (long !== undefined) {
    // The parser takes two dashes before a letter too, and names in camel case.
    const known = [...names, ...letters, ...names.map(camelCase)];
    if (known.includes(long) || known.includes(long.replace(/^no-/, ''))) return undefined;
    const near = nearest(long, names);
    const meant = near === undefined ? undefined : `--${near}`;
    const isFormat = choicesOf(options['output'])?.includes(long) === true;
    return notThere(`--${long}`, `${of} has no such option`, isFormat ? `-o ${long}` : meant, next);
  }
  const letter = /^-([A-Za-z])/.exec(word)?.[1];
  if (letter === undefined || letters.includes(letter)) return undefined;
  return notThere(`-${letter}`, `${of} has no such option`, undefined, next);
}

/** What yargs has refused, in our words. `words` follow the name of the verb. */
export function misuse(verb: Verb, words: readonly string[], message: string): PachError {
  const { name, command, usage: shown = command } = verb;
  const parameters = parametersOf(verb);
  const usage = (what: string, why: string): PachError =>
    new PachError('usage', { what, why, next: `pach ${name} --help` });
  const options = words.slice(0, words.includes('--') ? words.indexOf('--') : words.length);
  for (const word of options) {
    const unknown = unknownOption(word, parameters, name);
    if (unknown) return unknown;
  }
  const [, unknown] = /^Unknown arguments?: ([^]*)/.exec(message) ?? [];
  if (unknown !== undefined) {
    const word = surplus(unknown, words);
    if (word !== undefined) return usage(word, `too many words for: pach ${shown}`);
    // One of several letters after a dash.
    return usage(dashed(unknown), `${name} has no such option`);
  }
  const [, without] = /^Not enough arguments following: (.*)/.exec(message) ?? [];
  if (without !== undefined) return usage(dashed(without), 'its value is missing');
  const [, option = '', given] = /Argument: ([^,]+), Given: (.*), Choices: /.exec(message) ?? [];
  if (given !== undefined) {
    return wrongChoice(option in verb.arguments ? name : dashed(option), given, choicesOf(parameters[option]) ?? []);
  }
  const [, got] = /^Not enough non-option arguments: got (\d+)/.exec(message) ?? [];
  const needed = [...shown.matchAll(/<([\w-]+)/g)];
  const argument = got === undefined ? undefined : needed[Number(got)]?.[1];
  if (argument !== undefined) return usage(name, `<${argument}> is missing, as in: pach ${shown}`);
  const [, missing] = /^Missing required arguments?: ([^,\n]+)/.exec(message) ?? [];
  if (missing !== undefined) {
    const short = parameters[missing]?.alias;
    return usage(name, `${short === undefined ? '' : `-${short} or `}--${missing} is missing`);
  }
  return usage(name, message.trim().replaceAll(/\s*\n\s*/g, ' '));
}

/** The first word of those that yargs lists, which may have commas of their own. */
function surplus(listed: string, words: readonly string[]): string | undefined {
  return words.find((word) => !word.startsWith('-') && word !== '' && listed.startsWith(word));
}

function dashed(option: string): string {
  return option.length > 1 ? `--${option}` : `-${option}`;
}

function wrongChoice(of: string, given: string, choices: readonly string[]): PachError {
  const value = given.replaceAll(/^"|"$/g, '');
  const meant = nearest(value, choices);
  const takes = `it takes ${alternatives(choices)}`;
  return new PachError('usage', {
    what: `${of} ${value}`,
    why: meant === undefined ? takes : `${takes}; did you mean ${meant}?`,
  });
}

function notThere(what: string, why: string, meant: string | undefined, next: string): PachError {
  if (meant !== undefined) return new PachError('usage', { what, why: `${why}; did you mean ${meant}?` });
  return new PachError('usage', { what, why, next });
}

function camelCase(name: string): string {
  return name.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
