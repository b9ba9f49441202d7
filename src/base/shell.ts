/**
 * Names as words of a shell, so that a command with them can be pasted.
 */
import { hidden, hiddenRuns } from './visible.ts';

/** What a shell does not take as it is; `#` and `~` only at the beginning, a brace only alone. */
const forShell = /[\s!"$&'()*;<=>?[\\^`|]|^[#~]|^[{}]$/u;
/** What double quotes would not keep as it is. */
const notInDoubleQuotes = /[!"$&()*;<=>?[\\^`{|}]|.[#~]/;

const escapes: ReadonlyMap<number, string> = new Map([
  [0x07, 'a'],
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0b, 'v'],
  [0x0c, 'f'],
  [0x0d, 'r'],
]);

/** A name as one word of a command. */
export function shellWord(name: string): string {
  return quotedName(name, true);
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
