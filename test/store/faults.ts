/**
 * Decorator for tests: requests fail, before or after they were carried out, or bring other bytes
 * than were stored, as a sequence of outcomes says.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PachError } from '../../src/base/errors.ts';
import type { Store } from '../../src/store/store.ts';

/** What becomes of a request. */
export type Outcome =
  | 'works'
  | 'refused' // 500, 503: not done, and an answer says so
  | 'lost' // the connection broke: not done
  | 'timeout' // no answer for a while: not done
  | 'done' // done, and reported as a failure
  | 'doneLate' // done, and no answer for a while
  | 'short' // of reads: fewer bytes than there are
  | 'torn' // of reads: zeros from some place on
  | 'wrong'; // of reads: some bytes are others

export type Verb = Exclude<keyof Store, 'url' | 'isLocal' | 'localPath' | 'close'>;

export const refused = (error: PachError) => error.why === 'refused';

const timeoutMs = 3;
const rightBytes = 16;

/** A sequence of numbers in [0, below), the same for the same seed. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Of every hundred requests `percent` go wrong, each in a way that makes sense for it. */
export function seededFaults(seed: number, percent: number, damages = true): (verb: Verb) => Outcome {
  const random = randomOf(seed);
  const failures: Outcome[] = ['refused', 'lost', 'timeout', 'done', 'doneLate'];
  const reads: Outcome[] = [...failures, 'short', 'torn', 'wrong'];
  return (verb) => {
    // What has no hash of its own can't be told from other bytes: the small objects, the listing.
    const kinds = damages && (verb === 'read' || verb === 'readTail') ? reads : failures;
    return random(100) < percent ? (kinds[random(kinds.length)] as Outcome) : 'works';
  };
}

/** `next` is asked once a request, and for a listing at each entry. */
export function faultyStore(store: Store, next: (verb: Verb, key: string) => Outcome): Store {
  const fail = (why: string) => new PachError('unreachable', { what: store.url, why });
  const call = async <T>(
    verb: Verb,
    key: string,
    work: () => Promise<T>,
    damage = (_: Outcome, result: T) => result,
  ) => {
    const outcome = next(verb, key);
    if (outcome === 'timeout') await sleep(timeoutMs);
    if (outcome === 'refused' || outcome === 'lost' || outcome === 'timeout') throw fail(outcome);
    const result = await work();
    if (outcome === 'doneLate') await sleep(timeoutMs);
    if (outcome === 'done' || outcome === 'doneLate') throw fail(outcome);
    return damage(outcome, result);
  };
  return {
    url: store.url,
    isLocal: store.isLocal,
    read: (key, offset, length) => call('read', key, () => store.read(key, offset, length), damaged),
    readTail: (key, length) =>
      call(
        'readTail',
        key,
        () => store.readTail(key, length),
        (outcome, { bytes, size }) => ({ bytes: damaged(outcome, bytes), size }),
      ),
    readWithToken: (key) =>
      call(
        'readWithToken',
        key,
        () => store.readWithToken(key),
        (outcome, found) => found && { ...found, bytes: damaged(outcome, found.bytes) },
      ),
    readIfChanged: (key, token) => call('readIfChanged', key, () => store.readIfChanged(key, token)),
    writeIfAbsent: (key, parts, signal) => call('writeIfAbsent', key, () => store.writeIfAbsent(key, parts, signal)),
    writeIfUnchanged: (key, bytes, token) =>
      call('writeIfUnchanged', key, () => store.writeIfUnchanged(key, bytes, token)),
    async *list(prefix) {
      for await (const info of store.list(prefix)) {
        const outcome = next('list', info.key);
        if (outcome === 'timeout' || outcome === 'doneLate') await sleep(timeoutMs);
        if (outcome !== 'works') throw fail(outcome);
        yield info;
      }
    },
    delete: (key) => call('delete', key, () => store.delete(key)),
    localPath: (key) => store.localPath(key),
    close: () => store.close(),
  };
}

/** So that whatever part of them is wanted is not right. */
function damaged(outcome: Outcome, bytes: Uint8Array): Uint8Array {
  if (outcome === 'short') return bytes.subarray(0, rightBytes);
  if (outcome !== 'torn' && outcome !== 'wrong') return bytes;
  const changed = Buffer.from(bytes);
  if (outcome === 'torn') return changed.fill(0, rightBytes);
  for (let at = rightBytes; at < changed.length; at += rightBytes) changed[at] = (changed[at] as number) ^ 0x40;
  return changed;
}
