/**
 * The secrets that a pod names, wherever it does: a patch may have added some.
 */

export interface NamedSecret {
  readonly name: string;
  readonly keys: readonly string[];
  /** It is for pulling images. */
  readonly isForImages: boolean;
}

interface KeyOfSecret {
  readonly name?: string;
  readonly secretName?: string;
  readonly key?: string;
  readonly items?: readonly { readonly key: string }[];
  readonly optional?: boolean;
}

interface Naming {
  readonly imagePullSecrets?: readonly KeyOfSecret[];
  readonly initContainers?: readonly NamingContainer[];
  readonly containers?: readonly NamingContainer[];
  readonly volumes?: readonly {
    readonly secret?: KeyOfSecret;
    readonly projected?: { readonly sources?: readonly { readonly secret?: KeyOfSecret }[] };
  }[];
}

interface NamingContainer {
  readonly env?: readonly { readonly valueFrom?: { readonly secretKeyRef?: KeyOfSecret } }[];
  readonly envFrom?: readonly { readonly secretRef?: KeyOfSecret }[];
}

/** Each secret once, with the keys that must be in it. */
export function secretsOf(spec: object): NamedSecret[] {
  const { imagePullSecrets = [], initContainers = [], containers = [], volumes = [] } = spec as Naming;
  const all = [...initContainers, ...containers];
  const named = [
    ...all.flatMap(({ env = [] }) => env.map(({ valueFrom }) => valueFrom?.secretKeyRef)),
    ...all.flatMap(({ envFrom = [] }) => envFrom.map(({ secretRef }) => secretRef)),
    ...volumes.map(({ secret }) => secret),
    ...volumes.flatMap(({ projected }) => (projected?.sources ?? []).map(({ secret }) => secret)),
  ].filter((secret) => secret !== undefined && secret.optional !== true);
  const keys = new Map<string, Set<string>>();
  for (const { name, secretName, key, items = [] } of named as KeyOfSecret[]) {
    const of = keys.get(name ?? secretName ?? '') ?? new Set();
    keys.set(name ?? secretName ?? '', of);
    for (const one of [...(key === undefined ? [] : [key]), ...items.map((item) => item.key)]) of.add(one);
  }
  return [
    ...[...keys].map(([name, of]) => ({ name, keys: [...of], isForImages: false })),
    ...imagePullSecrets.map(({ name = '' }) => ({ name, keys: [], isForImages: true })),
  ];
}
