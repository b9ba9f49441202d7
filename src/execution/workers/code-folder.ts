/**
 * The code of a pipeline, written out on this machine. Its places stay from job to job wherever they
 * can: they are mounted into workers that run already, and these see new code because the files in
 * it change. No command of the pipeline may run while they do.
 */
import { copyFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { utimesTime } from '../../base/file-time.ts';
import { removeTree, removeTreeAsync } from '../../base/remove.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { nameOfText, textOfName } from '../../model/paths.ts';
import type { TreeEntry } from '../../model/tree.ts';
import { Directories, type Directory } from '../../versions/directories.ts';
import { extractFile, extractFolder } from '../../versions/reading/extract.ts';
import { FileBytes, Files } from '../../versions/reading/files.ts';
import { letRead } from './readable.ts';

/** An entry of the code, and where it lies. */
interface Held {
  readonly entry: TreeEntry;
  readonly path: string;
}

const unwatched = { progress: () => undefined };

export class CodeFolder {
  private readonly dir: string;
  private held: readonly Held[] = [];
  private made = 0;
  private readonly isWritten: boolean;

  /** `dir` is a folder that is there, for this alone. `isWritten`: what is asked for first lies in it already. */
  constructor(dir: string, isWritten = false) {
    this.dir = dir;
    this.isWritten = isWritten;
  }

  /**
   * Writes these entries out, as far as they are not there yet. Returns the path of each: the same
   * one as before, unless a file has become a folder or the reverse. At first they are `0`, `1` …
   */
  async update(reader: BlobReader, entries: readonly TreeEntry[]): Promise<string[]> {
    const before = this.held;
    // If this fails, nothing is known of the old places, and the next update makes new ones.
    this.held = [];
    const after: Held[] = [];
    for (const [index, entry] of entries.entries()) {
      const path = await this.place(reader, before[index], entry);
      letRead(path);
      after.push({ entry, path });
    }
    for (const { path } of before) if (after.every((held) => held.path !== path)) await removeTreeAsync(path);
    this.held = after;
    return after.map(({ path }) => path);
  }

  private async place(reader: BlobReader, before: Held | undefined, entry: TreeEntry): Promise<string> {
    if (before?.entry.content.form === 'directory' && entry.content.form === 'directory') {
      await changeFolder(reader, before.entry.content, entry.content, before.path);
      return before.path;
    }
    const path = join(this.dir, String(this.made));
    this.made += 1;
    if (before || !this.isWritten) await write(reader, entry, path);
    if (before?.entry.kind !== 'file' || entry.kind !== 'file') return path;
    // A worker sees the file that was there when it was opened: it is written anew, not replaced.
    await copyFile(path, before.path);
    await utimes(before.path, utimesTime(entry), utimesTime(entry));
    await removeTreeAsync(path);
    return before.path;
  }
}

/** Makes a folder that has the content `before` have `after`; costs by what differs. */
async function changeFolder(reader: BlobReader, before: Directory, after: Directory, path: string): Promise<void> {
  for await (const { key, old, new: now } of new Directories(reader).diff(before, after)) {
    const place = `${path}/${textOfName(key)}`;
    if (now && old?.content.form === 'directory' && now.content.form === 'directory') {
      await changeFolder(reader, old.content, now.content, place);
    } else {
      if (old && old.kind !== now?.kind) removeTree(nameOfText(place));
      if (now) await write(reader, now, place);
    }
    if (now?.kind === 'directory') await utimes(nameOfText(place), utimesTime(now), utimesTime(now));
  }
}

async function write(reader: BlobReader, entry: TreeEntry, path: string): Promise<void> {
  if (entry.content.form === 'directory') {
    await extractFolder(new Files(reader, entry.content, 'code'), { path: '/', entry }, path, unwatched);
  } else await extractFile(new FileBytes(reader), { path: '/', entry }, path, unwatched);
}
