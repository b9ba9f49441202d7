/**
 * Lineage of random graphs of pipelines is what a look at all jobs, datums and rows gives, whatever
 * happened: joins, groups, failed datums, branches, older programs, collections, purges, deleted repos.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { textOfName } from '../../src/model/paths.ts';
import { deletePipeline } from '../../src/pipelines/editing/edit-pipelines.ts';
import { datumsOf, maybeJob, notEntered, rowsOf, usedCommits, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { writtenPaths } from '../../src/pipelines/jobs/paths.ts';
import type { Thing } from '../../src/pipelines/lineage/edges.ts';
import { lineageOf } from '../../src/pipelines/lineage/lineage.ts';
import { covers } from '../../src/versions/provenance.ts';
import { jobTimeKey, usedKey } from '../../src/versions/ref-keys.ts';
import { deleteRepo } from '../../src/versions/refs.ts';
import type { Commit, Snapshot } from '../../src/versions/snapshot.ts';
import { purge } from '../../src/versions/upkeep/purge.ts';
import { EngineWorld, type Command, type Tree } from '../engine/world.ts';
import { numbers, oneOf } from '../support/numbers.ts';
import { check, collect, errors } from '../versions/fsck-store.ts';

/** The same ones each time: SEED and SEQUENCES give others. */
const seedOfRun = Number(process.env['SEED'] ?? 1);
const sequences = Number(process.env['SEQUENCES'] ?? 3);
const stepsMax = 16;

const paths = ['a-1', 'a-2', 'b-1', 'c-3', 'd/a-1', 'd/b-2'];
const sources = ['data', 'more'];
const pipelines = ['p', 'q', 'r', 's'];

/** A file named after all that was seen, and one in a folder; contents that say so fail. */
const command =
  (saw: Map<string, readonly string[]>): Command =>
  (seen, [, name = '']) => {
    if (Object.values(seen).includes('fail')) return { ending: { kind: 'exit', code: 1 } };
    const all = Object.keys(seen).toSorted();
    const digest = createHash('sha256')
      .update(JSON.stringify([name, seen]))
      .digest('hex')
      .slice(0, 8);
    saw.set(digest, all);
    const digit = Number.parseInt(digest.slice(0, 1), 16);
    return { out: { [`${'abc'[digit % 3]}-${digest}`]: digest, ...(digit < 8 && { [`d/a-${digest}`]: 'x' }) } };
  };

/** An edge, and whether it is between commits or between paths. */
interface Flat {
  readonly from: Thing;
  readonly to: Thing;
  readonly job: string;
  readonly datum?: string;
}

interface Flats {
  readonly commits: ReadonlyMap<string, { readonly commit: Commit; readonly job: Job | undefined }>;
  readonly betweenCommits: readonly Flat[];
  readonly betweenPaths: readonly Flat[];
}

const whole = (path: string | undefined): string | undefined => (path === '/' ? undefined : path);
const thingOf = (repo: string, commit: string, path?: string): Thing => {
  const kept = whole(path);
  return { repo, commit, ...(kept !== undefined && { path: kept }) };
};
const keyOf = ({ repo, commit, path }: Thing): string => JSON.stringify([repo, commit, path ?? null]);

/** All edges that there are, by reading all. */
async function flatten(snapshot: Snapshot): Promise<Flats> {
  const { reader } = snapshot;
  const commits = new Map<string, { commit: Commit; job: Job | undefined }>();
  const betweenCommits: Flat[] = [];
  const betweenPaths: Flat[] = [];
  for await (const { name: repo } of snapshot.repos()) {
    for await (const { refs } of snapshot.commitItems(repo)) {
      const commit = await snapshot.commitAt(refs[0] as Commit['ref']);
      const found = await maybeJob(snapshot, commit.id);
      const job = found?.output === commit.id ? found : undefined;
      commits.set(`${repo}@${commit.id}`, { commit, job });
      const to = thingOf(repo, commit.id);
      for (const from of commit.provenance) {
        betweenCommits.push({ from: thingOf(from.repo, from.commit), to, job: commit.id });
      }
      if (!job) continue;
      for await (const datum of datumsOf(reader, job)) {
        for await (const path of writtenPaths(reader, datum)) {
          for (const row of await rowsOf(reader, datum)) {
            const input = job.inputs[row.input] as Job['inputs'][number];
            const from = thingOf(input.repo, input.commit, row.path);
            const made = thingOf(repo, commit.id, textOfName(path));
            betweenPaths.push({ from, to: made, job: datum.outcome.job, datum: datum.id });
          }
        }
      }
    }
  }
  return { commits, betweenCommits, betweenPaths };
}

/** The lineage of a thing, as it is defined. */
function expected(flats: Flats, start: Thing, { down, depth }: { down: boolean; depth: number }): Set<string> {
  const edges = new Set<string>();
  const seen = new Set([keyOf(start)]);
  let level = [start];
  for (let step = 0; step < depth; step += 1) {
    const next: Thing[] = [];
    for (const at of level) {
      const made = flats.commits.get(`${at.repo}@${at.commit}`);
      if (!down && !made) continue;
      const isNear = (thing: Thing): boolean => thing.repo === at.repo && thing.commit === at.commit;
      // Paths are known where the job that made the result has its datums.
      const byPaths = (to: Thing): boolean => {
        return at.path !== undefined && flats.commits.get(`${to.repo}@${to.commit}`)?.job?.datums !== undefined;
      };
      const found = [
        ...flats.betweenCommits.filter(({ from, to }) => isNear(down ? from : to) && !byPaths(to)),
        ...flats.betweenPaths.filter(({ from, to }) => {
          if (!isNear(down ? from : to) || !byPaths(to)) return false;
          const [own = '/', path = '/'] = [(down ? from : to).path, at.path];
          return covers(path, own) || (down && covers(own, path));
        }),
      ];
      for (const edge of found) {
        edges.add(JSON.stringify([edge.from, edge.to, edge.job, edge.datum]));
        const far = down ? edge.to : edge.from;
        if (seen.has(keyOf(far))) continue;
        seen.add(keyOf(far));
        next.push(far);
      }
    }
    level = next;
  }
  return edges;
}

async function asked(
  snapshot: Snapshot,
  start: Thing,
  { down, depth }: { down: boolean; depth: number },
): Promise<Set<string>> {
  const found: string[] = [];
  const { signal } = new AbortController();
  for await (const edge of lineageOf(snapshot, start, { down, depth, signal, note: () => undefined })) {
    const { from, to, kind, job, datum } = edge;
    assert.equal(kind, 'computed');
    found.push(JSON.stringify([from, to, job, datum]));
  }
  // Each is given once.
  assert.equal(new Set(found).size, found.length);
  return new Set(found);
}

class Sequence {
  private readonly world: EngineWorld;
  private readonly next: () => number;
  private readonly saw: ReadonlyMap<string, readonly string[]>;
  private readonly trees: Record<string, Tree> = {};
  private made: string[] = [];
  readonly counts = { jobs: 0, old: 0, purges: 0, asked: 0, edges: 0 };

  constructor(world: EngineWorld, next: () => number, saw: ReadonlyMap<string, readonly string[]>) {
    this.world = world;
    this.next = next;
    this.saw = saw;
  }

  async begin(): Promise<void> {
    for (const repo of sources) await this.put(repo);
    for (const name of pipelines) await this.setPipeline(name);
  }

  async step(): Promise<void> {
    const { next, world } = this;
    const chance = next();
    if (chance < 0.3) await this.put(oneOf(next, sources));
    else if (chance < 0.4) await this.setPipeline(oneOf(next, this.made));
    else if (chance < 0.45) await collect(world.project, 0);
    else if (chance < 0.5) await this.purge();
    else await this.run();
    if (next() < 0.4) await this.compare();
  }

  private async put(repo: string): Promise<void> {
    const { next } = this;
    const tree: Record<string, string | true> = { ...this.trees[repo] };
    for (const path of paths) if (next() < 0.4) tree[path] = next() < 0.08 ? 'fail' : String(Math.floor(next() * 50));
    if (next() < 0.5) delete tree[oneOf(next, paths)];
    this.trees[repo] = tree;
    await this.world.commit(repo, tree);
  }

  /** Of sources and of pipelines before it. */
  private async setPipeline(name: string): Promise<void> {
    const { next } = this;
    const before = [...sources, ...pipelines.slice(0, pipelines.indexOf(name))];
    const pfs = (more: object = {}): object => {
      return { pfs: { repo: oneOf(next, before), glob: oneOf(next, ['/', '/*', '/*/*']), ...more } };
    };
    const of = { glob: '/(*)-(*)' };
    const input = oneOf<() => object>(next, [
      () => pfs(),
      () => ({ cross: [pfs({ name: 'x' }), pfs({ name: 'y' })] }),
      () => ({ union: [pfs({ name: 'x' }), pfs({ name: 'y' })] }),
      () => ({ join: [pfs({ name: 'x', ...of, join_on: '$1' }), pfs({ name: 'y', ...of, join_on: '$1' })] }),
      () => ({ group: [pfs({ name: 'x', ...of, group_by: '$1' }), pfs({ name: 'y', ...of, group_by: '$1' })] }),
    ])();
    await this.world.set({ name, cmd: ['f', name], input });
    if (!this.made.includes(name)) this.made.push(name);
  }

  private async run(): Promise<void> {
    const { next, world } = this;
    const branch = next() < 0.8 ? 'master' : 'exp';
    for await (const { job } of world.graph(oneOf(next, this.made), { branch })) {
      this.counts.jobs += 1;
      if (job && next() < 0.25) await this.makeOld(job.id);
    }
  }

  /** As if an older program had run the job. */
  private async makeOld(id: string): Promise<void> {
    const { project } = this.world;
    await project.update('old', async (change) => {
      const job = (await maybeJob(change.snapshot, id)) as Job;
      change.set({ key: jobTimeKey(job), value: Buffer.alloc(0), refs: [] });
      if (job.output !== job.id) return;
      for (const from of usedCommits(job)) change.delete(usedKey(from, { repo: job.pipeline, commit: job.id }));
    });
    const job = (await maybeJob(await project.snapshot(), id)) as Job;
    const old: string[] = [];
    for await (const each of notEntered(await project.snapshot(), job.pipeline, job.branch)) old.push(each.id);
    assert.ok(old.includes(id));
    this.counts.old += 1;
  }

  private async purge(): Promise<void> {
    const repo = oneOf(this.next, sources);
    const [path] = Object.keys(this.trees[repo] ?? {});
    if (path === undefined) return;
    await purge(this.world.project, { repo, what: { path: `/${path}` }, dryRun: false });
    const { [path]: _, ...rest } = this.trees[repo] ?? {};
    this.trees[repo] = rest;
    this.counts.purges += 1;
  }

  /** What is asked and what there is, of commits and of paths, in both directions. */
  async compare(): Promise<void> {
    const { next } = this;
    const snapshot = await this.world.project.snapshot();
    const flats = await flatten(snapshot);
    const things = [
      ...[...flats.commits.values()].map(({ commit: { repo, id } }) => thingOf(repo, id)),
      ...flats.betweenPaths.flatMap(({ from, to }) => [from, to]),
      ...flats.betweenPaths.map(({ to }) => ({ ...to, path: oneOf(next, ['/', '/d']) })),
    ];
    for (let n = 0; n < 12 && things.length > 0; n += 1) {
      const start = oneOf(next, things);
      for (const down of [true, false]) {
        const how = { down, depth: next() < 0.7 ? 100 : 1 + Math.floor(next() * 2) };
        const found = await asked(snapshot, start, how);
        assert.deepEqual({ start, how, found }, { start, how, found: expected(flats, start, how) });
        this.counts.asked += 1;
        this.counts.edges += found.size;
      }
    }
    await this.checkRows(flats);
  }

  /** The rows of a file are what its command saw. */
  private async checkRows({ commits, betweenPaths }: Flats): Promise<void> {
    const { next, world } = this;
    const files = betweenPaths.filter(({ to }) => this.saw.has((to.path ?? '').slice(-8)));
    if (files.length === 0) return;
    const { to } = oneOf(next, files);
    const read = new Set<string>();
    for (const { from } of betweenPaths.filter((each) => keyOf(each.to) === keyOf(to))) {
      const commit = commits.get(`${from.repo}@${from.commit}`)?.commit;
      if (!commit) return;
      const { ref, tree, ...record } = commit;
      void ref;
      const all = await world.filesOf({ form: 'directory', ref: tree, ...record });
      for (const path of Object.keys(all)) if (covers(from.path ?? '/', `/${path}`)) read.add(path);
    }
    const saw = new Set(this.saw.get((to.path ?? '').slice(-8))?.map((path) => path.slice(path.indexOf('/') + 1)));
    assert.deepEqual(read, saw);
  }

  /** Deletes what others were computed from. */
  async end(): Promise<void> {
    const { world } = this;
    await this.compare();
    await deletePipeline(world.project, 'p', { force: true, keepRepo: this.next() < 0.5 });
    await deleteRepo(world.project, 'more', { force: true });
    await this.compare();
    assert.deepEqual(errors(await check(world.store, 1)), []);
  }
}

test('lineage is what a look at all of it gives', { timeout: 600_000 }, async () => {
  for (let n = 0; n < sequences; n += 1) {
    const seed = seedOfRun + n;
    const saw = new Map<string, readonly string[]>();
    await using world = await EngineWorld.make(command(saw));
    const sequence = new Sequence(world, numbers(seed), saw);
    try {
      await sequence.begin();
      for (let step = 0; step < stepsMax; step += 1) await sequence.step();
      await sequence.end();
      expect(sequence.counts.edges).toBeGreaterThan(20);
    } finally {
      console.log(`SEED=${seed} ${JSON.stringify(sequence.counts)}`);
    }
  }
});
