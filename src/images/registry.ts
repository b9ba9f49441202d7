/**
 * Images as their registry has them: the manifest of one platform, by digest, and the configuration
 * that it names. Nothing is pulled.
 */
import { createHash } from 'node:crypto';
import { isPachError, PachError, type ErrorCode } from '../base/errors.ts';
import { readConfig, type ImageConfig } from './config.ts';
import { imageName, pinnedName, type ImageName } from './name.ts';
import { platformText, type Platform } from './platform.ts';
import { jsonOf, RegistryWay, type RegistryAnswer, type RegistryOptions } from './requests.ts';

export interface RegistryImage {
  readonly name: ImageName;
  /** Of the manifest of the platform: no tag that moves changes what it means. */
  readonly digest: string;
  /** As a node pulls exactly this: `docker.io/library/debian@sha256:…`. */
  readonly pinned: string;
  readonly config?: ImageConfig | undefined;
  /** Why the configuration is not known, for people; the image is known by its digest alone. */
  readonly problem?: string | undefined;
}

/** Manifests of one image, and lists of them by platform, of Docker and of OCI. */
const manifestTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];

interface Described {
  readonly digest: string;
  readonly platform?: { readonly os?: string; readonly architecture?: string };
}

interface Manifest {
  readonly config?: Described;
  readonly manifests?: readonly Described[];
}

/**
 * Asks the registry of an image. Throws `denied` without the credentials it wants, `not-found`, `unreachable`,
 * `unsupported` for an image of other platforms, `usage` for what is no name. A name with a digest is taken as
 * it is where the registry can't be read: then `problem` says why.
 */
export async function findInRegistry(
  text: string,
  platform: Platform,
  options: RegistryOptions,
): Promise<RegistryImage> {
  const name = imageName(text);
  try {
    return await new Reading(name, platform, options).image();
  } catch (error) {
    if (name.digest === undefined || !isPachError(error, 'denied', 'unreachable', 'failed')) throw error;
    return { name, digest: name.digest, pinned: pinnedName(name, name.digest), problem: error.why };
  }
}

class Reading {
  private readonly name: ImageName;
  private readonly platform: Platform;
  private readonly way: RegistryWay;

  constructor(name: ImageName, platform: Platform, options: RegistryOptions) {
    this.name = name;
    this.platform = platform;
    const { registry, repository, text } = name;
    this.way = new RegistryWay({ registry, repository, does: 'pull', what: `image ${text}` }, options);
  }

  async image(): Promise<RegistryImage> {
    const { name } = this;
    let { digest, manifest } = await this.manifest(name.digest ?? name.tag ?? 'latest');
    if (manifest.manifests) ({ digest, manifest } = await this.manifest(this.chosen(manifest.manifests)));
    const found = { name, digest, pinned: pinnedName(name, digest) };
    const at = manifest.config?.digest;
    if (at === undefined) return { ...found, problem: 'its manifest names no configuration' };
    const answer = await this.ask(`blobs/${at}`, '*/*');
    if (answer.status !== 200)
      return { ...found, problem: `the registry answers ${answer.status} for its configuration` };
    const config = digestOf(answer.body) === at ? readConfig(answer.body) : undefined;
    if (!config) return { ...found, problem: 'its configuration is not that of an image' };
    if (config.os !== this.platform.os || config.architecture !== this.platform.architecture)
      throw this.other([config]);
    return { ...found, config };
  }

  private async manifest(reference: string): Promise<{ digest: string; manifest: Manifest }> {
    const answer = await this.ask(`manifests/${reference}`, manifestTypes.join(', '));
    if (answer.status !== 200) throw this.way.refusal(answer);
    const digest = digestOf(answer.body);
    const manifest = jsonOf(answer.body) as Manifest | undefined;
    if (manifest && (!reference.includes(':') || reference === digest)) return { digest, manifest };
    throw this.error('damaged', `the registry ${this.name.registry} gives something else than its manifest`);
  }

  private chosen(manifests: readonly Described[]): string {
    const { os, architecture } = this.platform;
    const chosen = manifests.find(({ platform }) => platform?.os === os && platform.architecture === architecture);
    if (chosen) return chosen.digest;
    throw this.other(
      manifests.flatMap(({ platform }) => {
        // Attestations are listed as images of an unknown platform.
        const known = platform?.os !== undefined && platform.os !== 'unknown' && platform.architecture !== undefined;
        return known ? [platform as Platform] : [];
      }),
    );
  }

  private ask(path: string, accept: string): Promise<RegistryAnswer> {
    return this.way.ask(path, { method: 'GET', headers: { accept } });
  }

  private other(there: readonly Platform[]): PachError {
    const wanted = platformText(this.platform);
    const list = [...new Set(there.map(platformText))].join(', ') || 'no platform that it names';
    const next = `build it for ${wanted} (docker buildx build --platform ${wanted}), or say --platform`;
    return this.error('unsupported', `it is not for ${wanted}: the registry has it for ${list}`, next);
  }

  private error(code: ErrorCode, why: string, next?: string): PachError {
    return new PachError(code, { what: `image ${this.name.text}`, why, next });
  }
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
