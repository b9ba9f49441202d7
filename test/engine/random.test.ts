/**
 * Random changes of inputs, specs and results; after every job its output is what a function of all
 * its datums gives, worked out from the beginning, and no datum ran that had a result.
 */
import assert from 'node:assert/strict';
import { expect, test } from 'vitest';
import { maybeFailed } from '../../src/pipelines/jobs/beside.ts';
import { datumsOf, type Job } from '../../src/pipelines/jobs/jobs.ts';
import { restartDatum } from '../../src/engine/restart.ts';
import { numbers, oneOf } from '../support/numbers.ts';
import { EngineWorld, type Command, type Output, type Tree } from './world.ts';

/** The same ones each time, so that nobody's change fails for another's: SEED and SEQUENCES give others. */
const seedOfRun = Number(process.env['SEED'] ?? 1);
const sequences = Number(process.env['SEQUENCES'] ?? 6);
const stepsMax = 50;

const contents = ['1', '2', '3', '4', '5', 'fail', 'dir:x', 'dir:x/y', 'file:x', 'file:x/y', 'file:z'];
const paths = ['a', 'b', 'c', 'd/a', 'd/b', 'e/a'];
const globs = ['/', '/*', '/*/*', '/{a,d}', '/d'];
const kinds = ['pfs', 'union', 'cross'] as const;

interface Spec {
  readonly kind: (typeof kinds)[number];
  readonly glob: string;
  readonly variant: string;
  /** A job succeeds without datums that fail. */
  readonly skip: boolean;
}

/** A file named after all that was seen, and what the contents ask for. */
const command: Command = (seen, [, variant = '']) => {
  const out: Record<string, string | true> = {};
  const all = Object.entries(seen).toSorted(([a], [b]) => (a < b ? -1 : 1));
  out[`of/${all.map(([path]) => path.replaceAll('/', '_')).join('+') || 'nothing'}`] =
    variant + all.map(([, text]) => text).join();
  for (const [, text] of all) {
    if (text === 'fail' && variant !== 'v0') return { ending: { kind: 'exit', code: 1 } };
    const [what, path] = String(text).split(':');
    // Nobody can write below what is a file.
    if (path !== undefined && !blocked(out, path, what !== 'dir')) out[path] = what === 'dir' ? true : variant;
  }
  return { out };
};

/** True when a file is in the way of a path, or something below it in the way of a file. */
function blocked(out: Readonly<Record<string, string | true>>, path: string, isFile: boolean): boolean {
  return Object.entries(out).some(([other, text]) => {
    return (text !== true && `${path}/`.startsWith(`${other}/`)) || (isFile && `${other}/`.startsWith(`${path}/`));
  });
}

/** What a datum sees, and the paths that make it one. */
interface Expected {
  readonly at: readonly string[];
  readonly seen: Tree;
}

/** What a glob's matches are, each with its files. */
function matches(tree: Tree, input: string, glob: string): Expected[] {
  const groups = new Map<string, Record<string, string | true>>();
  for (const [path, text] of Object.entries(tree)) {
    const [first = '', second] = path.split('/');
    let name: string | undefined = '';
    if (glob === '/*') name = first;
    else if (glob === '/*/*') name = second === undefined ? undefined : path;
    else if (glob === '/{a,d}') name = ['a', 'd'].includes(first) ? first : undefined;
    else if (glob === '/d') name = first === 'd' ? first : undefined;
    if (name === undefined) continue;
    const group = groups.get(name) ?? {};
    group[`${input}/${path}`] = text;
    groups.set(name, group);
  }
  // The whole of a version is there without a file too.
  if (glob === '/' && groups.size === 0) groups.set('', {});
  return [...groups].map(([name, seen]) => ({ at: [`${input}/${name}`], seen }));
}

function datumsIn({ kind, glob }: Spec, data: Tree | undefined, more: Tree | undefined): Expected[] {
  const left = data ? matches(data, 'data', glob) : [];
  const right = more ? matches(more, 'more', '/*') : [];
  if (kind === 'pfs') return left;
  if (kind === 'union') return [...left, ...right];
  return left.flatMap((a) => right.map((b) => ({ at: [...a.at, ...b.at], seen: { ...a.seen, ...b.seen } })));
}

const sorted = (seen: Tree): string => JSON.stringify(Object.entries(seen).toSorted(([a], [b]) => (a < b ? -1 : 1)));

/** All outputs together, with folders that have nothing in them; undefined where two want the same file, or one a folder there. */
function unionOf(outputs: readonly Tree[]): Tree | undefined {
  const all: Record<string, string | true> = {};
  for (const output of outputs) {
    for (const [path, text] of Object.entries(output)) {
      if (path in all && (text !== true || all[path] !== true)) return undefined;
      all[path] = text;
    }
  }
  const hasBelow = (path: string): boolean => Object.keys(all).some((other) => other.startsWith(`${path}/`));
  if (Object.entries(all).some(([path, text]) => text !== true && hasBelow(path))) return undefined;
  return Object.fromEntries(Object.entries(all).filter(([path, text]) => text !== true || !hasBelow(path)));
}

function inputOf({ kind, glob }: Spec): object {
  const data = { pfs: { repo: 'data', glob } };
  return kind === 'pfs' ? data : { [kind]: [data, { pfs: { repo: 'more', glob: '/*' } }] };
}

class Sequence {
  readonly world: EngineWorld;
  private readonly next: () => number;
  private readonly trees: { data: Tree | undefined; more: Tree | undefined } = { data: undefined, more: undefined };
  private spec: Spec = { kind: 'pfs', glob: '/*', variant: 'v0', skip: false };
  private salt = 0;
  /** Keys that have results. */
  private readonly known = new Set<string>();
  /** Keys of the last good job of each branch. */
  private readonly bases = new Map<string, ReadonlySet<string>>();
  private last: { readonly job: Job; readonly state: string } | undefined;
  readonly counts = { jobs: 0, failures: 0, conflicts: 0, ran: 0, skipped: 0, restarts: 0, incomplete: 0 };

  constructor(world: EngineWorld, next: () => number) {
    this.world = world;
    this.next = next;
  }

  async begin(): Promise<void> {
    for (const repo of ['data', 'more'] as const) {
      const tree = repo === 'data' ? { a: '1', b: '2', 'd/a': '3', 'd/b': '4' } : { a: '1', b: '5' };
      await this.world.commit(repo, tree);
      this.trees[repo] = tree;
    }
    await this.setSpec(false);
  }

  async step(): Promise<void> {
    const { next, world, trees } = this;
    const chance = next();
    if (chance < 0.35) {
      const repo = next() < 0.7 ? 'data' : 'more';
      const tree = { ...trees[repo] };
      const path = oneOf(next, paths);
      if (next() < 0.35) delete tree[path];
      else tree[path] = oneOf(next, next() < 0.35 ? contents.slice(0, 5) : contents);
      await world.commit(repo, tree);
      trees[repo] = tree;
    } else if (chance < 0.5) await this.setSpec(false);
    else if (chance < 0.53) await this.setSpec(true);
    else if (chance < 0.6) await this.restart();
    else await this.run(next() < 0.8 ? 'master' : 'exp');
  }

  async setSpec(reprocess: boolean): Promise<void> {
    const { next } = this;
    if (reprocess) this.salt += 1;
    else {
      const variant = next() < 0.5 ? this.spec.variant : oneOf(next, ['v0', 'v1', 'v2']);
      this.spec = { kind: oneOf(next, kinds), glob: oneOf(next, globs), variant, skip: next() < 0.5 };
    }
    const dev = { on_datum_failure: this.spec.skip ? 'skip' : 'fail' };
    await this.world.set({ name: 'p', cmd: ['f', this.spec.variant], input: inputOf(this.spec), dev }, reprocess);
  }

  private keyOf({ at, seen }: Expected): string {
    return `${this.salt} ${this.spec.variant} ${at.join()} ${sorted(seen)}`;
  }

  private async restart(): Promise<void> {
    const job = this.last?.job;
    if (!job || this.last?.state !== this.state()) return;
    const all = datumsIn(this.spec, this.trees.data, this.trees.more);
    for await (const datum of datumsOf(this.world.project.reader, job)) {
      if (this.next() < 0.5) continue;
      const at = datum.files.map(({ input, path }) => `${['data', 'more'][input]}${path}`).join();
      const own = all.find((each) => each.at.join() === at);
      if (!own) throw new Error(`no datum was expected at ${at}`);
      await restartDatum(this.world.project, job, datum);
      const key = this.keyOf(own);
      this.known.delete(key);
      const base = new Set(this.bases.get(job.branch));
      base.delete(key);
      this.bases.set(job.branch, base);
      this.counts.restarts += 1;
      return;
    }
  }

  private state(): string {
    return JSON.stringify([this.trees, this.spec, this.salt]);
  }

  async run(branch: string): Promise<void> {
    const { world, counts, known } = this;
    const headBefore = (await (await world.project.snapshot()).maybeBranch('p', branch))?.head?.id;
    const all = datumsIn(this.spec, this.trees.data, this.trees.more);
    const wanted = all.filter((each) => !known.has(this.keyOf(each)));
    const outputs = all.map(({ seen }) => command(seen, ['f', this.spec.variant], undefined as never) as Output);
    const failed = outputs.filter(({ ending }) => ending).length;
    const union = unionOf(outputs.flatMap(({ out }) => (out ? [out] : [])));
    world.executor.ran.length = 0;
    const { job, result } = await world.run('p', { branch, workers: 1 + Math.floor(this.next() * 3) });
    counts.jobs += 1;
    const bySeen = new Map(all.map((each) => [sorted(each.seen), this.keyOf(each)]));
    const ran = world.executor.ran.map((seen) => bySeen.get(sorted(seen)));
    assert.equal(new Set(ran).size, ran.length);
    const mayRun = new Set(wanted.map((each) => this.keyOf(each)));
    for (const key of ran) assert.ok(mayRun.has(key as string), `${key} has a result, and ran`);
    // What an engine takes over from a branch's last job needs no result of its own.
    for (const key of mayRun) assert.ok(ran.includes(key) || this.bases.get(branch)?.has(key), `${key} did not run`);
    assert.deepEqual(job.counts, {
      total: all.length,
      processed: ran.length - failed,
      skipped: all.length - ran.length,
      failed,
      recovered: 0,
    });
    all.forEach((each, index) => {
      if (!outputs[index]?.ending && ran.includes(this.keyOf(each))) known.add(this.keyOf(each));
    });
    counts.ran += ran.length;
    counts.skipped += job.counts.skipped;
    const head = (await (await world.project.snapshot()).maybeBranch('p', branch))?.head?.id;
    const isIncomplete = failed > 0 && this.spec.skip && failed < all.length;
    if ((failed > 0 && !isIncomplete) || !union) {
      assert.equal(job.state, 'failure');
      assert.match(job.reason, union ? /of \d+ datums failed/ : /both written it/);
      assert.equal(head, headBefore);
      if (union) counts.failures += 1;
      else counts.conflicts += 1;
    } else {
      assert.equal(job.state, 'success', job.reason);
      assert.deepEqual(await world.files('p', branch), union);
      assert.equal(head, result?.after?.id);
      const without = all.filter((_, index) => outputs[index]?.ending);
      assert.deepEqual(
        await this.leftOut(branch),
        isIncomplete ? without.map(({ at }) => at.join()).sort() : undefined,
      );
      if (isIncomplete) counts.incomplete += 1;
      const done = all.filter((each) => !without.includes(each));
      this.bases.set(branch, new Set(done.map((each) => this.keyOf(each))));
      this.last = { job, state: this.state() };
      if (this.next() < 0.3) await this.again(branch, all.length, failed);
    }
    assert.equal(world.executor.workers, 0);
  }

  /** The datums that a branch's head was made without, by their paths; undefined for one that is whole. */
  private async leftOut(branch: string): Promise<string[] | undefined> {
    const { project } = this.world;
    const snapshot = await project.snapshot();
    const head = (await snapshot.maybeBranch('p', branch))?.head;
    const commit = head && (await snapshot.commitAt(head.commit));
    const datums = commit && (await maybeFailed(snapshot, commit));
    assert.equal(datums !== undefined, commit?.incomplete ?? false);
    if (!datums) return undefined;
    const found: string[] = [];
    for await (const { files, outcome } of datumsOf(project.reader, { datums })) {
      assert.equal(outcome.state, 'failed');
      found.push(files.map(({ input, path }) => `${['data', 'more'][input]}${path}`).join());
    }
    return found.sort();
  }

  /** The same once more: the same commit, and nothing is computed. */
  private async again(branch: string, total: number, failed: number): Promise<void> {
    const head = (await (await this.world.project.snapshot()).maybeBranch('p', branch))?.head?.id;
    const { job } = await this.world.run('p', { branch });
    assert.equal(job.output, head);
    assert.deepEqual(job.counts, { total, processed: 0, skipped: total - failed, failed, recovered: 0 });
  }
}

test('outputs are those of all datums, whatever happened before', { timeout: 600_000 }, async () => {
  for (let n = 0; n < sequences; n += 1) {
    const seed = seedOfRun + n;
    await using world = await EngineWorld.make(command);
    const sequence = new Sequence(world, numbers(seed));
    try {
      await sequence.begin();
      for (let step = 0; step < stepsMax; step += 1) await sequence.step();
      expect(sequence.counts.jobs).toBeGreaterThan(5);
    } finally {
      console.log(`SEED=${seed} ${JSON.stringify(sequence.counts)}`);
    }
  }
});
