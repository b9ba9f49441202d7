/**
 * What a promotion brings along where pods can't reach the store in use: the versions that the pipelines read,
 * with what those were made of, and results, so that nothing is computed again. Outputs are not brought: they
 * are made there, of the results.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { listContexts } from '../local/config.ts';
import { graphOf } from '../pipelines/spec/graph.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { Check } from '../shown/promotion.ts';
import { isS3 } from '../store/s3/url.ts';
import { planTransfer, type Wanted } from '../transfer/plan.ts';
import { notForward } from '../transfer/refusal.ts';
import { maybeRemote, rememberRemote } from '../transfer/remotes.ts';
import { transfer, type TransferRequest } from '../transfer/transfer.ts';
import type { BranchName } from '../versions/edit.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { hiddenFromPods, type ClusterChoice } from './cluster.ts';
import { openProject, type OpenProject } from './open.ts';
import { settingsFor } from './other-store.ts';
import { lookAt } from './promotion-checks.ts';
import type { Settings } from './settings.ts';

/** The store in use, and one that pods reach. */
export interface Bringing {
  /** Of the other store; undefined: nothing says which one that is. */
  readonly target: Settings | undefined;
  /** What a user is told of it, a row for each branch that is to move. */
  readonly checks: readonly Check[];
  /** Why the store in use does not do. */
  readonly problem: PachError;
}

export interface BringRequest {
  readonly specs: readonly PipelineSpec[];
  readonly choice: ClusterChoice;
  /** Of the kubeconfig: the one that the promotion is to. */
  readonly context: string;
  /** It is to be done, not only told. */
  readonly push: boolean;
}

/** Undefined where pods reach the store in use. Changes nothing. */
export async function bringingOf(
  settings: Settings,
  opened: OpenProject,
  { specs, choice, context, push }: BringRequest,
): Promise<Bringing | undefined> {
  const { storeUrl } = settings;
  const hidden = choice.storeInCluster === undefined ? await hiddenFromPods(storeUrl) : undefined;
  if (hidden === undefined) return undefined;
  const source = await opened.project.snapshot();
  const branches = await branchesRead(source, specs);
  const url = await targetOf(settings, source, { branches, context });
  const why = `it is ${hidden}, and pods of a cluster can't reach it`;
  const next =
    url === undefined
      ? `pach context create NAME --store s3://BUCKET/PREFIX --kube-context ${shellWord(context)}`
      : `add --push, which brings to ${url} what is needed`;
  const problem = new PachError('usage', { what: `store ${storeUrl}`, why, next });
  const target = url === undefined ? undefined : settingsFor(settings, url);
  const checks = await rowsOf(source, target, { branches, specs, isBrought: push && target !== undefined });
  return { target, checks, problem };
}

/** Brings what is needed to the other store, which is made where there is none. */
export async function bring(
  opened: OpenProject,
  target: Settings,
  specs: readonly PipelineSpec[],
  watch: Pick<TransferRequest, 'signal' | 'progress'>,
): Promise<void> {
  await using other = await openProject(target, { create: true });
  if (!(await other.project.exists())) await other.project.create();
  const source = await opened.project.snapshot();
  const all = wantedOf(await branchesRead(source, specs), specs);
  const { moves, repos } = await planTransfer(source, await other.project.snapshot(), all);
  // Of others the target has as much, or more.
  const branches = all.branches.filter(({ repo, branch }) =>
    moves.some((move) => move.repo === repo && move.branch === branch),
  );
  const moved = [...new Set([...branches.map(({ repo }) => repo), ...repos.map(({ name }) => name)])];
  await transfer({
    ...watch,
    verb: 'push',
    what: `push what ${specs.map(({ name }) => name).join(', ')} takes`,
    source: { project: opened.project, snapshot: source },
    target: other.project,
    wanted: { ...all, repos: moved, branches },
    url: target.storeUrl,
  });
  const { name: project } = other.project.options;
  for (const repo of moved) {
    await rememberRemote(opened.project, source, { repo, url: target.storeUrl, project, storeId: other.storeId });
  }
}

/** The branches that the graph reads and does not make. */
async function branchesRead(source: Snapshot, specs: readonly PipelineSpec[]): Promise<BranchName[]> {
  const { order } = graphOf(specs);
  const made = new Set(order.map(({ name }) => name));
  const read = new Map<string, BranchName>();
  for (const { input } of order) {
    for (const { repo, branch, cron } of pfsInputs(input)) {
      if (cron || made.has(repo) || !(await source.maybeBranch(repo, branch))) continue;
      read.set(`${repo}@${branch}`, { repo, branch });
    }
  }
  return [...read.values()];
}

function wantedOf(branches: readonly BranchName[], specs: readonly PipelineSpec[]): Wanted {
  const repos = [...new Set(branches.map(({ repo }) => repo))];
  const resultsOf = specs.map(({ name }) => name);
  return { repos, branches, withProvenance: true, withResults: false, resultsOf };
}

/** The store that the cluster's context says, or the one where all that is read was pushed before. */
async function targetOf(
  { home, storeUrl, chosen = [] }: Settings,
  source: Snapshot,
  { branches, context }: { readonly branches: readonly BranchName[]; readonly context: string },
): Promise<string | undefined> {
  const inUse = chosen.find(({ name }) => name === 'context')?.value;
  const all = (await listContexts(home)).filter(({ store }) => store !== storeUrl && isS3(store));
  const named = all.find(({ name }) => name === inUse);
  if (named) return named.store;
  const stores = new Set(all.flatMap(({ kubernetes, store }) => (kubernetes?.context === context ? [store] : [])));
  const remotes = await Promise.all(branches.map(({ repo }) => maybeRemote(source, repo)));
  if (stores.size === 0) for (const remote of remotes) if (remote) stores.add(remote.url);
  const [only, second] = stores;
  return second === undefined && only !== undefined && (await hiddenFromPods(only)) === undefined ? only : undefined;
}

async function rowsOf(
  source: Snapshot,
  target: Settings | undefined,
  {
    branches,
    specs,
    isBrought,
  }: {
    readonly branches: readonly BranchName[];
    readonly specs: readonly PipelineSpec[];
    readonly isBrought: boolean;
  },
): Promise<Check[]> {
  const rows: Check[] = [];
  const url = target?.storeUrl ?? 's3://BUCKET/PREFIX';
  const row = (name: string, { commits, bytes }: { readonly commits: number; readonly bytes: number }): void => {
    const says = `${commits} ${commits === 1 ? 'commit' : 'commits'}, ${bytes} bytes of files, for ${url}`;
    const next = isBrought ? null : `pach push ${name} --to ${shellWord(url)} --with-provenance`;
    rows.push({ check: `data of ${name}`, state: isBrought ? 'ok' : 'failed', says, next });
  };
  await using other = target && (await maybeOpen(target));
  if (!target || !other) {
    for (const { repo, branch } of branches) {
      const head = (await source.maybeBranch(repo, branch))?.head;
      let commits = 0;
      if (head) for await (const _ of source.history(head)) commits += 1;
      row(`${repo}@${branch}`, { commits, bytes: head ? (await source.commitAt(head.commit)).bytes : 0 });
    }
    return rows;
  }
  rows.push(
    ...(await lookAll(async () => {
      const there = await other.project.snapshot();
      const { moves, refused, outputs } = await planTransfer(source, there, wantedOf(branches, specs));
      if (refused[0]) throw await notForward({ verb: 'push', source, target: there, url }, refused[0]);
      for (const { repo, branch, commits, growth } of moves) {
        row(`${repo}@${branch}`, { commits: commits.length, bytes: growth });
      }
      return outputs.results > 0 ? `${outputs.results} results of datums, for ${url}` : undefined;
    })),
  );
  return rows;
}

/** A row where there is something to say, or to mend. */
async function lookAll(look: () => Promise<string | undefined>): Promise<Check[]> {
  let says: string | undefined;
  const row = await lookAt('data and results', async () => (says = await look()) ?? '');
  return row.state === 'failed' || says !== undefined ? [row] : [];
}

/** Undefined where there is no such store or project yet. */
export async function maybeOpen(target: Settings): Promise<OpenProject | undefined> {
  try {
    const opened = await openProject(target);
    if (await opened.project.exists()) return opened;
    await opened[Symbol.asyncDispose]();
  } catch (error) {
    if (!isPachError(error, 'not-found')) throw error;
  }
  return undefined;
}
