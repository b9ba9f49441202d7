/** The worker image: an archive without a trace of where it was made, and a program that runs in it without any right. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type Docker from 'dockerode';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inspectedConfig } from '../../src/execution/executors/docker-image.ts';
import { pushArchive } from '../../src/images/archive.ts';
import { ownPlatform } from '../../src/images/platform.ts';
import { findInRegistry } from '../../src/images/registry.ts';
import { dockerForTests, type TestEngine } from '../support/docker.ts';
import { startRegistry } from '../support/image-registry.ts';
import { Place } from '../support/place.ts';

const root = resolve(import.meta.dirname, '../..');
const bytesMax = 160e6;
/** The engine may be somebody's own: the name that the image has otherwise is not touched. */
const version = `0.0.0-${randomBytes(6).toString('hex')}`;
const name = `localhost/pachmount:${version}`;
const run = promisify(execFile);

interface Manifest {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

describe.skipIf(process.getuid?.() !== 0)('the worker image', () => {
  let place: Place;
  let engine: TestEngine;
  let told = '';

  const json = async (path: string): Promise<unknown> => JSON.parse(await readFile(join(place.dir, path), 'utf8'));
  const manifest = async (): Promise<Manifest> => ((await json('archive/manifest.json')) as [Manifest])[0];

  /** What a container of the image prints, with as few rights as one may have. */
  async function printed(image: string, options: Docker.ContainerCreateOptions): Promise<string> {
    const container = await engine.docker.createContainer({
      Image: image,
      User: '1234:1234',
      Tty: true,
      ...options,
      HostConfig: {
        NetworkMode: 'none',
        ReadonlyRootfs: true,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        ...options.HostConfig,
      },
    });
    try {
      await container.start();
      const { StatusCode: code } = (await container.wait()) as { StatusCode: number };
      const log = (await container.logs({ stdout: true, stderr: true })).toString('utf8').replaceAll('\r\n', '\n');
      if (code !== 0) throw new Error(`it ended with ${code}: ${log}`);
      return log;
    } finally {
      await container.remove({ force: true });
    }
  }

  beforeAll(async () => {
    place = await Place.make('root');
    engine = await dockerForTests();
    const copy = join(place.dir, 'a copy');
    const rooms = ['sources', 'base', 'model'].map((room) => `dist/${room}`);
    for (const part of ['bin', 'src', 'fixtures', 'LICENSE', 'dist/bundle', 'native/build', ...rooms]) {
      await mkdir(dirname(join(copy, part)), { recursive: true });
      await cp(join(root, part), join(copy, part), { recursive: true });
    }
    const own = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as object;
    await writeFile(join(copy, 'package.json'), JSON.stringify({ ...own, version }));
    told = await place.must(
      `chmod -R go-rwx 'a copy'; umask 077; node 'a copy/bin/image.mjs'; umask 022
      mkdir archive; tar -xf 'a copy/dist/pachmount-image.tar' -C archive`,
    );
    for await (const _ of await engine.docker.loadImage(join(copy, 'dist/pachmount-image.tar'))) void _;
  });
  afterAll(async () => {
    for (const each of [name, `${name}-built`]) {
      await engine.docker
        .getImage(each)
        .remove({ force: true })
        .catch(() => undefined);
    }
    await place[Symbol.asyncDispose]();
  });

  test('keeps nothing of the machine that made it, in a fixed order', async () => {
    const { Layers: layers } = await manifest();
    expect(layers).toHaveLength(2);
    for (const layer of layers) {
      const { stdout } = await run('tar', ['-tvzf', join(place.dir, 'archive', layer), '--full-time'], {
        env: { ...process.env, TZ: 'UTC' },
      });
      const lines = stdout.trim().split('\n');
      const odd = lines.filter(
        (line) => !/^(?:-rw-r--r--|-rwxr-xr-x|drwxr-xr-x|drwxrwxrwt) 0\/0 +\d+ 1970-01-01 00:00:00 \S+$/.test(line),
      );
      expect(odd).toEqual([]);
      const paths = lines.map((line) => (line.split(' ').at(-1) ?? '').replace(/\/$/, ''));
      expect(paths.slice(1)).toEqual(paths.slice(1).toSorted());
      expect(paths[0]).toBe('.');
      expect(paths.filter((path) => path.endsWith('.cache'))).toEqual([]);
    }
  });

  test('is small, and the same for those who read it as an OCI layout and as a Docker archive', async () => {
    const { Config: config, RepoTags: tags, Layers: layers } = await manifest();
    const index = (await json('archive/index.json')) as {
      manifests: [{ digest: string; annotations: Record<string, string> }];
    };
    const { digest, annotations } = index.manifests[0];
    const listed = (await json(`archive/blobs/${digest.replace(':', '/')}`)) as {
      config: { digest: string };
      layers: { digest: string; size: number }[];
    };
    const pathOf = (each: { digest: string }): string => `blobs/${each.digest.replace(':', '/')}`;
    expect(listed.layers.map(pathOf)).toEqual(layers);
    expect(pathOf(listed.config)).toBe(config);
    expect(tags).toEqual([name]);
    expect(annotations['io.containerd.image.name']).toBe(name);
    for (const layer of listed.layers) {
      expect((await stat(join(place.dir, 'archive', pathOf(layer)))).size).toBe(layer.size);
    }
    const found = await engine.docker.getImage(name).inspect();
    expect(found.Id).toBe(listed.config.digest);
    expect(found.Size).toBeLessThan(bytesMax);
    expect(told).toContain(`${name}, linux/${found.Architecture}, ${digest}`);
  });

  test('pach runs in it: as anybody, with a root that is read-only, without capabilities', async () => {
    expect(await printed(name, { Cmd: ['version'] })).toBe('0.1.0\n');
    await place.must(`pach create repo data; echo hi | pach put file data@master:/a -f -; chmod -R a+rX home`);
    const bytes = await printed(name, {
      Cmd: ['get', 'file', 'data@master:/a'],
      Env: ['PACH_STORE=/store'],
      HostConfig: { Binds: [`${place.store}:/store:ro`], Tmpfs: { '/tmp': '' } },
    });
    expect(bytes).toBe('hi\n');
  });

  test('all that is native loads, and the user is a number that is not root', async () => {
    const script = `
      for (const each of ['data', 'fetch', 'fuse']) require('/opt/pachmount/native/build/' + each + '.node');
      const { readFileSync, accessSync, constants } = require('fs');
      for (const each of ['launcher', 'binder', 'inserter', 'mover', 'supervisor']) {
        accessSync('/opt/pachmount/native/build/' + each, constants.X_OK);
      }
      const { X509Certificate } = require('crypto');
      const pem = readFileSync('/etc/ssl/certs/ca-certificates.crt', 'utf8');
      const all = pem.match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g).map((each) => new X509Certificate(each));
      console.log([process.getuid(), all.length > 100 && all.every(({ ca }) => ca)].join(' '));`;
    const options = { Entrypoint: ['/usr/bin/env', 'node', '-e'], Cmd: [script] };
    const { Config: config } = await engine.docker.getImage(name).inspect();
    expect(config.User).toBe('65532:65532');
    expect(await printed(name, { ...options, User: config.User })).toBe('65532 true\n');
  });

  test('goes to a registry without an engine, and is the same image there', async () => {
    await using registry = await startRegistry();
    const to = { registry: registry.address, dockerConfig: place.dir };
    const pinned = await pushArchive(join(place.dir, 'a copy/dist/pachmount-image.tar'), to);
    expect(told).toContain(pinned.split('@')[1]);
    const { config } = await findInRegistry(pinned, ownPlatform(), to);
    expect(config).toEqual(inspectedConfig(await engine.docker.getImage(name).inspect()));
  });

  test('the Dockerfile of releases configures it alike', async () => {
    const text = await readFile(join(root, 'native/Dockerfile'), 'utf8');
    const last = text.slice(text.lastIndexOf('FROM '));
    await mkdir(join(place.dir, 'built'));
    await writeFile(join(place.dir, 'built/Dockerfile'), last.replace(/COPY --from=build \S+/, 'COPY .'));
    const context = { context: join(place.dir, 'built'), src: ['Dockerfile'] };
    const progress = await engine.docker.buildImage(context, { t: `${name}-built` });
    await new Promise<void>((done, fail) => {
      engine.docker.modem.followProgress(progress, (error) => (error ? fail(error) : done()));
    });
    const { Config: built } = await engine.docker.getImage(`${name}-built`).inspect();
    const { Config: loaded } = await engine.docker.getImage(name).inspect();
    const behaviour = ({ User, Env, Entrypoint, Cmd, WorkingDir }: typeof built) => ({
      User,
      Env: Env.toSorted(),
      Entrypoint,
      Cmd,
      WorkingDir,
    });
    expect(behaviour(built)).toEqual(behaviour(loaded));
  });
});
