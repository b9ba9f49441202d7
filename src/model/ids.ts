/**
 * Ids of commits, jobs and datums as people see and type them: by their beginnings.
 */

/** Digits that people are shown: enough to name one of millions. */
const shownDigits = 12;
/** How many candidates an error names. */
export const candidatesMax = 5;

export function shortId(id: string): string {
  return id.slice(0, shownDigits);
}

/** The error text for a beginning that several ids have. `ids`: the first of them, one more than are shown. */
export function severalBegin(nouns: string, beginning: string, ids: readonly string[]): string {
  const shown = ids.slice(0, candidatesMax).map(shortId).join(', ');
  return `several ${nouns} begin with ${beginning}: ${shown}${ids.length > candidatesMax ? ', …' : ''}`;
}
