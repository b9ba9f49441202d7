/**
 * A list of reads in the order of their first requests. Ranges of one file that touch are joined. It
 * takes no more than cache/first-reads keeps.
 */
import { clipped, readBytesMax, readsMax, weightOf, type FirstRead } from '../cache/first-reads.ts';

export class ReadList {
  private readonly all = new Set<FirstRead>();
  private readonly byPath = new Map<string, FirstRead[]>();
  private weight = 0;

  get reads(): readonly FirstRead[] {
    return [...this.all];
  }

  /** True when no further read is taken. */
  get isFull(): boolean {
    return this.all.size >= readsMax || this.weight >= readBytesMax;
  }

  /** Adds as much of a read as there is room for. True if the list has grown. */
  add(read: FirstRead): boolean {
    const same = this.byPath.get(read.path) ?? [];
    // Whoever has the file or directory has found its name.
    if (this.isFull || (read.kind === 'name' && same.length > 0)) return false;
    const touching = same.filter((each) => each.kind === 'name' || touch(each, read));
    const ranges = [...touching.filter(({ kind }) => kind !== 'name'), read];
    const from = Math.min(...ranges.map((each) => each.from));
    const to = Math.max(...ranges.map((each) => each.to));
    const before = touching.reduce((sum, each) => sum + weightOf(each), 0);
    const joined = clipped({ ...read, from, to }, before + readBytesMax - this.weight);
    const [first] = touching;
    if (first?.kind === joined.kind && first.from === joined.from && first.to === joined.to) return false;
    this.weight += weightOf(joined) - before;
    this.byPath.set(read.path, [...same.filter((each) => !touching.includes(each)), joined]);
    this.replace(touching, joined);
    return true;
  }

  /** Puts `joined` where the first of `old` stands, or at the end, and removes the others. */
  private replace(old: readonly FirstRead[], joined: FirstRead): void {
    const [first] = old;
    if (!first) return void this.all.add(joined);
    const reads = [...this.all];
    this.all.clear();
    for (const each of reads) {
      if (each === first) this.all.add(joined);
      else if (!old.includes(each)) this.all.add(each);
    }
  }
}

function touch(a: FirstRead, b: FirstRead): boolean {
  return a.kind === b.kind && a.from <= b.to && b.from <= a.to;
}
