/**
 * Three stores that a seed does things to, and a model that says what each transfer between them has to do.
 */
import { expect } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import type { CommitProvenance } from '../../src/model/records/commit.ts';
import { createBranch, deleteBranch } from '../../src/versions/refs.ts';
import { collectGarbage } from '../../src/versions/upkeep/gc.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import type { EngineWorld } from '../engine/world.ts';
import { openTestProject } from '../versions/project.ts';
import { move, put, type MoveOptions } from './pushing.ts';

interface Known {
  readonly id: string;
  readonly hash: string;
  readonly from: readonly CommitProvenance[];
}

/** What a store has: branches as lines of commits, oldest first, and all commits by repo and id. */
interface State {
  readonly lines: Map<string, readonly Known[]>;
  readonly commits: Map<string, { readonly hash: string; readonly parent: string | undefined }>;
}

type Random = (below: number) => number;

export class Worlds {
  readonly worlds: readonly EngineWorld[];
  readonly log: string[] = [];
  /** Refused transfers and those that moved something, so that the test sees some of both. */
  readonly ends = { moved: 0, refused: 0, nothing: 0 };
  private readonly random: Random;

  constructor(worlds: readonly EngineWorld[], random: Random) {
    this.worlds = worlds;
    this.random = random;
  }

  private pick<T>(of: readonly T[]): T {
    return of[this.random(of.length)] as T;
  }

  async step(): Promise<void> {
    const n = this.random(this.worlds.length);
    const world = this.worlds[n] as EngineWorld;
    const branch = this.pick(['master', 'master', 'dev', 'exp']);
    const what = this.random(100);
    if (what < 22) {
      const path = `/p${this.random(4)}`;
      this.log.push(`${n}: put ${branch} ${path}`);
      await put(world.project, `data@${branch}`, path, `${this.log.length}`);
    } else if (what < 28) await this.branch(n, world, branch);
    else if (what < 31) {
      this.log.push(`${n}: delete ${branch}`);
      await unlessMissing(deleteBranch(world.project, 'data', branch));
    } else if (what < 40) {
      this.log.push(`${n}: run`);
      if ((await stateOf(world)).lines.get('data@master')?.length) await world.run('sizes');
    } else if (what < 43) {
      const path = `/p${this.random(4)}`;
      this.log.push(`${n}: purge ${path}`);
      await unlessMissing(purge(world.project, { repo: 'data', what: { path }, dryRun: false }));
    } else if (what < 47) {
      this.log.push(`${n}: collect`);
      await collectGarbage(world.project, { grace: 0, dryRun: false, progress: () => undefined });
    } else await this.transfer(n, world, branch);
  }

  private async branch(n: number, world: EngineWorld, branch: string): Promise<void> {
    const state = await stateOf(world);
    const line = state.lines.get(`data@${this.pick(['master', 'dev', 'exp'])}`) ?? [];
    if (line.length === 0) return;
    const { id } = this.pick(line);
    this.log.push(`${n}: branch ${branch} at ${id.slice(0, 4)}`);
    await createBranch(world.project, 'data', branch, { repo: 'data', ref: id, ancestry: [] });
  }

  private async transfer(n: number, from: EngineWorld, branch: string): Promise<void> {
    const m = (n + 1 + this.random(this.worlds.length - 1)) % this.worlds.length;
    const to = this.worlds[m] as EngineWorld;
    const isOutput = this.random(3) === 0;
    const options = {
      verb: this.pick(['push', 'pull'] as const),
      repos: [isOutput ? 'sizes' : 'data'],
      ...(!isOutput && this.random(2) === 0 && { branches: [branch] }),
      ...(isOutput && { withProvenance: this.random(2) === 0, withResults: this.random(4) > 0 }),
    };
    this.log.push(`${n} -> ${m}: ${JSON.stringify(options)}`);
    const [source, target] = [await stateOf(from), await stateOf(to)];
    const expected = expectedOf(source, target, options);
    const result = await move(from.project, to.project, options).catch((error: unknown) => {
      if (!isPachError(error, 'conflict')) throw error;
      return undefined;
    });
    await expectState(to, { isRefused: result === undefined, expected, before: target });
    if (!result) this.ends.refused += 1;
    else if (result.commits > 0 || result.branches.length > 0) this.ends.moved += 1;
    else this.ends.nothing += 1;
  }
}

/** Refused where that is expected, and then unchanged; else as expected. */
async function expectState(
  world: EngineWorld,
  of: { readonly isRefused: boolean; readonly expected: State['lines'] | undefined; readonly before: State },
): Promise<void> {
  expect({ refused: of.isRefused }).toEqual({ refused: of.expected === undefined });
  expect(idsOf((await stateOf(world)).lines)).toEqual(idsOf(of.expected ?? of.before.lines));
}

async function unlessMissing(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (!isPachError(error, 'not-found')) throw error;
  });
}

/** Read by somebody who has nothing in memory: along the index, and along the parents, which must agree. */
async function stateOf(world: EngineWorld): Promise<State> {
  const snapshot = await openTestProject(world.project.options.store).snapshot();
  const lines = new Map<string, readonly Known[]>();
  const commits: State['commits'] = new Map();
  for (const repo of ['data', 'sizes']) {
    for await (const { name, head } of snapshot.branches(repo)) {
      const line: Known[] = [];
      if (head) {
        for await (const commit of snapshot.history(head)) line.unshift(knownOf(commit));
        const parents: string[] = [];
        for await (const { id } of snapshot.ancestors(await snapshot.commitAt(head.commit))) parents.unshift(id);
        expect(line.map(({ id }) => id)).toEqual(parents);
      }
      lines.set(`${repo}@${name}`, line);
    }
    for await (const { key, refs } of snapshot.commitItems(repo)) {
      const { parent } = await snapshot.commitAt(refs[0]!);
      commits.set(`${repo}@${key.toString().split('/')[2]}`, { hash: refs[0]!.hash.toString('hex'), parent });
    }
  }
  return { lines, commits };
}

function knownOf({
  id,
  ref,
  provenance,
}: {
  id: string;
  ref: { hash: Buffer };
  provenance: readonly CommitProvenance[];
}): Known {
  return { id, hash: ref.hash.toString('hex'), from: provenance };
}

function idsOf(lines: State['lines']): Record<string, readonly string[]> {
  const sorted = [...lines].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, line]) => [name, line.map(({ id, hash }) => `${id} ${hash}`)]));
}

/** True where one line begins with all of the other. */
function begins(line: readonly Known[], start: readonly Known[]): boolean {
  return start.every(({ hash }, n) => line[n]?.hash === hash);
}

/** The branches of the target after a transfer; undefined where it is refused. */
function expectedOf(source: State, target: State, options: MoveOptions): State['lines'] | undefined {
  const [repo = ''] = options.repos ?? [];
  const names = [...source.lines.keys()].filter((name) => {
    const [of, branch = ''] = name.split('@');
    return of === repo && (options.branches?.includes(branch) ?? true);
  });
  const after = new Map(target.lines);
  let moves = 0;
  let behind = 0;
  /** True for commits that are there with another content. */
  const isOther = (of: string, { id, hash }: Pick<Known, 'id' | 'hash'>): boolean => {
    const there = target.commits.get(`${of}@${id}`)?.hash;
    return there !== undefined && there !== hash;
  };
  for (const name of names) {
    const line = source.lines.get(name) ?? [];
    const there = target.lines.get(name);
    if (there && begins(there, line)) {
      if (there.length > line.length) behind += 1;
      continue;
    }
    if (!begins(line, there ?? [])) return undefined;
    if (line.slice(there?.length ?? 0).some((commit) => isOther(repo, commit))) return undefined;
    if (repo === 'sizes' && !options.withResults) return undefined;
    moves += 1;
    after.set(name, line);
  }
  if (options.verb === 'push' && behind > 0 && (moves === 0 || names.length === 1)) return undefined;
  return options.withProvenance ? withInputs(source, target, { names, after, isOther }) : after;
}

/** What `--with-provenance` does to data@master. */
function withInputs(
  source: State,
  target: State,
  of: {
    readonly names: readonly string[];
    readonly after: Map<string, readonly Known[]>;
    readonly isOther: (of: string, commit: Pick<Known, 'id' | 'hash'>) => boolean;
  },
): State['lines'] | undefined {
  const used = of.names.flatMap((name) => source.lines.get(name) ?? []).flatMap(({ from }) => from);
  const brought = new Set<string>();
  const own = source.lines.get('data@master') ?? [];
  let newest = -1;
  for (const { commit } of used) {
    for (let id: string | undefined = commit; id !== undefined;) {
      const each = source.commits.get(`data@${id}`);
      if (!each) break;
      if (of.isOther('data', { ...each, id })) return undefined;
      if (target.commits.has(`data@${id}`) || brought.has(id)) break;
      brought.add(id);
      id = each.parent;
    }
    newest = Math.max(
      newest,
      own.findIndex(({ id }) => id === commit),
    );
  }
  const there = target.lines.get('data@master');
  if (newest < 0 || !begins(own, there ?? []) || newest + 1 <= (there?.length ?? 0)) return of.after;
  return new Map(of.after).set('data@master', own.slice(0, newest + 1));
}
