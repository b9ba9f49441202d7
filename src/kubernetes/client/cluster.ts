/**
 * One Kubernetes cluster, as the user's kubeconfig reaches it. Objects are sent and read as they
 * are, with strict checks: the server names an unknown field instead of dropping it.
 * Every failure is an operating error: `not-found`, `denied`, `conflict`, `usage` (the server's
 * word on a wrong object, which names the field), `unreachable`.
 */
import type { Duplex } from 'node:stream';
import { Semaphore } from '../../base/async.ts';
import { PachError } from '../../base/errors.ts';
import { Connection, type Query, type Request } from './connection.ts';
import { refusal, unreachable } from './errors.ts';
import type { ClusterChoice } from './kubeconfig.ts';
import {
  kindOf,
  listed,
  pathOf,
  pluralOf,
  titleOf,
  type Kind,
  type KubeList,
  type KubeObject,
  type Ref,
} from './objects.ts';
import { execIn, forwardTo, type ExecOptions, type ExecResult } from './streams.ts';
import { watchCollection, type WatchOptions } from './watch.ts';

/** Who owns the fields that are applied. */
const manager = 'pach';
const reviewsAtOnce = 8;

/** Label and field selectors, in Kubernetes' form: `app=web,tier!=cache`. */
export interface Selection {
  readonly labels?: string | undefined;
  readonly fields?: string | undefined;
}

export interface WriteOptions {
  /** Checked by the server as if it were done, and not done. */
  readonly dryRun?: boolean | undefined;
}

/** A right, as access reviews ask for it. */
export interface Right {
  readonly verb: string;
  /** `pods`, or with a subresource `pods/exec`. */
  readonly resource: string;
  /** The API group: `batch`. */
  readonly group?: string | undefined;
}

export class Cluster implements Disposable {
  readonly context: string;
  readonly namespace: string;
  readonly server: string;
  private readonly connection: Connection;

  private constructor(connection: Connection) {
    ({ context: this.context, namespace: this.namespace, server: this.server } = connection);
    this.connection = connection;
  }

  /** Reads the kubeconfig; nothing is asked of the cluster yet. */
  static async open(choice: ClusterChoice): Promise<Cluster> {
    return new Cluster(await Connection.open(choice));
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
  }

  /** Undefined when it is not there. */
  async get(ref: Ref, signal?: AbortSignal): Promise<KubeObject | undefined> {
    try {
      return (await this.connection.json({ ...this.one(ref), method: 'GET', signal })) as KubeObject;
    } catch (error) {
      if (refusal(error)?.status === 404) return undefined;
      throw error;
    }
  }

  async list(kind: Kind, selection: Selection = {}, signal?: AbortSignal): Promise<KubeObject[]> {
    const ask: Request = { ...this.all(kind, selection), method: 'GET', signal };
    return listed((await this.connection.json(ask)) as KubeList);
  }

  /** Throws `conflict` when it is there. */
  async create(object: KubeObject, { dryRun }: WriteOptions = {}): Promise<KubeObject> {
    const kind = kindOf(object);
    const { name = '', namespace = this.namespace } = object.metadata;
    const ask = { method: 'POST', path: pathOf(kind, namespace), what: titleOf(kind, name) } as const;
    return this.write(object, { ...ask, body: object, query: { ...checked(dryRun), fieldManager: manager } });
  }

  /** Makes the object so: server-side apply. Throws `conflict` for a field that somebody else owns, unless forced. */
  async apply(object: KubeObject, { dryRun, force }: WriteOptions & { force?: boolean } = {}): Promise<KubeObject> {
    const { name = '', namespace } = object.metadata;
    const query = { ...checked(dryRun), fieldManager: manager, force: force ? 'true' : undefined };
    const ask = { ...this.one({ kind: kindOf(object), name, namespace }), method: 'PATCH', query } as const;
    return this.write(object, { ...ask, body: object, type: 'application/apply-patch+yaml' });
  }

  /** Changes what a merge patch (RFC 7386) names. */
  async patch(ref: Ref, mergePatch: object): Promise<KubeObject> {
    const query = { ...checked(false), fieldManager: manager };
    const ask = { ...this.one(ref), method: 'PATCH', query, body: mergePatch } as const;
    return (await this.connection.json({ ...ask, type: 'application/merge-patch+json' })) as KubeObject;
  }

  /** Begins to remove it; what is not there is removed already. */
  async remove(
    ref: Ref,
    { propagation, graceSeconds }: { propagation?: 'Background' | 'Foreground'; graceSeconds?: number } = {},
  ): Promise<void> {
    const body = { propagationPolicy: propagation, gracePeriodSeconds: graceSeconds };
    try {
      await this.connection.json({ ...this.one(ref), method: 'DELETE', body });
    } catch (error) {
      if (refusal(error)?.status !== 404) throw error;
    }
  }

  /**
   * Tells what is there, and then each change, until `signal` is aborted. A server that can't be
   * reached is waited for; nothing that happened meanwhile is lost but states in between.
   */
  watch(kind: Kind, selection: Selection, options: Pick<WatchOptions, 'each' | 'away' | 'signal'>): Promise<void> {
    return watchCollection(this.connection, { ...this.all(kind, selection), ...options });
  }

  /** What a container prints. Ends when the container has ended, or the server closes the stream. */
  async *logs(
    pod: string,
    container: string,
    options: { follow?: boolean; sinceTime?: string | undefined; previous?: boolean; signal?: AbortSignal } = {},
  ): AsyncGenerator<Buffer> {
    const { follow = false, sinceTime, previous = false, signal } = options;
    const path = `${pathOf('Pod', this.namespace, pod)}/log`;
    const query = { container, sinceTime, follow: String(follow), previous: String(previous) };
    // A container may print nothing for hours.
    const silenceMs = follow ? 0 : undefined;
    const ask = { method: 'GET', path, what: titleOf('Pod', pod), query, signal, silenceMs } as const;
    const answer = await this.connection.send(ask);
    try {
      for await (const piece of answer as AsyncIterable<Buffer>) yield piece;
    } catch (error) {
      signal?.throwIfAborted();
      throw unreachable(this, error);
    } finally {
      answer.destroy();
    }
  }

  /** Runs a command in a container. */
  exec(pod: string, container: string, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const path = `${pathOf('Pod', this.namespace, pod)}/exec`;
    return execIn(this.connection, { path, what: titleOf('Pod', pod), container, argv }, options);
  }

  /** A connection to a port of a pod; one that nobody listens on is an error of the stream. */
  forward(pod: string, port: number): Promise<Duplex> {
    const path = `${pathOf('Pod', this.namespace, pod)}/portforward`;
    return forwardTo(this.connection, { path, what: titleOf('Pod', pod), port });
  }

  /** Resolves to those of the rights, in the cluster's namespace, that the user lacks. */
  async lacking(rights: readonly Right[]): Promise<Right[]> {
    // One answer has most of it. What it does not say may be allowed all the same.
    const rules = await this.rules().catch(() => []);
    const places = new Semaphore(reviewsAtOnce);
    const unsaid = rights.filter((right) => !rules.some((rule) => allows(rule, right)));
    const allowed = await Promise.all(unsaid.map((right) => places.run(() => this.may(right))));
    return unsaid.filter((_, at) => !allowed[at]);
  }

  private async rules(): Promise<readonly Rule[]> {
    const { namespace } = this;
    const { status } = await this.create({
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectRulesReview',
      metadata: {},
      spec: { namespace },
    });
    return (status as { resourceRules?: readonly Rule[] }).resourceRules ?? [];
  }

  private async may({ verb, resource: full, group }: Right): Promise<boolean> {
    const [resource, subresource] = full.split('/');
    const resourceAttributes = { namespace: this.namespace, verb, resource, subresource, group };
    const object = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      metadata: {},
      spec: { resourceAttributes },
    };
    const { status } = await this.create(object);
    return (status as { allowed: boolean }).allowed;
  }

  private one({ kind, name, namespace = this.namespace }: Ref): Pick<Request, 'path' | 'what'> {
    return { path: pathOf(kind, namespace, name), what: titleOf(kind, name) };
  }

  private all(kind: Kind, { labels, fields }: Selection): { path: string; what: string; query: Query } {
    const query = { labelSelector: labels, fieldSelector: fields };
    return { path: pathOf(kind, this.namespace), what: pluralOf(kind), query };
  }

  private async write(object: KubeObject, ask: Request): Promise<KubeObject> {
    try {
      return (await this.connection.json(ask)) as KubeObject;
    } catch (error) {
      if (object.kind === 'Secret' && error instanceof PachError) throw withoutValues(error, object);
      throw error;
    }
  }
}

/** Of a role, as the server tells it. */
interface Rule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  /** Of these objects only. */
  readonly resourceNames?: readonly string[];
}

function allows({ verbs, apiGroups = [], resources = [], resourceNames = [] }: Rule, right: Right): boolean {
  const { verb, resource, group = '' } = right;
  const has = (list: readonly string[], wanted: string): boolean => list.includes('*') || list.includes(wanted);
  return resourceNames.length === 0 && has(verbs, verb) && has(apiGroups, group) && has(resources, resource);
}

/** Fields that the server does not know are errors, and so are fields given twice. */
function checked(dryRun: boolean | undefined): Query {
  return { fieldValidation: 'Strict', dryRun: dryRun ? 'All' : undefined };
}

/** The server may quote a value that it refuses; those of secrets appear in no message. */
function withoutValues(error: PachError, { data, stringData }: KubeObject): PachError {
  const values = [data, stringData].flatMap((fields) => Object.values((fields ?? {}) as Record<string, unknown>));
  const why = values
    .map(String)
    .filter((value) => value !== '')
    .toSorted((a, b) => b.length - a.length)
    .reduce((text, value) => text.replaceAll(value, '…'), error.why);
  const { what, next, or } = error;
  return new PachError(error.code, { what, why, next, or });
}
