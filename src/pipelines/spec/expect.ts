/**
 * `dev.expect`: what must hold of a job's output, checked.
 */
import { Fault, type Path } from './fault.ts';
import type { specFields } from './fields.ts';
import type { Expectations } from './spec.ts';
import type { ValuesOf } from './values.ts';

type ExpectValues = NonNullable<NonNullable<ValuesOf<typeof specFields>['dev']>['expect']>;

const checkTimeoutMsDefault = 3_600_000;

/** Undefined where nothing is expected. `name` and `datumTimeoutMs`: those of the spec. */
export function buildExpect(
  values: ExpectValues,
  path: Path,
  { name, datumTimeoutMs }: { readonly name: string; readonly datumTimeoutMs: number | undefined },
): Expectations | undefined {
  const { notEmpty = false, minFiles: filesMin, maxShrink: shrinkPercentMax, check: cmd, checkTimeout } = values;
  if (cmd && name === 'out')
    throw new Fault([...path, 'check'], 'a pipeline named out has none: /pfs/out is where commands write');
  if (cmd?.length === 0) throw new Fault([...path, 'check'], 'it names no command');
  if (cmd?.[0] === '') throw new Fault([...path, 'check', 0], 'the name of the program is empty');
  if (!cmd && checkTimeout !== undefined) throw new Fault([...path, 'checkTimeout'], 'it needs a check');
  const timeoutMs = checkTimeout ?? datumTimeoutMs ?? checkTimeoutMsDefault;
  const isNothing = !notEmpty && filesMin === undefined && shrinkPercentMax === undefined && !cmd;
  return isNothing ? undefined : { notEmpty, filesMin, shrinkPercentMax, check: cmd && { cmd, timeoutMs } };
}
