/**
 * What the user has chosen for this machine, in files of PACH_HOME that only they can read: settings, one
 * file each, and contexts, which are a store, a project and perhaps a cluster under a name. No secret is kept here: addresses
 * of stores hold none.
 */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, readFileSync } from 'node:fs';
import { link, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { errnoOf } from '../base/system-errors.ts';
import { syncFolder } from '../store/durable.ts';
import type { Home } from './home.ts';

/** `context`: the name of the one that is in use. */
export const settingNames = ['store', 'project', 'author', 'cache-size', 'memory', 'context'] as const;
export type SettingName = (typeof settingNames)[number];

/** What a context may say of a Kubernetes cluster. */
export const clusterFields = [
  /** A context of the kubeconfig. */
  'context',
  'namespace',
  'workerImage',
  'imageRegistry',
  /** Of the nodes, where it is not this machine's: `linux/arm64`. */
  'platform',
  /** How images get into the cluster without a registry: `minikube`, `kind`, or a command. */
  'load',
  'storeInCluster',
  'storeSecret',
  /** A service account of the cluster, with its role: `NAME,role=ARN`. */
  'storeIdentity',
  /** How pods may mount inputs: `privileged`, or the resource that gives them /dev/fuse. Not said: they may not. */
  'podsMount',
  /** Where pods that mount share what they have read on a node: `/var/cache/pach,size=50GB`. */
  'nodeCache',
] as const;

export type ClusterFields = { readonly [Field in (typeof clusterFields)[number]]?: string };

export interface Context {
  readonly name: string;
  readonly store: string;
  readonly project: string;
  readonly kubernetes?: ClusterFields | undefined;
}

const extension = '.json';
/** A line without control characters. */
const valuePattern = /^[^\p{Cc}\uFFFD]{1,4096}$/u;
const namePattern = /^[A-Za-z0-9_-]{1,128}$/;

/** Undefined where it is not set. Throws `damaged` naming the file. */
export function readSetting(home: Home, name: SettingName): string | undefined {
  const path = join(home.config, name);
  const value = maybeText(home, path)?.replace(/\n$/, '');
  if (value !== undefined && !valuePattern.test(value)) throw damaged(`the setting ${name}`, path);
  return value;
}

/** Durable when it resolves. Throws `usage` for what is no value. */
export async function writeSetting(home: Home, name: SettingName, value: string): Promise<void> {
  checkValue(`config ${name}`, value);
  await write(await home.make(home.config), name, `${value}\n`, rename);
}

/** False where it was not set. */
export async function unsetSetting(home: Home, name: SettingName): Promise<boolean> {
  return (await home.has(home.config)) && remove(home.config, name);
}

/** Throws `not-found`, and `damaged` naming the file. */
export function readContext(home: Home, name: string): Context {
  const path = join(home.contexts, name + extension);
  const text = namePattern.test(name) ? maybeText(home, path) : undefined;
  if (text === undefined) throw noContext(name);
  try {
    const { store, project, kubernetes } = JSON.parse(text) as Context;
    const areValues = Object.values(kubernetes ?? {}).every((value) => valuePattern.test(value));
    if (valuePattern.test(store) && namePattern.test(project) && areValues) return { name, store, project, kubernetes };
  } catch {
    // The error comes below.
  }
  throw damaged(`context ${name}`, path);
}

/** Durable when it resolves. Throws `conflict` where there is one of that name. */
export async function createContext(home: Home, { name, store, project, kubernetes }: Context): Promise<void> {
  if (!namePattern.test(name)) {
    const why = 'the name of a context has only letters, digits, - and _';
    throw new PachError('usage', { what: `context ${name}`, why });
  }
  for (const value of Object.values(kubernetes ?? {})) checkValue(`context ${name}`, value);
  const text = `${JSON.stringify({ store, project, kubernetes })}\n`;
  try {
    // Unlike a rename, a link never takes the place of a file that is there.
    await write(await home.make(home.contexts), name + extension, text, link);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    const next = `pach context delete ${name}`;
    throw new PachError('conflict', { what: `context ${name}`, why: 'it already exists', next, cause: error });
  }
}

/** In the order of their names. */
export async function listContexts(home: Home): Promise<Context[]> {
  const files = (await home.has(home.contexts)) ? await readdir(home.contexts) : [];
  const names = files.flatMap((file) => (file.endsWith(extension) ? [file.slice(0, -extension.length)] : []));
  return names
    .filter((name) => namePattern.test(name))
    .sort()
    .map((name) => readContext(home, name));
}

/** Deletes a context, also a damaged one; when it is in use, none is from then on. Throws `not-found`. */
export async function deleteContext(home: Home, name: string): Promise<void> {
  const isThere = namePattern.test(name) && (await home.has(home.contexts));
  // Whoever reads between the two steps finds no context that is in use and not there.
  if (isThere && readSetting(home, 'context') === name) await unsetSetting(home, 'context');
  if (!isThere || !(await remove(home.contexts, name + extension))) throw noContext(name);
}

function checkValue(what: string, value: string): void {
  if (valuePattern.test(value)) return;
  throw new PachError('usage', { what, why: 'a value is a line of text, without control characters' });
}

function noContext(name: string): PachError {
  return new PachError('not-found', {
    what: `context ${name}`,
    why: 'there is no such context on this machine',
    next: 'pach context list',
  });
}

function damaged(what: string, path: string): PachError {
  const why = `${path} was damaged or changed by another program`;
  return new PachError('damaged', { what, why, next: 'delete that file, and set it again' });
}

function maybeText(home: Home, path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    // A PACH_HOME that is not the user's is told of, with advice, by whoever is to use it.
    if (code === 'EACCES' && !mayEnter(home.dir)) return undefined;
    throw error;
  }
}

function mayEnter(folder: string): boolean {
  try {
    accessSync(folder, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Writes a file whole: `place` gives it its name. */
async function write(folder: string, name: string, text: string, place: typeof rename): Promise<void> {
  const temporary = join(folder, `.${randomBytes(8).toString('hex')}`);
  try {
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(text);
    await file.sync();
    await place(temporary, join(folder, name));
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(folder);
}

async function remove(folder: string, name: string): Promise<boolean> {
  try {
    await rm(join(folder, name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  await syncFolder(folder);
  return true;
}
