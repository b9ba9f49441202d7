/**
 * Secrets of a Kubernetes cluster, read as the user's kubeconfig reads them: exactly those that are
 * asked for, by name, and into memory only. Where there is no secret of a name, a config map may be.
 */
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import type { Cluster } from '../kubernetes/client/cluster.ts';
import { refusal } from '../kubernetes/client/errors.ts';
import type { SecretSource, SecretValues } from './secret-sources.ts';

type Values = ReadonlyMap<string, Buffer>;

/** A user need not have the right to read config maps for the secrets of a spec. */
const kinds = ['Secret', 'ConfigMap'] as const;

interface Place {
  /** A context of the kubeconfig; its current one where it is not said. */
  readonly context: string | undefined;
  /** That of the context where it is not said. */
  readonly namespace: string | undefined;
}

/** `context=prod,namespace=ml`, or one of the two; undefined for what names no cluster. Throws `usage`. */
export function clusterPlace(text: string): Place | undefined {
  if (!/^(?:context|namespace)=/.test(text)) return undefined;
  const fields = new Map(text.split(',').map((field) => [field.split('=')[0], field.slice(field.indexOf('=') + 1)]));
  const [context, namespace] = [fields.get('context'), fields.get('namespace')];
  const isWhole = [...fields.keys()].every((name) => name === 'context' || name === 'namespace');
  if (isWhole && context !== '' && namespace !== '' && text.split(',').length === fields.size)
    return { context, namespace };
  throw new PachError('usage', {
    what: `--secrets-from ${text}`,
    why: 'it takes a context of the kubeconfig and a namespace',
    next: '--secrets-from context=prod,namespace=ml',
  });
}

export class ClusterSecrets implements SecretSource {
  readonly name: string;
  private readonly place: Place;
  private readonly kubeconfig: string | undefined;

  constructor(name: string, place: Place, kubeconfig: string | undefined) {
    this.name = name;
    this.place = place;
    this.kubeconfig = kubeconfig;
  }

  /** Nothing is asked of the cluster but what is asked of this. */
  async read(): Promise<SecretValues> {
    let kubectl: string;
    {
      using cluster = await this.open();
      kubectl = `kubectl --context ${shellWord(cluster.context)} -n ${shellWord(cluster.namespace)}`;
    }
    const known = new Map<string, Promise<Values>>();
    const valuesOf = (secret: string): Promise<Values> => {
      const values = known.get(secret) ?? this.valuesOf(secret, kubectl);
      known.set(secret, values);
      return values;
    };
    return {
      keys: async (secret) => [...(await valuesOf(secret)).keys()].sort(),
      value: async (secret, key) => (await valuesOf(secret)).get(key),
      shownBy: (secret) => `${kubectl} describe secret ${shellWord(secret)}`,
    };
  }

  private async open(): Promise<Cluster> {
    const { Cluster } = await import('../kubernetes/client/cluster.ts');
    return Cluster.open({ kubeconfig: this.kubeconfig, ...this.place });
  }

  private async valuesOf(name: string, kubectl: string): Promise<Values> {
    using cluster = await this.open();
    for (const kind of kinds) {
      const found = await cluster.get({ kind, name }).catch((error: unknown) => {
        const { status, message } = refusal(error) ?? {};
        if (status !== 403) throw error;
        // Who may read secrets alone is told that there is none.
        if (kind === 'ConfigMap') return undefined;
        const next = `${kubectl} auth can-i get secret/${shellWord(name)}`;
        throw new PachError('denied', { what: `secret ${name}`, why: message ?? 'forbidden', next, cause: error });
      });
      if (found) return valuesIn(found);
    }
    return new Map();
  }
}

/** A config map has text, and bytes apart from it. */
function valuesIn({ kind, data, binaryData }: { kind: string; data?: unknown; binaryData?: unknown }): Values {
  const values = new Map<string, Buffer>();
  const add = (fields: unknown, encoding: BufferEncoding): void => {
    for (const [key, text] of Object.entries((fields ?? {}) as Record<string, string>)) {
      values.set(key, Buffer.from(text, encoding));
    }
  };
  add(data, kind === 'Secret' ? 'base64' : 'utf8');
  add(binaryData, 'base64');
  return values;
}
