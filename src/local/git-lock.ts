/**
 * The file that is there while git writes a work tree (checkout, rebase, stash, pull).
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { errnoOf } from '../base/system-errors.ts';

/** Of the work tree that a folder or file lies in; undefined outside of one. */
export async function indexLockOf(path: string): Promise<string | undefined> {
  for (let folder = path; ; folder = dirname(folder)) {
    const git = join(folder, '.git');
    if (existsSync(git)) return join(await gitFolder(git), 'index.lock');
    if (dirname(folder) === folder) return undefined;
  }
}

/** Of a second work tree of a repository, and of a submodule, `.git` is a file that names the folder. */
async function gitFolder(git: string): Promise<string> {
  try {
    const [, named] = /^gitdir: (.+)$/m.exec(await readFile(git, 'utf8')) ?? [];
    return named === undefined ? git : resolve(dirname(git), named);
  } catch (error) {
    if (errnoOf(error) === 'EISDIR') return git;
    throw error;
  }
}
