/**
 * What the word at the cursor of a command line may become.
 */
import { choicesOf, commonOptions, type Kind, type Parameter, type Parameters } from '../parameters.ts';
import { verbAt } from '../parsing/command-line.ts';
import { ownOptions, takingWords } from '../parsing/parameters.ts';
import { firstWords, verbs } from '../parsing/verbs.ts';

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

/** `words` stand before the cursor, without the name of the program; `current` is the word at it. */
export function wantedAt(words: readonly string[], current: string): Wanted {
  const { named, verb } = verbAt(words);
  const options: Parameters = { ...commonOptions, ...(verb && ownOptions(verb)) };
  const taking = takingWords(options);
  const optionOf = (word: string): string => {
    const name = word.replace(/^--?/, '');
    return Object.entries(options).find(([, { alias }]) => alias === name)?.[0] ?? name;
  };

  const values = new Map<string, string>();
  const positionals: string[] = [];
  const end = words.indexOf('--');
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] as string;
    const [, name, value] = /^--([^=]+)=([^]*)$/.exec(word) ?? [];
    if (at === end) continue;
    if (end !== -1 && at > end) positionals.push(word);
    else if (name !== undefined && value !== undefined) values.set(name, value);
    else if (taking.has(word) && at + 1 < words.length) values.set(optionOf(word), words[(at += 1)] as string);
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
  const valueOf = (parameter: Parameter | undefined, rest: Partial<Wanted> = {}): Wanted => {
    const choices = choicesOf(parameter);
    return found(choices ? { words: choices, ...rest } : { kinds: parameter?.names ?? [], ...rest });
  };

  if (end === -1) {
    const last = words.at(-1);
    if (last !== undefined && taking.has(last)) return valueOf(options[optionOf(last)]);
    const [, before, name, begun] = /^(--([^=]+)=)([^]*)$/.exec(current) ?? [];
    if (before !== undefined && name !== undefined) return valueOf(options[name], { before, begun: begun ?? '' });
    if (current.startsWith('-')) {
      const shown = Object.keys(options).filter((option) => !isHidden(options[option]));
      return found({ words: [...shown, 'help'].map((option) => `--${option}`) });
    }
  }
  const [first] = named;
  if (first === undefined) return found({ words: firstWords() });
  if (verb === undefined) {
    const nouns = verbs.flatMap(({ name }) => (name.startsWith(`${first} `) ? [name.split(' ')[1] as string] : []));
    return found({ words: named.length === 1 ? nouns : [] });
  }
  const places = Object.values(verb.arguments);
  const at = positionals.length - named.length;
  const isMany = places.at(-1)?.type === 'list';
  return valueOf(places[isMany ? Math.min(at, places.length - 1) : at]);
}

function isHidden(option: Parameter | undefined): boolean {
  return option?.type === 'flag' && option.hidden === true;
}
