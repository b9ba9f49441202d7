/**
 * `pach __complete SHELL TAIL PROGRAM WORD…`, which the scripts of `pach completion` call: prints what
 * the last word may become, one a line, or `:files` for files of this machine. It never fails, and gives
 * up soon.
 *
 * TAIL is the part of the last word that Bash replaces, which ends words at : @ and = too; for other
 * shells it is empty.
 */
import { basename } from 'node:path';
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
  const answerMs = Number(process.env['PACH_COMPLETION_MS']) || answerMsMax;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((over) => void (timer = setTimeout(over, answerMs, undefined)));
  // What it took to load the client of S3 is no time of the store's.
  const opened = (): void => void timer?.refresh();
  const found = await Promise.race([candidates(words, current, opened).catch(() => []), late]);
  clearTimeout(timer);
  if (found === undefined) return undefined;
  const raw = typed.at(-1) ?? '';
  const forShell = shell === 'bash' ? found.flatMap((word) => quoted(word, raw, tail) ?? []) : found;
  return forShell.map((word) => `${word}\n`).join('');
}

/** `opened` is called when the store is about to be asked. */
async function candidates(words: readonly string[], current: string, opened: () => void): Promise<string[]> {
  const wanted = wantedAt(words, current);
  const settings = settingsFrom({ store: wanted.store, project: wanted.project }, process.env);
  const found = [...wanted.words];
  for (const kind of wanted.kinds) {
    if (kind !== 'local') found.push(...(await namesOf(kind, wanted.begun, settings, opened)));
  }
  // Control, direction and other invisible characters are not for a terminal.
  const fit = found.filter((word) => word.startsWith(wanted.begun) && !/\p{C}/u.test(word));
  if (fit.length === 0 && wanted.kinds.includes('local')) return [filesWanted];
  return fit.map((word) => wanted.before + word);
}
