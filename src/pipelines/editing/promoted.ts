/**
 * What a promoted pipeline was before its promotions at the place where it is: a demotion goes back to the
 * last of them (FORMAT.md section 6). The image of each is the one that the place had then.
 */
import type { Change } from '../../versions/change.ts';
import { lastPart, promotedKey } from '../../versions/ref-keys.ts';
import { pipelineItem, pipelineOf, type Pipeline } from '../pipelines.ts';
import type { Placing } from './places.ts';

/** Promotions that can be gone back behind. */
const keptMax = 16;

/** Keeps what a promotion replaces. What another place had is forgotten. */
export async function keepPromoted(
  change: Change,
  before: Pipeline | undefined,
  place: Placing,
  isUnchanged: boolean,
): Promise<void> {
  if (before?.place !== place.name) return forgetPromoted(change, before?.name ?? '');
  // It would go back to what it is.
  if (isUnchanged && before.pinned === place.pinned) return;
  const keys = await keysOf(change, before.name);
  const order = keys.length === 0 ? 0 : Number.parseInt(lastPart(keys.at(-1) as Buffer), 16) + 1;
  for (const key of keys.slice(0, Math.max(0, keys.length + 1 - keptMax))) change.delete(key);
  change.set(pipelineItem(promotedKey(before.name, order), before));
}

/** What a pipeline was before its last promotion, and is from then on; undefined: it was not there before. */
export async function takePromoted(change: Change, name: string): Promise<Pipeline | undefined> {
  const key = (await keysOf(change, name)).at(-1);
  const item = key && (await change.snapshot.item(key));
  if (!item) return undefined;
  change.delete(item.key);
  return pipelineOf(change.snapshot.reader, name, item);
}

export async function forgetPromoted(change: Change, name: string): Promise<void> {
  for (const key of await keysOf(change, name)) change.delete(key);
}

/** Oldest first. */
async function keysOf({ snapshot }: Change, name: string): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  for await (const { key } of snapshot.items(promotedKey(name))) keys.push(key);
  return keys;
}
