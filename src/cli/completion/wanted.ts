/**
 * What the word at the cursor of a command line may become.
 */
import { choicesOf, describedOptions, verbAt } from '../parsing/command-line.ts';
import { positionalsOf } from '../parsing/misuse.ts';
import { firstWords, verbs } from '../parsing/verbs.ts';

/** Names that the store or this machine has; `local`: a file or folder of this machine. */
export type Kind = 'repo' | 'branch' | 'commit' | 'file' | 'project' | 'pipeline' | 'job' | 'mountpoint' | 'local';

export interface Wanted {
  /** Words that are known without the store. */
  readonly words: readonly string[];
  readonly kinds: readonly Kind[];
  /** What stands before the value in the same word: `--executor=`. */
  readonly before: string;
  /** The beginning of the value. */
  readonly begun: string;
  readonly store: string | undefined;
  readonly project: string | undefined;
}

const positionalKinds: Readonly<Record<string, readonly Kind[]>> = {
  repo: ['repo'],
  branch: ['branch'],
  commit: ['commit'],
  file: ['file'],
  pattern: ['file'],
  target: ['file'],
  new: ['file'],
  old: ['file'],
  what: ['file'],
  words: ['file', 'local'],
  folder: ['local'],
  pipeline: ['pipeline'],
  job: ['job', 'pipeline'],
  mountpoint: ['mountpoint'],
};

const optionKinds: Readonly<Record<string, readonly Kind[]>> = {
  store: ['local'],
  project: ['project'],
  file: ['local'],
  list: ['local'],
  output: ['local'],
  cache: ['local'],
  repos: ['commit'],
  input: ['commit'],
  pipeline: ['pipeline'],
  job: ['job'],
};

/** `words` stand before the cursor, without the name of the program; `current` is the word at it. */
export function wantedAt(words: readonly string[], current: string): Wanted {
  const { named, verb } = verbAt(words);
  const { options, alias, boolean } = describedOptions(verb);
  const nameOf = (word: string): string =>
    Object.entries(alias).find(([name, others]) => options.includes(name) && others.includes(word))?.[0] ?? word;
  const isTaking = (word: string): boolean => /^--?[^=]+$/.test(word) && takes(word.replace(/^--?/, ''));
  const takes = (name: string): boolean => options.includes(nameOf(name)) && !boolean.includes(nameOf(name));

  const values = new Map<string, string>();
  const positionals: string[] = [];
  const end = words.indexOf('--');
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as string;
    const [, name, value] = /^--([^=]+)=([^]*)$/.exec(word) ?? [];
    if (at === end) continue;
    if (end !== -1 && at > end) positionals.push(word);
    else if (name !== undefined && value !== undefined) values.set(name, value);
    else if (isTaking(word) && at + 1 < words.length)
      values.set(nameOf(word.replace(/^--?/, '')), words[(at += 1)] as string);
    else if (!/^-./.test(word)) positionals.push(word);
  }
  const found = (rest: Partial<Wanted>): Wanted => ({
    words: [],
    kinds: [],
    before: '',
    begun: current,
    store: values.get('store'),
    project: values.get('project'),
    ...rest,
  });
  const valueOf = (name: string, rest: Partial<Wanted>): Wanted => {
    const choices = choicesOf(verb, name);
    return found(choices ? { words: choices, ...rest } : { kinds: optionKinds[name] ?? [], ...rest });
  };

  if (end === -1) {
    const last = words.at(-1);
    if (last !== undefined && isTaking(last)) return valueOf(nameOf(last.replace(/^--?/, '')), {});
    const [, before, name, begun] = /^(--([^=]+)=)([^]*)$/.exec(current) ?? [];
    if (before !== undefined && name !== undefined) return valueOf(name, { before, begun: begun ?? '' });
    if (current.startsWith('-')) return found({ words: [...options, 'help'].map((option) => `--${option}`) });
  }
  const [first] = named;
  if (first === undefined) return found({ words: firstWords() });
  if (verb === undefined) {
    const nouns = verbs.flatMap(({ command }) =>
      command.startsWith(`${first} `) ? [command.split(' ')[1] as string] : [],
    );
    return found({ words: named.length === 1 ? nouns : [] });
  }
  const places = positionalsOf(verb.command);
  const at = positionals.length - named.length;
  const isMany = verb.command.includes('..');
  const place = places[isMany ? Math.min(at, places.length - 1) : at]?.name;
  if (place === undefined) return found({});
  const choices = choicesOf(verb, place);
  return found(choices ? { words: choices } : { kinds: positionalKinds[place] ?? [] });
}
