/**
 * The folder that containers of a pod share with one of ours, and the launcher in it.
 */
import { chmod, copyFile, mkdir, readdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PachError } from '../../base/errors.ts';
import { removeTreeAsync } from '../../base/remove.ts';

/** Tells a folder of pods from one of somebody who gave the wrong path: what lies in folders of it is removed. */
const mark = '.pachmount-pod';

/** Makes the folder; `folders`: those in it that are ours to empty. Throws `usage` where they are somebody else's. */
export async function claimPodFolder(dir: string, folders: readonly string[]): Promise<void> {
  await mkdir(dir, { recursive: true });
  const there = new Set(await readdir(dir));
  if (there.has(mark)) return;
  for (const name of folders.filter((each) => there.has(each))) {
    const inside = await readdir(join(dir, name)).catch(() => undefined);
    if (inside?.length === 0) continue;
    const why = `there is ${name} in it, which no worker of a pod has made, and which would be emptied`;
    throw new PachError('usage', { what: `--pod ${dir}`, why, next: 'give an empty folder' });
  }
  await writeFile(join(dir, mark), '');
}

/** True when the launcher lies in `bin`, so that the other containers may have started. */
export async function hasLauncher(bin: string): Promise<boolean> {
  return (await readdir(bin)).includes('launcher');
}

/** Puts the launcher into `bin`, as a whole: with that the other containers start. */
export async function putLauncher(program: string, bin: string): Promise<void> {
  if (await hasLauncher(bin)) return;
  for (const name of ['next', 'pachctl', 'new']) await removeTreeAsync(join(bin, name));
  for (const name of ['next', 'pachctl']) await symlink('launcher', join(bin, name));
  await copyFile(program, join(bin, 'new'));
  await chmod(join(bin, 'new'), 0o755);
  await rename(join(bin, 'new'), join(bin, 'launcher'));
}
