/**
 * How far searches in histories have come: a folder each, with a file that is replaced as a whole after
 * every step, and the folder at which commits are mounted. One process at a time has a search.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { native } from '../base/native.ts';
import { removeTreeAsync } from '../base/remove.ts';
import type { Home } from './home.ts';

export interface BisectStep {
  readonly commit: string;
  readonly verdict: 'good' | 'bad' | 'skipped';
  /** Of the command; null where it did not run, since the pipeline failed. */
  readonly exit: number | null;
}

/** What was pinned when a search began, and what was found since. */
export interface BisectState {
  readonly good: string;
  readonly bad: string;
  /** Milliseconds since 1970. */
  readonly begun: number;
  /** Versions that a pipeline reads beside the commits of the search, by repo. */
  readonly inputs: Readonly<Record<string, string>>;
  /** The pipeline's version. */
  readonly version: number | null;
  readonly steps: readonly BisectStep[];
}

const stateFile = 'state.json';

/** A search that this process has. Disposing of it leaves its state. */
export class BisectFolder implements AsyncDisposable {
  readonly dir: string;
  /** Tells this search from others: what it is asked decides it. */
  readonly key: string;
  private readonly lock: FileHandle;

  private constructor(dir: string, key: string, lock: FileHandle) {
    this.dir = dir;
    this.key = key;
    this.lock = lock;
  }

  /** `asked`: all that makes a search the same one when it is asked again. Throws `conflict` while another process has it. */
  static async open(home: Home, asked: readonly string[]): Promise<BisectFolder> {
    const key = createHash('sha256').update(JSON.stringify(asked)).digest('hex').slice(0, 16);
    const dir = await home.make(join(home.bisect, key));
    const lock = await open(join(dir, 'lock'), 'w', 0o600);
    if (native().tryLock(lock.fd)) return new BisectFolder(dir, key, lock);
    await lock.close();
    throw new PachError('conflict', { what: 'bisect', why: 'another process does the same search now' });
  }

  /** Where commits are mounted. */
  async mountpoint(): Promise<string> {
    const path = join(this.dir, 'at');
    await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    return path;
  }

  /** What a run before this one has left; undefined where none has, or where it can't be read. */
  async read(): Promise<BisectState | undefined> {
    const text = await readFile(join(this.dir, stateFile), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as BisectState;
    } catch {
      return undefined;
    }
  }

  async write(state: BisectState): Promise<void> {
    const path = join(this.dir, stateFile);
    await writeFile(`${path}.new`, JSON.stringify(state), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  /** Ends the search: nothing of it stays. Nothing may be mounted there any more. */
  async remove(): Promise<void> {
    await removeTreeAsync(this.dir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lock.close();
  }
}
