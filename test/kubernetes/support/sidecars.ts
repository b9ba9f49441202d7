/**
 * Pods of a user's own with our sidecar, as `pach print sidecar` and kubectl make them.
 */
import { parse, stringify } from 'yaml';
import type { KubeObject } from '../../../src/kubernetes/client/objects.ts';
import { until } from './cluster.ts';
import { canRun, Running, type Ways } from './running.ts';
import { ownCluster, workerImage } from './store.ts';

/** kubectl is one of the programs of our own cluster. */
export const hasKubectl = canRun && ownCluster !== undefined;

interface ContainerState {
  readonly name: string;
  readonly state: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
  readonly lastState?: { readonly terminated?: { readonly message?: string } };
}

export interface Status {
  readonly phase?: string;
  readonly initContainerStatuses?: readonly ContainerState[];
  readonly containerStatuses?: readonly (ContainerState & {
    readonly state: { readonly terminated?: { readonly exitCode: number; readonly message?: string } };
  })[];
}

export async function worldWithSecret(
  files: Readonly<Record<string, string>>,
  ways: Partial<Ways> = {},
): Promise<Running> {
  const world = await Running.make(files, ways);
  const { place, namespace } = world;
  await place.must(
    [
      'pach create repo models',
      `cat > kubectl <<'END'\nexec "$K8S_BIN/kubectl" -n ${namespace.name} "$@"\nEND\nchmod +x kubectl`,
      './kubectl create secret generic store --from-literal=AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID --from-literal=AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY',
    ].join('; '),
  );
  return world;
}

export async function contextOf({ place }: Running): Promise<string> {
  return (await place.must('"$K8S_BIN/kubectl" config current-context')).trim();
}

export interface Patch {
  readonly spec: {
    readonly initContainers: { readonly env: { readonly name: string; value?: string }[] }[];
    readonly volumes: { readonly name: string; [source: string]: unknown }[];
  };
}

/** Prints the patch, puts it into a manifest, perhaps changed, and gives that to the cluster. */
export async function apply(
  { place }: Running,
  manifest: string,
  words: string,
  changed: (patch: Patch) => void = () => undefined,
): Promise<void> {
  const patch = parse(
    await place.must(`pach print sidecar --store-secret store --worker-image ${workerImage} ${words}`),
  ) as Patch;
  changed(patch);
  await place.must(
    [
      `cat > manifest.yaml <<'END'\n${manifest}\nEND`,
      `cat > sidecar.yaml <<'END'\n${stringify(patch)}\nEND`,
      './kubectl patch --local --type strategic --patch-file sidecar.yaml -f manifest.yaml -o yaml | ./kubectl apply -f -',
    ].join('\n'),
  );
}

export function podThat(name: string, container: object): string {
  const main = { name: 'main', image: 'busybox', imagePullPolicy: 'IfNotPresent', ...container };
  const spec = { restartPolicy: 'Never', terminationGracePeriodSeconds: 1, containers: [main] };
  return JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec });
}

export function statusOf({ namespace }: Running, name: string, isSeen: (status: Status) => boolean): Promise<Status> {
  return until(`${name} is so`, async () => {
    const pod: KubeObject | undefined = await namespace.cluster.get({ kind: 'Pod', name });
    const status = pod?.['status'] as Status | undefined;
    return status && isSeen(status) ? status : undefined;
  });
}

export function ended({ namespace }: Running, name: string): Promise<{ exitCode: number; log: string }> {
  return until(`${name} has ended`, async () => {
    const pod = await namespace.cluster.get({ kind: 'Pod', name });
    const { containerStatuses = [] } = (pod?.['status'] ?? {}) as Status;
    const exitCode = containerStatuses[0]?.state.terminated?.exitCode;
    if (exitCode === undefined) return undefined;
    const parts: Buffer[] = [];
    for await (const part of namespace.cluster.logs(name, 'main', {})) parts.push(part);
    return { exitCode, log: Buffer.concat(parts).toString() };
  });
}
