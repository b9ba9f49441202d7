/**
 * What of a Kubernetes cluster the user may say: on the command line, or once in a context.
 */
import type { ClusterChoice } from '../app/cluster.ts';
import { nodeCacheOf } from '../app/node-cache.ts';
import { storeIdentityOf } from '../app/store-identity.ts';
import type { ForwardRequest } from '../app/dev.ts';
import type { ExecutorName } from '../app/executors.ts';
import { clusterOf, type Settings } from '../app/settings.ts';
import { PachError } from '../base/errors.ts';
import { parsePlatform } from '../images/platform.ts';
import { mountRights } from '../kubernetes/objects/plan.ts';
import type { ClusterFields } from '../local/config.ts';
import type { Parameters } from './parameters.ts';
import { durationOf } from './text.ts';

const only = 'With --executor kubernetes:';

/** What a context keeps too. */
export const clusterFieldOptions = {
  namespace: { type: 'text', describe: `${only} the namespace of pods` },
  'worker-image': { type: 'text', describe: `${only} pach's own image, as the cluster names it` },
  platform: { type: 'text', describe: `${only} the nodes' platform where it is not this machine's: linux/arm64` },
  'image-registry': {
    type: 'text',
    describe: `${only} where images of this machine are pushed; http:// before it for one without TLS`,
  },
  load: {
    type: 'text',
    describe: `${only} how images of this machine get into the cluster: minikube, kind, or a command that is given an archive`,
  },
  'store-in-cluster': { type: 'text', describe: `${only} the address of the store as pods see it` },
  'pods-mount': {
    type: 'text',
    describe: `${only} large and lazy inputs are read as commands ask for them, by a sidecar that is privileged, or has the resource of this name, which a device plugin gives /dev/fuse for`,
  },
  'node-cache': {
    type: 'text',
    describe: `${only} and --pods-mount: where pods share what they have read on their node: PATH or claim:NAME[,size=50GB]`,
  },
  'store-secret': { type: 'text', describe: `${only} a Secret with the store's credentials, instead of your own` },
  'store-identity': {
    type: 'text',
    describe: `${only} a service account that the store's cloud knows, instead of credentials: NAME,role=ARN[,audience=A][,sts=URL]`,
  },
} as const;

export const clusterOptions = {
  context: { type: 'text', describe: `${only} a context of the kubeconfig` },
  ...clusterFieldOptions,
  'pending-timeout': { type: 'text', describe: `${only} how long to wait for a first pod; 10m if it is not said` },
} as const;

/** The same for verbs that use a cluster whatever they are given. */
export function withoutExecutor<Options extends Parameters>(options: Options): Options {
  const told = Object.entries(options).map(([name, option]) => {
    const describe = option.describe.replace(`${only} `, '');
    return [name, { ...option, describe: `${describe.charAt(0).toUpperCase()}${describe.slice(1)}` }];
  });
  return Object.fromEntries(told) as Options;
}

type Given<Options> = { readonly [Name in keyof Options]?: string | undefined };

const pendingDefault = '10m';

/** What was said of a cluster, as a context keeps it. Throws `usage`. */
export function clusterFieldsOf(context: string | undefined, given: Given<typeof clusterFieldOptions>): ClusterFields {
  if (given['store-secret'] !== undefined && given['store-identity'] !== undefined) {
    const why = 'pods have one way to prove themselves to the store';
    throw new PachError('usage', { what: '--store-identity', why, next: 'leave out --store-secret' });
  }
  if (given['store-identity'] !== undefined) storeIdentityOf(given['store-identity']);
  if (given.platform !== undefined) parsePlatform(given.platform);
  const [podsMount, nodeCache] = [given['pods-mount'], given['node-cache']];
  if (podsMount !== undefined) mountRights(podsMount);
  if (nodeCache !== undefined) nodeCacheOf(nodeCache);
  const fields = {
    context,
    namespace: given.namespace,
    workerImage: given['worker-image'],
    platform: given.platform,
    imageRegistry: given['image-registry'],
    load: given.load,
    storeInCluster: given['store-in-cluster'],
    storeSecret: given['store-secret'],
    storeIdentity: given['store-identity'],
    podsMount,
    nodeCache,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** What a context keeps, but for its way to the store's credentials where another one is said. */
function keptBeside(given: ClusterFields, kept: ClusterFields): ClusterFields {
  const ways: readonly string[] = ['storeSecret', 'storeIdentity'];
  if (!Object.keys(given).some((name) => ways.includes(name))) return kept;
  return Object.fromEntries(Object.entries(kept).filter(([name]) => !ways.includes(name)));
}

/** The platform of nodes that is said, or that the context keeps. Throws `usage` for one that nothing would use. */
export function platformChoice(
  executor: ExecutorName,
  platform: string | undefined,
  settings: Settings,
): Pick<ClusterFields, 'platform'> {
  if (executor === 'kubernetes') {
    const { platform: kept } = { ...clusterOf(settings), ...clusterFieldsOf(undefined, { platform }) };
    return kept === undefined ? {} : { platform: kept };
  }
  if (platform === undefined) return {};
  throw uselessOption('platform', executor);
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
    const given = clusterFieldsOf(args.context, args);
    const fields = { ...keptBeside(given, clusterOf(settings)), ...given };
    if (given.nodeCache !== undefined && fields.podsMount === undefined) throw cacheWithoutMounts(given.nodeCache);
    return { executor, cluster: { ...fields, pendingMs: durationOf('--pending-timeout', pending ?? pendingDefault) } };
  }
  const names = Object.keys(clusterOptions) as (keyof typeof clusterOptions)[];
  const useless = names.find((name) => args[name] !== undefined && !used.includes(name));
  if (useless !== undefined) throw uselessOption(useless, executor);
  return { executor, cluster: undefined };
}

function cacheWithoutMounts(nodeCache: string): PachError {
  return new PachError('usage', {
    what: `--node-cache ${nodeCache}`,
    why: 'a cache of the node belongs to root, and only pods that mount their inputs have a container that is root',
    next: 'add --pods-mount privileged, or leave out --node-cache',
  });
}

function uselessOption(name: string, executor: ExecutorName): PachError {
  const why = `the executor ${executor} uses no cluster`;
  return new PachError('usage', {
    what: `--${name}`,
    why,
    next: `add --executor kubernetes, or leave out --${name}`,
  });
}
