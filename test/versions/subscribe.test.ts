/**
 * New commits of a branch, as somebody hears of them who looks now and then.
 */
import { expect, test } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import { newCommits } from '../../src/versions/reading/subscribe.ts';
import { createBranch, deleteBranch } from '../../src/versions/refs.ts';
import { resolveCommit } from '../../src/versions/resolve.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { makeTestProject, openTestProject } from './project.ts';
import { put } from './simulation-edits.ts';

test('each new commit of a branch once, in order, also many between two looks, and whatever becomes of the branch', async () => {
  const store = new MemoryStore();
  const { project: writer } = await makeTestProject(store);
  let n = 0;
  const commit = async (): Promise<string> => {
    await put(writer, 'data', 'master', { '/a': (n += 1) % 8 });
    return (await resolveCommit(await writer.snapshot(), parseAddress('data@master'))).id;
  };
  const made = [await commit(), await commit(), await commit()];
  const from = await resolveCommit(await writer.snapshot(), parseAddress('data@master^'));
  const stop = new AbortController();
  const reader = openTestProject(store);
  const heard = newCommits(reader, { repo: 'data', branch: 'master', from, signal: stop.signal });
  const next = async (): Promise<string | undefined> => (await heard.next()).value?.commit.id;
  expect(await next()).toBe(made[2]);
  // Between two looks.
  const more = [await commit(), await commit(), await commit(), await commit()];
  for (const id of more) expect(await next()).toBe(id);
  // Back and forth: what was told is not told again.
  await createBranch(writer, 'data', 'master', parseAddress('data@master^3'));
  await createBranch(writer, 'data', 'kept', parseAddress(`data@${more[3]}`));
  const aside = await commit();
  expect(await next()).toBe(aside);
  await createBranch(writer, 'data', 'master', parseAddress('data@kept'));
  const after = await commit();
  expect(await next()).toBe(after);
  await deleteBranch(writer, 'data', 'master');
  const anew = [await commit(), await commit()];
  for (const id of anew) expect(await next()).toBe(id);
  const ended = heard.next();
  stop.abort();
  expect(await ended).toEqual({ value: undefined, done: true });
  // A branch that is not there yet, from its beginning.
  const later = newCommits(reader, {
    repo: 'data',
    branch: 'dev',
    from: undefined,
    signal: new AbortController().signal,
  });
  const first = later.next();
  await put(writer, 'data', 'dev', { '/a': 1 });
  expect((await first).value?.commit.branch).toBe('dev');
  await later.return(undefined);
});
