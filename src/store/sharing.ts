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

/** What a new file or folder must be given that it does not have by itself. */
export interface Given {
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

  /** For a folder; undefined when mkdir(2) in `parent` gives it all by itself. */
  folder(parent: Owned): Given | undefined {
    const group = this.groupIn(parent);
    const missing = this.bits & (this.umask | (setGroupId & ~parent.mode));
    return group === undefined && missing === 0 ? undefined : { mode: (allBits & ~this.umask) | this.bits, group };
  }

  /** For a file made with the rights `asked`; undefined when open(2) in `parent` gives it all by itself. */
  file(asked: number, parent: Owned): Given | undefined {
    const group = this.groupIn(parent);
    const missing = asked & this.bits & this.umask;
    return group === undefined && missing === 0 ? undefined : { mode: asked & (this.bits | ~this.umask), group };
  }

  /** The sticky bit is for the store's own folder alone: below it, others must replace what they did not make. */
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

/** Gives it; what the system refuses `pach doctor` names. */
export async function give(file: FileHandle, { mode, group }: Given): Promise<void> {
  // The group first: to change it takes the bit that hands it on.
  if (group !== undefined) await file.chown(-1, group).catch(() => undefined);
  if (mode !== undefined) await file.chmod(mode).catch(() => undefined);
}

/** Where the system does not say, it may take away any right. process.umask() would change it for a moment, for all threads. */
async function currentUmask(): Promise<number> {
  const status = await readFile('/proc/self/status', 'latin1').catch(() => '');
  const umask = /^Umask:\s*([0-7]+)$/m.exec(status)?.[1];
  return umask === undefined ? allBits : Number.parseInt(umask, 8);
}
