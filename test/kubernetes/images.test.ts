/** Images that nodes pull by digest, from a registry of this machine. */
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pushArchive } from '../../src/images/archive.ts';
import { ownPlatform } from '../../src/images/platform.ts';
import { findInRegistry } from '../../src/images/registry.ts';
import { startRegistry } from '../support/image-registry.ts';
import { namespaceForTests, type TestNamespace } from './support/cluster.ts';
import { phase } from './support/pods.ts';
import { ownCluster } from './support/store.ts';

const archive = join(resolve(import.meta.dirname, '../..'), 'dist/pachmount-image.tar');
let namespace: TestNamespace;

beforeAll(async () => {
  namespace = await namespaceForTests();
});
afterAll(async () => {
  await namespace?.[Symbol.asyncDispose]();
});

// The node is in this machine's network: it reaches the registry by the same address.
test.skipIf(ownCluster === undefined)(
  'the worker image is pulled as it was pushed, by the digest of the archive',
  async () => {
    const { cluster } = namespace;
    await using registry = await startRegistry();
    const to = { registry: `${registry.address}/team`, dockerConfig: '/nowhere' };
    const pinned = await pushArchive(archive, to);
    expect((await findInRegistry(pinned, ownPlatform(), to)).pinned).toBe(pinned);
    const container = { name: 'pach', image: pinned, imagePullPolicy: 'Always', args: ['version'] };
    const spec = { restartPolicy: 'Never', automountServiceAccountToken: false, containers: [container] };
    await cluster.create({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'pulled' }, spec });
    expect(await phase(cluster, 'pulled', 'Succeeded', 'Failed')).toBe('Succeeded');
    const pod = await cluster.get({ kind: 'Pod', name: 'pulled' });
    expect(pod).toMatchObject({ status: { containerStatuses: [{ imageID: pinned }] } });
  },
);
