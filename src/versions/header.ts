/**
 * The store's header: what makes a folder or bucket a store, and tells one store from another
 * that lies at the same URL.
 */
import { randomBytes } from 'node:crypto';
import { PachError } from '../base/errors.ts';
import { storeHeaderKey } from '../model/keys.ts';
import { decodeStoreHeader, encodeStoreHeader, type StoreHeader } from '../model/records/store-header.ts';
import type { Store } from '../store/store.ts';

/** The header, or undefined when nothing lies there yet. Throws when something else does. */
export async function readHeader(store: Store): Promise<StoreHeader | undefined> {
  const found = await store.readWithToken(storeHeaderKey);
  if (found) return decodeStoreHeader(Buffer.from(found.bytes), store.url);
  for await (const { key } of store.list('')) {
    throw new PachError('usage', {
      what: store.url,
      why: `it is not a pachmount store: it holds other things (${key})`,
      next: 'repeat the command with an empty folder or prefix as --store',
    });
  }
  return undefined;
}

/** Makes an empty place a store; two that do so at once agree on one header. */
export async function createHeader(store: Store, now: number): Promise<StoreHeader> {
  const header: StoreHeader = { id: randomBytes(16).toString('hex'), created: now };
  await store.writeIfAbsent(storeHeaderKey, [encodeStoreHeader(header)]);
  const written = await readHeader(store);
  if (!written) throw new PachError('failed', { what: store.url, why: 'the header that pach wrote is gone' });
  return written;
}
