/**
 * `dev.code`: files beside the spec that the command sees, and `dev.build`: what its image is made of.
 */
import { existsSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import type { CodeUse, ImageBuild } from './spec.ts';
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

/** Where an image is built from. */
export function buildOf(
  {
    context = '.',
    dockerfile = 'Dockerfile',
  }: { readonly context?: string | undefined; readonly dockerfile?: string | undefined },
  path: Path,
  folder: string,
): ImageBuild {
  const absolute = resolve(folder, context);
  if (!existsSync(absolute)) {
    throw new Fault([...path, 'context'], `there is no ${absolute}`, { code: 'not-found' });
  }
  const file = resolve(absolute, dockerfile);
  if (!isWithin(file, absolute)) throw new Fault([...path, 'dockerfile'], 'it must lie below the context');
  if (!existsSync(file)) throw new Fault([...path, 'dockerfile'], `there is no ${file}`, { code: 'not-found' });
  return { context: absolute, dockerfile: relative(absolute, file) };
}

/** The code of a spec with more of it, which takes the place of what lies at the same place. */
export function withCode(code: readonly CodeUse[], more: readonly CodeUse[]): readonly CodeUse[] {
  const places = new Set(more.map(({ to }) => to));
  return [...code.filter(({ to }) => !places.has(to)), ...more];
}
