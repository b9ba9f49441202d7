/**
 * Lines of the live screen before they are cut to its width.
 */
import { isAbsolute, relative } from 'node:path';
import { quotedName } from '../../base/shell.ts';
import { visible } from '../../base/visible.ts';
import { cut, visibleLog, widthOf } from '../quote.ts';

/** Where the live screen is shown. */
export interface View {
  readonly columns: number;
  readonly rows: number;
  readonly color: boolean;
  /** Paths of this machine are shown relative to it. */
  readonly cwd: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Keys that do something, with what they do: none where nobody can press one. */
  readonly keys: readonly string[];
}

export interface Row {
  readonly text: string;
  readonly style?: 'bad' | 'good' | 'quiet' | 'strong';
}

const codes = { bad: '31', good: '32', quiet: '2', strong: '1' };

const messageRowsMax = 3;

/** Harmless, of the screen's width, with its colour. The last column stays free: terminals differ on it. */
export function drawn({ text, style }: Row, { columns, color }: View): string {
  const shown = cut(harmless(text), Math.max(1, columns - 1));
  return color && style && shown !== '' ? `\u001b[${codes[style]}m${shown}\u001b[0m` : shown;
}

/** Without colours, and with nothing that acts on a terminal. */
export function harmless(text: string): string {
  return visible(visibleLog(text, false).replaceAll('\t', '    '));
}

/** Parts in as few lines as hold them. All but the first line are indented. */
export function flowed(parts: readonly string[], separator: string, { columns }: View, indent = 0): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    const longer = last === undefined ? '' : last + separator + part;
    if (last !== undefined && widthOf(longer) < columns) lines[lines.length - 1] = longer;
    else lines.push(' '.repeat(last === undefined ? 0 : indent) + part);
  }
  return lines;
}

/** What went wrong, where: in one line, or the place in a line of its own, which nothing cuts short. */
export function headline(at: string, message: string, view: View): Row[] {
  const shown = harmless(message);
  const one = at === '' ? `✗ ${shown}` : `✗ ${at}: ${shown}`;
  if (widthOf(one) < view.columns) return [{ text: one, style: 'bad' }];
  const words = flowed(shown.split(' '), ' ', { ...view, columns: view.columns - 2 });
  const rows = words.slice(0, messageRowsMax).map((text): Row => ({ text: `  ${text}`, style: 'bad' }));
  return [{ text: at === '' ? '✗' : `✗ ${at}`, style: 'bad' }, ...rows];
}

/** A path of this machine as it can be opened from where the user is. */
export function shownPath(path: string, cwd: string): string {
  const near = isAbsolute(path) ? relative(cwd, path) : path;
  return quotedName(near.length < path.length ? near : path, true);
}
