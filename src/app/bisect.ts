/**
 * bisect as the command does it: the search of `versions/reading/bisect`, with steps on this machine.
 * What it has found is written down after each step, under the text of what is asked, so that the same
 * command goes on after whatever has ended it. Commits are pinned at the start: branches may move.
 */
import { PachError } from '../base/errors.ts';
import type { Tell } from '../engine/events.ts';
import { BisectFolder, type BisectState, type BisectStep } from '../local/bisects.ts';
import type { Address } from '../model/address.ts';
import type { CommitId } from '../model/records/commit.ts';
import { lineBetween, nextInSearch, type Verdict } from '../versions/reading/bisect.ts';
import { resolveCommit } from '../versions/resolve.ts';
import type { Commit, Snapshot } from '../versions/snapshot.ts';
import { BisectPipeline, pinnedBy, type BisectPipelineRequest } from './bisect-pipeline.ts';
import { clearMounts, goOn, judge } from './bisect-step.ts';
import type { OpenProject } from './open.ts';
import type { Settings } from './settings.ts';

/** What exit codes mean, as for `git bisect run`. */
const exitSkip = 125;
const exitBadMax = 127;
/** From here on a shell says that it could not run a program. */
const notRunMin = 126;

export interface BisectRequest {
  readonly good: Address;
  readonly bad: Address;
  readonly command: readonly string[];
  /** Judges what a pipeline makes of the commits. */
  readonly pipeline: BisectPipelineRequest | undefined;
  /** Forgets what was found before. */
  readonly restart: boolean;
  readonly signal: AbortSignal;
  readonly told: BisectListener;
}

export interface BisectListener {
  /** It goes on with a search that was begun before. `moved`: its ends are not what is asked for now. */
  resumed(state: BisectState, moved: boolean): void;
  /** `left`: steps that follow, if none is skipped. */
  step(step: BisectStep, left: number): void;
  note(line: string): void;
  readonly run: Tell;
}

export interface BisectEnd {
  readonly good: Commit;
  readonly bad: Commit;
  /** Oldest first; several where skipped commits hide which one it is. */
  readonly candidates: readonly CommitId[];
  /** In the order in which they were tested. */
  readonly steps: readonly BisectStep[];
}

/** Throws `failed` where an end is not what it was said to be, or the command stops the search. */
export async function bisect(settings: Settings, opened: OpenProject, request: BisectRequest): Promise<BisectEnd> {
  const snapshot = await opened.project.snapshot();
  await using folder = await BisectFolder.open(settings.home, askedBy(opened, request));
  const { state, good, bad } = await begun(snapshot, folder, request);
  const line = await lineBetween(snapshot, good, bad);
  await folder.write(state);
  const mountpoint = await folder.mountpoint();
  await using pipeline = request.pipeline && (await openPipeline(settings, opened, { ...request.pipeline, folder }));
  const steps = new Steps({ settings, snapshot, folder, request, pipeline, mountpoint }, state);
  try {
    const candidates = await search(steps, line);
    const wrongEnd = await checkEnds(steps, { good, bad, line });
    await folder.remove();
    if (wrongEnd) throw wrongEnd;
    return { good, bad, candidates, steps: steps.done };
  } finally {
    await clearMounts(mountpoint);
    if (steps.done.length === 0) await folder.remove();
  }
}

/** All that makes it the same search. Branches are taken by name: they may have moved since it began. */
function askedBy({ storeId, project }: OpenProject, { good, bad, command, pipeline }: BisectRequest): string[] {
  const ends = [good, bad].map((address) => JSON.stringify(address));
  return [storeId, project.options.name, ...ends, pipeline?.pipeline ?? '', pipeline?.executor ?? '', ...command];
}

/** A search that was begun before, or a new one with the commits that the ends are now. */
async function begun(
  snapshot: Snapshot,
  folder: BisectFolder,
  request: BisectRequest,
): Promise<{ readonly state: BisectState; readonly good: Commit; readonly bad: Commit }> {
  const { repo } = request.bad;
  const before = request.restart ? undefined : await folder.read();
  if (before) {
    const good = await snapshot.maybeCommit(repo, before.good as CommitId);
    const bad = await snapshot.maybeCommit(repo, before.bad as CommitId);
    if (good && bad) {
      const now = await Promise.all([request.good, request.bad].map((end) => idOf(snapshot, end)));
      request.told.resumed(before, now[0] !== good.id || now[1] !== bad.id);
      return { state: before, good, bad };
    }
    request.told.note('commits of the search that was begun before are gone: it begins again');
  }
  const good = await resolveCommit(snapshot, request.good);
  const bad = await resolveCommit(snapshot, request.bad);
  const { pipeline } = request;
  const pinned = pipeline ? await pinnedBy(snapshot, pipeline.pipeline, repo) : { inputs: {}, version: null };
  return { state: { good: good.id, bad: bad.id, begun: Date.now(), ...pinned, steps: [] }, good, bad };
}

/** Undefined for what is there no more. */
async function idOf(snapshot: Snapshot, address: Address): Promise<CommitId | undefined> {
  return (await resolveCommit(snapshot, address).catch(() => undefined))?.id;
}

async function openPipeline(
  settings: Settings,
  opened: OpenProject,
  { folder, ...request }: BisectPipelineRequest & { readonly folder: BisectFolder },
): Promise<BisectPipeline> {
  const branch = `bisect-${folder.key}`;
  return BisectPipeline.open(settings, opened, { ...request, branch });
}

/** Resolves to the commits that may be the first bad one. */
async function search(steps: Steps, line: readonly CommitId[]): Promise<readonly CommitId[]> {
  for (;;) {
    const next = nextInSearch(line, steps.verdicts);
    if (next.kind === 'found') return next.candidates;
    await steps.test(next.commit, next.left - 1);
  }
}

/**
 * Where all steps gave the same, the end that none of them speaks for is tested too. Undefined when both ends
 * are what they were said to be, or can't be tested.
 */
async function checkEnds(
  steps: Steps,
  { good, bad, line }: { readonly good: Commit; readonly bad: Commit; readonly line: readonly CommitId[] },
): Promise<PachError | undefined> {
  const has = (verdict: Verdict): boolean => [good.id, ...line].some((id) => steps.verdicts.get(id) === verdict);
  if (!has('bad') && !steps.verdicts.has(bad.id)) {
    const { verdict } = await steps.test(bad.id, 0);
    if (verdict === 'good') {
      const why = 'the command succeeds there, so nothing has gone wrong on the way to it';
      return new PachError('failed', { what: `${bad.repo}@${bad.id}`, why });
    }
  }
  if (!has('good') && !steps.verdicts.has(good.id)) {
    const { verdict, exit } = await steps.test(good.id, 0);
    if (verdict === 'bad') {
      const how = exit === null ? 'the pipeline fails there too' : `the command fails there too (exit code ${exit})`;
      const next = exit !== null && exit >= notRunMin ? 'look whether the command itself can be run' : undefined;
      return new PachError('failed', { what: `${good.repo}@${good.id}`, why: `${how}, so it is not good`, next });
    }
  }
  return undefined;
}

interface StepsOf {
  readonly settings: Settings;
  readonly snapshot: Snapshot;
  readonly folder: BisectFolder;
  readonly request: BisectRequest;
  readonly pipeline: BisectPipeline | undefined;
  readonly mountpoint: string;
}

/** The steps of a search, each written down when it is done. */
class Steps {
  private readonly of: StepsOf;
  private state: BisectState;

  constructor(of: StepsOf, state: BisectState) {
    this.of = of;
    this.state = state;
  }

  get done(): readonly BisectStep[] {
    return this.state.steps;
  }

  get verdicts(): ReadonlyMap<CommitId, Verdict> {
    return new Map(this.done.map(({ commit, verdict }) => [commit as CommitId, verdict]));
  }

  async test(commit: CommitId, left: number): Promise<BisectStep> {
    const { folder, request } = this.of;
    const exit = await this.exitOf(commit);
    if (exit !== null && exit > exitBadMax) {
      const why = `the command ended with exit code ${exit}, above ${exitBadMax}, which stops the search`;
      throw new PachError('failed', { what: `${request.bad.repo}@${commit}`, why, next: goOn });
    }
    const verdict = exit === 0 ? 'good' : exit === exitSkip ? 'skipped' : 'bad';
    const step = { commit, verdict, exit } as const;
    this.state = { ...this.state, steps: [...this.done, step] };
    await folder.write(this.state);
    request.told.step(step, left);
    return step;
  }

  /** Null where a pipeline fails. */
  private async exitOf(id: CommitId): Promise<number | null> {
    const { settings, snapshot, request, pipeline, mountpoint } = this.of;
    const { signal, command, told } = request;
    let judged: { readonly repo: string; readonly commit: string } = { repo: request.bad.repo, commit: id };
    if (pipeline && request.pipeline) {
      const commit = await resolveCommit(snapshot, { ...request.bad, ref: id, time: undefined, ancestry: [] });
      const { inputs, version } = this.state;
      const output = await pipeline.outputFor(commit, { inputs, version: version ?? 0 }, { tell: told.run, signal });
      if (output === undefined) return null;
      judged = { repo: request.pipeline.pipeline, commit: output };
    }
    return judge(settings, { ...judged, mountpoint, command, signal, note: (line) => told.note(line) });
  }
}
