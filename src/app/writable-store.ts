/**
 * Opens the store of the settings so that nothing is written to one without conditional writes,
 * unless the user says that nobody else writes.
 */
import { PachError } from '../base/errors.ts';
import { isProbed, rememberProbed } from '../local/probed.ts';
import type { StoreHeader } from '../model/records/store-header.ts';
import { openStore } from '../store/open.ts';
import { conditionalWrites } from '../store/probe.ts';
import type { Store } from '../store/store.ts';
import { guardWrites } from '../store/write-guard.ts';
import { createHeader, readHeader } from '../versions/header.ts';
import type { Settings } from './settings.ts';

/**
 * The store and its header. Makes it a store when `create` says so and it is none; the header is
 * undefined when it is none otherwise. The first write throws `unsupported` where two writers
 * could lose data.
 */
export async function openWritableStore(
  settings: Settings,
  create: boolean,
  timeoutMs?: number,
): Promise<{ store: Store; header: StoreHeader | undefined }> {
  const { home, storeUrl, singleWriter = false } = settings;
  const retry = timeoutMs === undefined ? {} : { retry: { timeoutMs, firstContactMs: timeoutMs } };
  const inner = await openStore(storeUrl, retry);
  try {
    let header = await readHeader(inner);
    const remember = async (): Promise<void> => {
      if (header) await rememberProbed(home, { id: header.id, url: inner.url });
    };
    let supports = false;
    const store = guardWrites(inner, async () => {
      // Of folders, link(2) and flock(2) are known to keep the promise.
      if (inner.localPath('head') !== undefined) return inner;
      if (header && (await isProbed(home, { id: header.id, url: inner.url }))) return inner;
      supports = await conditionalWrites(inner);
      if (supports) await remember();
      else if (!singleWriter) throw withoutConditions(inner);
      return supports ? inner : openStore(storeUrl, { singleWriter });
    });
    if (!header && create) {
      header = await createHeader(store, Date.now());
      if (supports) await remember();
    }
    return { store, header };
  } catch (error) {
    await inner.close();
    throw error;
  }
}

function withoutConditions(store: Store): PachError {
  return new PachError('unsupported', {
    what: store.url,
    why: 'it does not support conditional writes, without which two writers could lose data',
    next: 'use a folder, AWS S3, MinIO or Ceph; or --single-writer when nobody else ever writes at the same time',
  });
}
