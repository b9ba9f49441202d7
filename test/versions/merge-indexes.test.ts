/**
 * Indexes are merged while packs are being stored, also when none of them is in memory any more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Project } from '../../src/versions/project.ts';
import { check, errors, put } from './fsck-store.ts';
import { makeTestProject } from './project.ts';

/** A store that takes a while for every new object. */
class SlowStore extends MemoryStore {
  override async writeIfAbsent(...of: Parameters<MemoryStore['writeIfAbsent']>): Promise<boolean> {
    await sleep(10);
    return super.writeIfAbsent(...of);
  }
}

/** As if more indexes were read than memory is for. */
function keepNoIndexes(project: Project): void {
  const read = (_: unknown, asked: () => Promise<unknown>): Promise<unknown> => asked();
  Object.assign(project, { indexes: { pack: read, segment: read, keepPack: () => undefined } });
}

test('the indexes of packs that are not stored yet are not asked for', async () => {
  const { project, store } = await makeTestProject(new SlowStore());
  keepNoIndexes(project);
  for (let n = 0; n < 20; n += 1) await put(project, `/f${n}`, Buffer.alloc(200, n));
  expect((await project.load()).head.indexes.segments.length).toBeGreaterThan(0);
  expect(errors(await check(store, 1))).toEqual([]);
});
