/**
 * The user's kubeconfig: which cluster, as whom. `@kubernetes/client-node` reads it and runs its
 * login programs; merging of several files, and proper errors, are ours.
 */
import { existsSync } from 'node:fs';
import { Agent as PlainAgent } from 'node:http';
import { Agent as SecureAgent, type AgentOptions, type RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { KubeConfig } from '@kubernetes/client-node';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';

export interface ClusterChoice {
  /** Files in the form of KUBECONFIG: several are merged. Without any, `~/.kube/config`. */
  readonly kubeconfig?: string | undefined;
  /** A context of it; without one its current context. */
  readonly context?: string | undefined;
  /** Without one that of the context, or `default`. */
  readonly namespace?: string | undefined;
}

export interface KubeAccess {
  readonly config: KubeConfig;
  readonly context: string;
  readonly namespace: string;
  /** The API server's URL. */
  readonly server: string;
}

/** What a request needs: the agent with the cluster's certificates, and headers that say who asks. */
export interface Login {
  readonly agent: PlainAgent;
  readonly headers: Readonly<Record<string, string>>;
  /** Equal for logins whose connections may be shared. */
  readonly identity: string;
}

const podToken = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Throws `not-found` for a kubeconfig, context or cluster that is not there, `usage` for a file that is none. */
export async function readKubeconfig(choice: ClusterChoice): Promise<KubeAccess> {
  const config = await load(choice.kubeconfig);
  const name = choice.context ?? config.currentContext;
  const names = config.contexts.map((context) => context.name);
  if (name === undefined || name === '') {
    const next = 'give --context';
    throw new PachError('not-found', { what: 'the kubeconfig', why: 'it has no current context', next });
  }
  const context = config.contexts.find((one) => one.name === name);
  if (context === undefined) {
    const has = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
    throw new PachError('not-found', { what: `context "${name}"`, why: `the kubeconfig has no such context (${has})` });
  }
  config.setCurrentContext(name);
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    const why = `the kubeconfig has no cluster "${context.cluster}"`;
    throw new PachError('not-found', { what: `context "${name}"`, why });
  }
  if (config.getCurrentUser() === null) {
    throw new PachError('not-found', {
      what: `context "${name}"`,
      why: `the kubeconfig has no user "${context.user}"`,
    });
  }
  const namespace = choice.namespace ?? context.namespace ?? 'default';
  return { config, context: name, namespace, server: cluster.server };
}

async function load(files: string | undefined): Promise<KubeConfig> {
  const wanted = (files ?? '').split(delimiter).filter((file) => file !== '');
  const looked = wanted.length > 0 ? wanted : [join(homedir(), '.kube', 'config')];
  const there = looked.filter((file) => existsSync(file));
  if (there.length === 0 && wanted.length === 0 && existsSync(podToken)) return inPod();
  if (there.length === 0) {
    throw new PachError('not-found', {
      what: looked.join(', '),
      why: 'there is no kubeconfig',
      next: 'set KUBECONFIG to the file that your cluster gives',
    });
  }
  // Loaded here alone, since it takes longer to load than most commands take to run.
  const { KubeConfig: Config } = await import('@kubernetes/client-node/dist/config.js');
  const merged = new Config();
  for (const file of there) {
    const config = new Config();
    try {
      config.loadFromFile(file);
    } catch (error) {
      // The library trips over a file without anything in it.
      const reason = error instanceof TypeError ? 'it has no clusters' : firstLine(error);
      throw new PachError('usage', { what: file, why: `it is no kubeconfig: ${reason}`, cause: error });
    }
    // As kubectl does it: the first to name something wins.
    merged.clusters = mergedByName(merged.clusters, config.clusters);
    merged.contexts = mergedByName(merged.contexts, config.contexts);
    merged.users = mergedByName(merged.users, config.users);
    if (merged.currentContext === undefined || merged.currentContext === '') {
      merged.currentContext = config.currentContext;
    }
  }
  // The library refuses http without this.
  merged.clusters = merged.clusters.map((one) =>
    one.server.startsWith('http:') ? { ...one, skipTLSVerify: true } : one,
  );
  merged.users = merged.users.map((user) =>
    user.exec === undefined ? user : { ...user, exec: informed(user.exec as ExecEntry) },
  );
  return merged;
}

/** In a pod with a service account: the cluster that it runs in, and its namespace. */
async function inPod(): Promise<KubeConfig> {
  const { KubeConfig: Config } = await import('@kubernetes/client-node/dist/config.js');
  const config = new Config();
  config.loadFromCluster();
  return config;
}

function mergedByName<T extends { readonly name: string }>(first: T[] | undefined, more: T[] | undefined): T[] {
  const known = new Set((first ?? []).map(({ name }) => name));
  return [...(first ?? []), ...(more ?? []).filter(({ name }) => !known.has(name))];
}

interface ExecEntry {
  readonly apiVersion?: string;
  readonly command?: string;
  readonly env?: readonly { name: string; value: string }[] | null;
}

/** Login programs expect to be told how they are asked; the library does not tell them. */
function informed(exec: ExecEntry): ExecEntry {
  const info = { apiVersion: exec.apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  return { ...exec, env: [...(exec.env ?? []), { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }] };
}

/** Runs the context's login program where it has one. Throws `denied` when that fails. */
export async function logIn({ config, context }: KubeAccess): Promise<Login> {
  const options: RequestOptions & AgentOptions = {};
  try {
    await config.applyToHTTPSOptions(options);
  } catch (error) {
    const exec = config.getCurrentUser()?.exec as ExecEntry | undefined;
    const who =
      exec?.command === undefined ? "its credentials can't be read" : `its login program ${exec.command} failed`;
    throw new PachError('denied', {
      what: `context "${context}"`,
      why: `${who}: ${firstLine(error)}`,
      next: `kubectl --context ${shellWord(context)} auth whoami`,
      cause: error,
    });
  }
  const headers = { ...(options.headers as Record<string, string>) };
  if (typeof options.auth === 'string') {
    headers['Authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  }
  const cluster = config.getCurrentCluster();
  const { ca, cert, key, rejectUnauthorized, servername } = options as AgentOptions;
  const parts = { ca, cert, key, rejectUnauthorized, servername, proxy: cluster?.proxyUrl };
  const given = Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined));
  const identity = JSON.stringify(given);
  if (cluster?.proxyUrl !== undefined) return { agent: options.agent as PlainAgent, headers, identity };
  const plain = cluster?.server.startsWith('http:');
  if (plain) return { agent: new PlainAgent({ keepAlive: true }), headers, identity };
  // Reading certificates and keys takes longer than most requests, so it is not done for each connection.
  const secureContext = createSecureContext({ ca, cert, key });
  return { agent: new SecureAgent({ ...given, secureContext, keepAlive: true }), headers, identity };
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().split('\n')[0] || 'it said nothing';
}
