/**
 * An empty project in a memory store, for tests.
 */
import { ExtentCache } from '../../src/cache/extents.ts';
import type { OutsideBytes } from '../../src/cache/outside.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { traceStore, type Trace } from '../../src/store/trace.ts';
import { createHeader } from '../../src/versions/header.ts';
import { Project } from '../../src/versions/project.ts';
import { ProjectMemory } from '../../src/versions/project-memory.ts';
import { createRepo } from '../../src/versions/refs.ts';

export interface TestProject {
  readonly project: Project;
  readonly store: Store;
  readonly counts: Trace;
}

/** Another reader and writer of a store, with caches of its own. */
export function openTestProject(store: Store): Project {
  return openWith(store, undefined);
}

/** The same, which reads references, too. */
export function openWith(store: Store, outside: OutsideBytes | undefined): Project {
  const extents = new ExtentCache(store, { memoryBytesMax: 16 << 20, readAroundBytes: 1 << 17 });
  const memory = new ProjectMemory(64 << 20);
  return new Project({ store, extents, outside, name: 'default', author: 'tester', memory });
}

/** A project with the repo `data`. */
export async function makeTestProject(inner: Store = new MemoryStore()): Promise<TestProject> {
  const { store, counts } = traceStore(inner);
  await createHeader(store, Date.now());
  const project = openTestProject(store);
  await project.create();
  await createRepo(project, 'data', '');
  return { project, store, counts };
}

export async function* streamOf(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === 'string' ? Buffer.from(part) : part;
}

export const silent = { progress: (): void => undefined, skipped: (): void => undefined };
