/**
 * Images as a registry has them, from a real one (Debian's docker-registry): known as a Docker engine
 * knows them, for one platform, by digest, with the credentials that the registry wants.
 */
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestFingerprint } from '../../src/images/config.ts';
import { imageName } from '../../src/images/name.ts';
import { ownPlatform } from '../../src/images/platform.ts';
import { findInRegistry } from '../../src/images/registry.ts';
import { serveImage } from '../execution/registry.ts';
import { startRegistry, type ImageRegistry } from '../support/image-registry.ts';

const platform = ownPlatform();
/** The password of `tester` is `right`. */
const users = 'tester:$2y$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC\n';
const basic = `Basic ${Buffer.from('tester:right').toString('base64')}`;
const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
};

let dir: string;
let open: ImageRegistry;
let closed: ImageRegistry;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-images-'));
  [open, closed] = await Promise.all([startRegistry(), startRegistry(users)]);
});
afterAll(async () => {
  for (const registry of [open, closed]) await registry[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

/** Sends to a registry, as its API says. */
async function put(url: string, body: Buffer, type: string, authorization = basic): Promise<void> {
  const answer = await fetch(url, { method: 'PUT', headers: { 'content-type': type, authorization }, body });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
}

async function putBlob(address: string, repo: string, bytes: Buffer): Promise<{ digest: string; size: number }> {
  const at = `http://${address}/v2/${repo}/blobs/uploads/`;
  const begun = await fetch(at, { method: 'POST', headers: { authorization: basic } });
  const url = new URL(begun.headers.get('location') ?? '', at);
  url.searchParams.set('digest', digestOf(bytes));
  await put(url.href, bytes, 'application/octet-stream');
  return { digest: digestOf(bytes), size: bytes.length };
}

async function putManifest(address: string, repo: string, tag: string, document: object): Promise<string> {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, ...document }));
  const type = (document as { mediaType: string }).mediaType;
  await put(`http://${address}/v2/${repo}/manifests/${tag}`, bytes, type);
  return digestOf(bytes);
}

/** An image without layers; resolves to its manifest's digest. */
async function putImage(address: string, name: string, config: unknown): Promise<string> {
  const [repo = '', tag = ''] = name.split(':');
  const at = await putBlob(address, repo, Buffer.from(JSON.stringify(config)));
  const document = { mediaType: types.manifest, config: { mediaType: types.config, ...at }, layers: [] };
  return putManifest(address, repo, tag, document);
}

const written = (more: object = {}): object => ({
  ...platform,
  rootfs: { type: 'layers', diff_ids: [] },
  config: {},
  ...more,
});
const find = (name: string, dockerConfig = dir, plainHttp: string[] = []) =>
  findInRegistry(name, platform, { dockerConfig, plainHttp });
const settings = async (value: object | string): Promise<string> => {
  const folder = await mkdtemp(join(dir, 'docker-'));
  await writeFile(join(folder, 'config.json'), typeof value === 'string' ? value : JSON.stringify(value));
  return folder;
};
const failureOf = (name: string, dockerConfig?: string): Promise<unknown> =>
  find(name, dockerConfig).catch((error: unknown) => error);

describe('an image without credentials', () => {
  test('is known by its configuration, and pinned by the digest of its manifest', async () => {
    const config = { Env: ['A=b'], Entrypoint: ['/x', 'y'], Cmd: null, WorkingDir: '/w', User: '1000:1' };
    const digest = await putImage(open.address, 'team/tool:1', written({ config }));
    const found = await find(`${open.address}/team/tool:1`);
    expect(found).toEqual({
      name: imageName(`${open.address}/team/tool:1`),
      digest,
      pinned: `${open.address}/team/tool@${digest}`,
      config: {
        ...platform,
        layers: [],
        env: ['A=b'],
        entrypoint: ['/x', 'y'],
        cmd: [],
        workingDir: '/w',
        user: '1000:1',
      },
    });
    expect(await find(found.pinned)).toEqual({ ...found, name: imageName(found.pinned) });
  });

  test('of several platforms is that of the platform asked for', async () => {
    const own = await putImage(open.address, 'many:own', written());
    const other = await putImage(open.address, 'many:other', written({ architecture: 's390x' }));
    const entry = (digest: string, architecture: string, os = 'linux') => ({
      mediaType: types.manifest,
      size: 1,
      digest,
      platform: { os, architecture },
    });
    const manifests = [entry(other, 'unknown', 'unknown'), entry(other, 's390x'), entry(own, platform.architecture)];
    const index = await putManifest(open.address, 'many', 'all', { mediaType: types.index, manifests });
    expect((await find(`${open.address}/many:all`)).digest).toBe(own);
    expect((await find(`${open.address}/many@${index}`)).pinned).toBe(`${open.address}/many@${own}`);
    const s390x = { os: 'linux', architecture: 's390x' };
    const options = { dockerConfig: dir };
    expect((await findInRegistry(`${open.address}/many:all`, s390x, options)).digest).toBe(other);
    await expect(
      findInRegistry(`${open.address}/many:all`, { ...s390x, architecture: 'mips' }, options),
    ).rejects.toMatchObject({
      code: 'unsupported',
      what: `image ${open.address}/many:all`,
      why: `it is not for linux/mips: the registry has it for linux/s390x, linux/${platform.architecture}`,
      next: expect.stringContaining('--platform linux/mips'),
    });
    // One manifest alone says its platform in its configuration.
    expect(await failureOf(`${open.address}/many:other`)).toMatchObject({
      code: 'unsupported',
      why: `it is not for linux/${platform.architecture}: the registry has it for linux/s390x`,
    });
  });

  test('whose configuration says nothing is known by its digest, with the reason', async () => {
    const digest = await putImage(open.address, 'chart:1', { name: 'no image' });
    expect(await find(`${open.address}/chart:1`)).toMatchObject({
      digest,
      pinned: `${open.address}/chart@${digest}`,
      problem: 'its configuration is not that of an image',
    });
    expect(digestFingerprint(digest)).not.toEqual(digestFingerprint(digest.replace(/.$/, 'x')));
    const other = await putImage(open.address, 'odd:1', written({ config: { Env: { A: 'b' } } }));
    expect((await find(`${open.address}/odd@${other}`)).config).toBeUndefined();
  });

  test('that is not there, or whose registry does not answer, is named with the next step', async () => {
    expect(await failureOf(`${open.address}/team/tool:2`)).toMatchObject({
      code: 'not-found',
      what: `image ${open.address}/team/tool:2`,
      why: `the registry ${open.address} has no such image (404 MANIFEST_UNKNOWN manifest unknown)`,
      next: expect.stringContaining('docker push'),
    });
    expect(await failureOf('127.0.0.1:1/x')).toMatchObject({
      code: 'unreachable',
      what: 'image 127.0.0.1:1/x',
      why: 'the registry 127.0.0.1:1 does not answer (ECONNREFUSED)',
      next: 'check the address and the network',
    });
    // A digest says which image it is, also where nobody can be asked.
    const pinned = `127.0.0.1:1/x@${digestOf(Buffer.from('x'))}`;
    expect(await find(pinned)).toMatchObject({ pinned, problem: expect.stringContaining('ECONNREFUSED') });
  });

  test('that is not what its digest says is refused', async () => {
    await using liar = await serveImage(Buffer.from('a layer'), {});
    const name = `${liar.address}/x@${digestOf(Buffer.from('x'))}`;
    expect(await failureOf(name)).toMatchObject({ code: 'damaged', what: `image ${name}` });
  });

  test('plain HTTP is for this machine, and for registries that are named', async () => {
    const port = open.address.split(':')[1];
    // A name of this machine that does not look like it.
    const name = `[::ffff:127.0.0.1]:${port}/team/tool:1`;
    expect(await failureOf(name)).toMatchObject({ code: 'failed', why: expect.stringContaining('does not speak TLS') });
    const found = await find(name, dir, [`[::ffff:127.0.0.1]:${port}`]);
    expect(found.config).toMatchObject({ user: '1000:1' });
  });
});

describe('an image for known users', () => {
  const name = (): string => `${closed.address}/private:1`;
  beforeAll(() => putImage(closed.address, 'private:1', written()));

  test('is given with what docker login keeps, and otherwise refused with the command that helps', async () => {
    const next = `docker login ${closed.address}`;
    expect(await failureOf(name(), join(dir, 'nowhere'))).toMatchObject({
      code: 'denied',
      what: `image ${name()}`,
      why: expect.stringContaining(`${join(dir, 'nowhere/config.json')} has no credentials for it`),
      next,
    });
    const login = (auth: string): object => ({ auths: { [closed.address]: { auth } } });
    const right = basic.slice('Basic '.length);
    expect((await find(name(), await settings(login(right)))).problem).toBeUndefined();
    expect(
      (await find(name(), await settings({ auths: { [`https://${closed.address}/v1/`]: { auth: right } } }))).config,
    ).toBeDefined();
    const wrong = Buffer.from('tester:wrong').toString('base64');
    const error = await find(name(), await settings(login(wrong))).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'denied', why: expect.stringContaining('user of its credentials'), next });
    expect(JSON.stringify(error)).not.toContain('wrong');
    expect(await failureOf(name(), await settings('{'))).toMatchObject({
      why: expect.stringContaining('not valid JSON'),
    });
  });

  test('is given with what a credential helper gives', async () => {
    const bin = join(dir, 'bin');
    await mkdir(bin);
    const helper = async (suffix: string, script: string): Promise<void> => {
      await writeFile(join(bin, `docker-credential-${suffix}`), `#!/bin/sh\n${script}\n`);
      await chmod(join(bin, `docker-credential-${suffix}`), 0o755);
    };
    await helper(
      'right',
      `read server; [ "$1 $server" = "get ${closed.address}" ] && echo '{"Username":"tester","Secret":"right"}'`,
    );
    await helper('none', `echo 'credentials not found in native keychain'; exit 1`);
    const path = process.env['PATH'];
    process.env['PATH'] = `${bin}:${path}`;
    try {
      const by = (value: object): Promise<string> => settings(value);
      expect((await find(name(), await by({ credsStore: 'right' }))).config).toBeDefined();
      const both = { credsStore: 'none', credHelpers: { [closed.address]: 'right' } };
      expect((await find(name(), await by(both))).config).toBeDefined();
      expect(await failureOf(name(), await by({ credsStore: 'none' }))).toMatchObject({
        code: 'denied',
        why: expect.stringContaining('docker-credential-none gives none: credentials not found in native keychain'),
      });
      expect(await failureOf(name(), await by({ credsStore: 'absent' }))).toMatchObject({
        why: expect.stringContaining('docker-credential-absent gives none: there is no such program'),
      });
    } finally {
      process.env['PATH'] = path;
    }
  });

  test('is given with a token, which goes to the registry alone', async () => {
    await using guard = await tokenGuard(closed.address);
    const at = `${guard.address}/private:1`;
    expect(await failureOf(at)).toMatchObject({ code: 'denied', next: `docker login ${guard.address}` });
    const auths = (login: object): Promise<string> => settings({ auths: { [guard.address]: login } });
    expect((await find(at, await auths({ auth: basic.slice('Basic '.length) }))).config).toBeDefined();
    expect((await find(at, await auths({ identitytoken: 'of tester' }))).config).toBeDefined();
    expect(await failureOf(at, await auths({ identitytoken: 'of nobody' }))).toMatchObject({ code: 'denied' });
    expect(guard.scopes).toEqual(new Set(['repository:private:pull']));
    // What is stored elsewhere was asked for without the token: twice the configuration.
    expect(guard.elsewhere).toEqual([undefined, undefined]);
  });
});

interface TokenGuard extends AsyncDisposable {
  readonly address: string;
  /** What tokens were asked for. */
  readonly scopes: Set<string>;
  /** With which authorization blobs were asked for under the other name of this server. */
  readonly elsewhere: (string | undefined)[];
}

/** Stands before a registry as token services do: it gives tokens, lets nobody in without, and has blobs elsewhere. */
async function tokenGuard(registry: string): Promise<TokenGuard> {
  const scopes = new Set<string>();
  const elsewhere: (string | undefined)[] = [];
  const bodyOf = async (from: IncomingMessage): Promise<string> => Buffer.concat(await from.toArray()).toString('utf8');
  const server = createServer((from, to) => {
    void (async () => {
      const { host = '', authorization } = from.headers;
      const url = new URL(from.url ?? '', `http://${host}`);
      if (url.pathname === '/token') {
        const form = from.method === 'POST' ? new URLSearchParams(await bodyOf(from)) : url.searchParams;
        scopes.add(form.get('scope') ?? '');
        const isKnown = authorization === basic || form.get('refresh_token') === 'of tester';
        to.end(JSON.stringify({ token: isKnown ? 'of a known user' : 'of nobody' }));
        return;
      }
      const isElsewhere = host.startsWith('localhost');
      if (isElsewhere) elsewhere.push(authorization);
      else if (authorization !== 'Bearer of a known user') {
        const service = `Bearer realm="http://${host}/token",service="tests",scope="repository:private:pull"`;
        to.writeHead(401, { 'www-authenticate': service }).end();
        return;
      } else if (url.pathname.includes('/blobs/')) {
        to.writeHead(307, { location: `http://localhost:${host.split(':')[1]}${url.pathname}` }).end();
        return;
      }
      const headers = { accept: from.headers.accept, authorization: basic };
      request(`http://${registry}${url.pathname}`, { headers }, (answer) => {
        answer.pipe(to.writeHead(answer.statusCode ?? 500, answer.headers));
      }).end();
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    scopes,
    elsewhere,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
