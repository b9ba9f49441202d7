/**
 * What hooks have told, in the refs: engines that have a hook alike read it before they send, and say
 * that they are about to, so that one of them sends. An engine that dies in between leaves a claim
 * that ends with it, and another one, or it itself when it is there again, sends under the same id.
 */
import { decodeHook, decodeTold, encodeHook, encodeTold, type Told, type ToldRecord } from '../model/records/hooks.ts';
import { isHeld, isOf, type Holder } from '../pipelines/jobs/lease.ts';
import { hasPipeline } from '../pipelines/pipelines.ts';
import type { Change } from '../versions/change.ts';
import type { Project } from '../versions/project.ts';
import { byEngine } from '../versions/publish.ts';
import { hookKey, toldKey } from '../versions/ref-keys.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { mergeTold, type Message } from './due.ts';
import type { Hook } from './file.ts';

/** Longer than all messages of a claim take. */
const claimMs = 120_000;
const dayMs = 86_400_000;

export async function toldBy(snapshot: Pick<Snapshot, 'item'>, hook: string, pipeline: string): Promise<ToldRecord> {
  const item = await snapshot.item(toldKey(pipeline, hook));
  return item ? decodeTold(item.value) : { told: [] };
}

/** Until when another engine has the claim; undefined where none has it. */
export function claimedUntil({ teller }: ToldRecord, holder: Holder, now: number): number | undefined {
  return teller && !isOf(teller, holder) && isHeld(teller, now) ? teller.until : undefined;
}

/** Since when each of these hooks tells; a hook that nobody knows yet begins now. */
export async function beginHooks(
  project: Project,
  snapshot: Snapshot,
  of: readonly Pick<Hook, 'id'>[],
  now: number,
): Promise<Map<string, number>> {
  const hooks = of.map(({ id }) => id);
  const since = new Map<string, number>();
  for (const hook of hooks) {
    const item = await snapshot.item(hookKey(hook));
    if (item) since.set(hook, decodeHook(item.value).since);
  }
  const unknown = hooks.filter((hook) => !since.has(hook));
  if (unknown.length === 0) return since;
  await project.update(byEngine('begin hooks'), async (change) => {
    for (const hook of unknown) {
      const item = await change.snapshot.item(hookKey(hook));
      since.set(hook, item ? decodeHook(item.value).since : now);
      if (!item) change.set({ key: hookKey(hook), value: encodeHook({ since: now }), refs: [] });
    }
  });
  return since;
}

/**
 * A hook that has told all looks back no further than a day, or every start would go through all jobs
 * there are. A day, as the clocks of machines differ, and are set.
 */
export async function forgetOld(project: Project, hook: string, since: number, now: number): Promise<number> {
  const next = now - dayMs;
  if (since > next - dayMs) return since;
  await project.update(byEngine('keep hooks short'), async (change) => {
    const item = await change.snapshot.item(hookKey(hook));
    const record = item ? decodeHook(item.value) : { since };
    change.set({ key: hookKey(hook), value: encodeHook({ ...record, since: Math.max(record.since, next) }), refs: [] });
  });
  return next;
}

/** Takes what may be sent of these messages. */
export function claim(
  project: Project,
  hook: string,
  messages: readonly Message[],
  { holder, now }: { readonly holder: Holder; readonly now: number },
): Promise<Message[]> {
  return project.update(byEngine('claim messages of hooks'), async (change) => {
    const taken: Message[] = [];
    for (const message of messages) {
      const { pipeline, kind, began } = message.happening;
      const record = await toldBy(change, hook, pipeline);
      const last = record.told.find((each) => each.kind === kind);
      if ((last && last.began >= began) || claimedUntil(record, holder, now) !== undefined) continue;
      setTold(change, hook, pipeline, { ...record, teller: { ...holder, until: now + claimMs } });
      taken.push(message);
    }
    return taken;
  });
}

/** Writes down what was sent, and gives up the claims to all of `claimed`. */
export async function settle(
  project: Project,
  hook: string,
  { claimed, sent }: { readonly claimed: readonly Message[]; readonly sent: ReadonlyMap<string, readonly Told[]> },
  holder: Holder,
): Promise<void> {
  const pipelines = new Set([...claimed.map(({ happening }) => happening.pipeline), ...sent.keys()]);
  await project.update(byEngine('what hooks have told'), async (change) => {
    for (const pipeline of pipelines) {
      const record = await toldBy(change, hook, pipeline);
      const teller = record.teller && isOf(record.teller, holder) ? undefined : record.teller;
      const told = mergeTold(record.told, sent.get(pipeline) ?? []);
      // A pipeline that was deleted meanwhile has nothing to tell any more.
      if (await hasPipeline(change.snapshot, pipeline)) setTold(change, hook, pipeline, { ...record, told, teller });
    }
  });
}

function setTold(change: Change, hook: string, pipeline: string, record: ToldRecord): void {
  change.set({ key: toldKey(pipeline, hook), value: encodeTold(record), refs: [] });
}
