/**
 * Numbers that outlive a process, each a small file.
 */
import { randomBytes } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeBelow } from '../local/own-folder.ts';

const folder = 'notes';

export class Notes {
  private readonly dir: string;

  /** In a cache folder. */
  constructor(dir: string) {
    this.dir = dir;
  }

  /** A number that was kept under a name, or undefined. */
  async get(name: string): Promise<number | undefined> {
    const text = await readFile(join(this.dir, folder, name), 'utf8').catch(() => '');
    return /^\d+$/.test(text) ? Number(text) : undefined;
  }

  async set(name: string, value: number): Promise<void> {
    await writeWhole(this.dir, join(folder, name), `${value}`);
  }
}

/**
 * Makes or replaces a small private file of a cache folder, which others never see half written. Where it
 * can't be written it is not: no error.
 */
export async function writeWhole(dir: string, path: string, text: string): Promise<void> {
  const whole = join(dir, path);
  const temporary = `${whole}.${randomBytes(8).toString('hex')}`;
  try {
    makeBelow(dir, dirname(path));
    await writeFile(temporary, text, { flag: 'wx', mode: 0o600 });
    await rename(temporary, whole);
  } catch {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}
