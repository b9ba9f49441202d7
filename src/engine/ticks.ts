/**
 * Ticks: what makes the times of schedules commits. Who calls this brings the time along, so one engine
 * does it as well as ten, and a test in no time.
 */
import { PachError } from '../base/errors.ts';
import type { CommitId } from '../model/records/commit.ts';
import { makeTicksRepos } from '../pipelines/editing/ticks-repos.ts';
import { cronInputs, dueTicks, setDone } from '../pipelines/ticks.ts';
import { findPipeline, listPipelines, pipelinesOn, type Pipeline } from '../pipelines/pipelines.ts';
import { ticksBranch } from '../pipelines/spec/cron.ts';
import type { CronInput } from '../pipelines/spec/spec.ts';
import { newCommitId, type Change } from '../versions/change.ts';
import { Directories, type Directory, type DirectoryEdit } from '../versions/directories.ts';
import type { Project } from '../versions/project.ts';
import { byEngine, type Deed } from '../versions/publish.ts';
import { rootOf, type Snapshot } from '../versions/snapshot.ts';

export interface TickOptions {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Of these pipelines alone; undefined: of all. */
  readonly only?: ReadonlySet<string> | undefined;
  /** Of pipelines as they are on this branch; undefined: of those in production. */
  readonly branch?: string | undefined;
  /** Of those that were promoted there; undefined: of those that were promoted nowhere. */
  readonly place?: string | undefined;
}

/** A tick that there is. */
export interface Tick {
  readonly pipeline: string;
  /** Of the input. */
  readonly name: string;
  readonly repo: string;
  readonly commit: CommitId;
  /** Of the file, below the root. */
  readonly file: string;
}

/** More ticks than this are made in several calls, so that who calls can do something else in between. */
const roundsMax = 25;
const tickName = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/**
 * Publishes the ticks that are due, each exactly once whoever else does the same: that they are due is
 * read from the refs that their operation replaces. Resolves to when the next one is due, which is not
 * after `now` where there are more; undefined: never.
 */
export async function tick(project: Project, options: TickOptions): Promise<number | undefined> {
  for (let round = 0; ; round += 1) {
    const { ready, next } = await readyTicks(await project.snapshot(), options);
    const [first, ...more] = ready;
    if (!first) return next;
    if (round === roundsMax) return options.now;
    const what = `tick of ${first.pipeline.name}${more.length > 0 ? ` and ${more.length} more` : ''}`;
    await project.update(byEngine(what), async (change) => {
      for (const each of (await readyTicks(change.snapshot, options)).ready) {
        await commitTick(change, each, each.time);
        await setDone(change, each.pipeline, each.input, each.time);
      }
    });
  }
}

/** Ticks all cron inputs of a pipeline now, whatever their schedules say. Throws `not-found`, `conflict` for one that is stopped, `usage` for one without such inputs. */
export async function tickNow(project: Project, name: string, now: number): Promise<Tick[]> {
  const deed: Deed = { what: `run cron ${name}` };
  return project.update(deed, async (change) => {
    const pipeline = await findPipeline(change.snapshot, name);
    const what = `pipeline ${name}`;
    if (pipeline.stopped) {
      throw new PachError('conflict', { what, why: 'it is stopped', next: `pach start pipeline ${name}` });
    }
    const inputs = cronInputs(pipeline.spec);
    if (inputs.length === 0)
      throw new PachError('usage', { what, why: 'it has no cron input', next: 'pach list cron' });
    const ticks: Tick[] = [];
    for (const input of inputs) ticks.push(await commitTick(change, { pipeline, input }, now));
    return ticks;
  });
}

interface Ready {
  readonly pipeline: Pipeline;
  readonly input: CronInput;
  readonly time: number;
}

/** The next tick of each repo that has one due. Two in one repo are two operations. */
async function readyTicks(
  snapshot: Snapshot,
  { now, only, branch, place }: TickOptions,
): Promise<{ readonly ready: readonly Ready[]; readonly next: number | undefined }> {
  const ready = new Map<string, Ready>();
  let next: number | undefined;
  const production = await listPipelines(snapshot);
  const pipelines = branch === undefined ? production : await pipelinesOn(snapshot, branch);
  // An experiment reads the ticks that there are: only for what production does not tick it makes some.
  const others = branch === undefined ? [] : production.flatMap(({ spec }) => cronInputs(spec));
  for (const pipeline of pipelines) {
    if (pipeline.stopped || pipeline.place !== place || (only && !only.has(pipeline.name))) continue;
    for (const input of cronInputs(pipeline.spec)) {
      if (others.some(({ repo }) => repo === input.repo)) continue;
      const due = await dueTicks(snapshot, pipeline, input, now);
      if (due.next !== undefined) next = Math.min(next ?? due.next, due.next);
      if (due.time !== undefined && !ready.has(input.repo)) {
        ready.set(input.repo, { pipeline, input, time: due.time });
      }
    }
  }
  return { ready: [...ready.values()], next };
}

/** Commits the file of a time. Where it is there already, its commit is the branch's head. */
async function commitTick(change: Change, { pipeline, input }: Omit<Ready, 'time'>, time: number): Promise<Tick> {
  const { repo, cron } = input;
  await makeTicksRepos(change, pipeline.spec, Date.now());
  const file = `${new Date(time).toISOString().slice(0, 19)}Z`;
  const directories = new Directories(change.snapshot.reader, change.upload.nodes);
  const head = (await change.maybeBranch(repo, ticksBranch))?.head;
  const base = head && rootOf(await change.snapshot.commitAt(head.commit));
  const { keptTicks } = pipeline.spec;
  const before = cron.overwrite ? undefined : base;
  const added: DirectoryEdit = {
    name: Buffer.from(file),
    kind: 'file',
    executable: false,
    mtimeSeconds: Math.floor(time / 1000),
    mtimeNanoseconds: 0,
    content: { form: 'inline', bytes: Buffer.alloc(0) },
  };
  const all = await directories.apply(before, [added]);
  const tree = keptTicks === undefined ? all : await directories.apply(all, await oldest(directories, all, keptTicks));
  const told = { pipeline: pipeline.name, name: input.name, repo, file: `/${file}` };
  if (head && base?.ref.hash.equals(tree.ref.hash)) return { ...told, commit: head.id };
  const { id } = await change.commit({
    id: newCommitId(),
    repo,
    branch: ticksBranch,
    tree,
    message: `tick of ${pipeline.name}`,
    started: Date.now(),
  });
  return { ...told, commit: id };
}

/** Edits that take all ticks out of a folder but the newest ones. What is not named by a time is none. */
async function oldest(directories: Directories, folder: Directory, kept: number): Promise<DirectoryEdit[]> {
  const names: Buffer[] = [];
  for await (const { name } of directories.reader(folder).items()) if (tickName.test(name.toString())) names.push(name);
  return names.slice(0, -kept).map((name) => ({ name }));
}
