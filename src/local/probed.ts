/**
 * The stores that were found to support conditional writes, so that each is probed once: an empty
 * file for each pair of store id and URL. A store that lacks them is not remembered: a newer server may have them.
 */
import { createHash } from 'node:crypto';
import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Home } from './home.ts';

export interface ProbedStore {
  /** Of the store's header. */
  readonly id: string;
  readonly url: string;
}

/** True when `rememberProbed` was called for this store at this URL. */
export async function isProbed(home: Home, store: ProbedStore): Promise<boolean> {
  return access(join(home.probed, nameOf(store))).then(
    () => true,
    () => false,
  );
}

/** Where it can't be written, the store is probed again the next time: no error. */
export async function rememberProbed(home: Home, store: ProbedStore): Promise<void> {
  try {
    await writeFile(join(await home.make(home.probed), nameOf(store)), '', { mode: 0o600 });
  } catch {
    // A cache of an answer that can be had again.
  }
}

function nameOf({ id, url }: ProbedStore): string {
  return createHash('sha256').update(`${id} ${url}`).digest('hex').slice(0, 32);
}
