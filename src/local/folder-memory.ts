/**
 * What files of folders looked like when they were last read, for as long as this process lives: as a
 * stat cache, without its file.
 */
import type { SeenFolder, StatCache } from './stat-cache.ts';

/** Beyond this many, the folder that was kept longest ago is forgotten, and its files are read again. */
const foldersMax = 100_000;

export class FolderMemory implements Pick<StatCache, 'find' | 'keep'> {
  private readonly folders = new Map<string, SeenFolder>();

  find(folder: Buffer): Promise<SeenFolder | undefined> {
    return Promise.resolve(this.folders.get(folder.toString('latin1')));
  }

  keep(folder: Buffer, seen: SeenFolder): Promise<void> {
    const key = folder.toString('latin1');
    this.folders.delete(key);
    this.folders.set(key, seen);
    const [oldest] = this.folders.keys();
    if (this.folders.size > foldersMax && oldest !== undefined) this.folders.delete(oldest);
    return Promise.resolve();
  }
}
