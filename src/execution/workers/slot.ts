/**
 * A worker's slot (executor.ts): filled with one datum's input, emptied after its command. Small
 * inputs are written out; others are shown from a mount, where the executor can, and come as the
 * command reads them. Both show the same.
 */
import {
  chmodSync,
  chownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { PachError } from '../../base/errors.ts';
import { utimesTime } from '../../base/file-time.ts';
import { emptyFolder, removeTree } from '../../base/remove.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { nameOfText, textOfName } from '../../model/paths.ts';
import type { CommitId } from '../../model/records/commit.ts';
import { entrySize, type TreeEntry } from '../../model/tree.ts';
import { Directories } from '../../versions/directories.ts';
import { extractFile, extractFolder } from '../../versions/reading/extract.ts';
import { FileBytes, Files } from '../../versions/reading/files.ts';
import type { Datum, DatumFile } from '../../pipelines/datums/datum.ts';
import type { Bind } from '../executor.ts';
import { bytesOf } from '../../pipelines/jobs/jobs.ts';
import { letRead } from './readable.ts';

/** A mount of the versions that a job reads, for as long as it runs. */
export interface InputsMount extends AsyncDisposable {
  /** Where a file of a version lies. */
  pathOf(repo: string, commit: CommitId, path: string): string;
}

export interface SlotOptions {
  readonly dir: string;
  readonly reader: BlobReader;
  /** Undefined where commands can't be shown a mount. */
  readonly mount: (() => Promise<InputsMount>) | undefined;
}

/** More than this is not written out where a mount can show it. */
export const writtenBytesMax = 1024 * 1024;
const writtenFilesMax = 64;
/** A name that is no UTF-8 has such halves in its text. */
const notUtf8 = /[\udc80-\udcff]/;
const unwatched = { progress: () => undefined };

export class Slot {
  readonly dir: string;
  private readonly options: SlotOptions;

  private constructor(options: SlotOptions) {
    this.dir = options.dir;
    this.options = options;
  }

  /** `dir` is a worker's slot, new or emptied. */
  static prepare(options: SlotOptions): Slot {
    const slot = new Slot(options);
    // The command may be another user than we are.
    for (const each of [slot.dir, slot.pfs]) chmodSync(each, 0o755);
    slot.openOut();
    return slot;
  }

  get pfs(): string {
    return join(this.dir, 'pfs');
  }

  /** What the command sees as /pfs/out. */
  get out(): string {
    return join(this.dir, 'out');
  }

  /** Gives a datum's input; what the worker is to show besides. */
  async fill(datum: Datum): Promise<Bind[]> {
    const mount = this.options.mount && isLarge(datum) ? await this.options.mount() : undefined;
    const binds: Bind[] = [];
    const inputs = new Set(datum.files.map(({ input }) => input.name));
    for (const name of readdirSync(this.pfs))
      if (name !== 'out' && !inputs.has(name)) clear(Buffer.from(join(this.pfs, name)));
    for (const file of datum.files) {
      const to = `${file.input.name}${file.path === '/' ? '' : file.path}`;
      mkdirSync(nameOfText(join(this.pfs, dirname(to))), { recursive: true });
      if (file.input.emptyFiles) await this.writeEmpty(file.entry, nameOfText(join(this.pfs, to)));
      else if (!mount || notUtf8.test(to) || file.entry.kind === 'symlink') await this.write(file, join(this.pfs, to));
      else {
        makePlace(file.entry, join(this.pfs, to));
        binds.push({ from: mount.pathOf(file.input.repo, file.commit, file.path), to });
      }
    }
    for (const name of inputs) letRead(join(this.pfs, name));
    return binds;
  }

  /** Writes the variables of a datum to /pfs/.env, for a command that runs already. */
  writeEnvironment(variables: Readonly<Record<string, string>>): void {
    const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(join(this.pfs, '.env'), nameOfText(lines.join('')));
  }

  /** Takes away what the datum was given and what its command wrote. */
  empty(): void {
    for (const name of readdirSync(this.pfs)) if (name !== 'out') this.clearInput(Buffer.from(join(this.pfs, name)));
    clear(Buffer.from(this.out), emptyFolder);
    this.openOut();
  }

  /** Gives /pfs/out the owner, rights and times that every command finds it with. */
  private openOut(): void {
    if (process.geteuid?.() === 0) chownSync(this.out, 0, 0);
    chmodSync(this.out, 0o777);
    const now = new Date();
    utimesSync(this.out, now, now);
  }

  /** The next datum most likely has the same inputs, and to remove a folder is the slowest of all calls here. */
  private clearInput(path: Buffer): void {
    clear(path, lstatSync(path).isDirectory() ? emptyFolder : removeTree);
  }

  private async write({ entry, path, commit, input }: DatumFile, target: string): Promise<void> {
    if (entrySize(entry) <= writtenBytesMax) return this.writeSmall(entry, nameOfText(target));
    const { reader } = this.options;
    const shown = `${input.repo}@${commit}:${path}`;
    if (entry.content.form === 'directory') {
      const files = new Files(reader, entry.content, shown);
      await extractFolder(files, { path: '/', entry }, target, unwatched);
    } else await extractFile(new FileBytes(reader), { path, entry }, target, unwatched);
  }

  /** Makes calls that wait: for little, that is a tenth of the time of going through other threads. */
  private async writeSmall(entry: TreeEntry, target: Buffer): Promise<void> {
    const { reader } = this.options;
    const time = utimesTime(entry);
    if (entry.content.form === 'directory') {
      mkdirSync(target, { recursive: true });
      for await (const each of new Directories(reader).reader(entry.content).items()) {
        await this.writeSmall(each, below(target, each.name));
      }
    } else {
      const bytes = await bytesOf(reader, entry);
      if (entry.kind === 'symlink') {
        symlinkSync(bytes, target);
        return lutimesSync(target, time, time);
      }
      writeFileSync(target, bytes, { mode: entry.executable ? 0o755 : 0o644 });
    }
    utimesSync(target, time, time);
  }

  private async writeEmpty(entry: TreeEntry, target: Buffer): Promise<void> {
    if (entry.content.form !== 'directory') return writeFileSync(target, '');
    mkdirSync(target, { recursive: true });
    for await (const each of new Directories(this.options.reader).reader(entry.content).items()) {
      await this.writeEmpty(each, below(target, each.name));
    }
  }
}

function isLarge({ files }: Datum): boolean {
  let bytes = 0;
  let count = 0;
  for (const { entry, input } of files) {
    if (input.lazy) return true;
    bytes += entrySize(entry);
    count += entry.content.form === 'directory' ? entry.content.files : 1;
  }
  return bytes > writtenBytesMax || count > writtenFilesMax;
}

function makePlace(entry: TreeEntry, path: string): void {
  if (entry.kind === 'directory') mkdirSync(path, { recursive: true });
  else writeFileSync(path, '');
}

function below(folder: Buffer, name: Buffer): Buffer {
  return Buffer.concat([folder, Buffer.from('/'), name]);
}

function clear(path: Buffer, remove = removeTree): void {
  try {
    remove(path);
  } catch (error) {
    const why = `what a command left there can't be removed (${(error as NodeJS.ErrnoException).code})`;
    throw new PachError('denied', { what: textOfName(path), why, cause: error });
  }
}
