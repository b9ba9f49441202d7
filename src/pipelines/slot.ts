/**
 * A worker's slot (executor.ts): filled with one datum's input, emptied after its command. Small
 * inputs are written out; others are shown from a mount, where the executor can, and come as the
 * command reads them. Both show the same.
 */
import { chmod, lstat, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PachError } from '../base/errors.ts';
import type { BlobReader } from '../cache/blobs.ts';
import { nameOfText, textOfName } from '../model/paths.ts';
import type { CommitId } from '../model/records/commit.ts';
import { entrySize, type TreeEntry } from '../model/tree.ts';
import { Directories } from '../versions/directories.ts';
import { extractFile, extractFolder } from '../versions/extract.ts';
import { FileBytes, Files } from '../versions/files.ts';
import type { Datum, DatumFile } from './datum.ts';
import type { Bind } from './executor.ts';

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
const writtenBytesMax = 1024 * 1024;
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

  static async make(options: SlotOptions): Promise<Slot> {
    await mkdir(join(options.dir, 'pfs/out'), { recursive: true });
    await mkdir(join(options.dir, 'out'));
    const slot = new Slot(options);
    // The command may be another user than we are.
    for (const each of [slot.dir, slot.pfs]) await chmod(each, 0o755);
    await chmod(slot.out, 0o777);
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
    for (const file of datum.files) {
      const to = `${file.input.name}${file.path === '/' ? '' : file.path}`;
      await mkdir(nameOfText(join(this.pfs, dirname(to))), { recursive: true });
      if (file.input.emptyFiles) await this.writeEmpty(file.entry, nameOfText(join(this.pfs, to)));
      else if (!mount || notUtf8.test(to) || file.entry.kind === 'symlink') await this.write(file, join(this.pfs, to));
      else {
        await makePlace(file.entry, join(this.pfs, to));
        binds.push({ from: mount.pathOf(file.input.repo, file.commit, file.path), to });
      }
    }
    return binds;
  }

  /** Takes away what the datum was given and what its command wrote. */
  async empty(): Promise<void> {
    for (const name of await readdir(this.pfs)) if (name !== 'out') await clear(join(this.pfs, name));
    for (const name of await readdir(this.out, { encoding: 'buffer' })) {
      await clear(Buffer.concat([Buffer.from(`${this.out}/`), name]));
    }
  }

  private async write({ entry, path, commit, input }: DatumFile, target: string): Promise<void> {
    const { reader } = this.options;
    const shown = `${input.repo}@${commit}:${path}`;
    if (entry.content.form === 'directory') {
      const files = new Files(reader, entry.content, shown);
      await extractFolder(files, { path: '/', entry }, target, unwatched);
    } else await extractFile(new FileBytes(reader), { path, entry }, target, unwatched);
  }

  private async writeEmpty(entry: TreeEntry, target: Buffer): Promise<void> {
    if (entry.content.form !== 'directory') return writeFile(target, '');
    await mkdir(target, { recursive: true });
    for await (const below of new Directories(this.options.reader).reader(entry.content).items()) {
      await this.writeEmpty(below, Buffer.concat([target, Buffer.from('/'), below.name]));
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

async function makePlace(entry: TreeEntry, path: string): Promise<void> {
  if (entry.kind === 'directory') await mkdir(path, { recursive: true });
  else await writeFile(path, '');
}

/** Removes what lies at a path, also where its maker has taken rights away. */
async function clear(path: string | Buffer): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch {
    await open(path);
    await rm(path, { recursive: true, force: true }).catch((error: NodeJS.ErrnoException) => {
      const what = textOfName(Buffer.from(path));
      throw new PachError('denied', {
        what,
        why: `what a command left there can't be removed (${error.code})`,
        cause: error,
      });
    });
  }
}

async function open(path: string | Buffer): Promise<void> {
  const info = await lstat(path).catch(() => undefined);
  if (!info?.isDirectory()) return;
  await chmod(path, 0o700).catch(() => undefined);
  for (const name of await readdir(path, { encoding: 'buffer' }).catch(() => [])) {
    await open(Buffer.concat([Buffer.from(path), Buffer.from('/'), name]));
  }
}
