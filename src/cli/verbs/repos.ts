/**
 * create|list|inspect|update|delete repo.
 */
import { openProject } from '../../app/open.ts';
import { checkDeletion } from '../../pipelines/readers.ts';
import { repoInfo, repoInfos, repoJson } from '../../shown/repos.ts';
import { createRepo, deleteRepo, updateRepo } from '../../versions/refs.ts';
import { repoOf } from '../addresses.ts';
import { sizeText, timeText } from '../text.ts';
import { repoArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

export const createRepoVerb = verb({
  name: 'create repo',
  summary: 'Create a repo',
  examples: [['create repo images -d "Photos of the survey"', 'Create the repo images']],
  json: repoJson,
  arguments: { repo: repoArgument },
  options: { description: { alias: 'd', type: 'text', default: '', describe: 'Description of the repo' } },
  async run({ repo: text, description }, { settings, output }) {
    const { repo, settings: where } = repoOf(text, settings);
    await using opened = await openProject(where, { create: true });
    await createRepo(opened.project, repo, description);
    const snapshot = await opened.project.snapshot();
    const info = await repoInfo(snapshot, await snapshot.repo(repo));
    await output.document(info, () => repo);
  },
});

export const listRepoVerb = verb({
  name: 'list repo',
  summary: 'List the repos of the project',
  examples: [['list repo -o json', 'One object a line']],
  json: repoJson,
  async run(_, { settings, output }) {
    await using opened = await openProject(settings);
    const snapshot = await opened.project.snapshot();
    await output.rows(repoInfos(snapshot), [
      ['NAME', (row) => row.repo],
      ['CREATED', (row) => timeText(row.created)],
      ['SIZE', (row) => sizeText(row.bytes)],
      ['DESCRIPTION', (row) => row.description],
    ]);
  },
});

export const inspectRepoVerb = verb({
  name: 'inspect repo',
  summary: 'Show one repo',
  examples: [['inspect repo images', 'Show its size and branches']],
  json: repoJson,
  arguments: { repo: repoArgument },
  async run({ repo: text }, { settings, output }) {
    const { repo, settings: where } = repoOf(text, settings);
    await using opened = await openProject(where);
    const snapshot = await opened.project.snapshot();
    const info = await repoInfo(snapshot, await snapshot.repo(repo));
    await output.document(info, () => [
      `Name:        ${info.repo}`,
      `Description: ${info.description}`,
      `Created:     ${timeText(info.created)}`,
      `Size:        ${sizeText(info.bytes)}`,
      `Branches:    ${info.branches.join(', ')}`,
    ]);
  },
});

export const updateRepoVerb = verb({
  name: 'update repo',
  summary: 'Change the description of a repo',
  examples: [['update repo images -d "Photos of the second survey"', 'Describe it anew']],
  json: repoJson,
  arguments: { repo: repoArgument },
  options: { description: { alias: 'd', type: 'text', required: true, describe: 'Description of the repo' } },
  async run({ repo: text, description }, { settings, output }) {
    const { repo, settings: where } = repoOf(text, settings);
    await using opened = await openProject(where);
    await updateRepo(opened.project, repo, description);
    const snapshot = await opened.project.snapshot();
    const info = await repoInfo(snapshot, await snapshot.repo(repo));
    await output.document(info, () => repo);
  },
});

export const deleteRepoVerb = verb({
  name: 'delete repo',
  summary: 'Delete a repo',
  examples: [['delete repo images --force', 'Delete it with all its branches and commits']],
  json: '{repo, broken: [pipeline]}; broken: pipelines that read it',
  arguments: { repo: repoArgument },
  options: {
    force: {
      alias: 'f',
      type: 'flag',
      describe: 'Delete it even if it has commits, or if pipelines read it',
    },
  },
  async run({ repo: text, force }, { settings, output }) {
    const { repo, settings: where } = repoOf(text, settings);
    await using opened = await openProject(where);
    let broken: string[] = [];
    await deleteRepo(opened.project, repo, {
      force,
      async mayDelete(snapshot) {
        broken = await checkDeletion(snapshot, { repo }, force);
      },
    });
    await output.document({ repo, broken }, () => repo);
    if (broken.length > 0)
      output.note(`these pipelines can't run any more, because it was their input: ${broken.join(', ')}`);
  },
});
