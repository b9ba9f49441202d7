/**
 * Patterns of paths, parsed (the dialect is described in glob.ts).
 */
import { PachError } from '../base/errors.ts';

/** A set of characters: ranges of code points, or all but these. Never has `/`. */
export interface CharacterSet {
  readonly negated: boolean;
  readonly ranges: readonly (readonly [number, number])[];
}

/** A part of a pattern. `any` is `**`, which alone crosses slashes. */
export type Part =
  | { readonly kind: 'literal'; readonly code: number }
  | { readonly kind: 'one' | 'star' | 'any' }
  | { readonly kind: 'set'; readonly set: CharacterSet }
  | { readonly kind: 'group'; readonly repeat: Repeat; readonly captured: boolean; readonly choices: readonly Part[][] }
  | { readonly kind: 'not'; readonly choices: readonly Part[][] };

export type Repeat = 'once' | 'maybe' | 'many' | 'some';

const patternLengthMax = 4096;
const depthMax = 32;
const repeats: Readonly<Record<string, Repeat>> = { '@': 'once', '?': 'maybe', '*': 'many', '+': 'some' };
const letters: readonly (readonly [number, number])[] = [
  [0x41, 0x5a],
  [0x61, 0x7a],
];
const posix: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  alnum: [[0x30, 0x39], ...letters],
  alpha: letters,
  ascii: [[0, 0x7f]],
  blank: [
    [0x09, 0x09],
    [0x20, 0x20],
  ],
  cntrl: [
    [0, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: [[0x30, 0x39]],
  graph: [[0x21, 0x7e]],
  lower: [[0x61, 0x7a]],
  print: [[0x20, 0x7e]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [0x09, 0x0d],
    [0x20, 0x20],
  ],
  upper: [[0x41, 0x5a]],
  word: [[0x30, 0x39], [0x5f, 0x5f], ...letters],
  xdigit: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
};

/** Parses a pattern. Throws `usage` when it is none. */
export function parseGlob(pattern: string): Part[] {
  if (pattern.length > patternLengthMax) {
    throw wrong(`${pattern.slice(0, 40)}…`, `it has more than ${patternLengthMax} characters`);
  }
  return new GlobParser(pattern).parse();
}

function wrong(pattern: string, why: string): PachError {
  return new PachError('usage', {
    what: `pattern ${JSON.stringify(pattern)}`,
    why,
    next: 'write \\ before a special character to match it literally',
  });
}

class GlobParser {
  private readonly pattern: string;
  private readonly characters: readonly string[];
  private at = 0;
  private depth = 0;

  constructor(pattern: string) {
    this.pattern = pattern;
    this.characters = Array.from(pattern);
  }

  parse(): Part[] {
    return this.sequence('');
  }

  /** Parts up to one of the characters in `ends`, which is left. */
  private sequence(ends: string): Part[] {
    const parts: Part[] = [];
    for (let next = this.characters[this.at]; next !== undefined; next = this.characters[this.at]) {
      if (ends.includes(next)) break;
      parts.push(this.part(next));
    }
    return parts;
  }

  private part(next: string): Part {
    this.at += 1;
    const group = this.characters[this.at] === '(';
    if (group && next === '!') return { kind: 'not', choices: this.group(')', '|') };
    const repeat = repeats[next];
    if (group && repeat) return { kind: 'group', repeat, captured: true, choices: this.group(')', '|') };
    switch (next) {
      case '(':
        this.at -= 1;
        return { kind: 'group', repeat: 'once', captured: true, choices: this.group(')', '|') };
      case '{':
        this.at -= 1;
        return { kind: 'group', repeat: 'once', captured: false, choices: this.group('}', ',') };
      case '*':
        return this.stars();
      case '?':
        return { kind: 'one' };
      case '[':
        return { kind: 'set', set: this.set() };
      case '\\':
        return { kind: 'literal', code: this.escaped() };
      default:
        return { kind: 'literal', code: codeOf(next) };
    }
  }

  private stars(): Part {
    let kind: 'star' | 'any' = 'star';
    while (this.characters[this.at] === '*' && this.characters[this.at + 1] !== '(') {
      kind = 'any';
      this.at += 1;
    }
    return { kind };
  }

  private group(close: string, separator: string): Part[][] {
    this.depth += 1;
    if (this.depth > depthMax) this.fail('its brackets are nested too deep');
    const choices: Part[][] = [];
    do {
      this.at += 1;
      choices.push(this.sequence(close + separator));
    } while (this.characters[this.at] === separator);
    if (this.characters[this.at] !== close) this.fail(`a ${close} is missing`);
    this.at += 1;
    this.depth -= 1;
    return choices;
  }

  private set(): CharacterSet {
    const negated = this.characters[this.at] === '!' || this.characters[this.at] === '^';
    if (negated) this.at += 1;
    const ranges: (readonly [number, number])[] = [];
    for (let first = true; ; first = false) {
      const next = this.characters[this.at];
      if (next === undefined) this.fail('a ] is missing');
      if (next === ']' && !first) break;
      if (next === '[' && this.characters[this.at + 1] === ':') ranges.push(...this.posixClass());
      else ranges.push(this.range());
    }
    this.at += 1;
    return { negated, ranges };
  }

  private range(): readonly [number, number] {
    const from = this.setCharacter();
    const beyond = this.characters[this.at + 1];
    if (this.characters[this.at] !== '-' || beyond === ']' || beyond === undefined) return [from, from];
    this.at += 1;
    const to = this.setCharacter();
    if (to < from) this.fail('a range of characters is in reverse order');
    return [from, to];
  }

  private setCharacter(): number {
    const next = this.characters[this.at];
    this.at += 1;
    return next === '\\' ? this.escaped() : codeOf(next ?? '');
  }

  private posixClass(): readonly (readonly [number, number])[] {
    const end = this.characters.indexOf(':', this.at + 2);
    const name = this.characters.slice(this.at + 2, Math.max(end, 0)).join('');
    if (end < 0 || this.characters[end + 1] !== ']' || !Object.hasOwn(posix, name)) {
      this.fail(`it has no class such as ${Object.keys(posix).join(', ')} after [:`);
    }
    this.at = end + 2;
    return posix[name] ?? [];
  }

  private escaped(): number {
    const next = this.characters[this.at];
    if (next === undefined) this.fail('nothing follows its last \\');
    this.at += 1;
    return codeOf(next);
  }

  private fail(why: string): never {
    throw wrong(this.pattern, why);
  }
}

function codeOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}
