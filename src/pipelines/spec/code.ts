/**
 * `dev.code`: files beside the spec that the command sees.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { CodeUse } from './spec.ts';
import { Fault, type Path } from './fault.ts';
import { isWithin, placeOf } from './names.ts';

export function buildCode(
  values: readonly { readonly from: string; readonly to: string }[],
  path: Path,
  folder: string,
): readonly CodeUse[] {
  const uses: CodeUse[] = [];
  for (const [index, { from, to: text }] of values.entries()) {
    const to = placeOf(text, [...path, index, 'to']);
    const other = uses.find((use) => isWithin(use.to, to) || isWithin(to, use.to));
    if (other) throw new Fault([...path, index, 'to'], `${other.to} is already the target of other code`);
    const absolute = resolve(folder, from);
    if (from === '' || !existsSync(absolute)) {
      throw new Fault([...path, index, 'from'], `there is no ${absolute}`, { code: 'not-found' });
    }
    uses.push({ from: absolute, to });
  }
  return uses;
}

/** The code of a spec with more of it, which takes the place of what lies at the same place. */
export function withCode(code: readonly CodeUse[], more: readonly CodeUse[]): readonly CodeUse[] {
  const places = new Set(more.map(({ to }) => to));
  return [...code.filter(({ to }) => !places.has(to)), ...more];
}
