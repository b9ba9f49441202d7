/**
 * Several processes that put at the same time, and what must come of it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { resolve } from 'node:path';
import { expect } from 'vitest';
import { openStore } from '../../src/store/open.ts';
import { createHeader } from '../../src/versions/header.ts';
import { createRepo } from '../../src/versions/refs.ts';
import type { CommitId } from '../../src/model/records/commit.ts';
import { openTestProject } from '../versions/project.ts';
import { readAll } from '../versions/simulation-check.ts';
import { contents, type Edit } from '../versions/simulation-edits.ts';
import { expectHistory } from '../versions/simulation-history.ts';

const program = resolve(import.meta.dirname, 'writer.mjs');

export interface Writers {
  /** An empty store. */
  readonly url: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly writers: number;
  readonly commitsEach: number;
  /** All put into `data`, or each of them into a repo of its own. */
  readonly sameBranch: boolean;
}

interface Done {
  readonly commits: readonly CommitId[];
  readonly milliseconds: number;
}

/**
 * Lets them all put at once. Checks that nobody's commits are lost and the later one wins by path.
 * Resolves to how long each of them took, in milliseconds, the fastest first.
 */
export async function putTogether({ url, env, writers, commitsEach, sameBranch }: Writers): Promise<number[]> {
  const store = await openStore(url);
  await createHeader(store, Date.now());
  const project = openTestProject(store);
  await project.create();
  const repoOf = (n: number): string => (sameBranch ? 'data' : `data${n}`);
  for (let n = 0; n < (sameBranch ? 1 : writers); n += 1) await createRepo(project, repoOf(n), '');
  const edits = Array.from({ length: writers }, (_, n) => editsOf(n, commitsEach));
  const children = edits.map((_, n) => begin([url, repoOf(n)], env));
  await Promise.all(children.map(({ ready }) => ready));
  const done = await Promise.all(children.map(({ put }, n) => put(edits[n] as Edit[])));
  await readAll(store);
  if (sameBranch) {
    const told = done.flatMap(({ commits }, n) =>
      commits.map((commit, index) => ({ commit, edit: edits[n]![index]! })),
    );
    const history = await expectHistory(
      openTestProject(store),
      told.map((each) => ({ ...each, begun: 0, ended: Infinity })),
    );
    // Who puts what is there already is told of the commit that has it.
    expect(new Set(history)).toEqual(new Set(told.map(({ commit }) => commit)));
    const position = new Map(history.map((commit, index) => [commit, index]));
    for (const { commits } of done) {
      const positions = commits.map((commit) => position.get(commit)!);
      expect(positions).toEqual(positions.toSorted((x, y) => x - y));
    }
  } else {
    const snapshot = await openTestProject(store).snapshot();
    for (const [n, { commits }] of done.entries()) {
      const history = [];
      const { head } = await snapshot.branch(repoOf(n), 'master');
      for await (const { id } of snapshot.history(head!)) history.unshift(id);
      expect(history).toEqual(commits);
    }
  }
  await store.close();
  return done.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b);
}

/** Every other one is to a path that all write to. No two in a row are equal. */
function editsOf(writer: number, count: number): Edit[] {
  return Array.from({ length: count }, (_, n) => ({
    [n % 2 ? '/shared' : `/writer-${writer}/${n % 10}`]: (n + writer) % contents.length,
  }));
}

function begin(words: readonly string[], env: NodeJS.ProcessEnv | undefined) {
  const child = spawn(process.execPath, [program, ...words], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  const ready = once(lines, 'line');
  const put = async (edits: readonly Edit[]): Promise<Done> => {
    const puts = edits.map((edit) => {
      const [[path, content]] = Object.entries(edit) as [[string, number]];
      return { path, text: contents[content], message: JSON.stringify(edit) };
    });
    const answer = once(lines, 'line');
    const ended = once(child, 'close');
    child.stdin.write(`${JSON.stringify(puts)}\n`);
    const [line] = (await Promise.race([answer, ended.then(() => ['null'])])) as [string];
    const [code] = (await ended) as [number];
    expect(code).toBe(0);
    return JSON.parse(line) as Done;
  };
  return { ready, put };
}
