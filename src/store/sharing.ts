/**
 * Who may use what is made in a folder store. As in a shared git repository, everything below follows
 * the store's own folder: its group, and its rights as far as the thing made has a use for them, whoever
 * writes with whatever umask. Rights are only added: a file of a private store may be 0444, since nobody
 * else gets to it.
 */
import type { Stats } from 'node:fs';
import { readFile, stat, type FileHandle } from 'node:fs/promises';

const setGroupId = 0o2000;
const allBits = 0o777;

/** Rights that a new file or folder needs beyond those that it gets by itself. */
export interface Rights {
  /** For chmod. */
  readonly mode?: number | undefined;
  /** For chown. */
  readonly group?: number | undefined;
}

type Owned = Pick<Stats, 'mode' | 'gid'>;

export class Sharing {
  /** The store's own folder. */
  readonly root: Owned;
  private readonly umask: number;

  private constructor(root: Owned, umask: number) {
    this.root = root;
    this.umask = umask;
  }

  /** Reads what the store's own folder and this process have. */
  static async of(root: string): Promise<Sharing> {
    return new Sharing(await stat(root), await currentUmask());
  }

  /** For a folder; undefined when mkdir(2) in `parent` gives all of them by itself. */
  folder(parent: Owned): Rights | undefined {
    const group = this.groupIn(parent);
    const missing = this.bits & (this.umask | (setGroupId & ~parent.mode));
    return group === undefined && missing === 0 ? undefined : { mode: (allBits & ~this.umask) | this.bits, group };
  }

  /** For a file made with the mode `asked`; undefined when open(2) in `parent` gives all of them by itself. */
  file(asked: number, parent: Owned): Rights | undefined {
    const group = this.groupIn(parent);
    const missing = asked & this.bits & this.umask;
    return group === undefined && missing === 0 ? undefined : { mode: asked & (this.bits | ~this.umask), group };
  }

  /** Without the sticky bit, which only the store's own folder may have: below it, users must replace what others made. */
  private get bits(): number {
    return this.root.mode & (allBits | setGroupId);
  }

  /** The store's group, where this user may give it and what is made in `parent` would have another one. */
  private groupIn({ mode, gid }: Owned): number | undefined {
    const { getegid, geteuid, getgroups } = process;
    const wanted = this.root.gid;
    const made = mode & setGroupId ? gid : getegid?.();
    const mayGive = geteuid?.() === 0 || getegid?.() === wanted || getgroups?.().includes(wanted);
    return made !== wanted && mayGive ? wanted : undefined;
  }
}

/** Sets them. Ignores what the system refuses: `pach doctor` finds that. */
export async function setRights(file: FileHandle, { mode, group }: Rights): Promise<void> {
  // The group first: chown(2) may clear the setgid bit.
  if (group !== undefined) await file.chown(-1, group).catch(() => undefined);
  if (mode !== undefined) await file.chmod(mode).catch(() => undefined);
}

/** All bits where the system does not say. Not process.umask(), which changes it for a moment, for all threads. */
async function currentUmask(): Promise<number> {
  const status = await readFile('/proc/self/status', 'latin1').catch(() => '');
  const umask = /^Umask:\s*([0-7]+)$/m.exec(status)?.[1];
  return umask === undefined ? allBits : Number.parseInt(umask, 8);
}
