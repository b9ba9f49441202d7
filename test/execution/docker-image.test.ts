/** Images: had by name, known by content. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectDocker } from '../../src/execution/executors/docker.ts';
import { busyboxImage } from '../support/docker.ts';
import { DockerPlace, isRoot, programs, run } from './docker-place.ts';
import { serveImage } from './registry.ts';

describe.skipIf(!isRoot)('images', () => {
  let place: DockerPlace;
  const images: string[] = [];

  async function made(...changes: string[]): Promise<string> {
    const name = await busyboxImage(place.engine, { changes });
    images.push(name);
    return name;
  }

  beforeAll(async () => {
    place = await DockerPlace.make();
  });
  afterAll(async () => {
    for (const name of images) await place.engine.docker.getImage(name).remove({ force: true });
    await place[Symbol.asyncDispose]();
  });

  test('a fingerprint is of content and configuration, not of names', async () => {
    const plain = await made();
    await place.engine.docker.getImage(plain).tag({ repo: 'pachmount-test/again', tag: 'other' });
    images.push('pachmount-test/again:other');
    const print = await place.executor.fingerprint(plain);
    expect(await place.executor.fingerprint('pachmount-test/again:other')).toEqual(print);
    expect(Object.keys(print).toSorted()).toEqual([
      'architecture',
      'cmd',
      'entrypoint',
      'env',
      'layers',
      'os',
      'user',
      'working dir',
    ]);
    expect(JSON.stringify(print)).not.toContain('pachmount-test');
    const { layers, ...rest } = print;
    for (const change of ['ENV A=b', 'USER tester', 'WORKDIR /tmp', 'CMD ["true"]', 'ENTRYPOINT ["sh"]']) {
      const { layers: _, ...other } = await place.executor.fingerprint(await made(change));
      expect(other).not.toEqual(rest);
    }
    expect(JSON.parse(layers ?? '')).toEqual([expect.stringMatching(/^sha256:/)]);
  });

  test('an image that the engine lacks is pulled, and is the same as one that was imported', async () => {
    const tar = join(place.dir, 'layer.tar');
    await promisify(execFile)('tar', ['-C', '/bin', '--transform=s,^,bin/,', '-cf', tar, 'busybox']);
    await using registry = await serveImage(await readFile(tar), { Env: ['A=b'] });
    const name = `${registry.address}/team/tool`;
    const print = await place.executor.fingerprint(name);
    images.push(`${name}:latest`);
    await place.engine.docker.importImage(tar, { repo: 'pachmount-test/imported', tag: 'x', changes: ['ENV A=b'] });
    const { worker } = await place.open(name);
    await using _ = worker;
    expect((await run(worker, ['/bin/busybox', 'echo', 'pulled'])).log).toBe('pulled\n');
    await expect
      .poll(() => place.executor.fingerprint('pachmount-test/imported:x').catch(() => undefined))
      .toEqual(print);
    images.push('pachmount-test/imported:x');
  });

  test('what was fingerprinted runs, though its tag has moved', async () => {
    const [first, second] = [await made('ENV A=first'), await made('ENV A=second')];
    const tag = { repo: 'pachmount-test/moving', tag: 'x' };
    images.push('pachmount-test/moving:x');
    await place.engine.docker.getImage(first).tag(tag);
    await place.executor.fingerprint('pachmount-test/moving:x');
    await place.engine.docker.getImage(second).tag(tag);
    const { worker } = await place.open('pachmount-test/moving:x');
    await using _ = worker;
    expect((await run(worker, 'echo $A')).log).toBe('first\n');
  });

  test('an image that is not to be had is named', async () => {
    const name = '127.0.0.1:9/nobody/nothing:1';
    const refused = { code: 'not-found', what: `image ${name}`, next: expect.stringContaining(`docker pull ${name}`) };
    await expect(place.executor.fingerprint(name)).rejects.toMatchObject(refused);
    await expect(place.open(name)).rejects.toMatchObject(refused);
    for (const bad of ['two words', 'UPPER/case:1', '', ':']) {
      await expect(place.executor.fingerprint(bad)).rejects.toMatchObject({ code: 'not-found' });
    }
  });

  test('where no engine answers, that is said, with what to do', async () => {
    const nowhere = connectDocker({ socketPath: '/nowhere/docker.sock', ...programs });
    await expect(nowhere).rejects.toMatchObject({
      code: 'unreachable',
      what: 'the Docker engine at unix:///nowhere/docker.sock',
      next: expect.stringContaining('--executor process'),
    });
    await expect(connectDocker({ host: 'tcp://127.0.0.1:9', ...programs })).rejects.toMatchObject({
      code: 'unreachable',
    });
    for (const host of ['ssh://somebody@host', 'docker', 'tcp://']) {
      await expect(connectDocker({ host, ...programs })).rejects.toMatchObject({ code: 'usage', what: host });
    }
  });
});
