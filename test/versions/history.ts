/**
 * A long history and what is asked of it, for tests of several sizes.
 */
import { expect } from 'vitest';
import { parseAddress } from '../../src/model/address.ts';
import type { Store } from '../../src/store/store.ts';
import { traceStore } from '../../src/store/trace.ts';
import { Files } from '../../src/versions/reading/files.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import type { Project } from '../../src/versions/project.ts';
import { putFiles } from '../../src/versions/writing/put.ts';
import { resolveCommit, resolveVersion } from '../../src/versions/resolve.ts';
import { rootOf, type Commit } from '../../src/versions/snapshot.ts';
import { makeTestProject, openTestProject, silent, streamOf } from './project.ts';

const branch = { repo: 'data', branch: 'master' };
/** Round trips one after another. */
const roundsMax = 8;

/**
 * Makes small commits on one branch and asks about them as a new process does: each question is
 * answered in few round trips. Resolves to the number of objects that are left after a collection.
 */
export async function checkHistory(inner: Store, commits: number): Promise<number> {
  const { project, store } = await makeTestProject(inner);
  for (let n = 1; n <= commits; n += 1) await commitOne(project, n);
  await checkQuestions(store, commits);
  // Now and then a commit merges indexes too.
  for (let more = 1; more <= 20; more += 1) await checkCommit(inner, commits + more);
  await collectGarbage(openTestProject(store), { grace: 0, dryRun: false, progress: () => undefined });
  let objects = 0;
  for await (const _ of store.list('')) objects += 1;
  await checkQuestions(store, commits + 20);
  return objects;
}

async function commitOne(project: Project, n: number): Promise<void> {
  const sources = [{ kind: 'stream' as const, stream: streamOf(`content ${n}`) }];
  const target = `/dir${n % 50}/file${n % 700}`;
  await putFiles(project, { ...branch, message: `m${n}`, sources, target, watch: silent });
}

async function checkQuestions(inner: Store, commits: number): Promise<void> {
  const ask = async <T>(question: (project: Project) => Promise<T>): Promise<T> => {
    const { store, counts } = traceStore(inner);
    const answer = await question(openTestProject(store));
    expect(counts.rounds).toBeLessThanOrEqual(roundsMax);
    return answer;
  };
  const at = async (project: Project, address: string): Promise<Commit> =>
    resolveCommit(await project.snapshot(), parseAddress(address));

  const middle = Math.floor(commits / 2);
  const nth = await ask((project) => at(project, `data@master.${middle}`));
  expect(nth.message).toBe(`m${middle}`);
  const time = new Date(nth.finished + 1000).toISOString().slice(0, 19);
  const byTime = await ask((project) => at(project, `data@${time}Z`));
  expect(byTime.finished).toBeGreaterThanOrEqual(nth.finished);
  expect(byTime.finished).toBeLessThanOrEqual(nth.finished + 1000);

  const newest = await ask(async (project) => {
    const snapshot = await project.snapshot();
    const { branch: master } = await resolveVersion(snapshot, parseAddress('data'));
    const messages: string[] = [];
    if (!master?.head) return messages;
    for await (const { message } of snapshot.history(master.head)) if (messages.push(message) === 20) break;
    return messages;
  });
  expect(newest).toEqual(Array.from({ length: 20 }, (_, n) => `m${commits - n}`));

  // Two versions far apart that differ in a few files: only what leads to those is read.
  const { store, counts } = traceStore(inner);
  const project = openTestProject(store);
  const [from, to] = [await at(project, `data@master.${commits - 2}`), await at(project, 'data')];
  counts.reset();
  const changes: string[] = [];
  const files = new Files(project.reader, rootOf(to), 'data');
  for await (const { path } of files.diff(new Files(project.reader, rootOf(from), 'data'), '/')) changes.push(path);
  expect(changes).toHaveLength(2);
  expect(counts.count()).toBeLessThan(12);
}

/** One more commit, by a new process. */
async function checkCommit(inner: Store, n: number): Promise<void> {
  const { store, counts } = traceStore(inner);
  await commitOne(openTestProject(store), n);
  expect(counts.rounds).toBeLessThanOrEqual(roundsMax);
}
