/**
 * Foreign text within a line of ours: characters that are invisible, or that move others, are escaped.
 */

/** Control and format characters (bidirectional overrides, zero width), line separators, bytes that are not UTF-8. */
export const hidden = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
export const hiddenRuns = new RegExp(`(${hidden.source}+)`, 'gu');

/** One line of prose, with hidden characters as JSON writes them: `\n`, `\u001b`, `\udcff`. */
export function visible(text: string): string {
  return text.replaceAll(hiddenRuns, (run) => {
    const units = Array.from({ length: run.length }, (_, at) => run[at] as string);
    return units.map((unit) => short(unit) ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
  });
}

function short(unit: string): string | undefined {
  const written = JSON.stringify(unit).slice(1, -1);
  return written.length === 2 ? written : undefined;
}
