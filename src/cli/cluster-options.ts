/**
 * What of a Kubernetes cluster the user may say: on the command line, or once in a context.
 */
import type { ClusterChoice } from '../app/cluster.ts';
import type { ForwardRequest } from '../app/dev.ts';
import type { ExecutorName } from '../app/executors.ts';
import { clusterOf, type Settings } from '../app/settings.ts';
import { PachError } from '../base/errors.ts';
import type { ClusterFields } from '../local/config.ts';
import { durationOf } from './text.ts';

const only = 'With --executor kubernetes:';

/** What a context keeps too. */
export const clusterFieldOptions = {
  namespace: { type: 'text', describe: `${only} the namespace of pods` },
  'worker-image': { type: 'text', describe: `${only} pach's own image, as the cluster names it` },
  'image-registry': {
    type: 'text',
    describe: `${only} where images of this machine are pushed; http:// before it for one without TLS`,
  },
  load: {
    type: 'text',
    describe: `${only} how images of this machine get into the cluster: minikube, kind, or a command that is given an archive`,
  },
  'store-in-cluster': { type: 'text', describe: `${only} the address of the store as pods see it` },
  'store-secret': { type: 'text', describe: `${only} a Secret with the store's credentials, instead of your own` },
} as const;

export const clusterOptions = {
  context: { type: 'text', describe: `${only} a context of the kubeconfig` },
  ...clusterFieldOptions,
  'pending-timeout': { type: 'text', describe: `${only} how long to wait for a first pod; 10m if it is not said` },
} as const;

type Given<Options> = { readonly [Name in keyof Options]?: string | undefined };

const pendingDefault = '10m';

/** What was said of a cluster, as a context keeps it. */
export function clusterFieldsOf(context: string | undefined, given: Given<typeof clusterFieldOptions>): ClusterFields {
  const fields = {
    context,
    namespace: given.namespace,
    workerImage: given['worker-image'],
    imageRegistry: given['image-registry'],
    load: given.load,
    storeInCluster: given['store-in-cluster'],
    storeSecret: given['store-secret'],
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** The context and namespace whose services commands on this machine may reach. */
export function servicePlace(
  { context, namespace }: Given<Pick<typeof clusterOptions, 'context' | 'namespace'>>,
  settings: Settings,
): Omit<ForwardRequest, 'uses'> {
  const kept = clusterOf(settings);
  return { context: context ?? kept.context, namespace: namespace ?? kept.namespace };
}

/**
 * What runs commands: an executor, and the cluster where it needs one. Throws `usage` for a cluster that
 * nothing would use; `used`: options that something else uses.
 */
export function executorChoice(
  args: Given<typeof clusterOptions> & { readonly executor: ExecutorName },
  settings: Settings,
  used: readonly (keyof typeof clusterOptions)[] = [],
): { readonly executor: ExecutorName; readonly cluster: ClusterChoice | undefined } {
  const { executor } = args;
  const pending = args['pending-timeout'];
  if (executor === 'kubernetes') {
    const fields = { ...clusterOf(settings), ...clusterFieldsOf(args.context, args) };
    return { executor, cluster: { ...fields, pendingMs: durationOf('--pending-timeout', pending ?? pendingDefault) } };
  }
  const names = Object.keys(clusterOptions) as (keyof typeof clusterOptions)[];
  const useless = names.find((name) => args[name] !== undefined && !used.includes(name));
  if (useless !== undefined) {
    const why = `the executor ${executor} uses no cluster`;
    throw new PachError('usage', {
      what: `--${useless}`,
      why,
      next: `add --executor kubernetes, or leave out --${useless}`,
    });
  }
  return { executor, cluster: undefined };
}
