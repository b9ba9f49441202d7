/**
 * The options that say when a branch takes the head of another one.
 */
import { PachError } from '../base/errors.ts';
import { checkBranchName } from '../model/address.ts';
import type { TriggerRequest } from '../versions/triggers.ts';
import type { TriggerInfo } from '../shown/repos.ts';
import { bytesOf, countText, sizeText } from './text.ts';
import type { ValuesOf } from './parameters.ts';

export const triggerOptions = {
  trigger: {
    type: 'text',
    names: ['branch'],
    describe: 'The branch of the same repo whose head it takes by itself, when one of the conditions holds',
  },
  'trigger-size': { type: 'text', describe: 'Condition: so many more bytes than it has now (1GB)' },
  'trigger-commits': { type: 'count', least: 1, describe: 'Condition: so many commits that it does not have' },
  'trigger-cron': {
    type: 'text',
    describe: 'Condition: a time of a cron expression (@daily, 0 2 * * 1-5, @every 10m); it needs pach serve',
  },
  'trigger-rate-limit': { type: 'text', describe: 'Condition: a time of a cron expression since it was last moved' },
  'trigger-all': { type: 'flag', describe: 'All conditions must hold, not one of them' },
} as const;

/** The trigger that options ask for, if any. Throws `usage`. */
export function triggerOf(values: ValuesOf<typeof triggerOptions>, repo: string): TriggerRequest | undefined {
  const { trigger: text, 'trigger-size': size, 'trigger-commits': commits, 'trigger-all': all } = values;
  const { 'trigger-cron': cron, 'trigger-rate-limit': rateLimit } = values;
  const hasConditions = [size, commits, cron, rateLimit].some((each) => each !== undefined);
  if (text === undefined) {
    if (!hasConditions && !all) return undefined;
    const why = 'give the branch that triggers, as --trigger BRANCH';
    throw new PachError('usage', { what: all ? '--trigger-all' : 'a condition of a trigger', why });
  }
  const [of, branch] = text.includes('@') ? text.split('@') : [repo, text];
  if (of !== repo || branch === undefined) {
    const why = `it must be a branch of the same repo, ${repo}`;
    throw new PachError('usage', { what: `--trigger ${text}`, why });
  }
  checkBranchName(branch);
  if (!hasConditions) {
    const why = 'give a condition: --trigger-commits 1 follows each commit';
    throw new PachError('usage', { what: `--trigger ${text}`, why });
  }
  const bytes = size === undefined ? undefined : bytesOf(size, '--trigger-size');
  return { branch, all, bytes, commits, cron, rateLimit };
}

/** `staging: 1GB or 10 commits`. */
export function triggerText({ branch, all, size, commits, cronSpec, rateLimitSpec }: TriggerInfo): string {
  const conditions = [
    ...(size === null ? [] : [sizeText(size)]),
    ...(commits === null ? [] : [countText(commits, 'commit')]),
    ...(cronSpec === null ? [] : [cronSpec]),
    ...(rateLimitSpec === null ? [] : [`at most ${rateLimitSpec}`]),
  ];
  return `${branch}: ${conditions.join(all ? ' and ' : ' or ')}`;
}
