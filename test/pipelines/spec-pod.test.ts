/**
 * What a spec says for Kubernetes: read from its document, in Pachyderm's names and shapes, and checked
 * when the spec is.
 */
import { expect, test } from 'vitest';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { podFields } from '../../src/pipelines/spec/pod.ts';
import type { PipelineSpec } from '../../src/pipelines/spec/spec.ts';

const minimal = {
  pipeline: { name: 'edges' },
  transform: { cmd: ['sh'] },
  input: { pfs: { repo: 'images', glob: '/*' } },
};

function parse(fields: object): PipelineSpec {
  const document = { ...minimal, ...fields };
  return parseSpec(document, { file: 'edges.json', folder: import.meta.dirname, project: 'default' });
}

const nothing = {
  requests: {},
  limits: {},
  gpuType: 'nvidia.com/gpu',
  sidecarRequests: {},
  sidecarLimits: {},
  tolerations: [],
  labels: {},
  annotations: {},
  imagePullSecrets: [],
  merge: {},
  patch: [],
};

test('a spec that says nothing for pods', () => {
  expect(podFields(parse({}))).toEqual(nothing);
  expect(podFields(parse({ pod_spec: '', pod_patch: '', tolerations: [], metadata: null }))).toEqual(nothing);
});

const operation = { op: 'add', path: '/volumes/-', value: { name: 'x' } };

const cases: readonly (readonly [given: object, gives: object])[] = [
  [
    { resource_requests: { cpu: '500m', memory: '64Mi', disk: '1G' } },
    { requests: { cpu: 0.5, memoryBytes: 2 ** 26, diskBytes: 1e9 } },
  ],
  [{ resource_limits: { cpu: 0, memory: '1G', disk: '10G' } }, { limits: { memoryBytes: 1e9, diskBytes: 1e10 } }],
  [{ resource_limits: { gpu: { type: 'nvidia.com/mig-1g.5gb', number: 1 } } }, { gpuType: 'nvidia.com/mig-1g.5gb' }],
  [{ sidecar_resource_requests: { memory: '1G' } }, { sidecarRequests: { memoryBytes: 1e9 } }],
  [{ sidecarResourceLimits: { cpu: 2 } }, { sidecarLimits: { cpu: 2 } }],
  [{ scheduling_spec: { node_selector: { disk: 'ssd' } } }, { nodeSelector: { disk: 'ssd' } }],
  [{ scheduling_spec: { priority_class_name: 'high' } }, { priorityClassName: 'high' }],
  [
    { tolerations: [{ key: 'a', operator: 'EXISTS', effect: 'NO_EXECUTE', toleration_seconds: '5' }] },
    { tolerations: [{ key: 'a', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 5 }] },
  ],
  [
    { tolerations: [{ key: 'a', operator: 'Equal', value: 'b', effect: 'ALL_EFFECTS' }] },
    { tolerations: [{ key: 'a', operator: 'Equal', value: 'b' }] },
  ],
  [{ metadata: { labels: { a: 'b' }, annotations: { c: 'd' } } }, { labels: { a: 'b' }, annotations: { c: 'd' } }],
  [{ transform: { cmd: ['sh'], image_pull_secrets: ['registry'] } }, { imagePullSecrets: ['registry'] }],
  [{ dev: { pod: { service_account: 'reader' } } }, { serviceAccount: 'reader' }],
  [{ dev: { pod: { termination_grace: '90s' } } }, { terminationGraceMs: 90_000 }],
  [{ dev: { pod: { runtime_class: 'gvisor' } } }, { runtimeClass: 'gvisor' }],
  [{ pod_spec: '{"hostname": "a"}' }, { merge: { hostname: 'a' } }],
  [{ podSpec: { hostname: 'a' } }, { merge: { hostname: 'a' } }],
  [{ pod_patch: JSON.stringify([operation]) }, { patch: [operation] }],
  [{ pod_patch: [operation] }, { patch: [operation] }],
];

test.each(cases)('%j', (given, gives) => {
  expect(podFields(parse(given))).toEqual({ ...nothing, ...gives });
});

test('graphics processors are asked for in limits, in requests, or in both', () => {
  const gpus = (fields: object): number | undefined => parse(fields).resourceLimits.gpus;
  const two = { gpu: { type: 'nvidia.com/gpu', number: 2 } };
  expect(gpus({ resource_limits: two })).toBe(2);
  expect(gpus({ resource_requests: two })).toBe(2);
  expect(gpus({ resource_limits: two, resource_requests: two })).toBe(2);
  expect(gpus({ resource_limits: { gpu: { number: 0 } }, resource_requests: { gpu: { number: 0 } } })).toBeUndefined();
  expect(gpus({ sidecar_resource_limits: two })).toBeUndefined();
});

const wrong: readonly (readonly [fields: object, why: string])[] = [
  [
    { resource_limits: { gpu: { number: 2 } }, resource_requests: { gpu: { number: 1 } } },
    'resource_requests.gpu.number: it must be that of resource_limits, 2',
  ],
  [
    {
      resource_limits: { gpu: { type: 'nvidia.com/gpu', number: 1 } },
      resource_requests: { gpu: { type: 'nvidia.com/mig-1g.5gb', number: 1 } },
    },
    'resource_requests.gpu.type: it must be that of resource_limits, nvidia.com/gpu',
  ],
  [
    { resource_requests: { gpu: { type: 'amd.com/gpu', number: 1 } } },
    'resource_requests.gpu.type: this version supports only NVIDIA',
  ],
  [{ tolerations: [{ key: 'a', operator: 'EXIST' }] }, 'tolerations[0].operator: it must be EXISTS or EQUAL'],
  [{ tolerations: [{ effect: 'NoScedule' }] }, 'tolerations[0].effect: it must be'],
  [{ metadata: { labels: { 'pachmount.io/job': 'x' } } }, "names in pachmount.io/ are pachmount's own"],
  [{ pod_spec: '[]' }, 'pod_spec: it must be an object'],
  [{ pod_patch: '{}' }, 'pod_patch: it must be a list'],
  [{ pod_patch: ['add'] }, 'pod_patch[0]: it must be an operation'],
  [{ pod_patch: [{ ...operation, op: 'ad' }] }, 'pod_patch[0].op: it must be add, remove'],
  [{ pod_patch: [{ ...operation, path: 'volumes' }] }, 'pod_patch[0].path: it must be a place'],
  [{ pod_patch: [{ op: 'replace', path: '/hostname' }] }, 'pod_patch[0].value: replace needs a value'],
  [{ pod_patch: [{ op: 'copy', path: '/a' }] }, 'pod_patch[0].from: it must be a place'],
  [{ dev: { pod: { termination_grace: 30 } } }, 'dev.pod.termination_grace: it must be a time'],
];

test.each(wrong)('refused: %j', (fields, why) => {
  expect(() => parse(fields)).toThrow(why);
});
