/**
 * Text of others on a terminal: names, messages, log lines, errors. Nothing of it may move the
 * cursor, change colours, forge a line or hide a character.
 */
import stringWidth from 'string-width';
import { hidden, hiddenRuns, visible } from '../base/visible.ts';

/** What a shell does not take as it is; `#` and `~` only at the beginning, a brace only alone. */
const forShell = /[\s!"$&'()*;<=>?[\\^`|]|^[#~]|^[{}]$/u;
/** What double quotes would not keep as it is. */
const notInDoubleQuotes = /[!"$&()*;<=>?[\\^`{|}]|.[#~]/;
/** How a terminal is told of colours and nothing else (SGR). */
const escape = '\u001b';
const colours = new RegExp(`(${escape}\\[[0-9;:]*m)`);

const escapes: ReadonlyMap<number, string> = new Map([
  [0x07, 'a'],
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0b, 'v'],
  [0x0c, 'f'],
  [0x0d, 'r'],
]);

/** Text whose line breaks are ours. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
}

/**
 * A name as GNU ls quotes it for a shell: `'two'$'\n''lines'`. Elsewhere than on a terminal only
 * names with hidden characters are quoted, so that each stays on one line.
 */
export function quotedName(name: string, terminal: boolean): string {
  const hides = hidden.test(name);
  if (name === '') return terminal ? "''" : name;
  if (!hides && !(terminal && forShell.test(name))) return name;
  if (!hides && name.includes("'") && !notInDoubleQuotes.test(name)) return `"${name}"`;
  const parts = name.split(hiddenRuns);
  const quoted = parts.map((part, at) => {
    if (at % 2 === 1) return `$'${octal(part)}'`;
    return part === '' && at > 0 ? '' : `'${part.replaceAll("'", String.raw`'\''`)}'`;
  });
  return quoted.join('');
}

function octal(run: string): string {
  const bytes = Array.from(run, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(character);
  });
  const written = (byte: number): string => escapes.get(byte) ?? byte.toString(8).padStart(3, '0');
  return Array.from(Buffer.concat(bytes), (byte) => `\\${written(byte)}`).join('');
}

/** A line that a command printed, of which a terminal takes colours and tabs only. */
export function visibleLog(line: string, colour: boolean): string {
  const parts = line.replace(/\r$/, '').split(colours);
  const shown = parts.map((part, at) => (at % 2 === 0 ? part.split('\t').map(visible).join('\t') : colour ? part : ''));
  return shown.join('') + (colour && parts.length > 1 ? `${escape}[0m` : '');
}

/** Columns of a terminal. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

/** Padded to so many columns of a terminal. */
export function padded(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - stringWidth(text)));
}

/** At most so many columns of a terminal. */
export function cut(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  let kept = '';
  let width = 1;
  for (const character of text) {
    width += stringWidth(character);
    if (width > columns) break;
    kept += character;
  }
  return `${kept}…`;
}
