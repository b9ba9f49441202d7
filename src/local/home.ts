/**
 * This machine's own state: one folder, private to the user. Nothing in it is shared, and what
 * it caches can be rebuilt.
 */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

export class Home {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  /** The default store. */
  get store(): string {
    return join(this.dir, 'store');
  }

  get mounts(): string {
    return join(this.dir, 'mounts');
  }

  get cache(): string {
    return join(this.dir, 'cache');
  }

  /** Which stores keep the promises that writers need. */
  get probed(): string {
    return join(this.dir, 'probed');
  }

  /** What the folders that were put looked like, by store. */
  get seen(): string {
    return join(this.dir, 'seen');
  }

  /** What engines need while they run, a folder each. */
  get run(): string {
    return join(this.dir, 'run');
  }

  /** Logs of datums that run now, a folder for each job. */
  get logs(): string {
    return join(this.dir, 'logs');
  }

  /** What pipelines may know and nobody else. */
  get secrets(): string {
    return join(this.dir, 'secrets');
  }

  /** Makes a folder of this state, readable by nobody else. */
  async make(folder: string): Promise<string> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await chmod(this.dir, 0o700).catch(() => undefined);
    return folder;
  }
}
