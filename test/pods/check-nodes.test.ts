/**
 * Whether nodes are for a pipeline's pods, told from what a user may see of them.
 */
import { expect, test } from 'vitest';
import type { KubeObject } from '../../src/kubernetes/client/objects.ts';
import { judgeNodes } from '../../src/kubernetes/promotion/check-nodes.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';

const gpu = 'nvidia.com/gpu';
const platform = { os: 'linux', architecture: 'amd64' };

function spec(fields: object = {}) {
  const document = { pipeline: { name: 'p' }, transform: { cmd: ['true'] }, input: { pfs: { repo: 'r', glob: '/*' } } };
  return parseSpec({ ...document, ...fields }, { file: 'p.json', folder: '/', project: 'default' });
}

function wants(number: number, type = gpu, more: object = {}) {
  return { spec: spec({ resource_limits: { gpu: { type, number } }, ...more }), platform };
}

function node(allocatable: object, { architecture = 'amd64', labels = {}, unschedulable = false } = {}): KubeObject {
  const status = { allocatable, nodeInfo: { operatingSystem: 'linux', architecture } };
  return { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n', labels }, spec: { unschedulable }, status };
}

function quota(name: string, hard: string, used: string): KubeObject {
  const resource = `requests.${gpu}`;
  const status = { hard: { [resource]: hard, cpu: '1' }, used: { [resource]: used } };
  return { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name }, status };
}

test('nodes of another platform than the images are refused, with the option that helps', () => {
  const nodes = [node({}, { architecture: 'arm64' }), node({}, { architecture: 'arm64' })];
  expect(() => judgeNodes({ nodes, quotas: [] }, { spec: spec(), platform })).toThrow(
    expect.objectContaining({
      code: 'unsupported',
      why: 'no node is linux/amd64: 2 nodes are linux/arm64',
      next: 'images for the nodes: --platform linux/arm64',
    }) as Error,
  );
  expect(judgeNodes({ nodes: [...nodes, node({})], quotas: [] }, { spec: spec(), platform })).toEqual({
    says: '1 node is linux/amd64',
    isWarning: false,
  });
});

test.each([
  ['one has them', [node({ [gpu]: '4' }), node({})], '1 of 2 linux/amd64 nodes has 2 nvidia.com/gpu or more', false],
  ['none has as many', [node({ [gpu]: '1' })], 'no node has more than 1: set resource_limits.gpu.number to 1', true],
  [
    'they have parts',
    [node({ 'nvidia.com/mig-1g.5gb': '7' })],
    'they have nvidia.com/mig-1g.5gb: set resource_limits.gpu.type',
    true,
  ],
  ['there are none', [node({ [gpu]: '0', cpu: '4' })], 'none advertises a GPU: install the device plugin', true],
  [
    'the node takes no pods',
    [node({ [gpu]: '4' }, { unschedulable: true })],
    'no linux/amd64 node that takes pods',
    true,
  ],
  ['a user may not see them', undefined, 'no right to list nodes', true],
  ['there is no node yet', [], 'pods wait', true],
] as const)('GPUs: %s', (_, nodes, says, isWarning) => {
  expect(judgeNodes({ nodes, quotas: undefined }, wants(2))).toEqual({
    says: expect.stringContaining(says) as string,
    isWarning,
  });
});

test('what a quota leaves is told, and is a warning where it is less than a pod asks for', () => {
  const nodes = [node({ [gpu]: '8' })];
  const quotas = [quota('all', '4', '1'), quota('team', '4', '3')];
  const told = '1 of 1 linux/amd64 nodes has 1 nvidia.com/gpu or more; quota team leaves 1 of 4 nvidia.com/gpu';
  expect(judgeNodes({ nodes, quotas }, wants(1))).toEqual({ says: told, isWarning: false });
  expect(judgeNodes({ nodes, quotas }, wants(2))).toMatchObject({ isWarning: true });
  // A quota of something else is none of this pipeline's.
  expect(judgeNodes({ nodes, quotas }, { spec: spec(), platform }).says).toBe('1 node is linux/amd64');
});

test('only nodes that the spec selects count', () => {
  const selects = { scheduling_spec: { node_selector: { pool: 'a100' } } };
  const nodes = [node({ [gpu]: '4' }, { labels: { pool: 't4' } })];
  const judged = judgeNodes({ nodes, quotas: [] }, wants(1, gpu, selects));
  expect(judged).toEqual({ says: expect.stringContaining('pool=a100') as string, isWarning: true });
  nodes.push(node({ [gpu]: '4' }, { labels: { pool: 'a100' } }));
  expect(judgeNodes({ nodes, quotas: [] }, wants(1, gpu, selects)).isWarning).toBe(false);
});
