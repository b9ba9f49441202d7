/**
 * As much of Python's grammar as is needed to find imports, assignments and the literals of calls,
 * without running anything (https://docs.python.org/3/reference/lexical_analysis.html).
 */

export type Token = (
  | { readonly kind: 'name' | 'number' | 'operator' | 'comment' | 'newline' }
  /** `value` is undefined where only running it would tell: f-strings, bytes. */
  | { readonly kind: 'string'; readonly value: string | undefined }
) & {
  readonly text: string;
  /** Offset in the source. */
  readonly start: number;
};

const openers = '([{';
const closers = ')]}';
const operators = [
  '**=',
  '//=',
  '>>=',
  '<<=',
  '...',
  '->',
  ':=',
  '==',
  '!=',
  '<=',
  '>=',
  '+=',
  '-=',
  '*=',
  '/=',
  '%=',
  '&=',
  '|=',
  '^=',
  '@=',
  '**',
  '//',
  '<<',
  '>>',
];
const stringStart = /^([rRbBuUfFtT]{0,2})('''|"""|'|")/;

/** Where a line stands: a new statement begins only at a `neutral` one. */
export class LineState {
  private depth = 0;
  private quote: string | undefined;
  private isRaw = false;
  private continues = false;

  get isNeutral(): boolean {
    return this.depth === 0 && this.quote === undefined && !this.continues;
  }

  /** Goes on over one line, without its end. */
  take(line: string): void {
    this.continues = false;
    for (let at = 0; at < line.length;) {
      if (this.quote !== undefined) {
        if (line[at] === '\\' && !this.isRaw) at += 2;
        else if (line.startsWith(this.quote, at)) {
          at += this.quote.length;
          this.quote = undefined;
        } else at += line[at] === '\\' ? 2 : 1;
        continue;
      }
      const opened = stringStart.exec(line.slice(at));
      const isInName = at > 0 && /\w/.test(line[at - 1] ?? '');
      if (opened && (!isInName || opened[1] === '')) {
        this.quote = opened[2];
        this.isRaw = /r/i.test(opened[1] ?? '');
        at += opened[0].length;
        continue;
      }
      const character = line[at] ?? '';
      if (character === '#') return;
      if (openers.includes(character)) this.depth += 1;
      if (closers.includes(character)) this.depth = Math.max(0, this.depth - 1);
      if (character === '\\' && at === line.length - 1) this.continues = true;
      at += 1;
    }
    // A string in single quotes ends with its line, unless that ends with a backslash.
    if (this.quote?.length === 1 && !line.endsWith('\\')) this.quote = undefined;
  }
}

/** The tokens of a source; `newline` only where a statement ends. What can't be read is an operator. */
export function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  let depth = 0;
  for (let at = 0; at < source.length;) {
    const rest = source.slice(at, at + 4096);
    const character = rest[0] ?? '';
    const take = (kind: Exclude<Token['kind'], 'string'>, text: string): void => {
      tokens.push({ kind, text, start: at });
      at += text.length;
    };
    const opened = stringStart.exec(rest);
    if (opened) {
      const text = stringAt(source, at, opened);
      tokens.push({ kind: 'string', text, start: at, value: valueOf(text, opened) });
      at += text.length;
    } else if (character === '\n') {
      if (depth === 0) take('newline', '\n');
      else at += 1;
    } else if (rest.startsWith('\\\n')) at += 2;
    else if (/\s/.test(character)) at += 1;
    else if (character === '#') take('comment', /^[^\n]*/.exec(source.slice(at))?.[0] ?? '#');
    else if (/[\p{L}_]/u.test(character)) take('name', /^[\p{L}\p{N}_]+/u.exec(rest)?.[0] ?? character);
    else if (/^\.?\d/.test(rest))
      take('number', /^(?:0[xXoObB][\da-fA-F_]+|[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?j?)/.exec(rest)?.[0] || character);
    else {
      if (openers.includes(character)) depth += 1;
      if (closers.includes(character)) depth = Math.max(0, depth - 1);
      take('operator', operators.find((each) => rest.startsWith(each)) ?? character);
    }
  }
  return tokens;
}

function stringAt(source: string, start: number, [prefix = '', , quote = '"']: RegExpExecArray): string {
  let at = start + prefix.length;
  while (at < source.length && !source.startsWith(quote, at)) {
    if (quote.length === 1 && source[at] === '\n') break;
    at += source[at] === '\\' ? 2 : 1;
  }
  return source.slice(start, Math.min(source.length, at + quote.length));
}

const escapes: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '\\': '\\',
  "'": "'",
  '"': '"',
  '\n': '',
};

function valueOf(text: string, [prefix = '', letters = '', quote = '"']: RegExpExecArray): string | undefined {
  if (/[fFbBtT]/.test(letters) || !text.endsWith(quote)) return undefined;
  const body = text.slice(prefix.length, text.length - quote.length);
  if (/[rR]/.test(letters)) return body;
  let isPlain = true;
  const value = body.replace(/\\([\s\S])/g, (_, escaped: string) => {
    isPlain &&= escaped in escapes;
    return escapes[escaped] ?? '';
  });
  return isPlain ? value : undefined;
}

/** Text as a literal of Python. */
export function literal(text: string): string {
  return JSON.stringify(text);
}

/** Statements of a source: their tokens without comments. Those of an indented block are statements too. */
export function statementsOf(source: string): Token[][] {
  const statements: Token[][] = [];
  let current: Token[] = [];
  for (const token of tokensOf(source)) {
    if (token.kind === 'comment') continue;
    if (token.kind !== 'newline') current.push(token);
    else if (current.length > 0) {
      statements.push(current);
      current = [];
    }
  }
  if (current.length > 0) statements.push(current);
  return statements;
}

/** True for a statement that does not belong to the block of another one. */
export function isTopLevel(source: string, [first]: readonly Token[]): boolean {
  if (!first) return false;
  return first.start === 0 || source[first.start - 1] === '\n';
}
