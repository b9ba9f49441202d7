/**
 * The way to a Docker engine: where it is, whether it shows its containers what this process
 * mounts, and what its failures mean.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import Docker from 'dockerode';
import { isPachError, PachError } from '../../base/errors.ts';

/** Where the engine is; with neither, at Docker's usual socket. */
export interface DockerAddress {
  readonly socketPath?: string | undefined;
  /** In the form of DOCKER_HOST: `unix:///run/docker.sock` or `tcp://host:2375`. */
  readonly host?: string | undefined;
}

const usualSocket = '/var/run/docker.sock';
/** An engine that says nothing for so long is taken for gone. */
const silenceMsMax = 120_000;

export interface DockerEngine {
  /** As people write it: `unix:///run/docker.sock`. */
  readonly address: string;
  /** Undefined for one that is reached over the network. */
  readonly socketPath: string | undefined;
  /** Calls that are answered soon. */
  readonly calls: Docker;
  /** Calls that may be silent for long: pulls. */
  readonly withoutTimeout: Docker;
}

/** Every field is set: what is left out, dockerode takes from the environment. */
function options(address: DockerAddress): { address: string; options: Docker.DockerOptions } {
  const host = address.host ?? `unix://${address.socketPath ?? usualSocket}`;
  const none = { host: undefined, port: undefined, socketPath: undefined } as unknown as Docker.DockerOptions;
  if (host.startsWith('unix://')) {
    const socketPath = host.slice('unix://'.length) || usualSocket;
    return { address: `unix://${socketPath}`, options: { ...none, socketPath, protocol: 'http' } };
  }
  const url = URL.canParse(host) ? new URL(host) : undefined;
  if (url === undefined || !['tcp:', 'http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    throw new PachError('usage', {
      what: host,
      why: 'it is not the address of a Docker engine that pach can use',
      next: 'unix:///var/run/docker.sock, or tcp://host:2375',
    });
  }
  const port = url.port || '2375';
  const protocol = url.protocol === 'https:' || port === '2376' ? 'https' : 'http';
  return { address: host, options: { ...none, host: url.hostname, port, protocol } };
}

/** Makes the way; nothing is asked yet. Throws `usage` for an address that is none. */
export function dockerEngine(where: DockerAddress): DockerEngine {
  const { address, options: way } = options(where);
  return {
    address,
    socketPath: way.socketPath,
    calls: new Docker({ ...way, timeout: silenceMsMax }),
    withoutTimeout: new Docker(way),
  };
}

interface Failure {
  readonly statusCode?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly json?: { readonly message?: unknown } | null;
}

/** The engine's own words for a failed call, in one line. */
export function dockerSays(error: unknown): string {
  const { json, message } = error as Failure;
  const text = typeof json?.message === 'string' ? json.message : String(message ?? error);
  return text.trim().replaceAll(/\s*\n\s*/g, '; ');
}

/** The HTTP status with which the engine refused; undefined when it did not answer. */
export function dockerStatus(error: unknown): number | undefined {
  const { statusCode } = error as Failure;
  return typeof statusCode === 'number' ? statusCode : undefined;
}

/** What a failed call means: `denied` or `unreachable` where the engine could not be asked, else `failed`. */
export function dockerError(engine: DockerEngine, what: string, error: unknown): PachError {
  if (isPachError(error)) return error;
  if (dockerStatus(error) !== undefined) {
    return new PachError('failed', { what, why: `Docker says: ${dockerSays(error)}`, cause: error });
  }
  if (['EACCES', 'EPERM'].includes(String((error as Failure).code))) {
    return new PachError('denied', {
      what: `the Docker engine at ${engine.address}`,
      why: 'you have no permission to use it',
      next: 'join the group docker or run as root; or use --executor process, which needs no Docker',
      cause: error,
    });
  }
  return new PachError('unreachable', {
    what: `the Docker engine at ${engine.address}`,
    why: `it does not answer (${dockerSays(error)})`,
    next: 'start it, or set DOCKER_HOST to its address; or use --executor process, which needs no Docker',
    cause: error,
  });
}

/** One call, its failure explained; `what` is what it was about. */
export async function ask<T>(engine: DockerEngine, what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw dockerError(engine, what, error);
  }
}

/**
 * True when a mount made by this process can reach the engine's containers: a daemon lives in this
 * process's mount namespace, behind a socket, and we may mount. Said of no engine where in doubt.
 */
export function sharesMounts(engine: DockerEngine): boolean {
  if (engine.socketPath === undefined || process.getuid?.() !== 0) return false;
  try {
    const ours = readlinkSync('/proc/self/ns/mnt');
    return readdirSync('/proc').some((pid) => /^\d+$/.test(pid) && isDaemon(pid, ours));
  } catch {
    return false;
  }
}

function isDaemon(pid: string, mountNamespace: string): boolean {
  try {
    return (
      readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'dockerd' &&
      readlinkSync(`/proc/${pid}/ns/mnt`) === mountNamespace
    );
  } catch {
    return false;
  }
}
