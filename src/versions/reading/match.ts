/**
 * What a pattern matches in two versions at once: all of it, or only what differs, which costs by
 * what differs.
 */
import type { Glob } from '../../model/glob.ts';
import { pathOf, textOfName } from '../../model/paths.ts';
import { directoryOf, type TreeEntry } from '../../model/tree.ts';
import { sameContent, type Directories, type Directory } from '../directories.ts';

/** A path that matches in one of the versions or in both. */
export interface Match {
  /** Absolute, as text. */
  readonly path: string;
  readonly before?: TreeEntry | undefined;
  readonly after?: TreeEntry | undefined;
}

export interface MatchOptions {
  readonly glob: Glob;
  /** Roots of the versions; undefined for one without files. */
  readonly before: Directory | undefined;
  readonly after: Directory | undefined;
  /** `changed` leaves out what is the same but for times. */
  readonly which: 'all' | 'changed';
}

/** Streams matches in order of paths. Throws `damaged` for trees that are. */
export async function* matchFiles(directories: Directories, options: MatchOptions): AsyncGenerator<Match> {
  const { prefix } = options.glob;
  const [before, after] = await Promise.all([
    options.before && directories.find(options.before, prefix),
    options.after && directories.find(options.after, prefix),
  ]);
  yield* matchBelow(directories, options, { path: pathOf(prefix), before, after });
}

/** True when a pattern that matches the path of an entry means it. */
export function isMeant(glob: Glob, { kind }: TreeEntry): boolean {
  return !(glob.filesOnly && kind === 'directory');
}

async function* matchBelow(directories: Directories, options: MatchOptions, at: Match): AsyncGenerator<Match> {
  const { glob, which } = options;
  const { path, before, after } = at;
  if (which === 'changed' && before && after && sameContent(before, after)) return;
  const matched = glob.matches(path);
  const old = matched && before && isMeant(glob, before) ? before : undefined;
  const now = matched && after && isMeant(glob, after) ? after : undefined;
  if (old || now) yield { path, before: old, after: now };
  const [from, to] = [directoryOf(before), directoryOf(after)];
  if ((!from && !to) || !glob.couldMatchUnder(path)) return;
  const start = path === '/' ? path : `${path}/`;
  for await (const entry of which === 'all' ? directories.both(from, to) : directories.diff(from, to)) {
    const below = { path: start + textOfName(entry.key), before: entry.old, after: entry.new };
    yield* matchBelow(directories, options, below);
  }
}
