/**
 * Wires the rooms together: settings to an open project.
 */
import { timeoutMsDefault } from '../base/deadline.ts';
import { descriptorsMax } from '../base/descriptors.ts';
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { blobsHere, type BlobsHere } from '../cache/blobs-here.ts';
import { DiskCache } from '../cache/disk.ts';
import { ExtentCache } from '../cache/extents.ts';
import { FileCache } from '../cache/file-cache.ts';
import { Filler } from '../cache/filler.ts';
import { FirstReads, readBytesMax } from '../cache/first-reads.ts';
import { Notes } from '../cache/notes.ts';
import { OutsideBytes } from '../cache/outside.ts';
import { Ranges } from '../cache/ranges.ts';
import { openCache } from '../cache/shape.ts';
import { DiskSpace } from '../cache/space.ts';
import { WholeObjects } from '../cache/whole-objects.ts';
import type { StoreObserver } from '../store/observe.ts';
import type { Patience } from '../store/retry.ts';
import { OutsideObjects } from '../store/s3/outside.ts';
import type { Store } from '../store/store.ts';
import type { LocalFiles } from '../versions/reading/local-content.ts';
import { Project } from '../versions/project.ts';
import { ProjectMemory } from '../versions/project-memory.ts';
import type { Settings } from './settings.ts';
import { openWritableStore } from './writable-store.ts';

export interface OpenOptions {
  /** Bytes for what is read, shared by all readers of this process. */
  readonly memoryBytesMax?: number;
  readonly cacheDir?: string | undefined;
  readonly cacheBytesMax?: number;
  /** How long to wait for a store that does not answer, the first time too; by default less for that. */
  readonly timeoutMs?: number;
  /** How long a store that never answered is tried, where it is known to be one. */
  readonly firstContactMs?: number;
  /** Waits longer for a store that has answered before. */
  readonly patience?: Patience | undefined;
  /** Told of every single request to the store. */
  readonly observer?: StoreObserver;
  /** Make the store where there is none yet. */
  readonly create?: boolean;
}

const mebibyte = 1024 * 1024;
const memoryBytesDefault = 128 * mebibyte;
/** For a command that asks for what it has read once or twice in a row, and then never again. */
export const memoryBytesOnce = 32 * mebibyte;
/** A program has more in memory than what it has read. */
const shareOfLimit = 4;
const cacheBytesDefault = 20e9;
/** What nobody has asked for yet may take this part of the disk cache. */
const partAhead = 0.125;
/** The part of the disk cache that one repo may take when whole packs of it are fetched. */
const partWhole = 0.75;
/** Large files of the disk cache that are open at a time at most, and what each of them takes. */
const localFilesMax = 1024;
const descriptorsOfFile = 2;
/** Of these a server has so many in use all the time, to answer from without JavaScript. */
const partAttached = 0.5;
/** What everything else needs: connections, packs, small files of the cache; half of a small limit. */
const descriptorsKept = 256;
const defaultProject = 'default';

/** What projects of one store share in this process: connections with their limits, caches, memory. */
interface Shared extends AsyncDisposable {
  readonly store: Store;
  /** Hex; tells this store from another one at the same URL. */
  readonly storeId: string;
  /** Large files on this machine's disk. */
  readonly files: LocalFiles;
  /** Where the packs of a project lie on this machine. */
  readonly blobsHere: (project: string) => Promise<BlobsHere>;
  /** Where what a mount read first is kept; undefined where all is on this machine, or there is little room for what was read. */
  readonly firstReads: FirstReads | undefined;
}

/** A store and its projects. Disposing of it waits for what is still being kept and closes the store; once, however often. */
export interface OpenStore extends Shared {
  /** One object for all who ask for a name, with one watcher of the head. There need not be such a project yet. */
  project(name: string): Project;
}

/** An open project; disposing of it closes its store. */
export interface OpenProject extends Shared {
  readonly project: Project;
}

/** Opens a store, and one project upon it: the one of the settings. */
export async function openProject(settings: Settings, options: OpenOptions = {}): Promise<OpenProject> {
  const opened = await openSharedStore(settings, options);
  try {
    const project = opened.project(settings.project);
    const isMade = (options.create ?? false) || settings.defaultStore;
    if (isMade && settings.project === defaultProject && !(await project.exists())) await createIfAbsent(project);
    return { ...opened, project };
  } catch (error) {
    await opened[Symbol.asyncDispose]();
    throw error;
  }
}

/** Opens a store for as many of its projects as are asked for. Throws `not-found` when there is none and none is to be made. */
export async function openSharedStore(settings: Settings, options: OpenOptions = {}): Promise<OpenStore> {
  const create = (options.create ?? false) || settings.defaultStore;
  if (settings.defaultStore) await settings.home.make(settings.home.store);
  const { store, header } = await openWritableStore(settings, create, {
    observer: options.observer,
    patience: options.patience,
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.firstContactMs === undefined ? {} : { firstContactMs: options.firstContactMs }),
  });
  try {
    if (!header) {
      throw new PachError('not-found', {
        what: store.url,
        why: 'there is no store yet',
        next: `pach --store ${shellWord(settings.storeUrl)} create repo NAME`,
      });
    }
    return await share(settings, { store, storeId: header.id }, options);
  } catch (error) {
    await store.close();
    throw error;
  }
}

async function share(
  { home, author, pod }: Settings,
  { store, storeId }: Pick<Shared, 'store' | 'storeId'>,
  options: OpenOptions,
): Promise<OpenStore> {
  const { timeoutMs = timeoutMsDefault, cacheBytesMax = pod?.cacheBytesMax ?? cacheBytesDefault } = options;
  const bytes = memoryBudget(options.memoryBytesMax ?? memoryBytesDefault);
  const dir = await openCache(options.cacheDir ?? pod?.cacheDir ?? (await home.make(home.cache)), storeId);
  const space = new DiskSpace(dir, cacheBytesMax);
  const cache = new FileCache(space, localFiles());
  const notes = new Notes(dir);
  const firstReads = new FirstReads(dir, notes);
  const filler = new Filler(store, space, timeoutMs, (bytes * 3) / 8);
  // A folder of this machine is as near as its cache would be.
  const disk = store.isLocal ? undefined : new DiskCache(space);
  const whole = disk && new WholeObjects(disk, filler.transfers, filler.addresses);
  const extents = new ExtentCache(store, {
    memoryBytesMax: bytes / 4,
    disk,
    whole,
    wholeBytesMax: cacheBytesMax * partWhole,
    ranges: disk && new Ranges(filler.transfers, filler.addresses),
    files: cache,
    firstReads,
    notes,
    readAroundBytes: store.isLocal ? mebibyte / 8 : mebibyte,
    timeoutMs: options.patience?.ms ?? timeoutMs,
  });
  const memory = new ProjectMemory((bytes * 3) / 8);
  const objects = new OutsideObjects();
  const outside = new OutsideBytes({ objects, files: cache, space, timeoutMs });
  const projects = new Map<string, Project>();
  const close = async (): Promise<void> => {
    for (const { head } of projects.values()) head[Symbol.dispose]();
    await whole?.stop();
    await extents.settle();
    await space.settle();
    objects.close();
    await store.close();
  };
  let closing: Promise<void> | undefined;
  return {
    store,
    storeId,
    firstReads: store.isLocal || readBytesMax > cacheBytesMax * partAhead ? undefined : firstReads,
    files: { cache, filler },
    blobsHere: (project) => blobsHere(store, project, dir),
    project(name) {
      const project = projects.get(name) ?? new Project({ store, extents, name, author, memory, outside });
      projects.set(name, project);
      return project;
    },
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}

/** Of the bytes asked for, what this process may have where it is held to less than the machine has (a container). */
export function memoryBudget(bytes: number): number {
  const limit = process.constrainedMemory();
  // 0 where the system does not say.
  return limit > 0 ? Math.min(bytes, limit / shareOfLimit) : bytes;
}

/** Large files of the disk cache that may be open at a time. */
function localFiles(): number {
  const limit = descriptorsMax();
  const room = limit - Math.min(descriptorsKept, limit / 2);
  const most = Math.min(localFilesMax, room / descriptorsOfFile);
  return Math.max(2, Math.floor(most));
}

/** Of the files of a cache, those that a server may answer from without JavaScript. */
export function attachedFilesMax({ cache }: LocalFiles): number {
  return Math.floor(cache.filesMax * partAttached);
}

async function createIfAbsent(project: Project): Promise<void> {
  try {
    await project.create();
  } catch (error) {
    if (!(error instanceof PachError) || error.code !== 'conflict') throw error;
  }
}
