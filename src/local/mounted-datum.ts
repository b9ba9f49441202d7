/**
 * Which datum a mount shows: a JSON file of this machine's state. The commands that mount and move
 * replace it as a whole, and the mount's server reads it, also one that takes over from another.
 */
import { constants, existsSync } from 'node:fs';
import { open, readdir, rename, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { removeTreeAsync } from '../base/remove.ts';
import type { Home } from './home.ts';
import { mountDatumPath } from './mounts.ts';

/** A file or folder of a version, as a datum has it. */
export interface ShownFile {
  /** Name of the input: the folder below the mountpoint. */
  readonly input: string;
  readonly repo: string;
  readonly commit: string;
  /** Absolute, as text; `/` is the whole of the version. */
  readonly path: string;
  /** Files are shown with no bytes. */
  readonly empty: boolean;
}

export interface ShownDatum {
  /** From 1 on. */
  readonly index: number;
  readonly id: string;
  readonly files: readonly ShownFile[];
  /** What its command would have as variables. */
  readonly variables: Readonly<Record<string, string>>;
}

export interface MountedDatum {
  /** The encoded head that all datums are of, in base64. */
  readonly head: string;
  /** The spec in its stored form. */
  readonly spec: string;
  readonly pipeline: string;
  /** How many datums the spec has. */
  readonly total: number;
  /** Holds a folder for each datum, by index: what `out` leads to. No other mount has the same. */
  readonly out: string;
  /** What is shown at the end, before it what was shown last: a new server answers for files that are open there. */
  readonly shown: readonly ShownDatum[];
}

/** Datums shown earlier that a record keeps. */
const earlierMax = 16;

/** What a mount shows now. */
export function currentDatum({ shown }: MountedDatum): ShownDatum {
  const last = shown.at(-1);
  if (!last) throw new Error('a record of a datum has none');
  return last;
}

/** Where the results of a datum go. */
export function outFolder({ out }: Pick<MountedDatum, 'out'>, index: number): string {
  return join(out, String(index));
}

/** Records that a mount shows another datum, or its first, whose `out` folder is there then. */
export async function showDatum(home: Home, mountpoint: string, mounted: MountedDatum): Promise<void> {
  const shown = mounted.shown.slice(-earlierMax);
  const path = await mountDatumPath(home, mountpoint);
  await home.make(outFolder(mounted, currentDatum(mounted).index));
  await removeTreeAsync(`${path}.new`);
  await writeFile(`${path}.new`, JSON.stringify({ ...mounted, shown }), { mode: 0o600, flag: 'wx' });
  await rename(`${path}.new`, path);
}

/** What a mount shows; undefined for a mount that shows no datum. Throws `damaged`. */
export async function maybeMountedDatum(home: Home, mountpoint: string): Promise<MountedDatum | undefined> {
  const path = await mountDatumPath(home, mountpoint);
  return existsSync(path) ? readMountedDatum(path) : undefined;
}

/** Throws `damaged` for a file that is no such record. */
export async function readMountedDatum(path: string): Promise<MountedDatum> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const mounted = JSON.parse(await file.readFile('utf8')) as MountedDatum;
    currentDatum(mounted);
    return mounted;
  } catch (cause) {
    throw new PachError('damaged', { what: path, why: 'it is no record of a datum', cause });
  }
}

/**
 * Ends the record of a mount, unless a later mount has written another in its place, and removes its
 * `out` folders that hold nothing. Resolves to true when something stays in `out`.
 */
export async function endDatum(home: Home, mountpoint: string, out: string): Promise<boolean> {
  const now = await maybeMountedDatum(home, mountpoint).catch(() => undefined);
  if (now?.out === out) await removeTreeAsync(await mountDatumPath(home, mountpoint));
  const indexes = await readdir(out).catch(() => []);
  for (const each of [...indexes.map((index) => join(out, index)), out]) await rmdir(each).catch(() => undefined);
  return existsSync(out);
}
