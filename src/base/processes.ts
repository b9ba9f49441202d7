/**
 * Which process a number means. The kernel gives a number again when its process is gone, each namespace
 * of process ids counts for itself, and a machine that is started again begins at 1: only all of that
 * together names one process. No clock that people set takes part.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

export interface ProcessIdentity {
  readonly host: Host;
  readonly pid: number;
  /** When it started, in the kernel's ticks since boot; empty where that is not known. */
  readonly started: string;
}

/** Where a process id counts. A stored form may leave out the name or the boot: these are not compared then. */
export interface Host {
  /** The machine's name, which another machine may have too. */
  readonly name?: string | undefined;
  /** The kernel's random id of this start of the machine; empty where it can't be read. */
  readonly boot?: string | undefined;
  /** The number of the namespace of process ids, since containers have their own; empty where it can't be read. */
  readonly namespace: string;
}

/** This process. */
export function ownIdentity(): ProcessIdentity {
  return { host: ownHost(), pid: process.pid, started: startOf(process.pid) ?? '' };
}

/** The process that has this number here and now; undefined when none lives. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const started = startOf(pid);
  return started === undefined ? undefined : { host: ownHost(), pid, started };
}

/**
 * False when it is known to be gone, also when it has ended and nobody has waited for it yet (a zombie).
 * Undefined when it ran where this process can't look.
 */
export function isAlive({ host, pid, started }: ProcessIdentity): boolean | undefined {
  const own = ownHost();
  const name = host.name ?? own.name;
  const boot = host.boot ?? own.boot;
  if (name !== own.name || boot !== own.boot || host.namespace !== own.namespace) return undefined;
  return started !== '' && startOf(pid) === started;
}

/** True for what `ownIdentity` gives, of whatever form it was stored in. */
export function isOwn(process: ProcessIdentity): boolean {
  return isAlive(process) === true && process.pid === ownIdentity().pid;
}

/** `boot/namespace/pid/started`: for readers on any machine. */
export function identityText({ host, pid, started }: ProcessIdentity): string {
  return [host.boot, host.namespace, pid, started].join('/');
}

/** Undefined when it is none. What follows the start, behind another `/`, is its writer's. */
export function parseIdentity(text: string): ProcessIdentity | undefined {
  const [, boot, namespace = '', pid, started = ''] = /^([^/]*)\/(\d*)\/(\d+)\/(\d*)(?:\/|$)/.exec(text) ?? [];
  return pid === undefined ? undefined : { host: { boot, namespace }, pid: Number(pid), started };
}

/** `pid.started`: a name in a folder that only processes of one host use. */
export function localText({ pid, started }: ProcessIdentity): string {
  return `${pid}.${started}`;
}

/** Undefined when it is none. */
export function parseLocal(text: string): ProcessIdentity | undefined {
  const [, pid, started = ''] = /^(\d+)\.(\d*)$/.exec(text) ?? [];
  return pid === undefined ? undefined : { host: ownHost(), pid: Number(pid), started };
}

function ownHost(): { readonly name: string; readonly boot: string; readonly namespace: string } {
  const boot = read(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const namespace = read(() => readlinkSync('/proc/self/ns/pid')).replaceAll(/\D/g, '');
  return { name: hostname(), boot, namespace };
}

/** When a process started; undefined when none of that number lives. */
function startOf(pid: number): string | undefined {
  const stat = read(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  // The program's name, in brackets, may hold anything.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === undefined || /^[ZXx]?$/.test(state) ? undefined : fields[18];
}

function read(what: () => string): string {
  try {
    return what();
  } catch {
    return '';
  }
}
