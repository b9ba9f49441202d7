/**
 * `pach __complete SHELL TAIL PROGRAM WORD…`, which the scripts of `pach completion` call: prints what
 * the last word may become, one a line, or `:files` for files of this machine. It never fails, and gives
 * up soon.
 *
 * TAIL is the part of the last word that Bash replaces, which ends words at : @ and = too; for other
 * shells it is empty.
 */
import { basename } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { settingsFrom } from '../../app/settings.ts';
import { namesOf } from './names.ts';
import { quoted, unquoted } from './quoting.ts';
import { wantedAt } from './wanted.ts';

/** How long a store may take, where PACH_COMPLETION_MS says nothing else. */
const answerMsMax = 300;
const filesWanted = ':files';

/** The text to print; undefined when the time is over. */
export async function complete([shell = '', tail = '', program = '', ...typed]: readonly string[]): Promise<
  string | undefined
> {
  const plain = shell === 'zsh' ? typed : typed.map((word) => unquoted(word).text);
  const words = basename(program) === 'pachmount' ? ['mount', ...plain] : plain;
  const current = words.pop() ?? '';
  const soon = new AbortController();
  const found = await Promise.race([
    candidates(words, current).catch(() => []),
    pause(Number(process.env['PACH_COMPLETION_MS']) || answerMsMax, undefined, { signal: soon.signal }),
  ]);
  soon.abort();
  if (!Array.isArray(found)) return undefined;
  const raw = typed.at(-1) ?? '';
  const forShell = shell === 'bash' ? found.flatMap((word) => quoted(word, raw, tail) ?? []) : found;
  return forShell.map((word) => `${word}\n`).join('');
}

async function candidates(words: readonly string[], current: string): Promise<string[]> {
  const wanted = wantedAt(words, current);
  const settings = settingsFrom({ store: wanted.store, project: wanted.project }, process.env);
  const found = [...wanted.words];
  for (const kind of wanted.kinds) if (kind !== 'local') found.push(...(await namesOf(kind, wanted.begun, settings)));
  // Control, direction and other invisible characters are not for a terminal.
  const fit = found.filter((word) => word.startsWith(wanted.begun) && !/\p{C}/u.test(word));
  if (fit.length === 0 && wanted.kinds.includes('local')) return [filesWanted];
  return fit.map((word) => wanted.before + word);
}
