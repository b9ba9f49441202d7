/**
 * How commands on this machine find services of a cluster that were forwarded to it (`--forward`): by
 * the names that they have in pods, and by variables as Kubernetes sets them.
 */
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PachError } from '../base/errors.ts';
import type { WorkerOptions } from '../execution/executor.ts';

export const loopback = '127.0.0.1';
const portMax = 65_535;
const hostsPath = '/etc/hosts';

/** What `--forward` says. */
export interface ServiceUse {
  /** As it was typed. */
  readonly text: string;
  readonly name: string;
  /** Undefined: that of the cluster's context. */
  readonly namespace: string | undefined;
  readonly port: number;
  /** On this machine. */
  readonly here: number;
}

/** What commands are given so that they find services. */
export interface ServicesHere {
  readonly env: Readonly<Record<string, string>>;
  /** Names that lead to this machine. */
  readonly names: readonly string[];
}

/** `[HERE:]svc/NAME[.NAMESPACE]:PORT`. Throws `usage`. */
export function serviceUse(text: string): ServiceUse {
  const label = '[a-z0-9](?:[a-z0-9-]*[a-z0-9])?';
  const form = new RegExp(`^(?:(\\d{1,5}):)?(?:svc|service)/(${label})(?:\\.(${label}))?:(\\d{1,5})$`);
  const [, local, name = '', namespace, remote = ''] = form.exec(text) ?? [];
  const [port, here] = [Number(remote), Number(local ?? remote)];
  const isPort = (number: number): boolean => number >= 1 && number <= portMax;
  if (name !== '' && isPort(port) && isPort(here)) return { text, name, namespace, port, here };
  throw new PachError('usage', {
    what: `--forward ${text}`,
    why: 'it takes a service and its port, and before them a port of this machine where that is to be another',
    next: 'for example --forward svc/db:5432 or --forward 15432:svc/db.ml:5432',
  });
}

/** As Kubernetes names services: in variables, and by the name server of the cluster. */
export function servicesHere(uses: readonly ServiceUse[]): ServicesHere {
  const env: Record<string, string> = {};
  const names = new Set<string>();
  for (const { name, namespace, here } of uses) {
    const start = name.toUpperCase().replaceAll('-', '_');
    env[`${start}_SERVICE_HOST`] ??= loopback;
    env[`${start}_SERVICE_PORT`] ??= String(here);
    const full = namespace === undefined ? name : `${name}.${namespace}`;
    names.add(full);
    if (namespace !== undefined) for (const end of ['svc', 'svc.cluster.local']) names.add(`${full}.${end}`);
  }
  return { env, names: [...names] };
}

/** As workers show them. */
export interface ShownServices extends Pick<ServicesHere, 'env'> {
  /** On this machine: what commands see as /etc/hosts. */
  readonly hosts: string;
}

/** Writes what is shown to a folder, which stays as long as it is shown. */
export async function showServices({ env, names }: ServicesHere, folder: string): Promise<ShownServices> {
  const hosts = join(folder, 'hosts');
  const own = await readFile(hostsPath, 'utf8').catch(() => '');
  // The first line that has a name counts.
  await writeFile(hosts, `${loopback}\t${names.join(' ')}\n${own}`);
  // Commands may be another user.
  await chmod(hosts, 0o644);
  return { env, hosts };
}

/** A worker whose commands find the services. Containers have this machine's network then. */
export function withServices<W extends Pick<WorkerOptions, 'code' | 'env' | 'network'>>(
  worker: W,
  { env, hosts }: ShownServices,
): W {
  const isOwn = worker.code.some(({ to }) => to === hostsPath);
  const code = isOwn ? worker.code : [...worker.code, { from: hosts, to: hostsPath }];
  return { ...worker, code, env: { ...env, ...worker.env }, network: 'machine' };
}
