/**
 * An image in an archive (an OCI layout as a tar), sent to a registry as it is: its digest there is
 * that of the archive. No container engine takes part.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { isPachError, PachError } from '../base/errors.ts';
import { errnoOf } from '../base/system-errors.ts';
import { untar } from '../sources/tar.ts';
import { imageName, nameIn, parseRegistry, pinnedName, type ImageName } from './name.ts';
import { jsonOf, RegistryWay } from './requests.ts';

export interface ArchivePush {
  /** As users write it: `registry.example:5000/team`. */
  readonly registry: string;
  /** The folder of the settings of Docker's client: DOCKER_CONFIG, or ~/.docker. */
  readonly dockerConfig: string;
}

interface Described {
  readonly mediaType: string;
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly config?: Described;
  readonly layers?: readonly Described[];
}

/** Blobs are in memory one by one. */
const blobBytesMax = 1024 * 1024 * 1024;
/** What describes the image. */
const documentBytesMax = 4 * 1024 * 1024;
const nameAnnotation = 'io.containerd.image.name';

/**
 * Resolves to the name by which the image is pulled from there, with its digest. What the registry has is not
 * sent again. Throws `not-found` and `usage` about the archive, `denied`, `unreachable` and `failed` about the registry.
 */
export async function pushArchive(path: string, options: ArchivePush): Promise<string> {
  const { name, digest, mediaType, bytes, blobs } = await readLayout(path);
  const { target, way } = wayFor(name, options);
  const missing = new Set<string>();
  for (const blob of blobs) {
    const { status } = await way.ask(`blobs/${blob}`, { method: 'HEAD' });
    if (status !== 200) missing.add(blob);
  }
  if (missing.size > 0) {
    for await (const { at, bytes: blob } of blobsOf(path, blobBytesMax))
      if (missing.delete(at)) await pushBlob(way, at, blob);
  }
  const [left] = missing;
  if (left !== undefined) throw noImage(path, `its ${left} is missing, or too large`);
  const headers = { 'content-type': mediaType };
  const answer = await way.ask(`manifests/${target.tag}`, { method: 'PUT', headers, body: bytes });
  if (answer.status !== 201) throw way.refusal(answer);
  return pinnedName(target, digest);
}

/** Throws `denied`, `unreachable` or `failed` where a registry would not take an image. Stores nothing there. */
export async function tryPush(image: string, options: ArchivePush): Promise<void> {
  const { way } = wayFor(imageName(image), options);
  const begun = await way.ask('blobs/uploads/', { method: 'POST', body: Buffer.alloc(0) });
  if (begun.status !== 202) throw way.refusal(begun);
  const { location } = begun.headers;
  // The registry ends by itself what is left begun.
  if (location !== undefined) await way.ask(location, { method: 'DELETE' });
}

function wayFor(
  name: ImageName,
  { registry: text, dockerConfig }: ArchivePush,
): { readonly target: ImageName; readonly way: RegistryWay } {
  const { registry, plainHttp } = parseRegistry(text);
  const target = nameIn(registry, name);
  const task = {
    registry: target.registry,
    repository: target.repository,
    does: 'push',
    what: `image ${name.text}`,
  } as const;
  return { target, way: new RegistryWay(task, { dockerConfig, plainHttp }) };
}

async function pushBlob(way: RegistryWay, digest: string, body: Buffer): Promise<void> {
  const begun = await way.ask('blobs/uploads/', { method: 'POST', body: Buffer.alloc(0) });
  const { location } = begun.headers;
  if (begun.status !== 202 || location === undefined) throw way.refusal(begun);
  const to = `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`;
  const headers = { 'content-type': 'application/octet-stream' };
  const done = await way.ask(to, { method: 'PUT', headers, body });
  if (done.status !== 201) throw way.refusal(done);
}

interface Layout extends Described {
  readonly name: ImageName;
  /** Of the manifest. */
  readonly bytes: Buffer;
  /** Digests of all that it names. */
  readonly blobs: readonly string[];
}

async function readLayout(path: string): Promise<Layout> {
  const documents = new Map<string, Buffer>();
  for await (const { at, bytes } of blobsOf(path, documentBytesMax)) documents.set(at, bytes);
  const index = jsonOf(documents.get('index.json') ?? Buffer.alloc(0)) as
    | { manifests?: readonly Described[] }
    | undefined;
  const [listed, other] = index?.manifests ?? [];
  if (!listed || other) throw noImage(path, 'it is no OCI layout with one image');
  const bytes = documents.get(listed.digest) ?? Buffer.alloc(0);
  const manifest = jsonOf(bytes) as Manifest | undefined;
  if (!manifest?.config || !manifest.layers) throw noImage(path, 'its image has no manifest for one platform');
  const text = listed.annotations?.[nameAnnotation];
  if (text === undefined) throw noImage(path, 'it does not say the name of its image');
  const blobs = [...manifest.layers, manifest.config].map(({ digest }) => digest);
  return { ...listed, name: imageName(text), bytes, blobs };
}

/** The files of an archive that are not larger, blobs under their digests. Throws `failed` for a blob that is damaged. */
async function* blobsOf(path: string, bytesMax: number): AsyncGenerator<{ at: string; bytes: Buffer }> {
  const { signal } = new AbortController();
  try {
    for await (const entry of untar(createReadStream(path, { highWaterMark: 1024 * 1024 }), path)) {
      if (entry.kind !== 'file' || (entry.size ?? Infinity) > bytesMax) continue;
      const pieces: Uint8Array[] = [];
      for await (const piece of (await entry.open(signal)).bytes) pieces.push(piece);
      const bytes = Buffer.concat(pieces);
      const names = entry.path.map((name) => name.toString('utf8'));
      const digest = names[0] === 'blobs' ? `${names[1]}:${names[2]}` : undefined;
      if (digest !== undefined && digest !== `sha256:${createHash('sha256').update(bytes).digest('hex')}`) {
        throw new PachError('damaged', { what: path, why: `its ${digest} is damaged` });
      }
      yield { at: digest ?? names.join('/'), bytes };
    }
  } catch (error) {
    const code = isPachError(error) ? undefined : errnoOf(error);
    if (code === undefined) throw error;
    const why = code === 'ENOENT' ? 'there is no such file' : `it can't be read (${code})`;
    throw new PachError(code === 'ENOENT' ? 'not-found' : 'failed', {
      what: path,
      why,
      next: 'make image',
      cause: error,
    });
  }
}

function noImage(what: string, why: string): PachError {
  return new PachError('usage', { what, why, next: 'an archive of `make image`, or of docker save' });
}
