/** Images of several platforms, where the nodes of a cluster have another one than this machine. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { pushImage } from '../../src/execution/executors/docker-push.ts';
import { dockerEngine } from '../../src/execution/executors/docker-engine.ts';
import { ownPlatform, platformText } from '../../src/images/platform.ts';
import { ClusterImages } from '../../src/app/cluster-images.ts';
import { settingsFrom } from '../../src/app/settings.ts';
import { KubernetesExecutor } from '../../src/kubernetes/executor.ts';
import { podObjects } from '../../src/kubernetes/objects/pods.ts';
import { planOf } from '../pods/plans.ts';
import { PipelinePlace } from '../pipelines/cli-world.ts';
import { busyboxImage, dockerForTests } from '../support/docker.ts';
import { startRegistry } from '../support/image-registry.ts';

const own = ownPlatform();
const other = { os: 'linux', architecture: own.architecture === 'arm64' ? 'amd64' : 'arm64' };

async function put(url: string, type: string, body: string): Promise<void> {
  const answer = await fetch(url, { method: 'PUT', headers: { 'Content-Type': type }, body });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
}

const digestOf = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

/** Gives an image that the registry has a second platform, and both the name `two`. */
async function addPlatform(base: string, pinned: string): Promise<void> {
  const from = await fetch(`${base}/manifests/${pinned.slice(pinned.indexOf('@') + 1)}`, {
    headers: {
      Accept: 'application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json',
    },
  });
  const text = await from.text();
  const manifest = JSON.parse(text) as { mediaType: string; config: { digest: string; size: number } };
  const plain = (await (await fetch(`${base}/blobs/${manifest.config.digest}`)).json()) as object;
  const config = JSON.stringify({ ...plain, architecture: other.architecture });
  const { headers } = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
  await put(`${headers.get('location')}&digest=${digestOf(config)}`, 'application/octet-stream', config);
  const changed = JSON.stringify({
    ...manifest,
    config: { ...manifest.config, digest: digestOf(config), size: config.length },
  });
  await put(`${base}/manifests/${digestOf(changed)}`, manifest.mediaType, changed);
  const manifests = [
    { platform: own, text },
    { platform: other, text: changed },
  ].map((each) => ({
    mediaType: manifest.mediaType,
    platform: each.platform,
    digest: digestOf(each.text),
    size: each.text.length,
  }));
  const mediaType = 'application/vnd.docker.distribution.manifest.list.v2+json';
  await put(`${base}/manifests/two`, mediaType, JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
}

test('a dry run for nodes of another platform says how many results do not count there', async () => {
  const docker = await dockerForTests();
  await using registry = await startRegistry();
  const image = await busyboxImage(docker);
  const engine = dockerEngine({ host: docker.host });
  const pinned = await pushImage(engine, image, { registry: registry.address, dockerConfig: '/nowhere' });
  const repository = pinned.slice(0, pinned.indexOf('@'));
  await addPlatform(`http://${repository.replace('/', '/v2/')}`, pinned);
  await using here = await PipelinePlace.make({ a: '1', b: '2' }, 'root', { DOCKER_HOST: docker.host });
  await here.spec('p', 'cp /pfs/in/* /pfs/out/', { transform: { image: `${repository}:two` } });
  await here.must('pach run pipeline -f p.json --executor docker && echo 3 > c && pach put file in@master:/c -f c');

  const looked = (words: string, executor = 'kubernetes') =>
    here.shell(`pach list datum -f p.json -o json --executor ${executor} ${words}`);
  const states = (stdout: string) => stdout.match(/"state":"\w+"/g)?.map((text) => text.slice(9, -1));
  const sameAsHere = await looked('');
  expect(states(sameAsHere.stdout)?.toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['new', 'skipped', 'skipped']);
  expect(sameAsHere.stderr).not.toContain('platform');
  const elsewhere = await looked(`--platform ${platformText(other)}`);
  expect(states(elsewhere.stdout)).toEqual(['new', 'new', 'new']);
  expect(elsewhere.stderr).toContain(
    `platform ${platformText(other)}: 2 datums have their results for ${platformText(own)} only`,
  );

  // Neither the registry nor Docker has it for the nodes: both platforms are named.
  const absent = await looked('--platform linux/riscv64');
  expect(absent).toMatchObject({ code: 1, stdout: '' });
  expect(absent.stderr).toContain(
    `it is not for linux/riscv64: the registry has it for ${platformText(own)}, ${platformText(other)}`,
  );
  await here.spec('p', 'true', { transform: { image } });
  const inDocker = await looked(`--platform ${platformText(other)}`);
  expect(inDocker.stderr).toContain(
    `it is not for ${platformText(other)}: the Docker engine of this machine has it for ${platformText(own)}`,
  );
  expect(await looked('--platform arm64')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('not a platform'),
  });
  const useless = { code: 2, stderr: expect.stringContaining('the executor docker uses no cluster') };
  expect(await looked('--platform linux/arm64', 'docker')).toMatchObject(useless);
});

test('nodes of another platform need images of their own, and a spec that wants yet others is refused', async () => {
  const executor = new KubernetesExecutor({
    docker: {},
    registries: { dockerConfig: '/nowhere' },
    platform: other,
    note: () => undefined,
  });
  const images = new ClusterImages(settingsFrom({}, { PACH_HOME: '/nowhere' }), { load: 'true' }, executor);
  const [nodes, here] = [other, own].map(platformText);
  await expect(images.worker()).rejects.toMatchObject({
    code: 'unsupported',
    what: `--platform ${nodes}`,
    why: `pods need pach's own image for ${nodes}, and \`make image\` makes it for ${here}`,
  });
  const nodeSelector = { 'kubernetes.io/arch': 's390x', disk: 'fast' };
  const wants = planOf({ scheduling_spec: { node_selector: nodeSelector } });
  const refusal = {
    code: 'usage',
    why: expect.stringContaining('wants nodes of s390x'),
    next: 'add --platform linux/s390x',
  };
  expect(() => podObjects(wants)).toThrow(expect.objectContaining(refusal));
  const platform = { os: 'linux', architecture: 's390x' };
  const [job] = podObjects(planOf({ scheduling_spec: { node_selector: nodeSelector } }, { platform }));
  expect(job).toMatchObject({ spec: { template: { spec: { nodeSelector } } } });
});
