/**
 * An image of a Docker engine as an archive, for whatever takes images without a registry.
 */
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { dockerError, type DockerEngine } from './docker-engine.ts';

export async function saveImage(engine: DockerEngine, name: string, path: string): Promise<void> {
  try {
    await pipeline(await engine.withoutTimeout.getImage(name).get(), createWriteStream(path, { flags: 'wx' }));
  } catch (error) {
    throw dockerError(engine, `image ${name}`, error);
  }
}
