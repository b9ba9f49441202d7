/**
 * What people are advised to do after an error: `try:` and a command that they can paste, or a hint in words.
 */

/** Programs that advice begins with, when it is a command. */
const programs: ReadonlySet<string> = new Set(
  'aws docker gzip bzip2 kill kubectl xz zstd ls lsof make mkdir pach pachmount sudo umount'.split(' '),
);

export interface Advice {
  readonly next?: string | undefined;
  readonly or?: string | undefined;
}

/** Lines of advice. `flags` go to each pach: where to work, as the user has said it. */
export function adviceLines({ next, or }: Advice, flags = ''): string[] {
  if (next === undefined) return [];
  if (!isCommand(next)) return [`hint: ${next}`];
  const withFlags = (command: string): string =>
    flags === '' || command.includes('--help') || command.includes(' --store ')
      ? command
      : command.replaceAll(/(^|\| )pach /g, (_, before: string) => `${before}pach ${flags} `);
  return [`try: ${withFlags(next)}`, ...(or === undefined ? [] : [` or: ${withFlags(or)}`])];
}

/** True for advice that is a command of a shell. */
export function isCommand(advice: string): boolean {
  return programs.has(advice.split(' ')[0] as string);
}
