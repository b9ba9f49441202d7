/**
 * Where values of secrets come from: files and folders that a user names for one run, and this
 * machine's store of secrets. Values are read when a job asks for them, and kept in memory only.
 */
import { constants } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { parseEnv } from 'node:util';
import { isPachError, PachError } from '../base/errors.ts';
import { errnoOf } from '../base/system-errors.ts';
import type { Home } from '../local/home.ts';
import { readSecret } from '../local/secrets.ts';
import { readText } from '../pipelines/spec/documents.ts';
import { isSecretKey, isSecretName } from '../pipelines/spec/secret-names.ts';
import { localBytes } from '../sources/open.ts';
import { ClusterSecrets, clusterPlace } from './cluster-secrets.ts';
import type { Settings } from './settings.ts';

export interface SecretSource {
  /** As it was given, or `this machine`. */
  readonly name: string;
  /** Where it lies, for those that commands must not see. */
  readonly path?: string;
  /** What it has now. Throws `usage`, `not-found`, `denied` or `failed` naming what can't be read. */
  read(): Promise<SecretValues>;
}

export interface SecretValues {
  /** The keys of a secret, in order; empty when it has no such secret. */
  keys(secret: string): Promise<readonly string[]>;
  value(secret: string, key: string): Promise<Buffer | undefined>;
  /** The value for a variable of the command, where it names variables. */
  variable?(name: string): Buffer | undefined;
  /** A command that shows what it has of a secret, without values. */
  shownBy?(secret: string): string;
}

/** What Kubernetes takes for a secret at most. */
const secretBytesMax = 1024 * 1024;

/** The source that `--secrets-from TEXT` names. Throws `usage`. */
export function secretSource(text: string, { kubeconfig }: Pick<Settings, 'kubeconfig'>): SecretSource {
  const what = `--secrets-from ${text}`;
  const [, kind, path = ''] = /^(file|dir):(.+)$/s.exec(text) ?? [];
  if (kind === 'file') return new EnvFile(text, path);
  if (kind === 'dir') return new SecretFolder(text, path);
  const place = clusterPlace(text);
  if (place) return new ClusterSecrets(text, place, kubeconfig);
  const next = 'give file:.env, dir:FOLDER or context=CONTEXT,namespace=NAMESPACE';
  throw new PachError('usage', { what, why: 'it is neither a file nor a folder of secrets, nor a cluster', next });
}

/** The secrets that `pach create secret` has stored. */
export function machineSecrets(home: Home): SecretSource {
  const valuesOf = async (name: string): Promise<ReadonlyMap<string, Buffer>> => {
    try {
      return (await readSecret(home, name)).values;
    } catch (error) {
      if (isPachError(error, 'not-found')) return new Map();
      throw error;
    }
  };
  return {
    name: 'this machine',
    read: async () => ({
      keys: async (secret) => [...(await valuesOf(secret)).keys()],
      value: async (secret, key) => (await valuesOf(secret)).get(key),
    }),
  };
}

/**
 * Lines of `VARIABLE=value`, and of `SECRET/KEY=value` for secrets that are files: no name of a
 * secret or key has a slash.
 */
class EnvFile implements SecretSource {
  readonly name: string;
  readonly path: string;
  /** Of a pipe, which can be read only once. */
  private piped: Promise<ReadonlyMap<string, string>> | undefined;

  constructor(name: string, path: string) {
    this.name = name;
    this.path = path;
  }

  async read(): Promise<SecretValues> {
    const lines = await this.lines();
    const bytes = (name: string): Buffer | undefined => {
      const text = lines.get(name);
      return text === undefined ? undefined : Buffer.from(text);
    };
    return {
      async keys(secret) {
        const own = [...lines.keys()].filter((name) => name.startsWith(`${secret}/`));
        return own
          .map((name) => name.slice(secret.length + 1))
          .filter(isSecretKey)
          .sort();
      },
      value: async (secret, key) => bytes(`${secret}/${key}`),
      variable: bytes,
    };
  }

  private async lines(): Promise<ReadonlyMap<string, string>> {
    if (this.piped) return this.piped;
    const found = await stat(this.path).catch((error: unknown) => {
      throw unreadable(this.path, error);
    });
    if (found.isDirectory()) {
      const next = `--secrets-from dir:${this.path}`;
      throw new PachError('usage', { what: this.name, why: 'it is a folder', next });
    }
    if (!found.isFile() && !found.isFIFO()) throw new PachError('usage', { what: this.name, why: 'it is not a file' });
    const lines = readLines(this.path);
    if (found.isFIFO()) this.piped = lines;
    return lines;
  }
}

async function readLines(path: string): Promise<ReadonlyMap<string, string>> {
  const parsed = parseEnv(await readText(localBytes(path, {}), path));
  // Node 20 takes a line without = for the beginning of the next name. Newer ones leave it out.
  return new Map(Object.entries(parsed).map(([name, text = '']) => [name.slice(name.lastIndexOf('\n') + 1), text]));
}

/** A folder for each secret, a file for each key: as Kubernetes shows secrets to a pod. */
class SecretFolder implements SecretSource {
  readonly name: string;
  readonly path: string;

  constructor(name: string, path: string) {
    this.name = name;
    this.path = path;
  }

  async read(): Promise<SecretValues> {
    const { path } = this;
    const root = await realpath(path).catch((error: unknown) => {
      throw unreadable(path, error);
    });
    if (!(await stat(root)).isDirectory()) {
      const next = `--secrets-from file:${path}`;
      throw new PachError('usage', { what: this.name, why: 'it is not a folder', next });
    }
    const keys = async (secret: string): Promise<readonly string[]> => {
      if (!isSecretName(secret)) return [];
      const folder = await within(root, join(path, secret));
      const names = folder === undefined ? [] : await namesIn(folder, join(path, secret));
      // Kubernetes keeps the versions of a mounted secret in folders of such names.
      return names.filter((name) => !name.startsWith('..')).sort();
    };
    return {
      keys,
      async value(secret, key) {
        if (!(await keys(secret)).includes(key)) return undefined;
        const shown = join(path, secret, key);
        if (!isSecretKey(key)) {
          const why = 'keys of secrets may have only letters, digits, -, _ and .';
          throw new PachError('usage', { what: shown, why });
        }
        const file = await within(root, shown);
        return file === undefined ? undefined : readValue(file, shown);
      },
    };
  }
}

/**
 * Where a path leads, undefined where nothing is. Links are followed, since Kubernetes mounts
 * secrets with them. Throws `usage` for one that leads out of `root`.
 */
async function within(root: string, path: string): Promise<string | undefined> {
  const real = await realpath(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw unreadable(path, error);
  });
  if (real === undefined || real.startsWith(root.endsWith(sep) ? root : `${root}${sep}`)) return real;
  throw new PachError('usage', { what: path, why: 'it is a link that leads out of the folder of secrets' });
}

async function namesIn(folder: string, shown: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) !== 'ENOTDIR') throw unreadable(shown, error);
    const why = 'it must be a folder with a file for each key of the secret';
    throw new PachError('usage', { what: shown, why, cause: error });
  }
}

async function readValue(path: string, shown: string): Promise<Buffer> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  await using file = await open(path, flags).catch((error: unknown) => {
    throw unreadable(shown, error);
  });
  if (!(await file.stat()).isFile()) throw new PachError('usage', { what: shown, why: 'it is not a file' });
  // A byte more than it may have: its size may change while it is read.
  const bytes = Buffer.alloc(secretBytesMax + 1);
  let length = 0;
  for (let read = 1; read > 0 && length < bytes.length; length += read) {
    ({ bytesRead: read } = await file.read(bytes, length, bytes.length - length, length));
  }
  if (length <= secretBytesMax) return Buffer.from(bytes.subarray(0, length));
  throw new PachError('usage', { what: shown, why: `a secret may have at most ${secretBytesMax} bytes` });
}

function unreadable(what: string, cause: unknown): unknown {
  const code = errnoOf(cause);
  if (code === 'ENOENT') return new PachError('not-found', { what, why: 'there is no such file or folder', cause });
  if (code === 'EACCES') return new PachError('denied', { what, why: 'you have no permission to read it', cause });
  return code === undefined ? cause : new PachError('failed', { what, why: `it can't be read (${code})`, cause });
}
