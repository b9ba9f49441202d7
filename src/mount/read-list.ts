/**
 * Reads in the order in which they were first asked for, ranges of one file that touch as one, within
 * the limits of what is kept (cache/first-reads).
 */
import { clipped, readBytesMax, readsMax, weightOf, type FirstRead } from '../cache/first-reads.ts';

export class ReadList {
  private readonly all = new Set<FirstRead>();
  private readonly byPath = new Map<string, FirstRead[]>();
  private weight = 0;

  get reads(): readonly FirstRead[] {
    return [...this.all];
  }

  /** Nothing more is taken. */
  get isFull(): boolean {
    return this.all.size >= readsMax || this.weight >= readBytesMax;
  }

  /** Takes as much of it as there is room for; true when there is more in the list than before. */
  add(read: FirstRead): boolean {
    const same = this.byPath.get(read.path) ?? [];
    // Who finds a file or directory finds its name.
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

  /** In the place of the first of those that are replaced; last where there are none. */
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
