/**
 * Where pipelines run. One that was promoted belongs to a place, a namespace of a cluster: the engine there
 * runs it, and no other. Its spec changes by the next promotion alone, so what runs there was looked at before.
 */
import { PachError } from '../../base/errors.ts';
import { decodePipeline } from '../../model/records/pipeline.ts';
import type { Change } from '../../versions/change.ts';
import { kindOf, lastPart } from '../../versions/ref-keys.ts';
import type { Pipeline } from '../pipelines.ts';

export interface Promotion {
  readonly place: string;
  /** By pipeline: the image, as the place has it. */
  readonly pinned: ReadonlyMap<string, string>;
  /** The versions of which the newest job is not what the place would run: those run there whatever it was. */
  readonly anew: ReadonlyMap<string, number>;
  /** Takes pipelines from other places. */
  readonly force: boolean;
}

/** Where a pipeline is to be. */
export interface Placing {
  readonly name: string;
  readonly pinned: string | undefined;
  readonly runsAnew: boolean;
  /** It is there so already. */
  readonly isSame: boolean;
}

/** Undefined without a promotion. Throws `conflict` for a pipeline that belongs elsewhere. */
export function placeFor(
  before: Pipeline | undefined,
  promotion: Promotion | undefined,
  pipeline: string,
): Placing | undefined {
  if (!promotion) return undefined;
  const { place: name, force } = promotion;
  if (before?.place !== undefined && before.place !== name && !force) throw belongsElsewhere(before);
  const pinned = promotion.pinned.get(pipeline);
  // Another promotion may have come in between.
  const runsAnew = before !== undefined && promotion.anew.get(pipeline) === before.version;
  return { name, pinned, runsAnew, isSame: before?.place === name && before.pinned === pinned && !runsAnew };
}

export function belongsElsewhere({ name, place }: Pick<Pipeline, 'name' | 'place'>): PachError {
  return new PachError('conflict', {
    what: `pipeline ${name}`,
    why: `it was promoted to ${place}`,
    next: 'take it from there: --force',
    or: `pach demote ${name}`,
  });
}

/** `conflict`: somebody wants to run or update it here. */
export function runsElsewhere(
  { name, place }: Pick<Pipeline, 'name' | 'place'>,
  wanted: 'run' | 'update' = 'run',
  branch?: string,
): PachError {
  const where = branch === undefined ? place : `${place} on branch ${branch}`;
  const on = branch === undefined ? '' : ` --branch ${branch}`;
  const why =
    wanted === 'run'
      ? `it was promoted to ${where}: the engine there runs it when there is something to run`
      : `it was promoted to ${where}, where it changes only by the next promotion`;
  return new PachError('conflict', {
    what: `pipeline ${name}`,
    why,
    next: wanted === 'run' ? `pach run pipeline ${name} --branch NAME` : `pach promote -f SPEC${on}`,
    or: `pach demote ${name}${on}`,
  });
}

/** A pipeline of which a change moves what a place runs. */
export interface MovedPipeline {
  readonly pipeline: string;
  /** The branch on which it is an experiment; null: production. */
  readonly branch: string | null;
  /** Null: no place. */
  readonly from: string | null;
  readonly to: string | null;
  /** The one that it is then. */
  readonly version: number;
}

/** What a change does to pipelines that were promoted, or are then. Those that go are not among them. */
export async function movedPipelines({ snapshot, edits }: Change): Promise<MovedPipeline[]> {
  const moved: MovedPipeline[] = [];
  for (const [text, item] of edits) {
    const key = Buffer.from(text, 'latin1');
    if (kindOf(key) !== 'pipeline') continue;
    const [pipeline = '', branch = null] = lastPart(key).split('@');
    // Of production, what is promoted and goes altogether is told by its repo.
    if (!item && branch === null) continue;
    const [before, after] = [await snapshot.item(key), item].map((each) => each && decodePipeline(each.value));
    const [from = null, to = null] = [before?.place, after?.place];
    const version = (after ?? before)?.version ?? 0;
    if (from !== null || to !== null) moved.push({ pipeline, branch, from, to, version });
  }
  return moved;
}
