/**
 * create|list|inspect|update|rename|delete branch.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { parseAddress } from '../../model/address.ts';
import { checkDeletion, readersOf } from '../../pipelines/readers.ts';
import { branchInfo, branchInfos, branchJson, type BranchInfo } from '../../shown/repos.ts';
import type { BranchName } from '../../versions/edit.ts';
import { createBranch, deleteBranch, renameBranch, updateTrigger } from '../../versions/refs.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import { namesTriggeredBy } from '../../versions/triggers.ts';
import { branchOf, repoOf } from '../addresses.ts';
import type { Columns, Output } from '../output.ts';
import { branchArgument, repoArgument } from '../parameters.ts';
import { triggerOf, triggerOptions, triggerText } from '../trigger-options.ts';
import { verb } from '../verb.ts';

export const createBranchVerb = verb({
  name: 'create branch',
  summary: 'Create a branch, or move one with --head and --force',
  examples: [
    ['create branch images@dev', 'Create a branch without commits'],
    ['create branch images@dev --head master^', 'Create a branch that starts one commit before the head of master'],
    ['create branch images@dev --head master --force', 'Move it to the head of master'],
    [
      'create branch images@master --trigger staging --trigger-size 1GB --trigger-commits 10',
      'It takes the head of staging each time that has 1 GB more, or 10 new commits',
    ],
  ],
  json: branchJson,
  arguments: { branch: branchArgument },
  options: {
    head: { type: 'text', describe: 'The new head: a branch or commit of the same repo' },
    force: { type: 'flag', describe: 'With --head: move the branch where it exists already' },
    ...triggerOptions,
  },
  async run({ branch: text, head, force, ...triggers }, { settings, output }) {
    const { repo, branch, settings: where } = branchOf(text, settings);
    if (!text.includes('@'))
      throw new PachError('usage', {
        what: text,
        why: 'it does not name a branch',
        next: `pach create branch ${shellWord(text)}@NAME`,
      });
    const trigger = triggerOf(triggers, repo);
    const at = head === undefined ? undefined : parseAddress(head.includes('@') ? head : `${repo}@${head}`);
    if (at && at.repo !== repo)
      throw new PachError('usage', {
        what: head as string,
        why: `the head of a branch must be a commit of its own repo, ${repo}`,
      });
    await using opened = await openProject(where);
    await createBranch(opened.project, repo, branch, at, { mayMove: force, trigger });
    await showTriggered(await opened.project.snapshot(), { repo, branch }, output);
  },
});

export const updateBranchVerb = verb({
  name: 'update branch',
  summary: 'Change when a branch takes the head of another one',
  examples: [
    ['update branch images@master --trigger staging --trigger-commits 10', 'It takes each tenth commit of staging'],
    ['update branch images@master --remove-trigger', 'Only people move it from now on'],
  ],
  json: branchJson,
  arguments: { branch: branchArgument },
  options: {
    ...triggerOptions,
    'remove-trigger': { type: 'flag', describe: 'It takes no heads of other branches any more' },
  },
  async run({ branch: text, 'remove-trigger': remove, ...triggers }, { settings, output }) {
    const { repo, branch, settings: where } = branchOf(text, settings);
    const trigger = triggerOf(triggers, repo);
    if ((trigger === undefined) !== remove) {
      const why = 'give either a trigger or --remove-trigger';
      const next = `pach update branch ${shellWord(`${repo}@${branch}`)} --trigger BRANCH --trigger-commits 10`;
      throw new PachError('usage', { what: text, why, next });
    }
    await using opened = await openProject(where);
    await updateTrigger(opened.project, { repo, branch }, trigger);
    await showTriggered(await opened.project.snapshot(), { repo, branch }, output);
  },
});

/** Shows a branch that was made or changed, and says what its trigger waits for. */
async function showTriggered(snapshot: Snapshot, { repo, branch }: BranchName, output: Output): Promise<void> {
  const made = await snapshot.branch(repo, branch);
  await output.document(branchInfo(made), () => branch);
  const source = made.trigger?.branch;
  if (source === undefined || (await snapshot.maybeBranch(repo, source))) return;
  output.note(`there is no branch ${repo}@${source} yet; commits to it will count once there are some`);
}

export const inspectBranchVerb = verb({
  name: 'inspect branch',
  summary: 'Show one branch',
  examples: [['inspect branch images@master', 'Show its head and its trigger']],
  json: branchJson,
  arguments: { branch: branchArgument },
  async run({ branch: text }, { settings, output }) {
    const { repo, branch, settings: where } = branchOf(text, settings);
    await using opened = await openProject(where);
    await output.fields(branchInfo(await (await opened.project.snapshot()).branch(repo, branch)));
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
    const rows: BranchInfo[] = [];
    for await (const row of branchInfos(snapshot, repo)) rows.push(row);
    const hasTriggers = rows.some(({ trigger }) => trigger !== undefined);
    const triggers: Columns<BranchInfo> = [['TRIGGER', ({ trigger }) => (trigger ? triggerText(trigger) : '-')]];
    await output.rows(rows, [
      ['BRANCH', (row) => row.branch],
      ['HEAD', (row, { id }) => id(row.head ?? '-')],
      ...(hasTriggers ? triggers : []),
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
    let waiting: string[] = [];
    const mayDelete = async (snapshot: Snapshot): Promise<void> => {
      broken = await checkDeletion(snapshot, { repo, branch }, force);
      waiting = await namesTriggeredBy(snapshot, repo, branch);
    };
    await deleteBranch(opened.project, repo, branch, { mayDelete });
    await output.document({ repo, branch, broken }, () => branch);
    if (broken.length > 0)
      output.note(`these pipelines can't run any more, because it was their input: ${broken.join(', ')}`);
    if (waiting.length > 0)
      output.note(`until there is a branch ${repo}@${branch} again, no trigger moves ${waiting.join(', ')}`);
  },
});
