/**
 * Where the links that a command left in /pfs/out lead, told from their text and the datum's input:
 * nothing of this machine is looked at.
 */
import { posix } from 'node:path';
import type { BlobReader } from '../cache/blobs.ts';
import { nameOfText, textOfName } from '../model/paths.ts';
import type { OutsideLinks } from '../model/records/pipelines.ts';
import type { TreeEntry } from '../model/tree.ts';
import type { Directories } from '../versions/directories.ts';
import type { Datum } from '../pipelines/datums/datum.ts';
import { bytesOf } from '../pipelines/jobs/jobs.ts';

/** What is to be stored for a link: what it leads to, or another target; undefined for the link as it is. */
export interface Followed {
  readonly stored?: TreeEntry | string | undefined;
  /** What a command sees there is neither input nor output, and gone with the datum. */
  readonly isOutside: boolean;
}

interface LinkScope {
  readonly reader: BlobReader;
  readonly directories: Directories;
  readonly datum: Datum;
}

const root = '/pfs';
const out = '/pfs/out';
/** `/pfs/out` and what follows it, as a command may write it. */
const outText = /^\/+(?:\.\/+)*pfs\/+(?:\.\/+)*out(?:\/+(.*))?$/s;
/** As many links in a row as the kernel follows. */
const linksMax = 40;

/** `path` is where the link lies as the command knows it, below /pfs/out. */
export async function follow(scope: LinkScope, path: string, target: string): Promise<Followed> {
  const place = posix.resolve(posix.dirname(path), target);
  if (isAtOrBelow(place, out)) return { stored: withinOut(path, target, place), isOutside: false };
  return intoInput(scope, place, linksMax);
}

/** What people are told of links that lead outside. */
export function outsideText({ links, one }: OutsideLinks): string {
  return `${links} ${links === 1 ? 'link leads' : 'links lead'} out of /pfs, for example ${one}; the targets are not stored`;
}

function isAtOrBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/**
 * A link within /pfs/out in a form that holds wherever its files are shown later; undefined where it
 * has one. Names stay as they were written: what `..` after a link means is not for text to say.
 */
function withinOut(path: string, target: string, place: string): string | undefined {
  const folder = posix.dirname(path);
  const depth = folder.slice(out.length).split('/').filter(Boolean).length;
  if (!target.startsWith('/')) return stays(depth, target) ? undefined : posix.relative(folder, place) || '.';
  const names = outText.exec(target)?.[1] ?? '';
  if (!outText.test(target) || !stays(0, names)) return posix.relative(folder, place) || '.';
  return [...Array.from({ length: depth }, () => '..'), names].filter(Boolean).join('/') || '.';
}

/** True when a path that begins `depth` folders deep never leaves the uppermost one. */
function stays(depth: number, path: string): boolean {
  let at = depth;
  for (const name of path.split('/')) {
    if (name === '..') at -= 1;
    else if (name !== '' && name !== '.') at += 1;
    if (at < 0) return false;
  }
  return true;
}

/** Links of the input are followed, too. */
async function intoInput(scope: LinkScope, place: string, left: number): Promise<Followed> {
  if (!isAtOrBelow(place, root)) return { isOutside: true };
  const found = await inInput(scope, place);
  if (found?.kind !== 'symlink' || left === 0) return { stored: found, isOutside: false };
  const target = textOfName(await bytesOf(scope.reader, found));
  const next = await intoInput(scope, posix.resolve(posix.dirname(place), target), left - 1);
  return { stored: next.stored ?? found, isOutside: next.isOutside };
}

async function inInput({ directories, datum }: LinkScope, place: string): Promise<TreeEntry | undefined> {
  const [, , name, ...rest] = place.split('/');
  if (name === undefined || name === 'out') return undefined;
  const wanted = `/${rest.join('/')}`;
  for (const { input, path: at, entry } of datum.files) {
    if (input.name !== name) continue;
    if (wanted === at) return entry;
    const below = at === '/' ? wanted : wanted.startsWith(`${at}/`) ? wanted.slice(at.length) : undefined;
    if (below === undefined || entry.content.form !== 'directory') continue;
    const found = await directories.find(entry.content, below.split('/').slice(1).map(nameOfText));
    if (found) return found;
  }
  return undefined;
}
