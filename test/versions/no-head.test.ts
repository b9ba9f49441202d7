/**
 * Stores that do not show the newest head: for a moment, or ever again.
 */
import { expect, test } from 'vitest';
import { MemoryStore } from '../../src/store/memory.ts';
import { createRepo } from '../../src/versions/refs.ts';
import { makeTestProject, openTestProject } from './project.ts';

type Head = Awaited<ReturnType<MemoryStore['readWithToken']>>;

/** A project whose store may answer something else for its head. */
async function unsteady() {
  const inner = new MemoryStore();
  const { project } = await makeTestProject(inner);
  const real = inner.readWithToken.bind(inner);
  const show = (answer: (head: Head) => Head): void => {
    inner.readWithToken = async (key) => answer(await real(key));
  };
  return { project, inner, show };
}

test('a head that is not shown once is read again', async () => {
  const { inner, show } = await unsteady();
  let asked = 0;
  show((head) => ((asked += 1) === 1 ? undefined : head));
  expect((await openTestProject(inner).readHead()).head.project).toBe('default');
  expect(asked).toBe(2);
});

test('a head that is not shown at all is no project that was never made', async () => {
  const { inner, show } = await unsteady();
  show(() => undefined);
  await expect(openTestProject(inner).readHead()).rejects.toThrow(
    /has objects of this project, but does not show its head \(projects\/default\/head\)/,
  );
  await expect(openTestProject(new MemoryStore()).readHead()).rejects.toThrow(/there is no such project/);
});

test('a head that stays old is not taken for other writers', async () => {
  const { project, show } = await unsteady();
  const old = (await project.options.store.readWithToken('projects/default/head')) as NonNullable<Head>;
  await createRepo(project, 'other', '');
  show(() => old);
  await expect(createRepo(project, 'third', '')).rejects.toThrow(/the store showed an old head 200 times/);
});
