/**
 * Numbers that outlive a process, each a small file.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export class Notes {
  private readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  /** A number that was kept under a name, or undefined. */
  async get(name: string): Promise<number | undefined> {
    const text = await readFile(join(this.dir, name), 'utf8').catch(() => '');
    return /^\d+$/.test(text) ? Number(text) : undefined;
  }

  async set(name: string, value: number): Promise<void> {
    await writeWhole(join(this.dir, name), `${value}`);
  }
}

/** Makes or replaces a small private file, which others never see half written. Where it can't be written it is not: no error. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(8).toString('hex')}`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, path);
  } catch {
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}
