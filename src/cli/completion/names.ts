/**
 * Names that a store has, by their beginning. Each listing is bounded, whatever the store holds.
 */
import { peek } from '../../app/peek.ts';
import type { Settings } from '../../app/settings.ts';
import { listContexts } from '../../local/config.ts';
import { kernelMounts } from '../../local/kernel-mounts.ts';
import { shortId } from '../../model/ids.ts';
import { parseAddress } from '../../model/address.ts';
import { typedPath, writtenPath } from '../../model/paths.ts';
import { Files } from '../../versions/reading/files.ts';
import { operationsOf } from '../../versions/operations.ts';
import type { Project } from '../../versions/project.ts';
import { listProjects } from '../../versions/projects.ts';
import { branchKey, jobKey, lastPart, pipelineKey, repoKey } from '../../versions/ref-keys.ts';
import { resolveFiles } from '../../versions/resolve.ts';
import type { Snapshot } from '../../versions/snapshot.ts';
import type { Kind } from '../parameters.ts';

const namesMax = 300;
const operationsMax = 20;

/** Whole words for what `begun` begins. May throw where there is no such repo, or the store can't be read. */
export async function namesOf(
  kind: Exclude<Kind, 'local'>,
  begun: string,
  settings: Settings,
  opened: () => void,
): Promise<string[]> {
  if (kind === 'mountpoint') return ownMounts();
  if (kind === 'context') return (await listContexts(settings.home)).map(({ name }) => name);
  const at = kind === 'project' ? undefined : /^(([\w-]+)\/)?/.exec(begun);
  const named = at?.[2] === undefined ? settings : { ...settings, project: at[2] };
  await using peeked = await peek(named, opened);
  if (!peeked) return [];
  if (kind === 'project') return await listProjects(peeked.store);
  const snapshot = await peeked.project.snapshot();
  if (kind === 'pipeline') return await keysOf(snapshot, pipelineKey(begun));
  if (kind === 'operation') return await operations(peeked.project);
  if (kind === 'job') return await keysOf(snapshot, jobKey(begun));
  return await addresses(kind, begun, snapshot);
}

async function addresses(
  kind: 'repo' | 'branch' | 'commit' | 'file',
  begun: string,
  snapshot: Snapshot,
): Promise<string[]> {
  const [, before = '', , repo = '', version, path] = /^(([\w-]+)\/)?([\w-]*)(@[^:]*)?(:[^]*)?$/.exec(begun) ?? [];
  if (path !== undefined) return kind === 'file' ? paths(begun.slice(0, -path.length), path.slice(1), snapshot) : [];
  if (version !== undefined) {
    const branches = kind === 'repo' ? [] : await keysOf(snapshot, branchKey(repo, version.slice(1)));
    return branches.map((branch) => `${before}${repo}@${branch}${kind === 'file' ? ':/' : ''}`);
  }
  const repos = await keysOf(snapshot, repoKey(repo));
  const ends = { repo: [''], commit: ['', '@'], branch: ['@'], file: ['@'] }[kind];
  return repos.flatMap((name) => ends.map((end) => `${before}${name}${end}`));
}

/** What lies in one folder. */
async function paths(version: string, begun: string, snapshot: Snapshot): Promise<string[]> {
  const root = await resolveFiles(snapshot, parseAddress(version));
  if (!root) return [];
  const slash = begun.lastIndexOf('/') + 1;
  const files = new Files(snapshot.reader, root, version);
  const found: string[] = [];
  const name = typedPath(begun.slice(slash));
  for await (const { path, entry } of files.beginning(typedPath(begun.slice(0, slash)), name, namesMax)) {
    const written = writtenPath(path.slice(path.lastIndexOf('/') + 1));
    const folder = begun.slice(0, slash) || '/';
    found.push(`${version}:${folder}${written}${entry.content.form === 'directory' ? '/' : ''}`);
  }
  return found;
}

/** The last parts of keys, and beyond the first so many the last one: what all have in common stays true. */
async function keysOf(snapshot: Snapshot, prefix: Buffer): Promise<string[]> {
  const names = new Set<string>();
  for await (const { key } of snapshot.items(prefix)) {
    names.add(lastPart(key).split('@')[0] as string);
    if (names.size < namesMax) continue;
    const { last } = await snapshot.lastItem(prefix);
    if (last) names.add(lastPart(last.key).split('@')[0] as string);
    break;
  }
  return [...names];
}

/** The newest that can be undone. */
async function operations(project: Project): Promise<string[]> {
  const { head, known } = await project.load();
  const ids: string[] = [];
  for await (const { id, isEngine } of operationsOf({ head, known, reader: project.reader })) {
    if (!isEngine) ids.push(shortId(id));
    if (ids.length === operationsMax) break;
  }
  return ids;
}

async function ownMounts(): Promise<string[]> {
  const user = process.geteuid?.();
  return (await kernelMounts()).filter((mount) => mount.user === user).map(({ mountpoint }) => mountpoint);
}
