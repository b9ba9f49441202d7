/**
 * `dev.network: none` in a cluster. Both containers of a pod have one network, and the sidecar needs the
 * store, so the policy leaves that way open, and that to the name server; nothing else. A cluster whose
 * network does not enforce policies ignores it.
 */
import { isIP } from 'node:net';
import type { KubeObject, Metadata } from '../client/objects.ts';
import { podLabels, type PodsPlan } from './plan.ts';

const amazon = 'https://s3.amazonaws.com';

export function networkPolicy(plan: PodsPlan, metadata: Metadata): KubeObject {
  const dns = ['UDP', 'TCP'].map((protocol) => ({ protocol, port: 53 }));
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec: {
      podSelector: { matchLabels: podLabels(plan) },
      policyTypes: ['Ingress', 'Egress'],
      egress: [{ ports: dns }, ...storeWays(plan)],
    },
  };
}

/** To the store, and to the service that gives credentials for a token: without a name of its own it is the store's server. */
function storeWays({ store, credentials }: PodsPlan): object[] {
  const { AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_S3 } = store.env;
  const endpoint = new URL(store.url).searchParams.get('endpoint') ?? AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL ?? amazon;
  if (credentials.kind !== 'service-account') return [wayTo(endpoint)];
  return [wayTo(endpoint), wayTo(credentials.env['AWS_ENDPOINT_URL_STS'] ?? AWS_ENDPOINT_URL ?? amazon)];
}

/** To the address of a server where that is a number; a policy knows no names, so else to its port anywhere. */
function wayTo(endpoint: string): object {
  const { hostname, port, protocol } = new URL(endpoint);
  const address = hostname.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(address);
  const ports = [{ protocol: 'TCP', port: port === '' ? (protocol === 'http:' ? 80 : 443) : Number(port) }];
  const to = family === 0 ? [] : [{ ipBlock: { cidr: `${address}/${family === 4 ? 32 : 128}` } }];
  return { ports, ...(to.length > 0 && { to }) };
}
