/**
 * Triggers of inputs: when the branch that is made for one takes the head of another branch.
 */
import { parseSchedule } from '../../model/schedule.ts';
import { bytesOf } from '../../model/units.ts';
import { faultOf, type Owner } from './cron.ts';
import { Fault, type Path } from './fault.ts';
import { checkName } from './names.ts';
import type { InputTrigger } from './spec.ts';
import type { InputValues } from './values.ts';

type TriggerValues = NonNullable<NonNullable<InputValues['pfs']>['trigger']>;

/** The trigger of an input that reads `branch`. Throws `Fault`. */
export function buildTrigger(
  values: TriggerValues,
  { branch, timezone }: Pick<Owner, 'timezone'> & { readonly branch: string },
  path: Path,
): InputTrigger {
  const source = values.branch || 'master';
  checkName(source, [...path, 'branch']);
  if (source === branch) {
    const why = 'triggers cannot form a loop: the branch that triggers is the one that the input reads';
    throw new Fault([...path, 'branch'], why, { next: "leave out the input's own branch: one is made" });
  }
  const bytes = values.size ? bytesOf(values.size) : undefined;
  if (values.size && bytes === undefined) {
    throw new Fault([...path, 'size'], `it must be a size such as 256MB or 1Gi, not ${JSON.stringify(values.size)}`);
  }
  const conditions = {
    bytes: bytes || undefined,
    commits: values.commits || undefined,
    cron: expressionOf(values, 'cronSpec', timezone, path),
    rateLimit: expressionOf(values, 'rateLimitSpec', timezone, path),
  };
  if (Object.values(conditions).every((each) => each === undefined)) {
    const why = 'it has no condition, so the pipeline would never run';
    throw new Fault(path, why, { next: 'commits: 1 for each commit' });
  }
  const hasTimes = (conditions.cron ?? conditions.rateLimit) !== undefined;
  return { branch: source, all: values.all ?? false, ...conditions, ...(hasTimes && { timezone }) };
}

function expressionOf(
  values: TriggerValues,
  name: 'cronSpec' | 'rateLimitSpec',
  timezone: string,
  path: Path,
): string | undefined {
  const expression = values[name];
  if (!expression) return undefined;
  faultOf([...path, name], () => parseSchedule(expression, timezone));
  return expression;
}
