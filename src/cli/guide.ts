/**
 * The pages of the guide. Each begins with a title and a sentence that says what it is about.
 */
import { readdir, readFile } from 'node:fs/promises';
import { nearest } from '../pipelines/spec/nearest.ts';
import { PachError } from '../base/errors.ts';

/** Beside the sources, and reached alike from them, from the compiled files and from the bundle. */
const folder = new URL('../../src/cli/guide/', import.meta.url);

interface PageHead {
  readonly page: string;
  readonly summary: string;
}

/** All pages by name. */
export async function guidePages(): Promise<PageHead[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.md')).toSorted();
  return Promise.all(
    names.map(async (name) => {
      const [, , summary = ''] = (await readFile(new URL(name, folder), 'utf8')).split('\n');
      return { page: name.slice(0, -'.md'.length), summary };
    }),
  );
}

/** A page's Markdown. `verbs` are what else may have been meant. */
export async function guidePage(name: string, verbs: readonly string[]): Promise<string> {
  const names = (await guidePages()).map(({ page }) => page);
  if (names.includes(name)) return readFile(new URL(`${name}.md`, folder), 'utf8');
  const meant = nearest(name, [...names, ...verbs]);
  throw new PachError('not-found', {
    what: `help ${name}`,
    why: 'there is no such page or verb',
    next: meant === undefined ? 'pach help' : `pach help ${meant}`,
  });
}
