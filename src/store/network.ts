/**
 * The way to servers: proxies and authorities as the environment names them, for curl and for the
 * AWS CLI. A proxy's address may hold a password, so messages show its host and port alone.
 */
import { readFile } from 'node:fs/promises';
import { Agent as HttpAgent, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, type AgentOptions as HttpsOptions } from 'node:https';
import { BlockList, isIP } from 'node:net';
import { loadConfig } from '@smithy/core/config';
import { PachError } from '../base/errors.ts';

/** How servers of a scheme are reached. */
export interface Network {
  /** The proxy to a server; undefined for a direct connection. Secret. */
  proxyTo(server: URL): URL | undefined;
  /** The file of the authorities that are trusted, and what is in it. */
  readonly authorities: { readonly path: string; readonly pem: string } | undefined;
  /** True when neither proxies nor authorities are named. */
  readonly isPlain: boolean;
}

export interface Agents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
}

/** The proxy did not let a request through; `status` is its answer. */
export class ProxyRefusal extends Error {
  readonly code = 'EPROXY';
  readonly status: number;

  constructor(proxy: string, status: number) {
    super(`the proxy ${proxy} answered ${status}`);
    this.status = status;
  }
}

/** What a failed request says of the proxy that it went through. */
export interface ThroughProxy {
  proxy?: string;
}

interface Named {
  readonly http: string | undefined;
  readonly https: string | undefined;
  readonly without: string | undefined;
}

/** What the environment names now. Throws `usage` where that is wrong. */
export async function networkOf(): Promise<Network> {
  const named = await loadConfig<Named>({
    environmentVariableSelector: (env) => {
      const either = (name: string): string | undefined => env[name] || env[name.toUpperCase()] || undefined;
      const all = either('all_proxy');
      return { http: either('http_proxy') ?? all, https: either('https_proxy') ?? all, without: either('no_proxy') };
    },
    configFileSelector: () => undefined,
    default: { http: undefined, https: undefined, without: undefined },
  })();
  const bundle = await loadConfig({
    environmentVariableSelector: (env) => env['AWS_CA_BUNDLE'] || undefined,
    configFileSelector: (profile) => profile['ca_bundle'],
    default: '',
  })();
  const [http, https] = [proxyOf(named.http, 'HTTP_PROXY'), proxyOf(named.https, 'HTTPS_PROXY')];
  const isDirect = directTo(named.without ?? '');
  return {
    proxyTo: (server) => (isDirect(server) ? undefined : server.protocol === 'https:' ? https : http),
    authorities: bundle === '' ? undefined : { path: bundle, pem: await readBundle(bundle) },
    isPlain: bundle === '' && !http && !https,
  };
}

/** Connections to servers, each through its proxy; what a caller trusts is in `options`. */
export async function agentsFor(network: Network, options: HttpsOptions): Promise<Agents> {
  const agents = { http: new HttpAgent(options), https: new HttpsAgent(options) };
  if (network.isPlain) return agents;
  const { HttpsProxyAgent } = await import('https-proxy-agent');
  const { HttpProxyAgent } = await import('http-proxy-agent');
  const way = { network, options };
  return {
    http: throughProxies(agents.http, { ...way, scheme: 'http:', make: (proxy) => new HttpProxyAgent(proxy, options) }),
    https: throughProxies(agents.https, {
      ...way,
      scheme: 'https:',
      make: (proxy) => new HttpsProxyAgent(proxy, options),
    }),
  };
}

interface Way {
  readonly network: Network;
  readonly options: HttpsOptions;
  readonly scheme: 'http:' | 'https:';
  readonly make: (proxy: URL) => unknown;
}

function throughProxies<A extends HttpAgent>(agent: A, { network, options, scheme, make }: Way): A {
  const agents = new Map<string, AgentInternals>();
  const agentOf = (proxy: URL): AgentInternals => {
    const found = agents.get(proxy.href) ?? (make(proxy) as AgentInternals);
    agents.set(proxy.href, found);
    return found;
  };
  const direct = agent as unknown as AgentInternals;
  const [addDirect, destroyDirect] = [direct.addRequest.bind(agent), agent.destroy.bind(agent)];
  return Object.assign(agent, {
    // Decided before the request is written, since its first line is another one for a proxy.
    addRequest(request: ClientRequest, to: Target): void {
      const host = isIP(to.host) === 6 ? `[${to.host}]` : to.host;
      const proxy = network.proxyTo(new URL(`${scheme}//${host}:${to.port}`));
      if (!proxy) return addDirect(request, to);
      request.prependOnceListener('error', (error: ThroughProxy) => (error.proxy = proxy.host));
      request.once('proxyConnect', ({ statusCode = 200 }: IncomingMessage) => {
        if (statusCode !== 200) request.destroy(new ProxyRefusal(proxy.host, statusCode));
      });
      return agentOf(proxy).addRequest(request, { ...options, ...to, secureEndpoint: scheme === 'https:' });
    },
    destroy(): void {
      destroyDirect();
      for (const each of agents.values()) each.destroy();
    },
  });
}

interface Target {
  readonly host: string;
  readonly port: number;
}

/** A method that Node calls on agents and that its types leave out. */
interface AgentInternals {
  addRequest(request: ClientRequest, to: Target & { secureEndpoint?: boolean }): void;
  destroy(): void;
}

function proxyOf(text: string | undefined, variable: string): URL | undefined {
  if (text === undefined) return undefined;
  const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url && url.hostname !== '' && /^https?:$/.test(url.protocol)) return url;
  // The value is not shown: there may be a password in it.
  const why = 'it is not the address of an http or https proxy';
  throw new PachError('usage', { what: variable, why, next: `write it as http://host:port` });
}

/** Names (and what lies below them), addresses and ranges of addresses, each with or without a port. */
function directTo(list: string): (server: URL) => boolean {
  const entries = list.split(/[\s,]+/).filter((entry) => entry !== '');
  const ranges = new BlockList();
  const names: { readonly name: string; readonly port: string | undefined }[] = [];
  for (const entry of entries) {
    const [, address = '', bits] = /^\[?([0-9a-f.:]+?)\]?(?:\/(\d{1,3}))?$/i.exec(entry) ?? [];
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    const bitsMax = family === 'ipv6' ? 128 : 32;
    if (isIP(address) !== 0 && Number(bits ?? bitsMax) <= bitsMax) {
      ranges.addSubnet(address, Number(bits ?? bitsMax), family);
    } else {
      const [, name = '', port] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
      names.push({ name: name.replace(/\.$/, ''), port });
    }
  }
  return ({ hostname, port, protocol }) => {
    const host = hostname.toLowerCase().replace(/\.$/, '').replaceAll(/[[\]]/g, '');
    const family = isIP(host);
    if (family !== 0 && ranges.check(host, family === 6 ? 'ipv6' : 'ipv4')) return true;
    const portOf = port || (protocol === 'https:' ? '443' : '80');
    return names.some(
      (each) =>
        (each.name === '*' || host === each.name || host.endsWith(`.${each.name}`)) &&
        (each.port === undefined || each.port === portOf),
    );
  };
}

async function readBundle(path: string): Promise<string> {
  const fail = (why: string, cause?: unknown): PachError =>
    new PachError('usage', { what: `AWS_CA_BUNDLE (${path})`, why, next: 'name a file of certificates (PEM)', cause });
  const pem = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw fail(`it can't be read (${error.code})`, error);
  });
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw fail('it holds no certificate');
  return pem;
}
