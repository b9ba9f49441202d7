/**
 * What goes between the store of the settings and another one, and how far the two are apart.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import type { TransferProgress } from '../transfer/apply.ts';
import type { Wanted } from '../transfer/plan.ts';
import {
  listRemotes,
  maybeRemote,
  rememberRemote,
  setRemote,
  standOf,
  type Remote,
  type RemoteBranch,
} from '../transfer/remotes.ts';
import { transfer, type TransferResult } from '../transfer/transfer.ts';
import { isS3 } from '../store/s3/url.ts';
import type { BranchName } from '../versions/edit.ts';
import type { Project } from '../versions/project.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import {
  memoryBytesOnce,
  openProject,
  openSharedStore,
  type OpenOptions,
  type OpenProject,
  type OpenStore,
} from './open.ts';
import { locate, noStore, onlyProject, placeOf, settingsFor, type Elsewhere } from './other-store.ts';
import type { Settings } from './settings.ts';

/** Both stores together hold to what one command may have. A folder is read again in no time. */
const memoryBytesMax = { near: memoryBytesOnce / 2, far: memoryBytesOnce };

function limited(settings: Settings, options: OpenOptions): OpenOptions {
  return { memoryBytesMax: memoryBytesMax[isS3(settings.storeUrl) ? 'far' : 'near'], ...options };
}

function openOwn(settings: Settings, options: OpenOptions = {}): Promise<OpenProject> {
  return openProject(settings, limited(settings, options));
}

function openStore(settings: Settings, options: OpenOptions = {}): Promise<OpenStore> {
  return openSharedStore(settings, limited(settings, options));
}

/** What is told while something moves, and how it ends. */
export interface TransferWatch {
  readonly signal: AbortSignal;
  readonly progress: (now: TransferProgress) => void;
  /** Something worth knowing that is not a result. */
  note(line: string): void;
}

/** What goes along with the commits. */
export interface Along {
  readonly withProvenance: boolean;
  readonly withResults: boolean;
}

/** What came of a push, pull or clone, and where the other store is. */
export interface Transferred extends TransferResult {
  readonly url: string;
  /** The project that the commits are in now. */
  readonly project: string;
}

/** What is asked for: a repo with all its branches, or one of them. */
export interface WantedRepo {
  readonly repo: string;
  readonly branch: string | undefined;
}

/** Moves a repo from the project of the settings to another store; `to`: where, by default the repo's origin. */
export async function push(
  settings: Settings,
  what: WantedRepo,
  options: Along & { readonly to: string | undefined; readonly keepReferences: boolean },
  watch: TransferWatch,
): Promise<Transferred> {
  await using own = await openOwn(settings);
  const snapshot = await own.project.snapshot();
  const wanted = await wantedOf(snapshot, [what], options);
  const place = await placeOf(settings, snapshot, what.repo, { text: options.to, option: '--to' });
  await using other = await openStore(settingsFor(settings, place.storeUrl), { create: true });
  const origin = originOf(other, place, own.project.options.name, what.repo);
  checkOrigin(own, other, origin, options.to === undefined ? await maybeRemote(snapshot, what.repo) : undefined);
  const target = other.project(origin.project);
  await makeIfAbsent(target);
  const result = await transfer({
    ...watch,
    verb: 'push',
    what: `push ${addressOf(what)}`,
    source: { project: own.project, snapshot },
    target,
    wanted,
    keepReferences: options.keepReferences,
    url: origin.url,
  });
  try {
    await rememberRemote(own.project, snapshot, origin);
  } catch (error) {
    if (!isPachError(error)) throw error;
    watch.note(`where ${what.repo} was pushed to can't be remembered: ${error.message}`);
  }
  return { ...result, url: origin.url, project: origin.project };
}

/** Moves a repo from another store to the project of the settings; `from`: where, by default the repo's origin. */
export async function pull(
  settings: Settings,
  what: WantedRepo,
  options: Along & { readonly from: string | undefined },
  watch: TransferWatch,
): Promise<Transferred> {
  await using own = await openOwn(settings, { create: true });
  const here = await own.project.snapshot();
  const place = await placeOf(settings, here, what.repo, { text: options.from, option: '--from' });
  await using other = await openThere(settings, place.storeUrl);
  const origin = originOf(other, place, own.project.options.name, what.repo);
  checkOrigin(own, other, origin, options.from === undefined ? await maybeRemote(here, what.repo) : undefined);
  const project = other.project(origin.project);
  const snapshot = await project.snapshot();
  const wanted = await wantedOf(snapshot, [what], options);
  const result = await transfer({
    ...watch,
    verb: 'pull',
    what: `pull ${addressOf(what)}`,
    source: { project, snapshot },
    target: own.project,
    wanted,
    url: origin.url,
    origin,
  });
  return { ...result, url: origin.url, project: own.project.options.name };
}

/** Makes a repo, or all of a project, of what another store has. Throws `conflict` for a repo that is here already. */
export async function clone(
  settings: Settings,
  from: string,
  options: Along,
  watch: TransferWatch,
): Promise<Transferred> {
  const place = await locate(settings, from, 2);
  if (!place) throw noStore(settings, from);
  await using other = await openStore(settingsFor(settings, place.storeUrl));
  const project = other.project(place.project ?? (await onlyProject(other, from)));
  const snapshot = await project.snapshot();
  const repos: WantedRepo[] = [];
  if (place.repo !== undefined) repos.push({ repo: place.repo, branch: place.branch });
  else for await (const { name } of snapshot.repos()) repos.push({ repo: name, branch: undefined });
  const wanted = await wantedOf(snapshot, repos, options);
  // Where the user has named no project, it keeps its name: results of pipelines depend on that.
  const isChosen = settings.chosen?.some(({ name, from: by }) => name === 'project' && by !== 'default') ?? true;
  const name = isChosen ? settings.project : project.options.name;
  await using own = await openStore(settings, { create: true });
  const target = own.project(name);
  const origin = originOf(other, place, project.options.name, '');
  checkOrigin({ ...own, project: target }, other, origin, undefined);
  await makeIfAbsent(target);
  const here = await target.snapshot();
  for (const { repo } of repos) {
    if (!(await here.maybeRepo(repo))) continue;
    const next = `pach pull ${repo} --from ${shellWord(place.storeUrl)}`;
    throw new PachError('conflict', { what: `repo ${repo}`, why: `it is already in project ${name}`, next });
  }
  const result = await transfer({
    ...watch,
    verb: 'pull',
    what: `clone ${place.repo === undefined ? `project ${project.options.name}` : addressOf(repos[0] as WantedRepo)}`,
    source: { project, snapshot },
    target,
    wanted,
    url: origin.url,
    origin,
  });
  return { ...result, url: origin.url, project: name };
}

/** Gives a repo the origin `text`, a store that is there, whatever origin it had. */
export async function setOrigin(settings: Settings, repo: string, text: string): Promise<Remote> {
  await using own = await openOwn(settings);
  await (await own.project.snapshot()).repo(repo);
  const place = await locate(settings, text, 1);
  if (!place) throw noStore(settings, text);
  await using other = await openStore(settingsFor(settings, place.storeUrl));
  const origin = originOf(other, place, own.project.options.name, repo);
  checkOrigin(own, other, origin, undefined);
  await setRemote(own.project, origin);
  return origin;
}

/** How a repo stands to its origin, as of now; `problem`: why that can't be said. */
export interface RemoteStanding extends Remote {
  readonly branches: readonly RemoteBranch[];
  readonly problem?: string | undefined;
}

/** One look at the head of each origin. One that does not answer is told of, and ends nothing. */
export async function remoteStandings(settings: Settings, own: Project): Promise<RemoteStanding[]> {
  const here = await own.snapshot();
  const byPlace = new Map<string, Remote[]>();
  for (const remote of await listRemotes(here)) {
    const key = `${remote.storeId} ${remote.project} ${remote.url}`;
    byPlace.set(key, [...(byPlace.get(key) ?? []), remote]);
  }
  const standings = await Promise.all([...byPlace.values()].map((remotes) => standingsIn(settings, here, remotes)));
  return standings.flat().sort((a, b) => (a.repo < b.repo ? -1 : 1));
}

/** How long an origin may take to answer a question that is asked by the way. */
const askMs = 5000;

async function standingsIn(settings: Settings, here: Snapshot, remotes: readonly Remote[]): Promise<RemoteStanding[]> {
  const [first] = remotes as [Remote];
  const { url, storeId, project } = first;
  try {
    const wait = { timeoutMs: askMs, firstContactMs: askMs };
    await using other = await openStore(settingsFor(settings, url), wait);
    if (other.storeId !== storeId) throw another(first);
    const there = await other.project(project).snapshot();
    return await Promise.all(
      remotes.map(async (remote) => ({ ...remote, branches: await standOf(here, there, remote.repo) })),
    );
  } catch (error) {
    if (!isPachError(error)) throw error;
    return remotes.map((remote) => ({ ...remote, branches: [], problem: error.message }));
  }
}

/** A store that something is to come from: nobody wants one to be made there. */
async function openThere(settings: Settings, storeUrl: string): Promise<OpenStore> {
  try {
    return await openStore(settingsFor(settings, storeUrl));
  } catch (error) {
    if (!isPachError(error, 'not-found')) throw error;
    const next = 'name a store that is there: URL, or URL/PROJECT';
    throw new PachError('not-found', { what: error.what, why: error.why, next, cause: error });
  }
}

function addressOf({ repo, branch }: WantedRepo): string {
  return branch === undefined ? repo : `${repo}@${branch}`;
}

async function wantedOf(
  snapshot: Snapshot,
  repos: readonly WantedRepo[],
  { withProvenance, withResults }: Along,
): Promise<Wanted> {
  const branches: BranchName[] = [];
  for (const { repo, branch } of repos) {
    if (branch === undefined) {
      await snapshot.repo(repo);
      for await (const { name } of snapshot.branches(repo)) branches.push({ repo, branch: name });
    } else branches.push({ repo, branch: (await snapshot.branch(repo, branch)).name });
  }
  return { repos: repos.map(({ repo }) => repo), branches, withProvenance, withResults };
}

/** What is remembered of the other side. Addresses of folders are whole, so that they hold wherever a command runs. */
function originOf({ store, storeId }: OpenStore, place: Elsewhere, project: string, repo: string): Remote {
  const url = isS3(place.storeUrl) ? place.storeUrl : store.url;
  return { repo, url, project: place.project ?? project, storeId };
}

function checkOrigin(
  own: Pick<OpenProject, 'storeId' | 'project'>,
  other: OpenStore,
  { url, project, storeId }: Remote,
  known: Remote | undefined,
): void {
  if (known && known.storeId !== storeId) throw another(known);
  if (other.storeId !== own.storeId || project !== own.project.options.name) return;
  throw new PachError('usage', { what: url, why: `it is this store, and this project (${project}), itself` });
}

function another({ repo, url }: Remote): PachError {
  const why = 'another store lies there now than the one that this repo came from';
  return new PachError('conflict', { what: url, why, next: `pach remote set ${repo} ${shellWord(url)}` });
}

async function makeIfAbsent(project: Project): Promise<void> {
  try {
    if (!(await project.exists())) await project.create();
  } catch (error) {
    if (!isPachError(error, 'conflict')) throw error;
  }
}
