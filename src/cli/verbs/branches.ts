/**
 * create|list|rename|delete branch.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { parseAddress } from '../../model/address.ts';
import { checkDeletion, readersOf } from '../../pipelines/readers.ts';
import { branchInfo, branchInfos, branchJson } from '../../shown/repos.ts';
import { createBranch, deleteBranch, renameBranch } from '../../versions/refs.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { branchOf, repoOf } from '../addresses.ts';
import { branchArgument, repoArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

export const createBranchVerb = verb({
  name: 'create branch',
  summary: 'Create a branch, or move one with --head and --force',
  examples: [
    ['create branch images@dev', 'Create a branch without commits'],
    ['create branch images@dev --head master^', 'Create a branch that starts one commit before the head of master'],
    ['create branch images@dev --head master --force', 'Move it to the head of master'],
  ],
  json: branchJson,
  arguments: { branch: branchArgument },
  options: {
    head: { type: 'text', describe: 'The new head: a branch or commit of the same repo' },
    force: { type: 'flag', describe: 'With --head: move the branch where it exists already' },
  },
  async run({ branch: text, head, force }, { settings, output }) {
    const { repo, branch, settings: where } = branchOf(text, settings);
    if (!text.includes('@'))
      throw new PachError('usage', {
        what: text,
        why: 'it does not name a branch',
        next: `pach create branch ${shellWord(text)}@NAME`,
      });
    const at = head === undefined ? undefined : parseAddress(head.includes('@') ? head : `${repo}@${head}`);
    if (at && at.repo !== repo)
      throw new PachError('usage', {
        what: head as string,
        why: `the head of a branch must be a commit of its own repo, ${repo}`,
      });
    await using opened = await openProject(where);
    await createBranch(opened.project, repo, branch, at, { mayMove: force });
    const made = await (await opened.project.snapshot()).branch(repo, branch);
    await output.document(branchInfo(made), () => branch);
  },
});

export const renameBranchVerb = verb({
  name: 'rename branch',
  summary: 'Give a branch another name',
  examples: [['rename branch images@dev reviewed', 'The branch dev is called reviewed from now on']],
  json: branchJson,
  arguments: {
    branch: branchArgument,
    name: { type: 'text', required: true, describe: 'The new name' },
  },
  async run({ branch: text, name }, { settings, output }) {
    const { repo, branch: from, settings: where } = branchOf(text, settings);
    if (!text.includes('@')) {
      const next = `pach rename branch ${shellWord(text)}@NAME ${shellWord(name)}`;
      throw new PachError('usage', { what: text, why: 'it does not name a branch', next });
    }
    await using opened = await openProject(where);
    await renameBranch(opened.project, { repo, from, to: name }, async (snapshot) => {
      const [reader] = await readersOf(snapshot, { repo, branch: from });
      if (reader === undefined) return;
      const why = `pipeline ${reader} reads it by this name`;
      throw new PachError('conflict', {
        what: `branch ${repo}@${from}`,
        why,
        next: `pach create branch ${repo}@${name} --head ${from}`,
      });
    });
    const renamed = await (await opened.project.snapshot()).branch(repo, name);
    await output.document(branchInfo(renamed), () => name);
  },
});

export const listBranchVerb = verb({
  name: 'list branch',
  summary: 'List the branches of a repo',
  examples: [['list branch images', 'Names and heads']],
  json: branchJson,
  arguments: { repo: repoArgument },
  async run({ repo: text }, { settings, output }) {
    const { repo, settings: where } = repoOf(text, settings);
    await using opened = await openProject(where);
    const snapshot = await opened.project.snapshot();
    await output.rows(branchInfos(snapshot, repo), [
      ['BRANCH', (row) => row.branch],
      ['HEAD', (row, { id }) => id(row.head ?? '-')],
    ]);
  },
});

export const deleteBranchVerb = verb({
  name: 'delete branch',
  summary: 'Delete a branch; its commits stay and can be named by id',
  examples: [['delete branch images@dev', 'Delete the branch dev']],
  json: '{repo, branch, broken: [pipeline]}; broken: pipelines that read it',
  arguments: { branch: branchArgument },
  options: {
    force: {
      alias: 'f',
      type: 'flag',
      describe: 'Delete the branch even if pipelines read or write it',
    },
  },
  async run({ branch: text, force }, { settings, output }) {
    const { repo, branch, settings: where } = branchOf(text, settings);
    if (!text.includes('@'))
      throw new PachError('usage', {
        what: text,
        why: 'it does not name a branch',
        next: `pach delete branch ${shellWord(text)}@NAME`,
      });
    await using opened = await openProject(where);
    let broken: string[] = [];
    const mayDelete = async (snapshot: Snapshot): Promise<void> => {
      broken = await checkDeletion(snapshot, { repo, branch }, force);
    };
    await deleteBranch(opened.project, repo, branch, { mayDelete });
    await output.document({ repo, branch, broken }, () => branch);
    if (broken.length > 0)
      output.note(`these pipelines can't run any more, because it was their input: ${broken.join(', ')}`);
  },
});
