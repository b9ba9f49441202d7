/**
 * Whether a cluster has nodes for the pods of a pipeline: of the platform that its image is for, and with
 * its GPUs, of which a quota leaves some. Nodes may come when pods wait for them, so that none is there
 * now is a warning; but the controller waits for nobody.
 */
import { PachError } from '../../base/errors.ts';
import { platformText, type Platform } from '../../images/platform.ts';
import { podFields } from '../../pipelines/spec/pod.ts';
import type { PipelineSpec } from '../../pipelines/spec/spec.ts';
import type { Cluster } from '../client/cluster.ts';
import { refusal } from '../client/errors.ts';
import type { Kind, KubeObject } from '../client/objects.ts';
import { amount } from '../quota.ts';

export interface WantedNodes {
  readonly spec: PipelineSpec;
  /** What images are for. */
  readonly platform: Platform;
}

export interface JudgedNodes {
  readonly says: string;
  readonly isWarning: boolean;
}

/** What of a cluster it is judged by; undefined for what the user may not see. */
export interface SeenNodes {
  readonly nodes: readonly KubeObject[] | undefined;
  readonly quotas: readonly KubeObject[] | undefined;
}

const namesShown = 5;

/** Throws `unsupported` for a cluster of which no node is of the platform. */
export async function checkNodes(cluster: Cluster, wanted: WantedNodes): Promise<JudgedNodes> {
  const [nodes, quotas] = await Promise.all((['Node', 'ResourceQuota'] as const).map((kind) => seen(cluster, kind)));
  return judgeNodes({ nodes, quotas }, wanted);
}

/** The right to see them is not needed to promote. */
async function seen(cluster: Cluster, kind: Kind): Promise<KubeObject[] | undefined> {
  try {
    return await cluster.list(kind);
  } catch (error) {
    if (refusal(error)?.status === 403) return undefined;
    throw error;
  }
}

/** As `checkNodes`, of what was seen. */
export function judgeNodes({ nodes, quotas }: SeenNodes, { spec, platform }: WantedNodes): JudgedNodes {
  const { gpuType: type, nodeSelector = {} } = podFields(spec);
  const asked = spec.resourceLimits.gpus ?? 0;
  const wants = platformText(platform);
  const quota = asked === 0 ? undefined : quotaOf(quotas, type);
  const left = quota === undefined ? '' : `; quota ${quota.name} leaves ${quota.left} of ${quota.hard} ${type}`;
  if (!nodes) {
    const unknown = `you have no right to list nodes, so whether one is ${wants}`;
    if (asked === 0) return { says: `${unknown} is not known`, isWarning: false };
    return { says: `${unknown} and has ${asked} ${type} is not known${left}`, isWarning: true };
  }
  const fitting = nodes.filter((node) => platformOf(node) === wants);
  if (nodes.length > 0 && fitting.length === 0) {
    const there = [...new Set(nodes.map(platformOf))].sort();
    throw new PachError('unsupported', {
      what: `images for ${wants}`,
      why: `no node is ${wants}: ${countOf(nodes)} ${there.join(', ')}`,
      next: `images for the nodes: --platform ${there[0]}`,
    });
  }
  const usable = fitting.filter((node) => isOpen(node) && isSelected(node, nodeSelector));
  if (usable.length === 0) {
    const words = Object.entries(nodeSelector).map(([name, value]) => `${name}=${value}`);
    const why = words.length > 0 ? `that takes pods and has ${words.join(', ')}` : 'that takes pods';
    return { says: `pods wait: there is no ${wants} node ${why}${left}`, isWarning: true };
  }
  if (asked === 0) return { says: `${countOf(usable)} ${wants}`, isWarning: false };
  const most = Math.max(...usable.map((node) => allocatable(node).get(type) ?? 0));
  if (most < asked) return { says: `pods wait: ${lackOf({ usable, type, most, asked })}${left}`, isWarning: true };
  const has = usable.filter((node) => (allocatable(node).get(type) ?? 0) >= asked).length;
  const isShort = quota !== undefined && quota.left < asked;
  const says = `${has} of ${usable.length} ${wants} nodes ${has === 1 ? 'has' : 'have'} ${asked} ${type} or more${left}`;
  return { says: isShort ? `pods wait: ${says}` : says, isWarning: isShort };
}

/** What is missing, and what there is instead. */
function lackOf({
  usable,
  type,
  most,
  asked,
}: {
  readonly usable: readonly KubeObject[];
  readonly type: string;
  readonly most: number;
  readonly asked: number;
}): string {
  if (most > 0)
    return `a pod asks for ${asked} ${type}, and no node has more than ${most}: set resource_limits.gpu.number to ${most}, or wait for such a node`;
  const names = usable.flatMap((node) => [...allocatable(node).keys()].filter((name) => name.includes('nvidia')));
  const others = [...new Set(names)].sort();
  const shown = others.slice(0, namesShown).join(', ') + (others.length > namesShown ? ', …' : '');
  const instead =
    others.length > 0
      ? `they have ${shown}: set resource_limits.gpu.type to it`
      : 'none advertises a GPU: install the device plugin, take the GPU out of the spec, or wait for such a node';
  return `no node advertises ${type}; ${instead}`;
}

interface Left {
  readonly name: string;
  readonly hard: number;
  readonly left: number;
}

/** The quota that leaves least of a resource; undefined where none speaks of it, or is seen. */
function quotaOf(quotas: readonly KubeObject[] | undefined, type: string): Left | undefined {
  const all = (quotas ?? []).flatMap(({ metadata, status }): Left[] => {
    const { hard = {}, used = {} } = (status ?? {}) as { hard?: Amounts; used?: Amounts };
    const limit = hard[`requests.${type}`];
    if (limit === undefined) return [];
    const most = amount(limit);
    return [
      { name: metadata.name ?? '', hard: most, left: Math.max(0, most - amount(used[`requests.${type}`] ?? '0')) },
    ];
  });
  return all.toSorted((a, b) => a.left - b.left)[0];
}

type Amounts = Readonly<Record<string, string>>;

function platformOf({ status }: KubeObject): string {
  const { nodeInfo } = (status ?? {}) as { nodeInfo?: { operatingSystem?: string; architecture?: string } };
  return platformText({
    os: nodeInfo?.operatingSystem ?? 'unknown',
    architecture: nodeInfo?.architecture ?? 'unknown',
  });
}

/** What a node has that is not nothing, by names. */
function allocatable({ status }: KubeObject): Map<string, number> {
  const { allocatable: has = {} } = (status ?? {}) as { allocatable?: Amounts };
  return new Map(
    Object.entries(has)
      .map(([name, text]) => [name, amount(text)] as const)
      .filter(([, is]) => is > 0),
  );
}

function isOpen({ spec }: KubeObject): boolean {
  return (spec as { unschedulable?: boolean } | undefined)?.unschedulable !== true;
}

function isSelected({ metadata }: KubeObject, selector: Amounts): boolean {
  return Object.entries(selector).every(([name, value]) => metadata.labels?.[name] === value);
}

function countOf(nodes: readonly KubeObject[]): string {
  return nodes.length === 1 ? '1 node is' : `${nodes.length} nodes are`;
}
