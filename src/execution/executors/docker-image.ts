/**
 * Images of an engine: had by name, known by content.
 */
import type Docker from 'dockerode';
import { PachError } from '../../base/errors.ts';
import { shellWord } from '../../base/shell.ts';
import { imageConfig, type ImageConfig } from '../../images/config.ts';
import { dockerError, dockerSays, dockerStatus, type DockerEngine } from './docker-engine.ts';

/** What a worker needs to know of an image. */
export interface KnownImage {
  readonly id: string;
  /** Empty for root. */
  readonly user: string;
  /** HOME, where the image sets it for every user. */
  readonly home: string | undefined;
}

export function knownImage({ Id: id, Config: config }: Docker.ImageInspectInfo): KnownImage {
  // Newer engines leave out what is empty.
  const home = config?.Env?.find((variable) => variable.startsWith('HOME='));
  return { id, user: config?.User ?? '', home: home?.slice('HOME='.length) };
}

/** The image as the engine has it, pulled when it has none. Throws `not-found` when it is not to be had. */
export async function findImage(engine: DockerEngine, name: string): Promise<Docker.ImageInspectInfo> {
  if (!/^\S+$/.test(name)) throw absent(name, 'it is not a valid image name');
  const present = await presentImage(engine, name);
  if (present) return present;
  await pull(engine, name);
  const pulled = await presentImage(engine, name);
  if (!pulled) throw absent(name, 'it was pulled, and then removed');
  return pulled;
}

/** The same, without pulling. */
export async function presentImage(engine: DockerEngine, name: string): Promise<Docker.ImageInspectInfo | undefined> {
  try {
    return await engine.calls.getImage(name).inspect();
  } catch (error) {
    if (dockerStatus(error) === 404) return undefined;
    if (dockerStatus(error) === 400) throw absent(name, 'it is not a valid image name', error);
    throw dockerError(engine, `image ${name}`, error);
  }
}

/** Without a tag or digest Docker would pull all tags. */
function withTag(name: string): string {
  return /[:@][^/]*$/.test(name) ? name : `${name}:latest`;
}

async function pull(engine: DockerEngine, name: string): Promise<void> {
  try {
    const progress = await engine.withoutTimeout.pull(withTag(name));
    await new Promise<void>((resolve, reject) => {
      // A pull that fails half-way says so in its progress.
      engine.withoutTimeout.modem.followProgress(progress, (error: Error | null) =>
        error ? reject(error) : resolve(),
      );
    });
  } catch (error) {
    const asked = dockerStatus(error) !== undefined || (error as { code?: unknown }).code === undefined;
    throw asked ? absent(name, dockerSays(error), error) : dockerError(engine, `image ${name}`, error);
  }
}

function absent(name: string, why: string, cause?: unknown): PachError {
  return new PachError('not-found', {
    what: `image ${name}`,
    why: `the engine has no image with this name, and can't pull it (${why})`,
    next: `docker pull ${shellWord(name)}`,
    or: 'docker login',
    cause,
  });
}

/** What the engine says of an image, as its registry says it. */
export function inspectedConfig(image: Docker.ImageInspectInfo): ImageConfig {
  const { Os: os, Architecture: architecture, RootFS: rootfs, Config: config } = image;
  return imageConfig({ os, architecture }, rootfs.Layers ?? [], config ?? {});
}

/** True when a folder of a container that was not started yet has something in it. */
export async function holdsFiles(container: Docker.Container, folder: string): Promise<boolean> {
  const archive = await container.getArchive({ path: folder }).catch((error: unknown) => {
    if (dockerStatus(error) === 404) return undefined;
    throw error;
  });
  if (archive === undefined) return false;
  // A tar has a block of 512 bytes for each: the folder comes first, and no name begins with NUL.
  let seen = 0;
  for await (const piece of archive as AsyncIterable<Buffer>) {
    if (seen <= 512 && 512 < seen + piece.length) return piece[512 - seen] !== 0;
    seen += piece.length;
  }
  return false;
}
