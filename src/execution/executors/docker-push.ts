/**
 * Images of this machine's engine to a registry from which others pull: those that were built here,
 * and the worker image.
 */
import { PachError } from '../../base/errors.ts';
import { credentialsFor } from '../../images/credentials.ts';
import { imageName, nameIn, parseRegistry, pinnedName } from '../../images/name.ts';
import { ask, dockerError, dockerSays, dockerStatus, type DockerEngine } from './docker-engine.ts';
import { presentImage } from './docker-image.ts';

export interface PushOptions {
  /** As users write it: `registry.example:5000/team`. */
  readonly registry: string;
  /** The folder of the settings of Docker's client: DOCKER_CONFIG, or ~/.docker. */
  readonly dockerConfig: string;
}

interface Progress {
  readonly aux?: { readonly Digest?: string };
  /** Ends the push. */
  readonly error?: string;
}

/**
 * Pushes an image that the engine has, and resolves to the name by which it is pulled from there, with
 * its digest. Layers that the registry has are not sent again. Throws `not-found` where the engine has no such
 * image, `denied` and `failed` with the registry's word.
 */
export async function pushImage(engine: DockerEngine, text: string, options: PushOptions): Promise<string> {
  const target = nameIn(parseRegistry(options.registry).registry, imageName(text));
  const what = `image ${text}`;
  if (!(await presentImage(engine, text))) {
    throw new PachError('not-found', {
      what,
      why: `the Docker engine at ${engine.address} has no image with this name`,
    });
  }
  const { credentials, problem } = await credentialsFor(target.registry, options.dockerConfig);
  const login =
    credentials === undefined
      ? // The engine wants a header; what is in it, a registry without users does not see.
        { username: '', password: '' }
      : 'user' in credentials
        ? { username: credentials.user, password: credentials.password }
        : { identitytoken: credentials.identityToken };
  const tag = target.tag ?? 'latest';
  const repo = `${target.registry}/${target.repository}`;
  const wasThere = (await presentImage(engine, target.text)) !== undefined;
  await ask(engine, what, () => engine.calls.getImage(text).tag({ repo, tag }));
  try {
    const digest = await push(engine, target.text, { ...login, serveraddress: target.registry });
    return pinnedName(target, digest);
  } catch (error) {
    const isAnswer = dockerStatus(error) !== undefined || (error as { code?: unknown }).code === undefined;
    if (!isAnswer) throw dockerError(engine, what, error);
    const says = dockerSays(error);
    const isDenied = /unauthorized|denied|no basic auth|authentication required/i.test(says);
    throw new PachError(isDenied ? 'denied' : 'failed', {
      what,
      why: `it can't be pushed to ${target.registry}: ${says}${isDenied && problem !== undefined ? `; ${problem}` : ''}`,
      next: isDenied ? `docker login ${target.registry}` : 'check the address of the registry, and that it runs',
      cause: error,
    });
  } finally {
    if (!wasThere)
      await engine.calls
        .getImage(target.text)
        .remove({ noprune: true })
        .catch(() => undefined);
  }
}

async function push(engine: DockerEngine, name: string, authconfig: object): Promise<string> {
  const progress = await engine.withoutTimeout.getImage(name).push({ authconfig });
  let digest: string | undefined;
  await new Promise<void>((resolve, reject) => {
    engine.withoutTimeout.modem.followProgress(
      progress,
      (error: Error | null) => (error ? reject(error) : resolve()),
      ({ aux, error }: Progress) => {
        if (error !== undefined) reject(new Error(error));
        digest = aux?.Digest ?? digest;
      },
    );
  });
  if (digest === undefined) throw new Error('Docker has not said which digest it has pushed');
  return digest;
}
