/**
 * What people are told of a datum that is mounted, and lines for a shell.
 */
import { lstatSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { quotedName } from '../base/shell.ts';
import type { MountedDatumInfo } from '../shown/mounts.ts';
import type { Output } from './output.ts';
import { datumText } from './pipeline-columns.ts';

export const exportOption = {
  type: 'flag',
  describe: "Print only the variables of the datum's command, as `export` lines for a shell",
} as const;

export interface PrintOptions {
  readonly mountpoint: string;
  readonly datum: MountedDatumInfo;
  readonly exports: boolean;
}

/** A datum may have as many files as it likes. */
const filesMax = 10;
/** Where commands see a datum. */
const pfs = '/pfs';

export async function printDatum(output: Output, { mountpoint, datum, exports }: PrintOptions): Promise<void> {
  const variables = Object.entries(datum.variables);
  if (!exports) return output.document({ mountpoint, datum }, () => textOf(output, mountpoint, datum));
  const isName = (name: string): boolean => /^[A-Za-z_]\w*$/.test(name);
  for (const [name] of variables) {
    if (!isName(name)) output.note(`${name} is left out: a variable of a shell can't have this name`);
  }
  await output.lines(
    variables.flatMap(([name, value]) => (isName(name) ? [`export ${name}=${quotedName(value, true)}`] : [])),
  );
}

function textOf({ name, id }: Output, mountpoint: string, datum: MountedDatumInfo): string[] {
  const { index, total, pipeline, files, out, variables } = datum;
  const more = files.length - filesMax;
  return [
    `datum ${index} of ${total} of ${pipeline}: ${id(datumText(datum.id))}`,
    ...files.slice(0, filesMax).map(({ repo, path }) => `  ${name(`${repo}:${path}`)}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
    `folder: ${name(mountpoint)}`,
    `out: ${name(out)} (${name(join(mountpoint, 'out'))})`,
    `as ${pfs}: ${asPfs(mountpoint)}`,
    'variables:',
    ...Object.entries(variables).map(([variable, value]) => `  ${variable}=${name(value)}`),
  ];
}

/** How code that names /pfs finds the mountpoint there. */
function asPfs(mountpoint: string): string {
  if (mountpoint === pfs) return 'it is there';
  const there = lstatSync(pfs, { throwIfNoEntry: false });
  if (!there) return `${process.geteuid?.() === 0 ? '' : 'sudo '}ln -s ${quotedName(mountpoint, true)} ${pfs}`;
  if (there.isSymbolicLink() && leadsTo(mountpoint)) return 'it is there';
  return `something else is there (ls -ld ${pfs})`;
}

function leadsTo(mountpoint: string): boolean {
  try {
    return realpathSync(pfs) === mountpoint;
  } catch {
    return false;
  }
}
