/**
 * Wires the rooms together: settings to an open project.
 */
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { DiskCache } from '../cache/disk.ts';
import { ExtentCache } from '../cache/extents.ts';
import type { Store } from '../store/store.ts';
import { Project } from '../versions/project.ts';
import type { Settings } from './settings.ts';
import { openWritableStore } from './writable-store.ts';

export interface OpenOptions {
  /** Bytes for what is read, shared by all readers of this process. */
  readonly memoryBytesMax?: number;
  readonly cacheDir?: string | undefined;
  readonly cacheBytesMax?: number;
  /** Make the store where there is none yet. */
  readonly create?: boolean;
}

const mebibyte = 1024 * 1024;
const memoryBytesDefault = 128 * mebibyte;
const cacheBytesDefault = 20e9;
const defaultProject = 'default';

/** An open project; disposing of it waits for what is still being kept and closes the store. */
export interface OpenProject extends AsyncDisposable {
  readonly project: Project;
  readonly store: Store;
  /** Hex; tells this store from another one at the same URL. */
  readonly storeId: string;
}

export async function openProject(settings: Settings, options: OpenOptions = {}): Promise<OpenProject> {
  const create = (options.create ?? false) || settings.defaultStore;
  if (settings.defaultStore) await settings.home.make(settings.home.store);
  const { store, header } = await openWritableStore(settings, create);
  try {
    if (!header) {
      throw new PachError('not-found', {
        what: store.url,
        why: 'there is no store yet',
        next: `pach --store ${settings.storeUrl} create repo NAME`,
      });
    }
    const memory = options.memoryBytesMax ?? memoryBytesDefault;
    const local = store.localPath('head') !== undefined;
    const cacheDir = options.cacheDir ?? (await settings.home.make(settings.home.cache));
    const extents = new ExtentCache(store, {
      memoryBytesMax: memory / 4,
      // A folder of this machine is as near as its cache would be.
      disk: local ? undefined : new DiskCache(join(cacheDir, header.id), options.cacheBytesMax ?? cacheBytesDefault),
      readAroundBytes: local ? mebibyte / 8 : mebibyte,
    });
    const { project: name, author } = settings;
    const project = new Project({ store, extents, name, author, memoryBytesMax: (memory * 3) / 8 });
    if (create && name === defaultProject && !(await project.exists())) await createIfAbsent(project);
    return {
      project,
      store,
      storeId: header.id,
      async [Symbol.asyncDispose]() {
        await extents.settle();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function createIfAbsent(project: Project): Promise<void> {
  try {
    await project.create();
  } catch (error) {
    if (!(error instanceof PachError) || error.code !== 'conflict') throw error;
  }
}
