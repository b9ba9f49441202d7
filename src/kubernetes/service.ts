/**
 * Connections from this machine to a service of the cluster. As in the cluster, each goes to one of the
 * service's ready pods; a pod that has gone or is ending is taken by no new connection.
 */
import type { Duplex } from 'node:stream';
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import type { Cluster } from './client/cluster.ts';
import type { KubeObject } from './client/objects.ts';

/** The guide has them as a Role. Which verb of `portforward` counts depends on the cluster's version. */
const rights = [
  { verb: 'get', resource: 'services' },
  { verb: 'list', resource: 'pods' },
  { verb: 'create', resource: 'pods/portforward' },
] as const;

interface ServicePort {
  readonly port: number;
  readonly protocol?: string;
  /** A number, or the name of a port of the pod's containers; the service's own number where it is not said. */
  readonly targetPort?: number | string;
}

interface ServiceSpec {
  readonly selector?: Readonly<Record<string, string>>;
  readonly ports?: readonly ServicePort[];
}

interface PodSpec {
  readonly containers: readonly { readonly ports?: readonly { name?: string; containerPort: number }[] }[];
  /** Sidecars may be what the service leads to. */
  readonly initContainers?: PodSpec['containers'];
}

interface PodStatus {
  readonly conditions?: readonly { readonly type: string; readonly status: string }[];
}

export class Service {
  readonly name: string;
  readonly port: number;
  private readonly cluster: Cluster;
  /** Connections so far: the next one begins with the next pod. */
  private turn = 0;

  constructor(cluster: Cluster, { name, port }: { readonly name: string; readonly port: number }) {
    this.cluster = cluster;
    this.name = name;
    this.port = port;
  }

  /** Throws `denied`, `not-found` or `usage` for what no connection could ever get through. Pods may come later. */
  async check(): Promise<void> {
    const lacking = await this.cluster.lacking(rights);
    if (lacking.length > 0) {
      throw new PachError('denied', {
        what: `namespace "${this.cluster.namespace}" of context "${this.cluster.context}"`,
        why: `you have no right to: ${lacking.map(({ verb, resource }) => `${verb} ${resource}`).join('; ')}`,
        next: 'pach help kubernetes',
      });
    }
    await this.read();
  }

  /** Throws what `check` throws, and `unreachable` while the service has no pod that takes a connection. */
  async connect(): Promise<Duplex> {
    const { selector, target } = await this.read();
    const labels = Object.entries(selector).map(([name, value]) => `${name}=${value}`);
    const pods = (await this.cluster.list('Pod', { labels: labels.join(',') })).filter(isReady);
    const at = this.turn++;
    let failure: Error | undefined;
    for (let tried = 0; tried < pods.length; tried++) {
      const pod = pods[(at + tried) % pods.length] as KubeObject;
      const port = portOf(pod, target);
      try {
        if (port !== undefined) return await this.cluster.forward(pod.metadata.name as string, port);
        failure = this.fault('not-found', `its pods have no port named "${target}"`);
      } catch (error) {
        // It may have gone since it was listed.
        failure = error as Error;
      }
    }
    throw failure ?? this.fault('unreachable', 'none of its pods is ready');
  }

  private async read(): Promise<{ selector: Readonly<Record<string, string>>; target: number | string }> {
    const { cluster, name } = this;
    const found = await cluster.get({ kind: 'Service', name });
    if (found === undefined) {
      const where = `kubectl --context ${shellWord(cluster.context)} -n ${shellWord(cluster.namespace)}`;
      throw this.fault('not-found', `namespace "${cluster.namespace}" has no such service`, `${where} get services`);
    }
    const { selector = {}, ports = [] } = found['spec'] as ServiceSpec;
    const isTcp = ({ protocol = 'TCP' }: ServicePort): boolean => protocol === 'TCP';
    const port = ports.find((one) => one.port === this.port && isTcp(one));
    if (port === undefined) {
      const has = ports.filter(isTcp).map((one) => String(one.port));
      const why = has.length > 0 ? `it has ${has.join(', ')}` : 'it has none';
      throw this.fault('not-found', `it has no TCP port ${this.port} (${why})`);
    }
    if (Object.keys(selector).length === 0) throw this.fault('usage', 'it names no pods that a connection could go to');
    return { selector, target: port.targetPort ?? port.port };
  }

  private fault(code: 'not-found' | 'usage' | 'unreachable', why: string, next?: string): PachError {
    return new PachError(code, { what: `service "${this.name}"`, why, next });
  }
}

function isReady({ metadata, status }: KubeObject): boolean {
  const { conditions = [] } = status as PodStatus;
  const ready = conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True');
  return ready && metadata.deletionTimestamp === undefined;
}

/** Undefined for a name that no container of the pod gives to a port. */
function portOf({ spec }: KubeObject, target: number | string): number | undefined {
  if (typeof target === 'number') return target;
  const { containers, initContainers = [] } = spec as PodSpec;
  const ports = [...containers, ...initContainers].flatMap((container) => container.ports ?? []);
  return ports.find(({ name }) => name === target)?.containerPort;
}
