/**
 * `pod_spec` and `pod_patch` of a spec: they change the pod as their author says, but for what pachmount
 * needs itself.
 */
import { expect, test } from 'vitest';
import { podObjects } from '../../src/kubernetes/objects/pods.ts';
import { planOf } from './plans.ts';

interface Pod {
  readonly containers: readonly { readonly name: string; readonly [field: string]: unknown }[];
  readonly [field: string]: unknown;
}

function podOf(fields: object): Pod {
  const [job] = podObjects(planOf(fields));
  return (job as unknown as { spec: { template: { spec: Pod } } }).spec.template.spec;
}

function patch(...operations: object[]): object {
  return { pod_patch: operations };
}

const volume = { name: 'models', persistentVolumeClaim: { claimName: 'models' } };
const mount = { name: 'models', mountPath: '/models' };

test('a patch adds volumes and mounts, be it a text or a list; containers may come first', () => {
  const operations = [
    { op: 'add', path: '/volumes/-', value: volume },
    { op: 'add', path: '/containers/0/volumeMounts/-', value: mount },
    {
      op: 'add',
      path: '/containers/0/env/0',
      value: { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
    },
    { op: 'add', path: '/containers/0', value: { name: 'proxy', image: 'proxy:v1' } },
    { op: 'test', path: '/containers/1/name', value: 'user' },
    { op: 'replace', path: '/terminationGracePeriodSeconds', value: 5 },
  ];
  const pod = podOf({ pod_patch: JSON.stringify(operations) });
  expect(pod).toEqual(podOf({ pod_patch: operations }));
  expect(pod).toMatchObject({ terminationGracePeriodSeconds: 5, volumes: expect.arrayContaining([volume]) });
  expect(pod.containers.map(({ name }) => name)).toEqual(['proxy', 'user']);
  expect(pod.containers[1]).toMatchObject({ volumeMounts: expect.arrayContaining([mount]) });
});

test('pod_spec is merged in before the patch; null takes a field away', () => {
  const pod = podOf({
    pod_spec: '{"securityContext": {"runAsUser": 2000, "seccompProfile": null}, "hostname": "a", "nodeName": null}',
    pod_patch: [{ op: 'replace', path: '/hostname', value: 'b' }],
  });
  expect(pod['securityContext']).toEqual({ runAsUser: 2000, runAsNonRoot: true });
  expect(pod['hostname']).toBe('b');
  expect(pod).not.toHaveProperty('nodeName');
});

const refused: readonly (readonly [fields: object, field: string, why: string])[] = [
  [
    patch({ op: 'replace', path: '/containers/0/command', value: ['sh'] }),
    'pod_patch: /containers/0/command',
    'command of the container user',
  ],
  [
    patch({ op: 'add', path: '/containers/0/args', value: ['sh'] }),
    'pod_patch: /containers/0/args',
    'args of the container user',
  ],
  [
    patch({ op: 'replace', path: '/containers/0/image', value: 'x' }),
    'pod_patch: /containers/0/image',
    'image of the container user',
  ],
  [patch({ op: 'remove', path: '/containers/0' }), 'pod_patch: /containers/0', 'image of the container user'],
  [patch({ op: 'remove', path: '/containers/0/volumeMounts/0' }), 'pod_patch: /containers/0/volumeMounts/0', 'a mount'],
  [
    patch({ op: 'add', path: '/containers/0/volumeMounts/1/readOnly', value: true }),
    'pod_patch: /containers/0/volumeMounts/1/readOnly',
    'a mount',
  ],
  [
    patch({ op: 'add', path: '/containers/0/volumeMounts/-', value: { name: 'pach', mountPath: '/all' } }),
    'pod_patch: /containers/0/volumeMounts/-',
    'a mount',
  ],
  [
    patch({
      op: 'add',
      path: '/containers/-',
      value: { name: 'spy', image: 'x', volumeMounts: [{ name: 'pach', mountPath: '/all' }] },
    }),
    'pod_patch: /containers/-',
    'a mount',
  ],
  [
    patch({ op: 'add', path: '/containers/0/volumeMounts/-', value: { ...mount, mountPath: '/pfs/images' } }),
    'pod_patch: /containers/0/volumeMounts/-',
    'a place below a mount',
  ],
  [
    patch({ op: 'remove', path: '/containers/0/env/0' }),
    'pod_patch: /containers/0/env/0',
    'a variable of the container user',
  ],
  [
    patch({ op: 'replace', path: '/initContainers/0/image', value: 'x' }),
    'pod_patch: /initContainers/0/image',
    'the container worker',
  ],
  [
    patch({ op: 'move', from: '/initContainers/0', path: '/containers/-' }),
    'pod_patch: /containers/-',
    'the container worker',
  ],
  [patch({ op: 'remove', path: '/volumes' }), 'pod_patch: /volumes', 'a volume'],
  [
    patch({ op: 'replace', path: '/automountServiceAccountToken', value: true }),
    'pod_patch: /automountServiceAccountToken',
    'automountServiceAccountToken',
  ],
  [patch({ op: 'test', path: '/hostNetwork', value: true }), 'pod_patch: /hostNetwork', 'its test failed'],
  [patch({ op: 'add', path: '/tolerations/-', value: {} }), 'pod_patch: /tolerations/-', 'there is no such place'],
  [patch({ op: 'add', path: '/restartPolicy/x', value: 1 }), 'pod_patch: /restartPolicy/x', 'it can’t be applied'],
  [{ pod_spec: { containers: [{ name: 'user' }] } }, 'pod_spec: /containers', 'image of the container user'],
  [{ pod_spec: { restartPolicy: 'Always' } }, 'pod_spec: /restartPolicy', 'restartPolicy'],
];

test.each(refused)('refused: %j', (fields, field, why) => {
  expect(() => podOf(fields)).toThrow(
    expect.objectContaining({ code: 'usage', what: `pipeline edges: ${field}`, why: expect.stringContaining(why) }),
  );
});
