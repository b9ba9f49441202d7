/**
 * Repos and branches: making, changing and deleting them, each in one operation.
 */
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { checkBranchName, checkName, formatAddress, type Address } from '../model/address.ts';
import { shortId } from '../model/ids.ts';
import { decodeOutcome } from '../model/records/pipelines.ts';
import type { Change } from './change.ts';
import { mayChange, type BranchName } from './edit.ts';
import type { Project } from './project.ts';
import { forgetProvenance } from './provenance.ts';
import type { Deed } from './publish.ts';
import {
  branchKey,
  jobKey,
  jobTimePrefix,
  lastPart,
  pipelineKey,
  remoteKey,
  repoKey,
  resultsPrefix,
} from './ref-keys.ts';
import { resolveVersion } from './resolve.ts';
import type { Branch, BranchHead, Snapshot } from './snapshot.ts';
import { checkTrigger, moveTriggered, refuseOfInput, setTrigger, type TriggerRequest } from './triggers.ts';

/** Throws `conflict` when the repo exists. */
export async function createRepo(project: Project, name: string, description: string): Promise<void> {
  checkName('repo', name);
  await project.update(`create repo ${name}`, async (change) => {
    if (await change.snapshot.maybeRepo(name)) {
      throw new PachError('conflict', { what: `repo ${name}`, why: 'it already exists' });
    }
    change.setRepo({ name, created: Date.now(), description });
  });
}

/** A check of the caller: throws when something above this room, such as a pipeline, still needs what is to be deleted. */
export type MayDelete = (snapshot: Snapshot) => Promise<void>;

/** Deletes a repo with its branches and commits. With commits in it, `force` is needed. Throws `conflict` for the output of a pipeline. */
export async function deleteRepo(
  project: Project,
  name: string,
  { force, mayDelete }: { readonly force: boolean; readonly mayDelete?: MayDelete },
): Promise<void> {
  await project.update(`delete repo ${name}`, async (change) => {
    const { ticksOf } = await change.snapshot.repo(name);
    if (ticksOf !== undefined) {
      throw new PachError('conflict', {
        what: `repo ${name}`,
        why: `it holds the ticks of pipeline ${ticksOf}, and goes with it`,
        next: `pach delete pipeline ${ticksOf}`,
      });
    }
    if (await isOutput(change.snapshot, name)) {
      throw new PachError('conflict', {
        what: `repo ${name}`,
        why: 'it is the output of a pipeline',
        next: `pach delete pipeline ${name}`,
      });
    }
    await mayDelete?.(change.snapshot);
    for await (const branch of change.snapshot.branches(name)) {
      if (branch.head && !force) {
        throw new PachError('conflict', {
          what: `repo ${name}`,
          why: `its branch ${branch.name} has commits, which would be deleted too`,
          next: `pach delete repo ${name} --force`,
        });
      }
      change.delete(branchKey(name, branch.name));
    }
    await dropCommits(change, name);
    // Jobs that made its commits: they are left where their pipeline is taken away and not its output.
    let hasJobs = false;
    for await (const { key } of change.snapshot.items(jobTimePrefix(name))) {
      change.delete(key);
      change.delete(jobKey(lastPart(key)));
      hasJobs = true;
    }
    if (hasJobs) await deleteResults(change, name);
  });
}

/** Deletes, as a part of a change, a repo with all its commits. Its branches are the caller's to delete. */
export async function dropCommits(change: Change, repo: string): Promise<void> {
  await forgetProvenance(change, repo);
  for await (const { key } of change.snapshot.commitItems(repo)) change.delete(key);
  if (await change.snapshot.item(remoteKey(repo))) change.delete(remoteKey(repo));
  change.delete(repoKey(repo));
}

/** Forgets the results of a pipeline. */
export async function deleteResults(change: Change, pipeline: string): Promise<void> {
  for await (const { key, value } of change.snapshot.items(resultsPrefix)) {
    if (decodeOutcome(value).pipeline === pipeline) change.delete(key);
  }
}

/** True for the repo of a pipeline, also of one that is on a branch only. */
async function isOutput(snapshot: Snapshot, repo: string): Promise<boolean> {
  if (await snapshot.item(pipelineKey(repo))) return true;
  for await (const _ of snapshot.items(pipelineKey(repo, ''))) return true;
  return false;
}

/** Changes what people read of a repo. */
export async function updateRepo(project: Project, name: string, description: string): Promise<void> {
  await project.update(`update repo ${name}`, async (change) => {
    change.setRepo({ ...(await change.snapshot.repo(name)), description });
  });
}

/**
 * Makes a branch, or moves it when it exists and `mayMove` says so: to the version `head` leads to (its
 * own repo), or without commits. `trigger`: it takes heads of another branch from now on.
 */
export async function createBranch(
  project: Project,
  repo: string,
  name: string,
  head: Address | undefined,
  { mayMove = true, trigger }: { readonly mayMove?: boolean; readonly trigger?: TriggerRequest | undefined } = {},
): Promise<void> {
  checkBranchName(name);
  await project.update(`create branch ${repo}@${name}`, async (change) => {
    await change.snapshot.repo(repo);
    const before = await change.snapshot.maybeBranch(repo, name);
    if (before && !head) {
      const next = trigger && 'use pach update branch to give it a trigger';
      throw new PachError('conflict', { what: `branch ${repo}@${name}`, why: 'it already exists', next });
    }
    const next = head && (await headAt(change, head));
    if (before && next?.id === before.head?.id && !trigger) return;
    if (before && !mayMove) throw wouldMove(before, head as Address);
    const branch = { provenance: [], ...before, repo, name, head: next };
    // From this move on the times of a trigger count.
    await setTrigger(change, branch, trigger ?? before?.trigger);
    await moveTriggered(change, branch);
  });
}

/** Gives a branch another trigger, or none. Throws `conflict` for one that it can't have. */
export async function updateTrigger(
  project: Project,
  { repo, branch }: BranchName,
  trigger: TriggerRequest | undefined,
): Promise<void> {
  await project.update(`update branch ${repo}@${branch}`, async (change) => {
    const before = await change.snapshot.branch(repo, branch);
    if (!trigger && !before.trigger) return;
    refuseOfInput(before);
    await setTrigger(change, before, trigger);
  });
}

function wouldMove({ repo, name, head }: Branch, to: Address): PachError {
  const branch = `${repo}@${name}`;
  const now = head ? `it is at ${shortId(head.id)}` : 'it has no commits';
  return new PachError('conflict', {
    what: `branch ${branch}`,
    why: `it already exists: ${now}, and would be moved`,
    next: `pach create branch ${branch} --head ${shellWord(formatAddress(to))} --force`,
  });
}

/** Gives a branch another name. Throws `conflict` where there is one of that name, and for the output of a pipeline. */
export async function renameBranch(
  project: Project,
  { repo, from, to }: { readonly repo: string; readonly from: string; readonly to: string },
  mayRename: MayDelete,
): Promise<void> {
  checkBranchName(to);
  await project.update(`rename branch ${repo}@${from} to ${to}`, async (change) => {
    const { snapshot } = change;
    const branch = await snapshot.branch(repo, from);
    mayChange(branch, (await snapshot.repo(repo)).ticksOf);
    await mayRename(snapshot);
    if (await snapshot.maybeBranch(repo, to)) {
      throw new PachError('conflict', { what: `branch ${repo}@${to}`, why: 'it already exists' });
    }
    refuseOfInput(branch);
    change.delete(branchKey(repo, from));
    const renamed = { ...branch, name: to };
    change.setBranch(renamed);
    for await (const other of snapshot.branches(repo)) {
      const { trigger } = other;
      if (trigger?.branch !== from) continue;
      refuseOfInput(other);
      change.setBranch({ ...other, trigger: { ...trigger, branch: to } });
    }
    // Others may wait for a branch of the new name.
    if (branch.trigger) await checkTrigger(change, renamed, branch.trigger);
  });
}

/** Deletes a branch; its commits can still be named by their ids. `deed`: what the operation says of itself. */
export async function deleteBranch(
  project: Project,
  repo: string,
  name: string,
  { mayDelete, deed = { what: `delete branch ${repo}@${name}` } }: { mayDelete?: MayDelete; deed?: Deed } = {},
): Promise<void> {
  await project.update(deed, async (change) => {
    await change.snapshot.branch(repo, name);
    await mayDelete?.(change.snapshot);
    change.delete(branchKey(repo, name));
    change.delete(pipelineKey(repo, name));
  });
}

/** A branch head at a version, with the index of the commits up to it. */
async function headAt(change: Change, address: Address): Promise<BranchHead | undefined> {
  const { branch, commit } = await resolveVersion(change.snapshot, address);
  if (!commit) return undefined;
  if (branch?.head && (await onBranch(change.snapshot, branch.head, commit))) {
    return change.headUpTo(branch.head, commit);
  }
  const line = [];
  for await (const ancestor of change.snapshot.ancestors(commit)) line.unshift(ancestor);
  return { id: commit.id, commit: commit.ref, tree: commit.tree, index: await change.indexOf(line) };
}

async function onBranch(
  snapshot: Snapshot,
  head: BranchHead,
  commit: { readonly id: string; readonly finished: number },
): Promise<boolean> {
  return (await snapshot.asOf(head, commit.finished))?.id === commit.id;
}
