/**
 * The fields of inputs: what files a pipeline reads, and how they make datums.
 */
import { flag, group, inputs, mapped, needed, oneOf, refused, text, whole } from './shape.ts';

/** Why a field of Pachyderm 1 is refused, and what does its work. */
export const goneSince2 = (instead: string): string => `Pachyderm 2 removed it: ${instead}`;

/** Why what starts by itself is refused. */
export const needsEngine = 'it needs an engine that stays up, which this version does not have';
export const needsGateway = 'it needs the S3 gateway, which this version does not have';

const pfsFields = {
  project: mapped(text, 'The project of the repo; it must be the one that the pipeline is created in'),
  name: mapped(text, "The folder's name below /pfs; the repo's name by default"),
  repo: needed(text, 'The repo to read', 'input must specify a repo'),
  repoType: mapped(oneOf('user'), 'Only `user`: Pachyderm has repos of its own beside those of users'),
  branch: mapped(text, 'The branch to read; `master` by default, with a trigger one that is made for it'),
  commit: refused('input cannot come from a commit; use a branch with head pointing to the commit'),
  fromCommit: refused(goneSince2('a pipeline reads whole versions, and computes only what changed')),
  glob: needed(text, 'A pattern; each path that it matches is a datum, or part of one', 'input must specify a glob'),
  joinOn: mapped(
    text,
    'Within a join: the key, with `$1` for the text that the first group of the glob matched; a join without keys is a cross',
  ),
  outerJoin: mapped(flag, 'Within a join: files without a partner count too'),
  groupBy: mapped(text, 'Within a group: the key, as in `joinOn`'),
  lazy: mapped(flag, 'Bytes are fetched when the command reads them, never before'),
  emptyFiles: mapped(flag, 'Files are shown with no bytes in them: for commands that only need names'),
  s3: refused(needsGateway),
  trigger: mapped(
    group({
      branch: mapped(text, 'The branch that triggers; `master` by default'),
      all: mapped(flag, 'All conditions must hold, not one of them'),
      cronSpec: mapped(text, 'Condition: a time of a cron expression; it needs an engine that stays up'),
      rateLimitSpec: mapped(text, 'Condition: a time of a cron expression since the last move'),
      size: mapped(text, 'Condition: so many more bytes, as `1GB`'),
      commits: mapped(whole(0), 'Condition: so many commits'),
    }),
    'The pipeline reads a branch of its own, which takes the head of another one when conditions hold',
  ),
  propagationSpec: refused(`it says which commits start jobs: ${needsEngine}`),
  reference: mapped(flag, 'If the content of these files changes, their datums do not run again'),
};

const cronFields = {
  project: mapped(text, 'The project of its repo; it must be the one that the pipeline is created in'),
  name: needed(text, "The folder's name below /pfs", 'input must specify a name'),
  spec: needed(
    text,
    'When it ticks: a cron expression such as `0 2 * * *`, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, `@every 10m`, `@never`; in the time zone `dev.timezone`',
    'input must specify a spec',
  ),
  repo: mapped(text, "The repo of its ticks; the pipeline's name, `_` and the input's name by default"),
  commit: refused('input cannot come from a commit; use a branch with head pointing to the commit'),
  start: mapped(text, 'The time after which it ticks, such as 2026-01-31T00:00:00Z; now by default'),
  overwrite: mapped(flag, 'The file of a tick takes the place of those before it; by default they stay'),
};

export const inputFields = {
  pfs: mapped(group(pfsFields), 'Files of a repo'),
  cross: mapped(inputs, 'Every combination of one datum of each input'),
  union: mapped(inputs, 'The datums of all inputs, one after the other'),
  join: mapped(inputs, 'Combinations whose files have the same `joinOn`'),
  group: mapped(inputs, 'All files with the same `groupBy` are one datum'),
  cron: mapped(group(cronFields), 'A file for each time of a schedule, in a repo that is made for it'),
  atom: refused(goneSince2('write `pfs` instead of `atom`, with the same fields')),
  git: refused(goneSince2('put the files into a repo, or name them in `dev.code`')),
};
