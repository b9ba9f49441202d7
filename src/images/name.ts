/**
 * Names of images, as Docker reads them: `debian`, `ghcr.io/team/tool:1`, `localhost:5000/x@sha256:…`.
 */
import { PachError } from '../base/errors.ts';

export interface ImageName {
  /** As it was written. */
  readonly text: string;
  /** `docker.io`, `ghcr.io`, `localhost:5000`. */
  readonly registry: string;
  /** `library/debian`. */
  readonly repository: string;
  /** Undefined where a digest is given alone. */
  readonly tag: string | undefined;
  /** `sha256:` and hex digits. */
  readonly digest: string | undefined;
}

const dockerHub = 'docker.io';
const part = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const host = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const repositoryLengthMax = 255;

/** Throws `usage` for what no registry takes. */
export function imageName(text: string): ImageName {
  const wrong = (why: string): PachError =>
    new PachError('usage', {
      what: `image ${text}`,
      why,
      next: 'write it as name:tag, registry.example/name:tag, or name@sha256:…',
    });
  const [, named = '', digest] = /^([^@]*)(?:@(.*))?$/s.exec(text) ?? [];
  if (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest)) throw wrong('its digest is not a valid one');
  const [, path = '', tag] = /^(.*?)(?::([^/:]*))?$/s.exec(named) ?? [];
  if (tag !== undefined && !/^\w[\w.-]{0,127}$/.test(tag)) throw wrong(`${JSON.stringify(tag)} is not a valid tag`);
  const [first = '', ...rest] = path.split('/');
  const hasRegistry = rest.length > 0 && (/[.:A-Z]/.test(first) || first === 'localhost');
  if (hasRegistry && !host.test(first)) throw wrong(`${first} is not the address of a registry`);
  const parts = hasRegistry ? rest : [first, ...rest];
  if (parts.some((each) => !part.test(each)) || parts.join('/').length > repositoryLengthMax) {
    throw wrong('it is not a valid image name');
  }
  const registry = !hasRegistry || first === `index.${dockerHub}` ? dockerHub : first;
  const repository = registry === dockerHub && parts.length === 1 ? `library/${parts[0]}` : parts.join('/');
  return { text, registry, repository, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest };
}

/** The name under which this content alone is pulled. */
export function pinnedName({ registry, repository }: ImageName, digest: string): string {
  return `${registry}/${repository}@${digest}`;
}

/**
 * The name of an image in a registry of one's own, `host:port` or `host:port/folder`: without the
 * registry that it has now. Throws `usage` where that is no name.
 */
export function nameIn(registry: string, { repository, tag, digest = '' }: ImageName): ImageName {
  const name = `${registry}/${repository.replace(/^library\//, '')}`;
  return imageName(`${name}:${tag ?? digest.replace(':', '-')}`);
}

/**
 * A registry of one's own, `host:port` or `host:port/folder`; written with `http://`, it is reached
 * by plain HTTP. Throws `usage`.
 */
export function parseRegistry(text: string): { readonly registry: string; readonly plainHttp: readonly string[] } {
  const [, scheme, address = ''] = /^(https?:\/\/)?(.*?)\/*$/s.exec(text) ?? [];
  const [first = '', ...folders] = address.split('/');
  if (!host.test(first) || folders.some((each) => !part.test(each))) {
    throw new PachError('usage', {
      what: `registry ${text}`,
      why: 'it is not the address of a registry',
      next: 'write it as registry.example:5000 or registry.example/team',
    });
  }
  return { registry: address, plainHttp: scheme === 'http://' ? [first] : [] };
}
