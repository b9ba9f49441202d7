/**
 * What a promotion makes in a cluster, and how it tells differences: without a cluster.
 */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  controllerName,
  controllerObjects,
  probeObjects,
  type ControllerPlan,
} from '../../src/kubernetes/promotion/controller.ts';
import { storeIdentityOf } from '../../src/app/store-identity.ts';
import { placeName, refuseNewer } from '../../src/kubernetes/promotion/found.ts';
import { isSameImage, pinnedImage, pinnedText } from '../../src/kubernetes/promotion/pinned.ts';
import { promotionRights, type Rule } from '../../src/kubernetes/promotion/rights.ts';
import { specDifferences } from '../../src/shown/promotion.ts';

const storeId = '0123456789abcdef0123456789abcdef';
const plan: ControllerPlan = {
  name: 'pach-default-01234567',
  namespace: 'ml',
  place: 'ml of cluster.example.org',
  project: 'default',
  store: { url: 's3://bucket/prefix', id: storeId, env: { AWS_REGION: 'eu-central-1' } },
  credentials: { kind: 'secret', name: 'pach-default-01234567-store' },
  values: { AWS_SECRET_ACCESS_KEY: 'sesame' },
  image: 'registry.example.org/pachmount@sha256:00',
  architecture: 'amd64',
  version: '1.2.3',
};
/** With a Secret of the user's. */
const mine: ControllerPlan = { ...plan, credentials: { kind: 'secret', name: 'mine' }, values: undefined };

test('the controller is one pod without privileges that is replaced, and no value is outside of its Secret', () => {
  const objects = controllerObjects(plan);
  expect(objects.map(({ kind }) => kind)).toEqual(['ServiceAccount', 'Role', 'RoleBinding', 'Secret', 'Deployment']);
  const [secret] = objects.filter(({ kind }) => kind === 'Secret');
  expect(secret?.['data']).toEqual({ AWS_SECRET_ACCESS_KEY: Buffer.from('sesame').toString('base64') });
  const others = JSON.stringify(objects.filter((object) => object !== secret));
  expect(others).not.toContain('sesame');
  expect(others).not.toContain(Buffer.from('sesame').toString('base64'));
  expect(objects.at(-1)?.['spec']).toMatchObject({
    replicas: 1,
    strategy: { type: 'Recreate' },
    template: {
      spec: {
        securityContext: { runAsNonRoot: true },
        containers: [
          {
            args: expect.arrayContaining(['--promoted-to', plan.place]) as string[],
            envFrom: [{ secretRef: { name: `${plan.name}-store` } }],
            securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
          },
        ],
      },
    },
  });
  // What pods of jobs may do is for its engine to know; without a shared namespace of processes a killed one would hold its leases.
  const { args } = deployed({ ...plan, podsMount: 'privileged', nodeCache: '/var/cache' });
  expect(args.join(' ')).toContain('--pods-mount privileged --node-cache /var/cache');
  expect(objects.at(-1)?.['spec']).toMatchObject({ template: { spec: { shareProcessNamespace: true } } });
  // The user's own Secret is named, and not made.
  const own = controllerObjects(mine);
  expect(own.map(({ kind }) => kind)).not.toContain('Secret');
  expect(JSON.stringify(own)).toContain('{"secretRef":{"name":"mine"}}');
});

function deployed(of: ControllerPlan): { args: string[]; annotations: unknown } {
  const deployment = controllerObjects(of).at(-1) as unknown as {
    spec: { template: { metadata: { annotations: unknown }; spec: { containers: [{ args: string[] }] } } };
  };
  const { metadata, spec } = deployment.spec.template;
  return { args: spec.containers[0].args, annotations: metadata.annotations };
}

test('other credentials are for another pod; the probe is as the controller, with a Secret of its own, and goes by itself', () => {
  const others = { ...plan, values: { AWS_SECRET_ACCESS_KEY: 'other' } };
  const { annotations } = deployed(plan);
  expect(deployed(others).annotations).not.toEqual(annotations);
  expect(deployed({ ...plan, version: '1.2.4' }).annotations).toEqual(annotations);
  const { job, owned } = probeObjects(plan, 'pach-probe-1');
  expect(owned).toMatchObject([{ kind: 'Secret', metadata: { name: 'pach-probe-1' } }]);
  expect(job['spec']).toMatchObject({
    backoffLimit: 0,
    activeDeadlineSeconds: 300,
    ttlSecondsAfterFinished: 300,
    template: {
      spec: {
        automountServiceAccountToken: false,
        containers: [{ args: ['serve', '--try-store'], envFrom: [{ secretRef: { name: 'pach-probe-1' } }] }],
      },
    },
  });
  // Who counts a controller's pods must not count it.
  expect(JSON.stringify(job)).not.toContain('"pachmount.io/controller"');
  expect(probeObjects(mine, 'x').owned).toEqual([]);
});

test('with the identity of a service account no Secret is made, and the token lies in our container alone', () => {
  const said = 'writer,role=arn:aws:iam::1:role/pach,audience=store,sts=https://sts.example.org';
  const identity = { ...plan, credentials: storeIdentityOf(said), values: undefined };
  const objects = controllerObjects(identity);
  expect(objects.map(({ kind }) => kind)).toEqual(['Role', 'RoleBinding', 'Deployment']);
  expect(objects[1]?.['subjects']).toEqual([{ kind: 'ServiceAccount', name: 'writer', namespace: 'ml' }]);
  expect(deployed(identity).args.join(' ')).toContain(`--store-identity ${said}`);
  const token = { serviceAccountToken: { path: 'token', audience: 'store', expirationSeconds: 3600 } };
  const pod = {
    serviceAccountName: 'writer',
    volumes: expect.arrayContaining([{ name: 'token', projected: { sources: [token] } }]) as object[],
    containers: [
      {
        env: expect.arrayContaining([
          { name: 'AWS_WEB_IDENTITY_TOKEN_FILE', value: '/var/run/secrets/pachmount.io/token' },
          { name: 'AWS_ROLE_ARN', value: 'arn:aws:iam::1:role/pach' },
        ]) as object[],
      },
    ],
  };
  expect(objects.at(-1)).toMatchObject({
    spec: { template: { spec: { ...pod, automountServiceAccountToken: true } } },
  });
  expect(JSON.stringify(objects)).not.toContain('secretRef');
  const { job, owned } = probeObjects(identity, 'probe');
  expect(job).toMatchObject({ spec: { template: { spec: { ...pod, automountServiceAccountToken: false } } } });
  expect(owned).toEqual([]);
});

test('the Role of the guide is what promotion asks for, and its first rules are those of the controller', () => {
  const page = readFileSync('src/cli/guide/promotion.md', 'utf8');
  const [, text = ''] = /```yaml\n(apiVersion: rbac[^`]*)```/.exec(page) ?? [];
  const { rules } = parse(text) as { rules: Rule[] };
  const rights = rules.flatMap(({ apiGroups: [group = ''], resources, verbs }) =>
    resources.flatMap((resource) => verbs.map((verb) => ({ verb, resource, group }))),
  );
  expect(rights).toEqual(promotionRights);
  const [role] = controllerObjects(plan).filter(({ kind }) => kind === 'Role');
  expect(role?.['rules']).toEqual(rules.slice(0, 5));
});

test('names of controllers and places, and versions of controllers', () => {
  expect(controllerName({ project: 'My_Project', storeId })).toMatch(/^pach-my-project-[0-9a-f]{8}$/);
  expect(controllerName({ project: 'My_Project', storeId, branch: 'exp' })).toMatch(
    /^pach-my-project-exp-[0-9a-f]{8}$/,
  );
  expect(deployed(plan).args).not.toContain('--branch');
  expect(deployed({ ...plan, branch: 'exp' }).args.join(' ')).toContain('--branch exp');
  const names = ['a-b', 'a_b', 'A-b', 'x'.repeat(200), 'x'.repeat(201)].map((project) =>
    controllerName({ project, storeId }),
  );
  expect(new Set(names).size).toBe(5);
  expect(controllerName({ project: 'x'.repeat(200), storeId }).length).toBeLessThan(64);
  expect(placeName({ namespace: 'ml', server: 'https://10.0.0.1:6443' })).toBe('ml of 10.0.0.1:6443');
  const found = (version: string) => ({ place: 'ml', version, image: 'x' });
  expect(() => refuseNewer(found('1.10.0'), '1.9.3')).toThrow(/it is of version 1\.10\.0, and this is 1\.9\.3/);
  expect(refuseNewer(found('1.9.3'), '1.10.0')).toBe('version 1.9.3 becomes 1.10.0');
  expect(refuseNewer(found('1.9.3'), '1.9.3')).toBe('version 1.9.3');
});

test('the image of a promotion is kept whole, and known again by what it is', () => {
  const image = { name: 'edges:1', user: '1000', env: ['A=b'], fingerprint: { layers: 'x' }, isLocal: true };
  const text = pinnedText(image, 'registry/edges@sha256:00');
  expect(pinnedImage(text, 'edges')).toEqual({
    ...image,
    name: 'registry/edges@sha256:00',
    isLocal: false,
  });
  expect(isSameImage(text, { ...image, name: 'edges:2' })).toBe(true);
  expect(isSameImage(text, { ...image, fingerprint: { layers: 'y' } })).toBe(false);
  expect(() => pinnedImage('{"name":1}', 'edges')).toThrow(/pipeline edges: the image that it was promoted with/);
});

test('specs differ by their fields', () => {
  const old = { transform: { cmd: ['a'], env: { X: '1' } }, datum_tries: 2 };
  const now = { transform: { cmd: ['b'], env: { X: '1', Y: '2' } } };
  expect(specDifferences(old, now)).toEqual([
    { field: 'transform.cmd', old: ['a'], new: ['b'] },
    { field: 'transform.env.Y', old: null, new: '2' },
    { field: 'datum_tries', old: 2, new: null },
  ]);
  expect(specDifferences(old, { ...old })).toEqual([]);
});
