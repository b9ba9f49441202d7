/**
 * The statements of a script's top level, whole with the blocks that belong to them, and the names
 * that they set and use.
 */
import { isTopLevel, LineState, statementsOf, tokensOf, type Token } from './python.ts';

export interface Block {
  readonly text: string;
  /** `definition` and `constant` can be repeated where they are needed: a list can't, since it may be changed later. */
  readonly kind: 'import' | 'definition' | 'constant' | 'other';
}

/** Words that go on with the block before them. */
const goesOn = /^(?:else|elif|except|finally)\b/;

/** The blocks of a source, in order; comments and empty lines belong to what comes after them. */
export function blocksOf(source: string): Block[] {
  const blocks: string[][] = [];
  let pending: string[] = [];
  const state = new LineState();
  for (const line of source.split('\n')) {
    const isStart = state.isNeutral && /^[^\s#]/.test(line) && !goesOn.test(line);
    const isBetween = state.isNeutral && (line.trim() === '' || line.startsWith('#'));
    state.take(line);
    const decorated = blocks.at(-1)?.every((each) => /^@|^#|^\s*$/.test(each)) ?? false;
    if (isBetween) pending.push(line);
    else if (isStart && !decorated) {
      blocks.push([...pending, line]);
      pending = [];
    } else {
      const last = blocks.at(-1);
      if (last) last.push(...pending, line);
      else blocks.push([...pending, line]);
      pending = [];
    }
  }
  return blocks.map((lines) => ({ text: lines.join('\n'), kind: kindOf(lines.join('\n')) }));
}

function kindOf(text: string): Block['kind'] {
  const [first] = statementsOf(text);
  const [word, equals] = first ?? [];
  if (word?.text === 'import' || word?.text === 'from') return 'import';
  if (
    word?.text === 'def' ||
    word?.text === 'class' ||
    word?.text === '@' ||
    (word?.text === 'async' && equals?.text === 'def')
  ) {
    return 'definition';
  }
  const isLiteral = first
    ?.slice(2)
    .every(({ kind, text: each }) => kind === 'string' || kind === 'number' || '-(),'.includes(each));
  return word?.kind === 'name' && equals?.text === '=' && isLiteral ? 'constant' : 'other';
}

const keywords = new Set(
  'and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield True False None'.split(
    ' ',
  ),
);

/** Names that a source uses: not attributes, and not names of keyword arguments. */
export function usedNames(source: string): Set<string> {
  const used = new Set<string>();
  const tokens = tokensOf(source);
  for (const [index, { kind, text }] of tokens.entries()) {
    if (kind !== 'name' || keywords.has(text) || tokens[index - 1]?.text === '.') continue;
    used.add(text);
  }
  for (const name of namesInFormats(tokens)) used.add(name);
  return used;
}

/** What stands between the braces of f-strings. */
function namesInFormats(tokens: readonly Token[]): string[] {
  return tokens
    .filter(({ kind, text }) => kind === 'string' && /^[rR]?[fF]/.test(text))
    .flatMap(({ text }) => [...text.matchAll(/\{\s*([\p{L}_][\p{L}\p{N}_]*)/gu)].map((match) => match[1] ?? ''));
}

/** Names that the statements of a script set, but for those within functions and classes. */
export function setNames(source: string): Set<string> {
  const names = new Set<string>();
  let isWithin = false;
  for (const statement of statementsOf(source)) {
    if (isTopLevel(source, statement)) isWithin = ['def', 'class', 'async', '@'].includes(statement[0]?.text ?? '');
    if (!isWithin) for (const name of targetsOf(statement)) names.add(name);
  }
  return names;
}

const compound = new Set(['for', 'if', 'else', 'elif', 'while', 'with', 'try', 'except', 'finally']);

function targetsOf(statement: readonly Token[]): string[] {
  const names: string[] = [];
  let depth = 0;
  let from = 0;
  for (const [index, { text, kind }] of statement.entries()) {
    if (kind === 'operator' && '([{'.includes(text)) depth += 1;
    if (kind === 'operator' && ')]}'.includes(text)) depth -= 1;
    if (kind === 'operator' && depth === 0 && /^(?:[-+*/%&|^@]|\*\*|\/\/|<<|>>)?=$/.test(text)) {
      names.push(...plainNames(statement.slice(from, index)));
      from = index + 1;
    }
    // `for a in b: c = 1`: what the line does begins anew.
    if (text === ':' && depth === 0 && compound.has(statement[0]?.text ?? '')) from = index + 1;
    if (kind === 'name' && text === 'for') {
      const end = statement.findIndex((token, at) => at > index && token.text === 'in');
      names.push(...plainNames(statement.slice(index + 1, end < 0 ? undefined : end)));
    }
    if (kind === 'name' && text === 'as' && statement[0]?.text !== 'import' && statement[0]?.text !== 'from') {
      names.push(...plainNames(statement.slice(index + 1, index + 2)));
    }
  }
  return names;
}

/** The names of `a`, `a, b` and `(a, b)`; of `a.b` and `a[0]` the one that is changed. */
function plainNames(tokens: readonly Token[]): string[] {
  const names: string[] = [];
  let brackets = 0;
  for (const [index, { kind, text }] of tokens.entries()) {
    if (text === '[' && tokens[index - 1]?.kind === 'name') brackets += 1;
    else if (brackets > 0 && text === '[') brackets += 1;
    else if (brackets > 0 && text === ']') brackets -= 1;
    if (text === ':' && brackets === 0) break; // an annotation
    if (kind === 'name' && brackets === 0 && tokens[index - 1]?.text !== '.' && !keywords.has(text)) names.push(text);
  }
  return names;
}
