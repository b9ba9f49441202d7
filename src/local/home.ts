/**
 * This machine's own state: one folder, private to the user. Nothing in it is shared, and what
 * it caches can be rebuilt.
 */
import { existsSync, statSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { PachError } from '../base/errors.ts';
import { checkFolder, checkPart, claimFolder, makeBelow, type FolderKind } from './own-folder.ts';

const names = new Set([
  'store',
  'mounts',
  'cache',
  'probed',
  'seen',
  'run',
  'logs',
  'secrets',
  'out',
  'bisect',
  'config',
  'contexts',
]);

export const homeKind: FolderKind = {
  name: 'PACH_HOME',
  tag: 'PACH_HOME.TAG',
  tagStart: 'pachmount keeps the state of this machine here.',
  tagText: 'pachmount keeps the state of this machine here. A folder with this file is never put into a store.\n',
  option: 'PACH_HOME=',
  isOurs: (_folder, name) => Promise.resolve(names.has(name)),
};

export class Home {
  readonly dir: string;
  private readonly caller: number | undefined;
  private claimed: Promise<void> | undefined;

  /** `caller` is the user who has root do this: no folder of root's is made in one of theirs. */
  constructor(dir: string, caller?: number) {
    this.dir = resolve(dir);
    this.caller = caller;
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

  /** What people write while a mount shows a datum, a folder for each mount. */
  get out(): string {
    return join(this.dir, 'out');
  }

  /** How far searches in histories have come, a folder each. */
  get bisect(): string {
    return join(this.dir, 'bisect');
  }

  /** Settings of the user, a file each. */
  get config(): string {
    return join(this.dir, 'config');
  }

  get contexts(): string {
    return join(this.dir, 'contexts');
  }

  /** Makes a folder of this state, readable by nobody else. Throws `usage` where something else is in its place. */
  async make(folder: string): Promise<string> {
    this.claimed ??= this.claim();
    await this.claimed;
    return makeBelow(this.dir, relative(this.dir, folder));
  }

  /** True when a folder of this state is there. Throws `usage` where something else is in its place. */
  async has(folder: string): Promise<boolean> {
    if (!(await checkFolder(this.dir, homeKind))) return false;
    const info = await lstat(folder).catch(() => undefined);
    if (info) checkPart(folder, info);
    return info !== undefined;
  }

  private async claim(): Promise<void> {
    if (this.caller !== undefined && !existsSync(this.dir) && ownerAbove(this.dir) === this.caller) {
      throw new PachError('usage', {
        what: `PACH_HOME ${this.dir}`,
        why: `sudo would make it as root in a folder of user ${this.caller}, who could not use it`,
        next: 'run the command without sudo, or set PACH_HOME to a folder of root',
      });
    }
    await claimFolder(this.dir, homeKind);
  }
}

/** The owner of the lowest folder on the way to a path that is there. */
function ownerAbove(path: string): number {
  const info = statSync(dirname(path), { throwIfNoEntry: false });
  return info ? info.uid : ownerAbove(dirname(path));
}
