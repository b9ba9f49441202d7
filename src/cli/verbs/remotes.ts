/**
 * remote list, set, remove: where the repos of a project come from, or go to.
 */
import { openProject } from '../../app/open.ts';
import { setOrigin } from '../../app/transfers.ts';
import { remoteInfo, remoteJson } from '../../shown/transfer.ts';
import { listRemotes, removeRemote } from '../../transfer/remotes.ts';
import { repoOf } from '../addresses.ts';
import { verb } from '../verb.ts';

const repoArgument = { type: 'text', required: true, names: ['repo'], describe: '[project/]repo' } as const;

export const remoteListVerb = verb({
  name: 'remote list',
  summary: 'List where the repos of the project come from, or go to',
  examples: [['remote list', 'The origin of each repo that has one; pach status tells how far they are apart']],
  json: remoteJson,
  async run(_, { settings, output }) {
    await using opened = await openProject(settings);
    const remotes = await listRemotes(await opened.project.snapshot());
    await output.rows(remotes.map(remoteInfo), [
      ['REPO', (row) => row.repo],
      ['ORIGIN', (row) => row.url],
      ['PROJECT', (row) => row.project],
    ]);
  },
});

export const remoteSetVerb = verb({
  name: 'remote set',
  summary: 'Say where a repo comes from, or goes to, from now on',
  examples: [
    ['remote set images s3://team/store', 'push and pull go there, to the project of the same name'],
    ['remote set images /mnt/disk/store/survey', 'To another project of that store'],
  ],
  json: remoteJson,
  arguments: {
    repo: repoArgument,
    url: {
      type: 'text',
      required: true,
      names: ['local'],
      describe: 'The other store, URL[/project]; it must be there',
    },
  },
  async run({ repo: text, url }, { settings, output }) {
    const { repo, settings: where } = repoOf(text, settings);
    const origin = await setOrigin(where, repo, url);
    await output.document(remoteInfo(origin), () => `${repo}: ${origin.url}, project ${origin.project}`);
  },
});

export const remoteRemoveVerb = verb({
  name: 'remote remove',
  summary: 'Forget where a repo comes from; the next push or pull needs an address',
  examples: [['remote remove images', 'Nothing in the other store changes']],
  json: `${remoteJson}; what was forgotten`,
  arguments: { repo: repoArgument },
  async run({ repo: text }, { settings, output }) {
    const { repo, settings: where } = repoOf(text, settings);
    await using opened = await openProject(where);
    await output.document(remoteInfo(await removeRemote(opened.project, repo)), () => repo);
  },
});
