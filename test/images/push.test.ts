/** Images of a Docker engine in a real registry: known alike in both, and pulled by digest. */
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectDocker } from '../../src/execution/executors/docker.ts';
import { dockerEngine } from '../../src/execution/executors/docker-engine.ts';
import { pushImage } from '../../src/execution/executors/docker-push.ts';
import type { LocalExecutor } from '../../src/execution/executor.ts';
import { fingerprintOf } from '../../src/images/config.ts';
import { ownPlatform } from '../../src/images/platform.ts';
import { findInRegistry } from '../../src/images/registry.ts';
import { programs } from '../execution/docker-place.ts';
import { busyboxImage, dockerForTests, scratchImage, type TestEngine } from '../support/docker.ts';
import { startRegistry, type ImageRegistry } from '../support/image-registry.ts';

describe.skipIf(process.getuid?.() !== 0)('an image of this machine', () => {
  let engine: TestEngine;
  let executor: LocalExecutor;
  let registry: ImageRegistry;
  let dir: string;
  const images: string[] = [];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pach-push-'));
    engine = await dockerForTests();
    registry = await startRegistry();
    executor = await connectDocker({ host: engine.host, ...programs });
  });
  afterAll(async () => {
    for (const name of images.toReversed()) {
      await engine.docker
        .getImage(name)
        .remove({ force: true })
        .catch(() => undefined);
    }
    await executor[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  });

  /** Names with a registry of these tests: others use the engine too. */
  const tagsOf = async (): Promise<string[]> =>
    (await engine.docker.listImages())
      .flatMap(({ RepoTags: tags }) => tags ?? [])
      .filter((tag) => tag.startsWith(registry.address) || tag.startsWith('127.0.0.1:1/'));
  const push = (name: string): Promise<string> =>
    pushImage(dockerEngine({ host: engine.host }), name, {
      registry: `${registry.address}/team`,
      dockerConfig: dir,
    });

  async function imported(): Promise<string> {
    const name = await busyboxImage(engine, {
      changes: ['ENV A="b c"', 'ENTRYPOINT ["sh"]', 'USER 1234', 'WORKDIR /tmp', 'VOLUME /data', 'EXPOSE 80'],
    });
    images.push(name);
    return name;
  }

  async function built(): Promise<string> {
    const from = await busyboxImage(engine);
    const name = `${from}-built`;
    images.push(from, name);
    const context = join(dir, 'context');
    await mkdir(context, { recursive: true });
    await writeFile(
      join(context, 'Dockerfile'),
      `FROM ${from}\nENV A=b\nCOPY Dockerfile /d\nRUN ln -s /d /e\nCMD echo hi\nUSER tester:tester\nLABEL x=y\n`,
    );
    const progress = await engine.docker.buildImage({ context, src: ['Dockerfile'] }, { t: name, networkmode: 'none' });
    await new Promise<void>((resolve, reject) => {
      engine.docker.modem.followProgress(progress, (error) => (error ? reject(error) : resolve()));
    });
    return name;
  }

  async function bare(): Promise<string> {
    const name = await scratchImage(engine);
    images.push(name);
    return name;
  }

  test.each([
    ['imported', imported],
    ['built', built],
    ['of a program alone', bare],
  ])('that was %s is the same image in the registry, and pulled again', async (_, make) => {
    const name = await make();
    const print = await executor.fingerprint(name);
    const pinned = await push(name);
    expect(pinned).toMatch(new RegExp(`^${registry.address}/team/${name.split(':')[0]}@sha256:[0-9a-f]{64}$`));
    expect(await tagsOf()).toEqual([]);
    const found = await findInRegistry(pinned, ownPlatform(), { dockerConfig: dir });
    expect(found.pinned).toBe(pinned);
    expect(found.config && fingerprintOf(found.config)).toEqual(print);
    // Again: nothing new.
    expect(await push(name)).toBe(pinned);
    await engine.docker.getImage(name).remove({ force: true });
    expect(await executor.fingerprint(pinned)).toEqual(print);
    images.push(pinned);
  });

  test('that is not there, and a registry that is not: what was asked for, why, and the next step', async () => {
    await expect(push('pachmount-test/nowhere:x')).rejects.toMatchObject({
      code: 'not-found',
      what: 'image pachmount-test/nowhere:x',
      why: `the Docker engine at ${engine.host} has no image with this name`,
    });
    const name = await bare();
    const to = { registry: '127.0.0.1:1', dockerConfig: dir };
    await expect(pushImage(dockerEngine({ host: engine.host }), name, to)).rejects.toMatchObject({
      code: 'failed',
      what: `image ${name}`,
      why: expect.stringMatching(/^it can't be pushed to 127\.0\.0\.1:1: .*refused/),
      next: 'check the address of the registry, and that it runs',
    });
    expect(await tagsOf()).toEqual([]);
  });

  test('goes to a registry with users by what docker login keeps', async () => {
    // The password of `tester` is `right`.
    await using closed = await startRegistry('tester:$2y$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC\n');
    const name = await bare();
    const to = { registry: closed.address, dockerConfig: join(dir, 'login') };
    const way = dockerEngine({ host: engine.host });
    await expect(pushImage(way, name, to)).rejects.toMatchObject({
      code: 'denied',
      why: expect.stringContaining('login/config.json has no credentials for it'),
      next: `docker login ${closed.address}`,
    });
    const auth = Buffer.from('tester:right').toString('base64');
    await mkdir(to.dockerConfig);
    await writeFile(join(to.dockerConfig, 'config.json'), JSON.stringify({ auths: { [closed.address]: { auth } } }));
    const pinned = await pushImage(way, name, to);
    expect((await findInRegistry(pinned, ownPlatform(), to)).config?.layers).toHaveLength(1);
  });
});
