/**
 * Finds where a text stops being JSON. The YAML parser, which reports lines, also accepts much that is
 * not JSON: a comma after the last item, names without quotes, comments.
 */

/** What is wrong in a text, and at which character. */
export interface JsonFault {
  readonly at: number;
  /** A clause that shows no value of the text. */
  readonly why: string;
}

const blanks = /[ \t\r\n]*/y;
/** All but control characters, quotes and backslashes may be written as they are. */
const string = /"[ !#-[\]-\u{10ffff}]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[ !#-[\]-\u{10ffff}]*)*"/uy;
const plain = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;

type Expected = 'value' | 'name' | ':' | ', or end' | 'nothing';

/** The first fault of a text that is to be one JSON value; undefined where there is none. */
export function jsonFault(text: string): JsonFault | undefined {
  const open: ('{' | '[')[] = [];
  let expected: Expected = 'value';
  let comma: number | undefined;
  for (let at = end(blanks, text, 0) ?? 0; ; at = end(blanks, text, at) ?? at) {
    const next = text[at];
    const inside = open.at(-1);
    const close = inside === '{' ? '}' : ']';
    if (expected === 'nothing') return next === undefined ? undefined : { at, why: 'there is text after its end' };
    if (next === undefined) return { at, why: inside ? `it ends before a ${close}` : 'it is empty' };
    const begun = at;
    if (inside && next === close && expected !== ':') {
      if (comma !== undefined)
        return { at: comma, why: `there is a comma before ${close}; JSON allows commas only between items` };
      if (expected === 'value' && inside === '{') return { at, why: 'a value is missing before }' };
      open.pop();
      at += 1;
      expected = open.length > 0 ? ', or end' : 'nothing';
      continue;
    }
    comma = undefined;
    if (expected === 'value' && (next === '{' || next === '[')) {
      open.push(next);
      at += 1;
      expected = next === '{' ? 'name' : 'value';
    } else if (expected === 'value' || expected === 'name') {
      const after: number | undefined =
        end(string, text, at) ?? (expected === 'value' ? end(plain, text, at) : undefined);
      if (after === undefined) return { at, why: notA(expected, next) };
      at = after;
      expected = expected === 'name' ? ':' : inside ? ', or end' : 'nothing';
    } else if (expected === ':') {
      if (next !== ':') return { at, why: 'a : is missing after a name' };
      at += 1;
      expected = 'value';
    } else {
      if (next !== ',') return { at, why: `a comma or a ${close} is missing` };
      comma = begun;
      at += 1;
      expected = inside === '{' ? 'name' : 'value';
    }
  }
}

function notA(expected: 'value' | 'name', next: string): string {
  if (next === '"') return 'a text has no closing quote, or has a character that JSON needs written with a backslash';
  if (next === '#' || next === '/') return 'JSON has no comments';
  return expected === 'name' ? 'names in JSON must be in double quotes' : 'this is not a JSON value';
}

/** Where a match that begins at `at` ends. */
function end(pattern: RegExp, text: string, at: number): number | undefined {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : undefined;
}
