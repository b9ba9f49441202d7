/**
 * The list of condemned objects that a head refers to: reading and replacing it.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { native } from '../base/native.ts';
import { condemnedKey, randomPackId } from '../model/keys.ts';
import { decodeCondemned, encodeCondemned, type Condemned } from '../model/records/condemned.ts';
import type { CondemnedRef, Head } from '../model/records/head.ts';
import type { Hash } from '../model/refs.ts';
import type { Store } from '../store/store.ts';

/** The objects that are to be deleted. Throws `damaged`, also when the head has moved on since. */
export async function readCondemned(store: Store, { project, condemned }: Head): Promise<readonly Condemned[]> {
  if (!condemned) return [];
  const key = condemnedKey(project, condemned.id);
  const read = store.read(key, 0, condemned.bytes).catch((error: unknown) => {
    if (!isPachError(error, 'not-found')) throw error;
    throw new PachError('damaged', { what: key, why: 'it is missing from the store', next: 'pach fsck', cause: error });
  });
  const bytes = Buffer.from(await read);
  if (!native().hash('plain', bytes).equals(condemned.hash)) {
    throw new PachError('damaged', { what: key, why: 'it does not match its hash', next: 'pach fsck' });
  }
  return decodeCondemned(bytes, key);
}

/** Stores a list for the next head. Durable when it resolves. */
export async function writeCondemned(
  store: Store,
  project: string,
  objects: readonly Condemned[],
): Promise<CondemnedRef | undefined> {
  if (objects.length === 0) return undefined;
  const id = randomPackId();
  const bytes = encodeCondemned(objects);
  await store.writeIfAbsent(condemnedKey(project, id), [bytes]);
  return { id, bytes: bytes.length, hash: native().hash('plain', bytes) as Hash };
}
