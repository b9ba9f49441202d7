/**
 * Where pods keep what they have read, for others on their node: a folder of the node, or a claim.
 */
import { PachError } from '../base/errors.ts';
import type { NodeCache } from '../kubernetes/objects/plan.ts';

const bytesDefault = 20e9;
const units: Readonly<Record<string, number>> = { MB: 1e6, GB: 1e9, TB: 1e12 };

/** `PATH[,size=50GB]` or `claim:NAME[,size=50GB]`. Throws `usage`. */
export function nodeCacheOf(text: string): NodeCache {
  const refuse = (why: string): PachError => {
    const next = 'for example --node-cache /var/cache/pach,size=50GB';
    return new PachError('usage', {
      what: `--node-cache ${text}`,
      why: `${why}: PATH or claim:NAME, and size=SIZE`,
      next,
    });
  };
  const [where = '', ...more] = text.split(',');
  const [, digits, unit = ''] = /^size=(\d{1,6})(MB|GB|TB)$/.exec(more[0] ?? '') ?? [];
  if (more.length > 1 || (more.length === 1 && digits === undefined)) throw refuse(`"${more.join(',')}" is no size`);
  const bytesMax = digits === undefined ? bytesDefault : Number(digits) * (units[unit] as number);
  const claim = /^claim:([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)$/.exec(where)?.[1];
  if (claim !== undefined) return { place: { kind: 'claim', name: claim }, bytesMax };
  // Of the node's root nothing is ours, and Kubernetes refuses a way back.
  const isPath = /^\/[^/\p{Cc}]/u.test(where) && !where.split('/').includes('..');
  if (!isPath) throw refuse('it is no absolute path of a folder on nodes');
  return { place: { kind: 'path', path: where }, bytesMax };
}
