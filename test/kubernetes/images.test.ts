/** Images that nodes pull by digest, from a registry of this machine to which they were pushed. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pushArchive } from '../../src/images/archive.ts';
import { ownPlatform } from '../../src/images/platform.ts';
import { findInRegistry } from '../../src/images/registry.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { startRegistry, type ImageRegistry } from '../support/image-registry.ts';
import { Place } from '../support/place.ts';
import { namespaceForTests, type TestNamespace } from './support/cluster.ts';
import { phase } from './support/pods.ts';
import { ownCluster, storeForPods } from './support/store.ts';

const archive = join(resolve(import.meta.dirname, '../..'), 'dist/pachmount-image.tar');
// The node is in this machine's network: it reaches the registry by the same address.
describe.skipIf(ownCluster === undefined)('images in a registry', () => {
  let namespace: TestNamespace;
  let registry: ImageRegistry;

  beforeAll(async () => {
    [namespace, registry] = await Promise.all([namespaceForTests(), startRegistry()]);
  });
  afterAll(async () => {
    await namespace?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
  });

  test('the worker image is pulled as it was pushed, by the digest of the archive', async () => {
    const { cluster } = namespace;
    const to = { registry: `${registry.address}/team`, dockerConfig: '/nowhere' };
    const pinned = await pushArchive(archive, to);
    expect((await findInRegistry(pinned, ownPlatform(), to)).pinned).toBe(pinned);
    const container = { name: 'pach', image: pinned, imagePullPolicy: 'Always', args: ['version'] };
    const spec = { restartPolicy: 'Never', automountServiceAccountToken: false, containers: [container] };
    await cluster.create({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'pulled' }, spec });
    expect(await phase(cluster, 'pulled', 'Succeeded', 'Failed')).toBe('Succeeded');
    const pod = await cluster.get({ kind: 'Pod', name: 'pulled' });
    expect(pod).toMatchObject({ status: { containerStatuses: [{ imageID: pinned }] } });
  });

  test('images that only this machine has go to --image-registry, and pods pull them from there', async () => {
    const [store, engine] = await Promise.all([storeForPods(), dockerForTests()]);
    const image = await busyboxImage(engine);
    await using place = await Place.make('root', {
      ...store.env,
      PACH_STORE: store.url,
      KUBECONFIG: namespace.kubeconfig,
      DOCKER_HOST: engine.host,
    });
    await place.must(`pach create project default || :; pach create repo data; echo hi | pach put file data@master:/a -f -
    mkdir built; printf 'FROM ${image}\\nCOPY word /word\\n' >built/Dockerfile; echo there >built/word`);
    const input = { pfs: { repo: 'data', glob: '/*' } };
    const specs = [
      {
        pipeline: { name: 'named' },
        input,
        transform: { image, cmd: ['sh', '-c', 'cat /pfs/data/a >/pfs/out/named'] },
      },
      {
        pipeline: { name: 'built' },
        input,
        transform: { cmd: ['sh', '-c', 'cat /word /pfs/data/a >/pfs/out/built'] },
        dev: { build: { context: './built' } },
      },
    ];
    for (const spec of specs) {
      const { name } = spec.pipeline;
      await writeFile(join(place.dir, 'spec.json'), JSON.stringify(spec));
      await place.must('pach create pipeline -f spec.json');
      const ways = `--executor kubernetes --namespace ${namespace.name} --image-registry http://${registry.address}/mine`;
      const ran = JSON.parse((await place.must(`pach run pipeline ${name} -o json ${ways}`, 150)).trim()) as object;
      expect(ran).toMatchObject({ state: 'success', datums: { processed: 1 } });
      const again = JSON.parse(
        (await place.must(`pach run pipeline ${name} -o json --executor docker`)).trim(),
      ) as object;
      expect(again).toMatchObject({ state: 'success', datums: { processed: 0 } });
    }
    expect(await place.must('pach get file built@master:/built; pach get file named@master:/named')).toBe(
      'there\nhi\nhi\n',
    );
    // Nobody has loaded these: the nodes had them from the registry.
    const { repositories } = (await (await fetch(`http://${registry.address}/v2/_catalog`)).json()) as {
      repositories: string[];
    };
    expect(repositories).toEqual(
      expect.arrayContaining(['mine/pachmount', 'mine/pachmount-build', `mine/${image.split(':')[0]}`]),
    );
  });
});
