/**
 * Reading all data of a project a part at a time, so that each byte is read once in a round, whoever
 * reads. How far a round has come, and what is damaged, is kept in the refs.
 */
import { damageMax, decodeScrub, encodeScrub, type ScrubRecord } from '../../model/records/scrub.ts';
import type { PackId } from '../../model/refs.ts';
import type { Project } from '../project.ts';
import { byEngine } from '../publish.ts';
import { scrubKey } from '../ref-keys.ts';
import type { Snapshot } from '../snapshot.ts';
import type { Finding } from './fsck-findings.ts';
import type { FsckResult, PackSize, ReadingPass } from './fsck.ts';

export interface Part {
  /** Which share of all data is read, 0 to 1; a pack at least. */
  readonly share: number;
  /** A round that was begun at or after that time is not followed by another one yet. Milliseconds since 1970. */
  readonly since: number;
  readonly now: number;
}

/** How far the last round has come; undefined before the first. */
export async function scrubOf(snapshot: Snapshot): Promise<ScrubRecord | undefined> {
  const item = await snapshot.item(scrubKey);
  return item && decodeScrub(item.value);
}

/**
 * Runs a check that reads the next part, and remembers how far it came, also where it breaks off. What
 * it finds is remembered until the object is seen whole, or is not used any more.
 */
export async function scrub<R extends FsckResult>(
  project: Project,
  part: Part,
  check: (pass: ReadingPass) => Promise<R>,
): Promise<R> {
  const pass = new NextPart(await scrubOf(await project.snapshot()), part);
  let findings: readonly Finding[] | undefined;
  try {
    const result = await check(pass);
    ({ findings } = result);
    return result;
  } finally {
    const next = pass.record(findings);
    await project.update(byEngine('check data'), (change) => {
      change.set({ key: scrubKey, value: encodeScrub(next), refs: [] });
      return Promise.resolve();
    });
  }
}

/** Forgets what was found, where there is anything: all was read, and is whole. */
export async function forgetDamage(project: Project): Promise<void> {
  const record = await scrubOf(await project.snapshot());
  if (!record || record.damage.length === 0) return;
  await project.update(byEngine('check data'), async (change) => {
    const last = await scrubOf(change.snapshot);
    if (last) change.set({ key: scrubKey, value: encodeScrub({ ...last, damage: [] }), refs: [] });
  });
}

class NextPart implements ReadingPass {
  private readonly before: ScrubRecord | undefined;
  private readonly part: Part;
  /** False where all was read in a round that is young enough. */
  private readonly isDue: boolean;
  private readonly began: number;
  private after: PackId | undefined;
  private last: PackId | undefined;
  private all: ReadonlySet<PackId> = new Set();
  private readonly read = new Set<PackId>();

  constructor(before: ScrubRecord | undefined, part: Part) {
    this.before = before;
    this.part = part;
    // A time to come was written by a clock that was wrong.
    const isYoung = before !== undefined && before.began >= part.since && before.began <= part.now;
    this.isDue = !before?.done || !isYoung;
    const goesOn = before !== undefined && !before.done;
    this.began = goesOn || !this.isDue ? (before?.began ?? part.now) : part.now;
    this.after = goesOn ? before.after : undefined;
  }

  choose<Pack extends PackSize>(packs: readonly Pack[]): readonly Pack[] {
    const { after } = this;
    const ordered = packs.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    this.all = new Set(packs.map(({ id }) => id));
    this.last = ordered.at(-1)?.id;
    if (!this.isDue) return [];
    let left = ordered.reduce((sum, { size }) => sum + size, 0) * this.part.share;
    const chosen: Pack[] = [];
    for (const pack of ordered) {
      if (after !== undefined && pack.id <= after) continue;
      if (left <= 0) break;
      chosen.push(pack);
      left -= pack.size;
    }
    return chosen;
  }

  /** In the order of their ids. */
  wasRead({ id }: PackSize): void {
    this.read.add(id);
    this.after = id;
  }

  /** `findings`: of a check that came to its end. */
  record(findings: readonly Finding[] | undefined): ScrubRecord {
    const { before, after, last, began } = this;
    const isAtEnd = findings !== undefined && (last === undefined || (after !== undefined && after >= last));
    const done = this.isDue ? isAtEnd : true;
    const old = (before?.damage ?? []).filter((each) => !findings || this.isLeft(each));
    const errors = (findings ?? []).filter(({ severity }) => severity === 'error');
    const damage = [...new Set([...errors.map(({ what, why }) => `${what}: ${why}`), ...old])].slice(0, damageMax);
    return { ...before, time: this.part.now, began, after: done ? undefined : after, done, damage };
  }

  /** True for a pack that this pass did not read; all else was looked at. */
  private isLeft(damage: string): boolean {
    const id = /^projects\/[^/]+\/data\/..\/([0-9a-f]{32}):/.exec(damage)?.[1] as PackId | undefined;
    return id !== undefined && this.all.has(id) && !this.read.has(id);
  }
}
