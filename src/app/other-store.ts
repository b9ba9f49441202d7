/**
 * Other stores than the one of the settings, as people write where they are.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { maybeRemote } from '../transfer/remotes.ts';
import { openStore } from '../store/open.ts';
import { isS3 } from '../store/s3/url.ts';
import { readHeader } from '../versions/header.ts';
import { listProjects } from '../versions/projects.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { OpenStore } from './open.ts';
import type { Settings } from './settings.ts';

/** A place in another store: `URL[/project[/repo[@branch]]]`. */
export interface Elsewhere {
  readonly storeUrl: string;
  readonly project?: string | undefined;
  readonly repo?: string | undefined;
  readonly branch?: string | undefined;
}

const namePattern = /^[A-Za-z0-9_-]+$/;
const repoPattern = /^([A-Za-z0-9_-]+)(?:@([A-Za-z0-9_-]+))?$/;

/** Where a repo is in another store: as the user says it, or where it came from. Throws `usage` where neither is known. */
export async function placeOf(
  settings: Settings,
  snapshot: Snapshot,
  repo: string,
  { text, option }: { readonly text: string | undefined; readonly option: string },
): Promise<Elsewhere> {
  if (text !== undefined) return (await locate(settings, text, 1)) ?? { storeUrl: text };
  const remote = await maybeRemote(snapshot, repo);
  if (remote) return { storeUrl: remote.url, project: remote.project };
  const verb = option === '--to' ? 'push' : 'pull';
  const why = 'it has no origin: it was not cloned, and never pushed or pulled';
  throw new PachError('usage', { what: repo, why, next: `pach ${verb} ${repo} ${option} URL` });
}

/** Finds the store in what people write: all of it, or all but up to two parts, which are a project and a repo. */
export async function locate(settings: Settings, text: string, partsMax: number): Promise<Elsewhere | undefined> {
  const [, path = '', query = ''] = (isS3(text) ? /^([^?]*)(.*)$/s : /^(.*)()$/s).exec(text) ?? [];
  let start = path.replace(/\/+$/, '');
  const parts: string[] = [];
  for (let dropped = 0; dropped <= partsMax; dropped += 1) {
    const [project, last] = parts;
    const [, repo, branch] = (last !== undefined && repoPattern.exec(last)) || [];
    const isNamed = (project === undefined || namePattern.test(project)) && (last === undefined || repo !== undefined);
    const storeUrl = `${start}${query}`;
    if (isNamed && (await isStore(settings, storeUrl))) return { storeUrl, project, repo, branch };
    const cut = start.lastIndexOf('/');
    if (cut <= 0 || start[cut - 1] === '/') return undefined;
    parts.unshift(start.slice(cut + 1));
    start = start.slice(0, cut);
  }
  return undefined;
}

async function isStore(settings: Settings, url: string): Promise<boolean> {
  const store = await openStore(url, { singleWriter: settings.singleWriter ?? false });
  try {
    return (await readHeader(store)) !== undefined;
  } catch (error) {
    // It holds other things.
    if (isPachError(error, 'usage')) return false;
    throw error;
  } finally {
    await store.close();
  }
}

export function noStore(settings: Settings, text: string): PachError {
  const why = 'there is no store at this address, nor above it';
  const next = `name a store, a project or a repo that is there: URL, URL/PROJECT or URL/PROJECT/REPO; the own store is ${settings.storeUrl}`;
  return new PachError('not-found', { what: text, why, next });
}

export async function onlyProject({ store }: OpenStore, text: string): Promise<string> {
  const names = await listProjects(store);
  const [only, second] = names;
  if (only !== undefined && second === undefined) return only;
  const why = only === undefined ? 'it has no projects' : `it has several projects: ${names.join(', ')}`;
  const next = only === undefined ? undefined : `pach clone ${shellWord(`${text.replace(/\/$/, '')}/${only}`)}`;
  throw new PachError(only === undefined ? 'not-found' : 'usage', { what: text, why, next });
}

export function settingsFor(settings: Settings, storeUrl: string): Settings {
  return { ...settings, storeUrl, defaultStore: false };
}
