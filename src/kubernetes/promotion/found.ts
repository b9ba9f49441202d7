/**
 * The controller that is in a namespace already.
 */
import { PachError } from '../../base/errors.ts';
import type { Cluster } from '../client/cluster.ts';
import { placeAnnotation, versionAnnotation } from './controller.ts';
import { isReady } from './deploy.ts';

export interface FoundController {
  readonly place: string;
  /** Of the program that it is. */
  readonly version: string;
  readonly image: string;
  /** It serves. */
  readonly isReady: boolean;
}

/** Undefined where there is none, or where somebody else has a Deployment of that name. */
export async function foundController(cluster: Cluster, name: string): Promise<FoundController | undefined> {
  const found = await cluster.get({ kind: 'Deployment', name });
  const { [placeAnnotation]: place, [versionAnnotation]: version } = found?.metadata.annotations ?? {};
  if (!found || place === undefined || version === undefined) return undefined;
  const { template } = found['spec'] as {
    template: { spec: { containers: readonly { name: string; image: string }[] } };
  };
  const image = template.spec.containers.find((each) => each.name === 'controller')?.image ?? '';
  return { place, version, image, isReady: isReady(found) };
}

/** What a namespace of a cluster is called where there is no controller yet. */
export function placeName({ namespace, server }: Pick<Cluster, 'namespace' | 'server'>): string {
  return `${namespace} of ${new URL(server).host}`;
}

/** Throws `unsupported` for a controller of a newer program than `version`. */
export function refuseNewer(found: Pick<FoundController, 'place' | 'version'>, version: string): string {
  if (isNewer(found.version, version)) {
    throw new PachError('unsupported', {
      what: `the controller of ${found.place}`,
      why: `it is of version ${found.version}, and this is ${version}`,
      next: 'promote with that version or a newer one',
    });
  }
  return found.version === version ? `version ${version}` : `version ${found.version} becomes ${version}`;
}

/** Of versions such as 1.10.2 and 1.10.2-beta. */
function isNewer(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => (text.split(/[-+]/)[0] ?? '').split('.').map(Number));
  for (const [index, part] of (a ?? []).entries()) {
    const compared = part - (b?.[index] ?? 0);
    if (compared !== 0) return compared > 0;
  }
  return false;
}
