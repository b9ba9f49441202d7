/**
 * From an address to a store with its decorators.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PachError } from '../base/errors.ts';
import { openFolder } from './folder.ts';
import { limitStore } from './limit.ts';
import { MemoryStore } from './memory.ts';
import { RetryingStore, type RetryOptions } from './retry.ts';
import type { Store } from './store.ts';

export interface OpenStoreOptions {
  /** For stores behind a network. */
  readonly retry?: RetryOptions;
  /** Requests under way at a time to a store behind a network. Default 32. */
  readonly requestsMax?: number;
  /** For servers without conditional writes: nobody else writes. Means nothing for other stores. */
  readonly singleWriter?: boolean;
  /** Wraps the store itself, below the decorators, so that tests see single tries. */
  readonly wrap?: (store: Store) => Store;
}

const requestsMaxDefault = 32;

/**
 * Opens the store at `url`: a path, `file:///path`, `s3://bucket/prefix?endpoint=…&region=…` or
 * `memory:` (a new, empty one). Nothing is made or asked there before it is used; a missing folder
 * is made by the first write. Throws `usage` for an address that cannot be one.
 */
export async function openStore(url: string, options: OpenStoreOptions = {}): Promise<Store> {
  const wrap = options.wrap ?? ((store) => store);
  if (/^\s+(?:[a-z][a-z0-9+.-]*:\/\/|s3:|file:|memory:)/i.test(url)) {
    throw new PachError('usage', { what: 'store', why: 'its address begins with white space' });
  }
  const scheme = /^([a-z][a-z0-9+.-]*):(?=\/\/)|^(memory|file|s3):/i.exec(url);
  switch ((scheme?.[1] ?? scheme?.[2])?.toLowerCase()) {
    case undefined:
      if (url === '') throw new PachError('usage', { what: 'store', why: 'its address is empty' });
      return wrap(await openFolder(resolve(url)));
    case 'file':
      return wrap(await openFolder(resolve(pathOf(url))));
    case 'memory':
      return wrap(new MemoryStore());
    case 's3': {
      const { openS3 } = await import('./s3/s3-store.ts');
      const { mayHaveHappened } = await import('./s3/errors.ts');
      return overNetwork(wrap(await openS3(url, options)), {
        ...options,
        retry: { mayHaveHappened, ...options.retry },
      });
    }
    default:
      throw new PachError('usage', {
        what: `store ${scheme?.[0]}`,
        why: 'this kind of store is unknown',
        next: 'use a folder, file:///folder or s3://bucket/prefix',
      });
  }
}

/** Retries lie outside of the limit, so that a request that waits for its next try takes no place. */
function overNetwork(store: Store, options: OpenStoreOptions): Store {
  return new RetryingStore(limitStore(store, options.requestsMax ?? requestsMaxDefault), options.retry);
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (error) {
    throw new PachError('usage', { what: url, why: 'it does not name a folder', next: 'file:///folder', cause: error });
  }
}
