/**
 * Examines this machine and the store of the settings, whether or not anything was made there.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Deadline } from '../base/deadline.ts';
import { isPachError } from '../base/errors.ts';
import { removeTreeAsync } from '../base/remove.ts';
import { headKey } from '../model/keys.ts';
import type { ReferenceContent } from '../model/reference.ts';
import { decodeHead } from '../model/records/head.ts';
import type { OperationRecord } from '../model/records/operation.ts';
import { checked, failed, warned, type Check } from '../store/check.ts';
import { examineRights } from '../store/examine-rights.ts';
import { examineStore } from '../store/examine.ts';
import { openStore } from '../store/open.ts';
import { OutsideObjects } from '../store/s3/outside.ts';
import type { Store } from '../store/store.ts';
import { Directories, rootEntry } from '../versions/directories.ts';
import { readHeader } from '../versions/header.ts';
import type { Project } from '../versions/project.ts';
import { referencesIn } from '../versions/reading/references.ts';
import { rootOf } from '../versions/snapshot.ts';
import { examineFollowers } from './examine-followers.ts';
import { examineMachine, nearestFolder } from './machine.ts';
import { openProject } from './open.ts';
import type { Settings } from './settings.ts';
import { unversion, versioned } from './writable-store.ts';

/** Buckets that are asked for an object, and how long each may take. */
const bucketsMax = 16;
const referenceMs = 10_000;

/** Throws `unreachable` when the store does not answer, after what was found out before. */
export async function* examine(settings: Settings, signal: AbortSignal): AsyncGenerator<Check> {
  yield* examineMachine(settings.home.cache);
  // What a flag or a variable says, the user sees.
  const kept = settings.chosen?.filter(({ from }) => from === 'config' || from.startsWith('context ')) ?? [];
  const words = kept.map(({ name, value, from }) => `${name} ${value} (${from})`);
  if (words.length > 0) yield { check: 'settings', state: 'ok', value: words.join(', ') };
  const store = await openStore(settings.storeUrl);
  try {
    yield await checked('store', () => lookAtHeader(settings, store));
    yield await checked('project', () => lookAtProject(settings, store));
    yield* examineMounts(settings, store);
    yield* examineReferences(settings, store);
    const path = store.localPath('head');
    if (path === undefined) yield* examineBucket(settings, store, signal);
    else yield* examineFolder(dirname(path), signal);
  } finally {
    await store.close();
  }
}

async function lookAtHeader(settings: Settings, store: Store): Promise<Omit<Check, 'check'> | string> {
  const header = await readHeader(store);
  if (header) return `${header.id}, made ${new Date(header.created).toISOString()}`;
  const path = store.localPath('head');
  if (path !== undefined && !settings.defaultStore) {
    const parent = dirname(dirname(path));
    if ((await nearestFolder(parent)) !== parent) return failed(`${parent} does not exist`, `mkdir -p ${parent}`);
  }
  return 'none yet; creating the first repo makes it';
}

async function lookAtProject({ project }: Settings, store: Store): Promise<Omit<Check, 'check'> | string> {
  const found = await store.readWithToken(headKey(project));
  if (!found) return `${project}: none yet`;
  const { operation } = decodeHead(Buffer.from(found.bytes), headKey(project));
  return `${project}: last changed ${new Date(operation.time).toISOString()}`;
}

/** The mounts that follow the project. One that can't be read is told of by another check. */
async function* examineMounts({ home, project }: Settings, store: Store): AsyncGenerator<Check> {
  const found = await store.readWithToken(headKey(project)).catch(() => undefined);
  if (!found) return;
  const newest = operationIn(found.bytes, project);
  if (newest) yield* examineFollowers(home, { storeUrl: store.url, project, newest });
}

function operationIn(head: Uint8Array, project: string): OperationRecord | undefined {
  try {
    return decodeHead(Buffer.from(head), headKey(project)).operation;
  } catch (error) {
    if (!isPachError(error)) throw error;
    return undefined;
  }
}

/** Whether objects can be read that files refer to: one of each bucket that the heads of branches name. */
async function* examineReferences(settings: Settings, store: Store): AsyncGenerator<Check> {
  const isThere = await store.readWithToken(headKey(settings.project)).catch(() => undefined);
  if (!isThere) return;
  await using opened = await openProject(settings);
  const found = new Map<string, ReferenceContent>();
  for await (const content of referencesOfHeads(opened.project)) {
    const { bucket, endpoint = '' } = content.object;
    if (found.size < bucketsMax) found.set(`${bucket} ${endpoint}`, found.get(`${bucket} ${endpoint}`) ?? content);
  }
  const objects = new OutsideObjects();
  try {
    for (const content of found.values()) {
      const { bucket, endpoint } = content.object;
      const what = `references to s3://${bucket}${endpoint === undefined ? '' : ` at ${endpoint}`}`;
      yield await checked(what, async () => {
        try {
          await objects.read(content, { offset: 0, length: 1 }, new Deadline(referenceMs));
          return 'objects can be read';
        } catch (error) {
          if (!isPachError(error)) throw error;
          return warned(error.message, error.next ?? 'files that refer to it can not be read here');
        }
      });
    }
  } finally {
    objects.close();
  }
}

/** The first reference of each branch that has some. A project that can't be read is told of by other checks. */
async function* referencesOfHeads(project: Project): AsyncGenerator<ReferenceContent> {
  try {
    const snapshot = await project.snapshot();
    const directories = new Directories(project.reader);
    for await (const { name } of snapshot.repos()) {
      for await (const { head } of snapshot.branches(name)) {
        const commit = head && (await snapshot.commitAt(head.commit));
        if (!commit?.references) continue;
        for await (const { content } of referencesIn(directories, rootEntry(rootOf(commit)), [])) {
          yield content;
          break;
        }
      }
    }
  } catch (error) {
    if (!isPachError(error)) throw error;
  }
}

/** In a folder beside the store's objects that goes with all that is in it. */
async function* examineFolder(root: string, signal: AbortSignal): AsyncGenerator<Check> {
  const near = await nearestFolder(root);
  if (near === root) yield await checked('rights', () => examineRights(root));
  const folder = await mkdtemp(join(near, '.probe-')).catch((error: NodeJS.ErrnoException) => error);
  if (typeof folder !== 'string') {
    const owner = `to see who owns the folder, run: ls -ld ${near}`;
    const advice = near === root ? `${owner}; to share it with its group, its owner runs: chmod g+rwxs ${near}` : owner;
    yield { check: 'write and read back', ...failed(`${near} can't be written (${folder.code})`, advice) };
    return;
  }
  const store = await openStore(folder);
  try {
    yield* examineStore(store, { prefix: 'probe/', signal });
  } finally {
    await store.close();
    await removeTreeAsync(folder);
  }
}

async function* examineBucket(settings: Settings, store: Store, signal: AbortSignal): AsyncGenerator<Check> {
  const prefix = `.probe/${randomBytes(16).toString('hex')}/`;
  const { keepsVersions } = await import('../store/s3/versioning.ts');
  const { refusesWrongChecksum } = await import('../store/s3/checksum.ts');
  for await (const found of examineStore(store, { prefix, signal })) {
    if (found.state !== 'fail' || !found.check.startsWith('write if')) {
      yield found;
      continue;
    }
    const state = settings.singleWriter === true ? 'warn' : 'fail';
    const reason = (await keepsVersions(settings.storeUrl))
      ? { value: `${found.value}: ${versioned}`, advice: unversion }
      : {};
    yield { ...found, ...reason, state };
  }
  const key = `${prefix}checksum`;
  try {
    yield await checked('checksums', async () =>
      (await refusesWrongChecksum(settings.storeUrl, key))
        ? 'the server refuses damaged uploads'
        : warned('the server does not detect damaged uploads', 'use https; reads still detect wrong bytes'),
    );
  } finally {
    await store.delete(key).catch(() => undefined);
  }
}
