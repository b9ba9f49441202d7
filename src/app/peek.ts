/**
 * A look into a store that leaves no trace on this machine: for words that a shell completes.
 */
import { ExtentCache } from '../cache/extents.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/store.ts';
import { readHeader } from '../versions/header.ts';
import { Project } from '../versions/project.ts';
import { ProjectMemory } from '../versions/project-memory.ts';
import type { Settings } from './settings.ts';

const memoryBytesMax = 32 * 1024 * 1024;
const readAroundBytes = 128 * 1024;

interface Peeked extends AsyncDisposable {
  readonly store: Store;
  readonly project: Project;
}

/** Undefined where there is no store. `opened` is called before it is asked. Nothing is made or kept on this machine. */
export async function peek(
  { storeUrl, project: name, author }: Settings,
  opened: () => void,
): Promise<Peeked | undefined> {
  const store = await openStore(storeUrl);
  opened();
  if (!(await readHeader(store))) return undefined;
  const extents = new ExtentCache(store, { memoryBytesMax, readAroundBytes });
  const project = new Project({ store, extents, name, author, memory: new ProjectMemory(memoryBytesMax) });
  return { store, project, [Symbol.asyncDispose]: () => store.close() };
}
