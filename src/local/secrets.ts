/**
 * Secrets of this machine: names with keys and their values, one file each that only their owner
 * can read. Values leave it through `readSecret` alone.
 */
import { randomBytes } from 'node:crypto';
import { link, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import { errnoOf } from '../base/system-errors.ts';
import { syncFolder } from '../store/durable.ts';
import type { Home } from './home.ts';

export interface Secret {
  /** Safe as the name of a file: lower-case letters, digits, - and . */
  readonly name: string;
  readonly values: ReadonlyMap<string, Buffer>;
}

/** What may be shown of a secret. */
export interface SecretInfo {
  readonly name: string;
  /** RFC 3339. */
  readonly created: string;
  readonly keys: readonly string[];
}

interface SecretFile {
  readonly created: string;
  /** In base64. */
  readonly data: Readonly<Record<string, string>>;
}

const extension = '.json';

/** Stores a secret; durable when it resolves. Throws `conflict` when there is one of that name. */
export async function createSecret(home: Home, { name, values }: Secret): Promise<SecretInfo> {
  const folder = await home.make(home.secrets);
  const data = Object.fromEntries([...values].map(([key, value]) => [key, value.toString('base64')]));
  const created = new Date().toISOString();
  const temporary = join(folder, `.${randomBytes(8).toString('hex')}`);
  try {
    await writeDurably(temporary, JSON.stringify({ created, data } satisfies SecretFile));
    // Unlike a rename, a link never takes the place of a file that is there.
    await link(temporary, pathOf(home, name));
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    throw new PachError('conflict', {
      what: `secret ${name}`,
      why: 'it already exists',
      next: `pach delete secret ${name}`,
      cause: error,
    });
  } finally {
    await rm(temporary, { force: true });
  }
  await syncFolder(folder);
  return { name, created, keys: [...values.keys()].sort() };
}

/** A secret with its values. Throws `not-found`. */
export async function readSecret(home: Home, name: string): Promise<Secret> {
  const { data } = await readSecretFile(home, name);
  return { name, values: new Map(Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64')])) };
}

/** What may be shown of a secret. Throws `not-found`. */
export async function inspectSecret(home: Home, name: string): Promise<SecretInfo> {
  const { created, data } = await readSecretFile(home, name);
  return { name, created, keys: Object.keys(data).sort() };
}

/** All secrets, in the order of their names. */
export async function listSecrets(home: Home): Promise<SecretInfo[]> {
  const files = (await home.has(home.secrets)) ? await readdir(home.secrets) : [];
  const names = files.filter((file) => !file.startsWith('.') && file.endsWith(extension));
  const secrets: SecretInfo[] = [];
  for (const file of names.sort()) {
    const info = await inspectSecret(home, file.slice(0, -extension.length)).catch((error: unknown) => {
      if (error instanceof PachError && error.code === 'not-found') return undefined; // deleted meanwhile
      throw error;
    });
    if (info) secrets.push(info);
  }
  return secrets;
}

/** Throws `not-found` when there is none of that name. */
export async function deleteSecret(home: Home, name: string): Promise<void> {
  if (!(await home.has(home.secrets))) throw missing(name);
  try {
    await rm(pathOf(home, name));
  } catch (error) {
    throw errnoOf(error) === 'ENOENT' ? missing(name) : error;
  }
  await syncFolder(home.secrets);
}

async function readSecretFile(home: Home, name: string): Promise<SecretFile> {
  const path = pathOf(home, name);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw errnoOf(error) === 'ENOENT' ? missing(name) : error;
  });
  try {
    const { created, data } = JSON.parse(text) as SecretFile;
    if (typeof created === 'string' && typeof data === 'object') return { created, data };
  } catch {
    // The error comes below. JSON's own would show the text, and so the values.
  }
  throw new PachError('damaged', { what: `secret ${name}`, why: `${path} was damaged or changed by another program` });
}

/** A name that no file here can have is `not-found`. */
function pathOf(home: Home, name: string): string {
  if (name.startsWith('.') || /[/\0]/.test(name)) throw missing(name);
  return join(home.secrets, name + extension);
}

function missing(name: string): PachError {
  return new PachError('not-found', {
    what: `secret ${name}`,
    why: 'there is no such secret on this machine',
    next: 'pach create secret -f FILE',
  });
}

async function writeDurably(path: string, text: string): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(text);
  await file.sync();
}
