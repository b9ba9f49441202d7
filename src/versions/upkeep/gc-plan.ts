/**
 * The second phase of a collection: what becomes of each object. A pack stays, or its living blobs
 * are copied and it goes; what has been condemned for long enough is deleted.
 */
import { isPachError, PachError } from '../../base/errors.ts';
import type { BlobTable, PackName } from '../../chunks/blob-table.ts';
import type { KnownBlobs } from '../../chunks/known.ts';
import { objectKey } from '../../model/keys.ts';
import type { Condemned } from '../../model/records/condemned.ts';
import type { Head } from '../../model/records/head.ts';
import type { PackId } from '../../model/refs.ts';
import type { Store } from '../../store/store.ts';
import { readCondemned } from '../condemned.ts';
import type { Survey } from './gc-survey.ts';
import type { Marks } from './marks.ts';
import type { StoredObject } from './objects.ts';

export interface PackPlan {
  readonly pack: PackName;
  readonly bytes: number;
  /** Stored bytes of the blobs that are needed and lie here. */
  readonly liveBytes: number;
  readonly goes: boolean;
}

/** What a collection would do; nothing of it is done yet. */
export interface GcPlan {
  /** All objects of the project but its head, as the store listed them. */
  readonly objects: readonly StoredObject[];
  readonly packs: readonly PackPlan[];
  /** Packs that are to go. */
  readonly going: ReadonlySet<PackId>;
  /** What is to be condemned, what is so already, and of that what is to be deleted. */
  readonly condemned: readonly Condemned[];
  /** True when nothing is to be condemned, gathered or deleted. */
  readonly isIdle: boolean;
}

/** A pack goes when so much of it is garbage. */
const deadShareMax = 0.25;
/** Packs below this size are gathered when there are many of them. */
const smallPackBytes = 16 * 1024 * 1024;
const smallPacksMax = 8;
const packOverheadBytes = 52;
const entryBytes = 44;

/**
 * Plans for all packs that `table` knows. `scrub`: no dead byte may stay in any of them. Throws
 * `damaged` when a pack with something needed in it is not in the store.
 */
export function planPacks(
  table: BlobTable,
  marks: Marks,
  objects: ReadonlyMap<string, StoredObject>,
  project: string,
  scrub: boolean,
): PackPlan[] {
  const liveBytes = new Float64Array(table.packs.length);
  const liveBlobs = new Float64Array(table.packs.length);
  for (const row of marks.rows) {
    const pack = table.packAt(row);
    liveBytes[pack] = (liveBytes[pack] as number) + table.storedLengthAt(row);
    liveBlobs[pack] = (liveBlobs[pack] as number) + 1;
  }
  const plans = table.packs.map((pack, number): PackPlan => {
    const live = liveBytes[number] as number;
    const key = objectKey(project, pack.kind, pack.id);
    const bytes = objects.get(key)?.bytes ?? 0;
    if (bytes === 0 && live > 0) {
      throw new PachError('damaged', {
        what: `pack ${key}`,
        why: 'it is missing, and versions need data in it; nothing was deleted',
        next: 'pach fsck',
      });
    }
    const filled = packOverheadBytes + live + entryBytes * (liveBlobs[number] as number);
    const goes = live === 0 || filled < bytes * (1 - deadShareMax) || (scrub && filled < bytes);
    return { pack, bytes, liveBytes: live, goes };
  });
  // What is copied anyway takes the small ones along: what is stored together refers to one another.
  const gathered = (['data', 'meta'] as const).filter((kind) => {
    const ofKind = plans.filter(({ pack }) => pack.kind === kind);
    return (
      ofKind.filter(isSmall).length > smallPacksMax || ofKind.some(({ goes, liveBytes: live }) => goes && live > 0)
    );
  });
  return plans.map((plan) => (isSmall(plan) && gathered.includes(plan.pack.kind) ? { ...plan, goes: true } : plan));
}

function isSmall(plan: PackPlan): boolean {
  return !plan.goes && isSmallPack(plan);
}

/** Whether a pack is one that is gathered when there are many. */
export function isSmallPack({ bytes }: { readonly bytes: number }): boolean {
  return bytes < smallPackBytes;
}

/** Plans a collection from what was found. Throws `damaged` as `planPacks` does. */
export async function planCollection(survey: Survey): Promise<GcPlan> {
  const { table, marks, base, project } = survey;
  const { head, known } = base;
  const packs = planPacks(table, marks, survey.objects, head.project, head.scrub ?? false);
  const going = new Set(packs.flatMap(({ pack, goes }) => (goes ? [pack.id] : [])));
  const listed = await listedCondemned(project.options.store, head);
  const isIdle = isNothingToDo(survey, packs, listed);
  const stays = going.size > 0 ? stayingPacks(packs) : new Set(await indexed(head, known));
  const condemned = isIdle ? listed : nextCondemned(survey, listed, stays);
  return { objects: [...survey.objects.values()], packs, going, condemned, isIdle };
}

/** Packs that are left where they are. */
export function stayingPacks(packs: readonly PackPlan[]): Set<string> {
  return new Set(packs.flatMap(({ pack, goes }) => (goes ? [] : [pack.id])));
}

/** The packs and segments that a head's indexes know. */
export async function indexed(head: Head, known: KnownBlobs): Promise<string[]> {
  return [...(await known.packs()).keys(), ...head.indexes.segments.map(({ id }) => id)];
}

/** What a head condemns. Without its list all is condemned anew, which is safe. */
export async function listedCondemned(store: Store, head: Head): Promise<readonly Condemned[]> {
  return readCondemned(store, head).catch((error: unknown) => {
    if (isPachError(error, 'damaged')) return [];
    throw error;
  });
}

function isNothingToDo(survey: Survey, packs: readonly PackPlan[], listed: readonly Condemned[]): boolean {
  const { head } = survey.base;
  const known = new Set([...listed, ...head.indexes.segments].map(({ id }) => id));
  const strays = [...survey.objects.values()].some(
    ({ id }) => !survey.packs.has(id) && !known.has(id) && id !== head.condemned?.id,
  );
  const due = listed.some(({ deleting, since }) => deleting || since <= survey.since);
  return !strays && !due && packs.every(({ goes }) => !goes);
}

/** The next list of condemned objects: those of `listed` that are still there, and the new ones; none of what `stays`. */
export function nextCondemned(
  survey: Survey,
  listed: readonly Condemned[],
  stays: ReadonlySet<string>,
): readonly Condemned[] {
  const before = new Map(listed.map((each) => [each.id, each]));
  const list: Condemned[] = [];
  for (const { kind, id, bytes } of survey.objects.values()) {
    if (kind === 'condemned' || stays.has(id)) continue;
    const known = before.get(id);
    before.delete(id);
    const isDue = (known?.since ?? survey.now) <= survey.since;
    // Its time runs from when others can see it: the collection may have taken long.
    const since = known?.since ?? Date.now();
    list.push({ kind, id, bytes, since, deleting: isDue || (known?.deleting ?? false) });
  }
  // A delete that broke off may still come, whether the listing shows the object or not.
  return [...list, ...[...before.values()].filter(({ id, deleting }) => deleting && !stays.has(id))];
}
