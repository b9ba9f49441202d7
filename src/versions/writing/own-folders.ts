/**
 * Folders that a put leaves out, wherever they lie: the store that is written to, which would grow with
 * each put, and our own state, with its secrets.
 */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PachError } from '../../base/errors.ts';
import type { Listing } from '../../base/listing.ts';
import { cacheKind } from '../../cache/shape.ts';
import { homeKind } from '../../local/home.ts';
import { isTagged } from '../../local/own-folder.ts';
import { storeHeaderKey } from '../../model/keys.ts';
import { nameOfText } from '../../model/paths.ts';
import type { Store } from '../../store/store.ts';

interface Place {
  readonly dev: bigint;
  readonly ino: bigint;
}

const header = Buffer.from(storeHeaderKey);
const kinds = [homeKind, cacheKind].map((kind) => ({ ...kind, tagName: Buffer.from(kind.tag) }));

export class OwnFolders {
  private readonly store: Promise<Place | undefined>;

  /** `store` is the one that is written to. */
  constructor(store: Store) {
    const path = store.localPath(storeHeaderKey);
    this.store = path === undefined ? Promise.resolve(undefined) : placeOf(dirname(path));
  }

  /** What kind of folder this is, if it must be left out. `names`: what lies in it. */
  async what(folder: Buffer, names: Pick<Listing, 'has'>): Promise<string | undefined> {
    if (names.has(header)) {
      const [store, place] = [await this.store, await placeOf(folder)];
      if (store && place && store.dev === place.dev && store.ino === place.ino) return 'the target store';
    }
    for (const kind of kinds) if (names.has(kind.tagName) && (await isTagged(folder, kind))) return kind.name;
    return undefined;
  }

  /** Throws `usage` for a source that is such a folder or lies in one. `path`: without links. */
  async refuse(source: string, path: string): Promise<void> {
    for (let folder = path; ; folder = dirname(folder)) {
      const what = await this.what(nameOfText(folder), { has: () => true });
      if (what !== undefined) {
        const why = `it ${folder === path ? 'is' : `lies in ${folder}:`} ${what}, which is never stored`;
        throw new PachError('usage', {
          what: source,
          why,
          next: 'copy the files to another folder and put them from there',
        });
      }
      if (folder === dirname(folder)) return;
    }
  }
}

async function placeOf(folder: string | Buffer): Promise<Place | undefined> {
  return stat(folder, { bigint: true }).catch(() => undefined);
}
