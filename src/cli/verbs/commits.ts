/**
 * list|inspect commit, log.
 */
import { openProject } from '../../app/open.ts';
import { PachError } from '../../base/errors.ts';
import { parseAddress } from '../../model/address.ts';
import { typedPath } from '../../model/paths.ts';
import { Files } from '../../versions/reading/files.ts';
import { resolveCommit, resolveVersion } from '../../versions/resolve.ts';
import { rootOf, type Commit, type Snapshot } from '../../versions/snapshot.ts';
import { addressOf, namesWholeRepo } from '../addresses.ts';
import type { Output } from '../output.ts';
import { countText, sizeText, timeText } from '../text.ts';
import { verb } from '../verb.ts';

const commitJson = '{repo, branch, commit, parent, started, finished, message, author, bytes, files, provenance}';

interface CommitInfo {
  readonly repo: string;
  readonly branch: string;
  readonly commit: string;
  readonly parent: string | null;
  readonly started: string;
  readonly finished: string;
  readonly message: string;
  readonly author: string;
  readonly bytes: number;
  readonly files: number;
  readonly provenance: Commit['provenance'];
}

function infoOf(commit: Commit): CommitInfo {
  const { repo, branch, id, parent, started, finished, message, author, bytes, files, provenance } = commit;
  return {
    repo,
    branch,
    commit: id,
    parent: parent ?? null,
    started: new Date(started).toISOString(),
    finished: new Date(finished).toISOString(),
    message,
    author,
    bytes,
    files,
    provenance,
  };
}

async function* first<T>(items: AsyncIterable<T>, count: number): AsyncGenerator<T> {
  let left = count;
  if (left <= 0) return;
  for await (const item of items) {
    yield item;
    left -= 1;
    if (left <= 0) return;
  }
}

/** Commits of a branch or version, or of all branches of a repo, newest first. */
async function* commitsOf(snapshot: Snapshot, text: string): AsyncGenerator<Commit> {
  const address = parseAddress(text);
  if (!namesWholeRepo(address)) {
    const { branch, commit } = await resolveVersion(snapshot, address);
    if (!commit) return;
    if (branch?.head && branch.head.id === commit.id) yield* snapshot.history(branch.head);
    else yield* snapshot.ancestors(commit);
    return;
  }
  await snapshot.repo(address.repo);
  const seen = new Set<string>();
  const lines: { next: IteratorResult<Commit>; line: AsyncGenerator<Commit> }[] = [];
  for await (const branch of snapshot.branches(address.repo)) {
    if (!branch.head) continue;
    const line = snapshot.history(branch.head);
    lines.push({ next: await line.next(), line });
  }
  for (;;) {
    let newest: { next: IteratorResult<Commit>; line: AsyncGenerator<Commit> } | undefined;
    for (const each of lines) {
      if (each.next.done) continue;
      if (!newest || each.next.value.finished > (newest.next.value as Commit).finished) newest = each;
    }
    if (!newest || newest.next.done) return;
    const commit: Commit = newest.next.value;
    if (!seen.has(commit.id)) yield commit;
    seen.add(commit.id);
    newest.next = await newest.line.next();
  }
}

export const listCommitVerb = verb<{ commit: string; number: string | undefined }>({
  command: 'list commit <commit>',
  summary: 'List commits, newest first',
  examples: [
    ['list commit images', 'Commits of all branches'],
    ['list commit images@master -n 20', 'The last 20 commits of a branch'],
  ],
  json: commitJson,
  options: (yargs) =>
    yargs
      .positional('commit', { type: 'string', demandOption: true, describe: 'repo[@ref]' })
      .option('number', { alias: 'n', type: 'string', describe: 'Show at most this many' }),
  async run({ commit: version, number }, { settings, output }) {
    const { settings: where } = addressOf(version, settings);
    await using opened = await openProject(where);
    const commits = first(commitsOf(await opened.project.snapshot(), version), countOf(number));
    async function* rows(): AsyncGenerator<CommitInfo> {
      for await (const commit of commits) yield infoOf(commit);
    }
    await output.rows(rows(), [
      ['COMMIT', (row, { id }) => id(row.commit)],
      ['BRANCH', (row) => row.branch],
      ['FINISHED', (row) => timeText(row.finished)],
      ['SIZE', (row) => sizeText(row.bytes)],
      ['MESSAGE', (row) => row.message.split('\n')[0] as string],
    ]);
  },
});

function countOf(text: string | undefined): number {
  if (text === undefined) return Number.MAX_SAFE_INTEGER;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new PachError('usage', { what: `-n ${text}`, why: 'give a whole number' });
}

export const inspectCommitVerb = verb<{ commit: string }>({
  command: 'inspect commit <commit>',
  summary: 'Show one commit',
  examples: [['inspect commit images@master^', 'The commit before the last']],
  json: commitJson,
  options: (yargs) => yargs.positional('commit', { type: 'string', demandOption: true, describe: 'repo@ref' }),
  async run({ commit: version }, { settings, output }) {
    const { address, settings: where } = addressOf(version, settings);
    await using opened = await openProject(where);
    const commit = await resolveCommit(await opened.project.snapshot(), address);
    await output.document(infoOf(commit), () => describe(commit, output));
  },
});

function describe(commit: Commit, { id }: Pick<Output, 'id'>): string[] {
  return [
    `Commit:   ${commit.repo}@${id(commit.id)}`,
    `Branch:   ${commit.branch}`,
    `Parent:   ${id(commit.parent ?? '-')}`,
    `Author:   ${commit.author}`,
    `Finished: ${new Date(commit.finished).toISOString()}`,
    `Size:     ${sizeText(commit.bytes)} in ${countText(commit.files, 'file')}`,
    ...(commit.message ? ['', ...commit.message.split('\n').map((line) => `    ${line}`)] : []),
  ];
}

export const logVerb = verb<{ commit: string; path: string | undefined; number: string | undefined }>({
  command: 'log <commit> [path]',
  summary: 'Show the commits before a version, or only those that changed a path',
  examples: [
    ['log images@master', 'List commits with their messages'],
    ['log images@master -- /a/b.png', 'List commits that changed a path'],
  ],
  json: commitJson,
  options: (yargs) =>
    yargs
      .positional('commit', { type: 'string', demandOption: true, describe: 'repo[@ref]' })
      .positional('path', { type: 'string', describe: 'Only commits that changed this path' })
      .option('number', { alias: 'n', type: 'string', describe: 'Show at most this many' }),
  async run({ commit: version, path, number, _: rest }, { settings, output, signal }) {
    const { address, settings: where } = addressOf(version, settings);
    await using opened = await openProject(where);
    const snapshot = await opened.project.snapshot();
    // What follows `--` is no positional argument to the parser.
    const written = path ?? rest[0]?.toString();
    const only = written === undefined ? address.path : typedPath(written);
    async function* changing(): AsyncGenerator<Commit> {
      const { commit } = await resolveVersion(snapshot, address);
      if (!commit) return;
      for await (const each of snapshot.ancestors(commit)) {
        signal.throwIfAborted();
        if (only === undefined || (await touches(each, only))) yield each;
      }
    }
    async function touches(commit: Commit, at: string): Promise<boolean> {
      const parent = commit.parent && (await snapshot.maybeCommit(commit.repo, commit.parent));
      const { reader } = opened.project;
      const [now, before] = [rootOf(commit), parent && rootOf(parent)].map(
        (root) => root && new Files(reader, root, version),
      );
      const [a, b] = await Promise.all([now?.hashAt(at), before?.hashAt(at)]);
      return a !== b;
    }
    let blank = false;
    for await (const commit of first(changing(), countOf(number))) {
      if (output.format !== 'table') await output.rows([infoOf(commit)], []);
      else await output.lines([...(blank ? [''] : []), ...describe(commit, output)]);
      blank = true;
    }
  },
});
