/**
 * Making folders.
 */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from './system-errors.ts';

/**
 * Makes a folder and those that it lies in. Throws `EEXIST` for whatever is there already. Node's own
 * `recursive` tries for ever below a folder in which nothing can be made, such as /proc.
 */
export async function makeFolders(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    const parent = dirname(path);
    if (errnoOf(error) !== 'ENOENT' || parent === path) throw error;
    await makeFolders(parent, mode).catch((cause: unknown) => {
      if (errnoOf(cause) !== 'EEXIST') throw cause;
    });
    await mkdir(path, mode);
  }
}
