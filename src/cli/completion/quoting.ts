/**
 * Words as shells have them in a command line that is not finished.
 */

export interface Unquoted {
  readonly text: string;
  /** The quote that is open at the end, or nothing. */
  readonly open: '' | '"' | "'";
}

/** A word without its quotes and backslashes. Variables and the like stay as they are. */
export function unquoted(word: string): Unquoted {
  let text = '';
  let open: Unquoted['open'] = '';
  for (let at = 0; at < word.length; at += 1) {
    const character = word[at] as string;
    const next = word[at + 1];
    if (open === '' && (character === '"' || character === "'")) open = character;
    else if (character === open) open = '';
    else if (character === '\\' && next !== undefined && (open === '' || (open === '"' && '"$`\\'.includes(next)))) {
      text += next;
      at += 1;
    } else text += character;
  }
  return { text, open };
}

/**
 * What takes the place of `tail`, the end of the typed word `raw`, so that Bash reads `word`. Undefined
 * where that can't be written.
 */
export function quoted(word: string, raw: string, tail: string): string | undefined {
  const { text, open } = unquoted(raw.slice(0, raw.length - tail.length));
  if (!word.startsWith(text)) return undefined;
  const rest = word.slice(text.length);
  if (open === '"') return rest.replaceAll(/["$`\\]/g, '\\$&');
  if (open === "'") return rest.includes("'") ? undefined : rest;
  return rest.replaceAll(/[^\p{L}\p{N}_@%+=:,./^~-]/gu, '\\$&').replace(/^~/, '\\~');
}
