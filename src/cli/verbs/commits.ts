/**
 * list|inspect commit, log.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { typedPath } from '../../model/paths.ts';
import {
  commitDetails,
  commitDetailsJson,
  commitInfo,
  commitInfos,
  commitJson,
  type CommitDetails,
  type CommitInfo,
} from '../../shown/commits.ts';
import { commitsBefore, commitsOf } from '../../versions/reading/history.ts';
import { resolveCommit } from '../../versions/resolve.ts';
import type { Commit } from '../../versions/snapshot.ts';
import { addressOf } from '../addresses.ts';
import { first } from '../first.ts';
import type { Columns, Output } from '../output.ts';
import { countText, sizeText, timeText } from '../text.ts';
import { commitArgument } from '../parameters.ts';
import { verb } from '../verb.ts';

const numberOption = { type: 'text', alias: 'n', describe: 'Show at most this many' } as const;

const commitColumns: Columns<CommitInfo> = [
  ['COMMIT', (row, { id }) => id(row.commit)],
  ['BRANCH', (row) => row.branch],
  ['FINISHED', (row) => timeText(row.finished)],
  ['SIZE', (row) => sizeText(row.bytes)],
  ['MESSAGE', (row) => row.message.split('\n')[0] as string],
];

export const listCommitVerb = verb({
  name: 'list commit',
  summary: 'List commits, newest first',
  examples: [
    ['list commit images', 'Commits of all branches'],
    ['list commit images@master -n 20', 'The last 20 commits of a branch'],
  ],
  json: commitJson,
  arguments: { commit: commitArgument },
  options: { number: numberOption },
  async run({ commit: version, number }, { settings, output }) {
    const { address, settings: where } = addressOf(version, settings);
    await using opened = await openProject(where);
    const snapshot = await opened.project.snapshot();
    const commits = first(commitsOf(snapshot, address), countOf(number));
    await output.rows(commitInfos(snapshot, commits), commitColumns);
  },
});

function countOf(text: string | undefined): number {
  if (text === undefined) return Number.MAX_SAFE_INTEGER;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new PachError('usage', { what: `-n ${text}`, why: 'give a whole number' });
}

export const inspectCommitVerb = verb({
  name: 'inspect commit',
  summary: 'Show one commit',
  examples: [['inspect commit images@master^', 'The commit before the last']],
  json: commitDetailsJson,
  arguments: { commit: { ...commitArgument, describe: 'repo@ref' } },
  async run({ commit: version }, { settings, output }) {
    const { address, settings: where } = addressOf(version, settings);
    await using opened = await openProject(where);
    const snapshot = await opened.project.snapshot();
    const commit = await resolveCommit(snapshot, address);
    const details = await commitDetails(snapshot, commit);
    await output.document(details, () => [...describe(commit, output), ...madeOfLines(details, output)]);
  },
});

function madeOfLines({ repo, commit, provenance, declared }: CommitDetails, { id }: Pick<Output, 'id'>): string[] {
  const isDeclared = (from: string): boolean => declared?.madeOf.some((each) => each.from.commit === from) ?? false;
  const computed = provenance.filter((each) => !isDeclared(each.commit));
  const shownOf = (path: string): string => (path === '/' ? '' : `:${path}`);
  return [
    ...(computed.length > 0 ? ['', 'Computed from:'] : []),
    ...computed.map((from) => `    ${from.repo}@${id(from.commit)}`),
    ...(declared ? ['', `Declared by ${declared.who}, ${timeText(declared.time)}:`] : []),
    ...(declared?.madeOf ?? []).map(({ path, from }) => {
      return `    ${repo}@${id(commit)}${shownOf(path)} was made of ${from.repo}@${id(from.commit)}${shownOf(from.path)}`;
    }),
    ...(declared?.spec
      ? [
          '',
          ...declared.spec
            .trimEnd()
            .split('\n')
            .map((line) => `    ${line}`),
        ]
      : []),
  ];
}

function describe(commit: Commit, { id }: Pick<Output, 'id'>): string[] {
  return [
    `Commit:   ${commit.repo}@${id(commit.id)}`,
    `Branch:   ${commit.branch}`,
    `Parent:   ${id(commit.parent ?? '-')}`,
    `Author:   ${commit.author}`,
    `Finished: ${new Date(commit.finished).toISOString()}`,
    `Size:     ${sizeText(commit.bytes)} in ${countText(commit.files, 'file')}`,
    ...(commit.incomplete
      ? [`Missing:  datums that failed: pach list datum ${commit.repo}@${id(commit.id)} --failed`]
      : []),
    ...(commit.message ? ['', ...commit.message.split('\n').map((line) => `    ${line}`)] : []),
  ];
}

export const logVerb = verb({
  name: 'log',
  summary: 'Show the commits before a version, or only those that changed a path',
  examples: [
    ['log images@master', 'List commits with their messages'],
    ['log images@master -- /a/b.png', 'List commits that changed a path'],
  ],
  json: commitJson,
  arguments: {
    commit: commitArgument,
    path: { type: 'text', describe: 'Only commits that changed this path' },
  },
  options: { number: numberOption },
  async run({ commit: version, path, number, _: rest }, { settings, output, signal }) {
    const { address, settings: where } = addressOf(version, settings);
    await using opened = await openProject(where);
    const snapshot = await opened.project.snapshot();
    // What follows `--` is no positional argument to the parser.
    const written = path ?? rest[0]?.toString();
    const only = written === undefined ? address.path : typedPath(written);
    const commits = commitsBefore(snapshot, address, { path: only, signal });
    let blank = false;
    for await (const commit of first(commits, countOf(number))) {
      if (output.format !== 'table') await output.rows([await commitInfo(snapshot, commit)], []);
      else await output.lines([...(blank ? [''] : []), ...describe(commit, output)]);
      blank = true;
    }
  },
});
