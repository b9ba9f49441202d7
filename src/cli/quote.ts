/**
 * Text of others on a terminal: names, messages, log lines, errors. Nothing of it may move the
 * cursor, change colours, forge a line or hide a character.
 */
import stringWidth from 'string-width';
import { visible } from '../base/visible.ts';

/** How a terminal is told of colours and nothing else (SGR). */
const escape = '\u001b';
const colours = new RegExp(`(${escape}\\[[0-9;:]*m)`);

/** Text whose line breaks are ours. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
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
