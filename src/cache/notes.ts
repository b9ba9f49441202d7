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
    const path = join(this.dir, name);
    const temporary = `${path}.${randomBytes(8).toString('hex')}`;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeFile(temporary, `${value}`, { mode: 0o600 });
      await rename(temporary, path);
    } catch {
      await rm(temporary, { force: true }).catch(() => undefined);
    }
  }
}
