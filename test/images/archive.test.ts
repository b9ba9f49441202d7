/** An image in an archive, sent to a real registry without a container engine. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pushArchive } from '../../src/images/archive.ts';
import { ownPlatform } from '../../src/images/platform.ts';
import { findInRegistry } from '../../src/images/registry.ts';
import { tarEnd, tarMember, tarPadding } from '../../src/sources/tar-writer.ts';
import { startRegistry, type ImageRegistry } from '../support/image-registry.ts';

/** The password of `tester` is `right`. */
const users = 'tester:$2y$05$abcdefghijklmnopqrstuu8xaCxxL82bnl.UY74PMksDxIJShppPC\n';
const hex = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const described = (mediaType: string, bytes: Buffer) => ({
  mediaType: `application/vnd.oci.image.${mediaType}`,
  digest: `sha256:${hex(bytes)}`,
  size: bytes.length,
});

const layer = Buffer.from('a layer, as far as a registry knows');
const config = json({
  ...ownPlatform(),
  config: { User: '7' },
  rootfs: { type: 'layers', diff_ids: [`sha256:${hex(layer)}`] },
});
const manifest = json({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  config: described('config.v1+json', config),
  layers: [described('layer.v1.tar', layer)],
});
const listed = {
  ...described('manifest.v1+json', manifest),
  annotations: { 'io.containerd.image.name': 'localhost/tool:1.2' },
};
const files: Readonly<Record<string, Buffer>> = {
  ...Object.fromEntries([layer, config, manifest].map((bytes) => [`blobs/sha256/${hex(bytes)}`, bytes])),
  'index.json': json({ schemaVersion: 2, manifests: [listed] }),
};
const layerPath = `blobs/sha256/${hex(layer)}`;

let dir: string;
let registry: ImageRegistry;
let login: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pach-archive-'));
  registry = await startRegistry(users);
  login = join(dir, 'login');
  await mkdir(login);
  const auth = Buffer.from('tester:right').toString('base64');
  await writeFile(join(login, 'config.json'), json({ auths: { [registry.address]: { auth } } }));
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

/** An archive of these files; resolves to its path. */
async function archive(name: string, changes: Readonly<Record<string, Buffer | undefined>> = {}): Promise<string> {
  const path = join(dir, `${name}.tar`);
  const parts = Object.entries({ ...files, ...changes }).flatMap(([at, bytes]) =>
    bytes
      ? [tarMember({ path: at, type: 'file', mode: 0o644, size: bytes.length }), bytes, tarPadding(bytes.length)]
      : [],
  );
  await writeFile(path, Buffer.concat([...parts, tarEnd]));
  return path;
}

const push = (path: string, dockerConfig = login, to = `${registry.address}/team`): Promise<string> =>
  pushArchive(path, { registry: to, dockerConfig });

test('its digest in the registry is that of the archive, also when it is sent again', async () => {
  const path = await archive('whole');
  const pinned = `${registry.address}/team/tool@${listed.digest}`;
  expect(await push(path)).toBe(pinned);
  expect(
    await findInRegistry(`${registry.address}/team/tool:1.2`, ownPlatform(), { dockerConfig: login }),
  ).toMatchObject({
    pinned,
    config: { user: '7', layers: [`sha256:${hex(layer)}`] },
  });
  // Only what the registry lacks is read again.
  expect(await push(await archive('without what is there', { [layerPath]: undefined }))).toBe(pinned);
});

test.each([
  ['a file that is not there', async () => join(dir, 'nowhere.tar'), 'not-found', 'there is no such file'],
  ['a part that is missing', () => archive('less', { [layerPath]: undefined }), 'usage', 'is missing'],
  ['a part that is damaged', () => archive('damaged', { [layerPath]: Buffer.from('other') }), 'damaged', hex(layer)],
  ['no image', () => archive('none', { 'index.json': undefined }), 'usage', 'no OCI layout'],
  [
    'no name',
    () => archive('unnamed', { 'index.json': json({ manifests: [{ ...listed, annotations: {} }] }) }),
    'usage',
    'name',
  ],
])('%s is said', async (_, make, code, why) => {
  const path = await make();
  const elsewhere = `${registry.address}/elsewhere`;
  const error = { code, what: path, why: expect.stringContaining(why) };
  await expect(push(path, login, elsewhere)).rejects.toMatchObject(error);
});

test('a registry that refuses, or is not there, is named with the next step', async () => {
  const path = await archive('refused');
  await expect(push(path, dir, `${registry.address}/mine`)).rejects.toMatchObject({
    code: 'denied',
    what: 'image localhost/tool:1.2',
    why: expect.stringMatching(/takes it from known users only, and .*config\.json has no credentials for it/),
    next: `docker login ${registry.address}`,
  });
  await expect(push(path, dir, '127.0.0.1:1')).rejects.toMatchObject({ code: 'unreachable' });
});
