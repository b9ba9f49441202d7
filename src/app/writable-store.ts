/**
 * Opens the store of the settings so that nothing is written to one without conditional writes,
 * unless the user says that nobody else writes.
 */
import { PachError } from '../base/errors.ts';
import { isProbed, rememberProbed } from '../local/probed.ts';
import type { StoreHeader } from '../model/records/store-header.ts';
import { observeStore, type StoreObserver } from '../store/observe.ts';
import { openStore } from '../store/open.ts';
import { conditionalWrites } from '../store/probe.ts';
import { isS3 } from '../store/s3/url.ts';
import type { RetryOptions } from '../store/retry.ts';
import type { Store } from '../store/store.ts';
import { guardWrites } from '../store/write-guard.ts';
import { createHeader, readHeader } from '../versions/header.ts';
import type { Settings } from './settings.ts';

/** Why writes fail their conditions in a bucket with versioning, and what helps. */
export const versioned =
  'its bucket has versioning, and its server does not support conditional writes for such buckets';
export const unversion =
  "suspend the bucket's versioning, or use a bucket without it; or --single-writer if there is never more than one writer at a time";

export interface StoreOptions extends RetryOptions {
  /** Told of every single request. */
  readonly observer?: StoreObserver | undefined;
}

/**
 * The store and its header. Makes it a store when `create` says so and it is none; the header is
 * undefined when it is none otherwise. The first write throws `unsupported` where two writers
 * could lose data.
 */
export async function openWritableStore(
  settings: Settings,
  create: boolean,
  { observer, ...retry }: StoreOptions = {},
): Promise<{ store: Store; header: StoreHeader | undefined }> {
  const { home, storeUrl, singleWriter = false } = settings;
  const wrapped = observer && { wrap: (store: Store) => observeStore(store, observer) };
  const inner = await openStore(storeUrl, { retry, ...wrapped });
  try {
    let header = await readHeader(inner);
    const remember = async (): Promise<void> => {
      if (header) await rememberProbed(home, { id: header.id, url: inner.url });
    };
    let supports = false;
    const store = guardWrites(inner, async () => {
      // Of folders, link(2) and flock(2) are known to keep the promise.
      if (inner.isLocal) return inner;
      if (header && (await isProbed(home, { id: header.id, url: inner.url }))) return inner;
      supports = await conditionalWrites(inner);
      if (supports) await remember();
      else if (!singleWriter) throw await withoutConditions(inner, storeUrl);
      return supports ? inner : openStore(storeUrl, { singleWriter, ...wrapped });
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

async function withoutConditions({ url }: Store, storeUrl: string): Promise<PachError> {
  if (isS3(storeUrl)) {
    const { keepsVersions } = await import('../store/s3/versioning.ts');
    if (await keepsVersions(storeUrl)) {
      return new PachError('unsupported', {
        what: url,
        why: `${versioned}; two writers could lose data`,
        next: unversion,
      });
    }
  }
  return new PachError('unsupported', {
    what: url,
    why: 'it does not support conditional writes; without them two writers could lose data',
    next: 'use a folder, AWS S3, MinIO or Ceph; or --single-writer if there is never more than one writer at a time',
  });
}
