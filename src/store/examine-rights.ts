/**
 * Finds out whether all who may write to a folder store can write to everything in it, and says which
 * commands give what is missing.
 */
import { shellWord } from '../base/shell.ts';
import type { Stats } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { failed, warned, type Check } from './check.ts';
import { errnoOf } from '../base/system-errors.ts';

const sticky = 0o1000;
const setGroupId = 0o2000;
const namesShown = 3;
/** What lies at the top of a store; other files beside it belong to others. */
const ours = ['pachmount', 'projects', '.tmp', '.lock'];

/** Changes nothing. `root` is there. */
export async function examineRights(root: string): Promise<Omit<Check, 'check'> | string> {
  const own = await stat(root);
  const shared = (own.mode & 0o022) !== 0;
  const found = new Found(own);
  for (const name of ours) await found.look(root, name);
  if (found.faults > 0) {
    const by = shared ? 'as their owner or as root, run' : 'as root, run';
    return failed(found.text(), `${by}: ${found.commands(shellWord(root))}`);
  }
  if (!shared) return 'only its owner can write';
  if ((own.mode & setGroupId) === 0 && process.getegid?.() !== own.gid) {
    return warned(
      `files that other programs make in it get your group ${process.getegid?.()}, not its group ${own.gid}`,
      `as its owner, run: find ${shellWord(root)} -type d -exec chmod g+s {} +`,
    );
  }
  return own.mode & 0o002 ? 'all users can write' : `members of group ${own.gid} can write`;
}

class Kind {
  readonly what: string;
  count = 0;
  private readonly names: string[] = [];

  constructor(what: string) {
    this.what = what;
  }

  add(name: string): void {
    this.count += 1;
    if (this.names.length < namesShown) this.names.push(name);
  }

  text(): string {
    const more = this.count > this.names.length ? ', …' : '';
    return `${this.what}: ${this.count} (${this.names.join(', ')}${more})`;
  }
}

/** What differs from the store's own folder. */
class Found {
  private readonly own: Stats;
  private readonly narrow = new Kind('folders with fewer rights than the store’s own');
  private readonly unreadable = new Kind("files that other users of the store can't read");
  private readonly otherGroup = new Kind('files or folders of another group');
  private readonly otherOwner = new Kind('files or folders of another owner');
  private readonly stuck = new Kind("folders with the sticky bit, in which users can't replace files of other users");

  constructor(own: Stats) {
    this.own = own;
  }

  get faults(): number {
    return this.kinds.reduce((sum, { count }) => sum + count, 0);
  }

  text(): string {
    return this.kinds.map((kind) => kind.text()).join('; ');
  }

  commands(root: string): string {
    const { uid, gid } = this.own;
    const wanted = this.letters('rwxs');
    const folders = [...(this.narrow.count > 0 ? [wanted] : []), ...(this.stuck.count > 0 ? ['-t'] : [])];
    const lines = [
      this.otherOwner.count > 0 && `chown -R ${uid}:${gid} ${root}`,
      this.otherGroup.count > 0 && `chgrp -R ${gid} ${root}`,
      folders.length > 0 && `find ${root} -mindepth 1 -type d -exec chmod ${folders.join(',')} {} +`,
      this.unreadable.count > 0 && `find ${root} -type f -exec chmod ${this.letters('r')} {} +`,
    ];
    return lines.filter((line) => line !== false).join(' && ');
  }

  /** Looks at what lies at `name` below the root, and at all in it. */
  async look(root: string, name: string): Promise<void> {
    const path = join(root, name);
    const info = await lstat(path).catch(gone);
    if (!info || !(info.isDirectory() || info.isFile())) return;
    this.judge(name, info);
    if (!info.isDirectory()) return;
    for (const entry of (await readdir(path).catch(gone)) ?? []) await this.look(root, join(name, entry));
  }

  private judge(name: string, info: Stats): void {
    const { own } = this;
    const isFolder = info.isDirectory();
    if ((own.mode & 0o022) === 0) {
      if (info.uid !== own.uid) this.otherOwner.add(name);
      return;
    }
    if (info.gid !== own.gid && own.mode & 0o020) this.otherGroup.add(name);
    const wanted = own.mode & (isFolder ? 0o077 | setGroupId : 0o044);
    if ((info.mode & wanted) !== wanted) (isFolder ? this.narrow : this.unreadable).add(name);
    if (isFolder && info.mode & sticky) this.stuck.add(name);
  }

  private get kinds(): Kind[] {
    const all = [this.otherOwner, this.otherGroup, this.narrow, this.unreadable, this.stuck];
    return all.filter(({ count }) => count > 0);
  }

  /** Those of `rwxs` that the store's own folder has, as chmod adds them. */
  private letters(of: string): string {
    const { mode } = this.own;
    const bits = Array.from(of, (letter) => ({ letter, bit: { r: 4, w: 2, x: 1 }[letter] ?? 0 }));
    const group = bits.filter(({ letter, bit }) => (letter === 's' ? mode & setGroupId : mode & (bit << 3)));
    const others = bits.filter(({ bit }) => mode & bit);
    const words = [group, others].map((each) => each.map(({ letter }) => letter).join(''));
    return words.flatMap((word, at) => (word === '' ? [] : [`${at === 0 ? 'g' : 'o'}+${word}`])).join(',');
  }
}

/** Also what may not be looked into: its folder is named. */
function gone(error: unknown): undefined {
  if (!['ENOENT', 'EACCES'].includes(errnoOf(error) ?? '')) throw error;
}
