/**
 * What decides the results of commands in pods: the image, by its layers and its configuration, as
 * the registry has it that nodes pull from. Those are the same for Docker, so what one has computed
 * the other does not compute again. Pods themselves are made by the pool: no worker is opened here.
 */
import { isPachError, PachError } from '../base/errors.ts';
import { buildImage } from '../execution/executors/docker-build.ts';
import { workerHost } from '../execution/executors/docker-container.ts';
import { dockerEngine, type DockerAddress, type DockerEngine } from '../execution/executors/docker-engine.ts';
import { inspectedConfig, presentImage } from '../execution/executors/docker-image.ts';
import type { BuildWatch, Executor, WorkerOptions } from '../execution/executor.ts';
import { digestFingerprint, fingerprintOf, type ImageConfig } from '../images/config.ts';
import { platformText, type Platform } from '../images/platform.ts';
import { findInRegistry, type RegistryImage } from '../images/registry.ts';
import type { RegistryOptions } from '../images/requests.ts';
import type { Fingerprint } from '../pipelines/jobs/recipe.ts';
import type { ImageBuild } from '../pipelines/spec/spec.ts';

export interface KubernetesExecutorOptions {
  readonly docker: DockerAddress;
  readonly registries: RegistryOptions;
  readonly platform: Platform;
  /** Told what is worth knowing of an image, for people. */
  readonly note: (line: string) => void;
}

export interface ClusterImage {
  readonly fingerprint: Fingerprint;
  /** As nodes pull it: by digest, where its registry could be read. */
  readonly name: string;
  /** USER of the image; '' for root. */
  readonly user: string;
  /** `NAME=value`. */
  readonly env: readonly string[];
  /** Only the Docker engine of this machine has it: the nodes must be given it. */
  readonly isLocal: boolean;
}

interface KnownImage extends ClusterImage {
  /** When its registry was asked, on the monotonic clock. */
  readonly askedAt: number;
}

/** A registry is asked again for the image of a next job after this time. */
const freshMs = 60_000;

export class KubernetesExecutor implements Executor {
  readonly name = 'kubernetes';
  readonly resultsClass = 'docker';
  /** Of the nodes. */
  readonly platform: Platform;
  private readonly options: KubernetesExecutorOptions;
  private readonly engine: DockerEngine;
  /** What an image was when it was asked for its fingerprint: that is what runs, though its tag may have moved. */
  private readonly known = new Map<string, KnownImage>();
  private readonly noted = new Set<string>();
  /** Images that were built here: no registry has them. */
  private readonly built = new Set<string>();

  constructor(options: KubernetesExecutorOptions) {
    this.options = options;
    this.platform = options.platform;
    this.engine = dockerEngine(options.docker);
  }

  async fingerprint(image: string): Promise<Fingerprint> {
    const known = this.known.get(image);
    if (known && performance.now() - known.askedAt < freshMs) {
      // Docker is at hand, and its tags move with every build.
      const now = known.isLocal ? await this.inDocker(image) : known;
      if (now) return this.remember(image, now, known.askedAt).fingerprint;
    }
    return this.remember(image, await this.find(image), performance.now()).fingerprint;
  }

  /** The image as it was when its fingerprint was taken. */
  async image(name: string): Promise<ClusterImage> {
    return this.known.get(name) ?? this.remember(name, await this.find(name), performance.now());
  }

  /** From now on an image is what it was when its pipeline was promoted: it is not looked up. */
  pin(image: ClusterImage): void {
    this.remember(image.name, image, Infinity);
  }

  async build(use: ImageBuild, watch: BuildWatch): Promise<string> {
    const name = await buildImage(this.engine, use, watch);
    this.built.add(name);
    return name;
  }

  async environment({ image = '' }: Pick<WorkerOptions, 'image'>): Promise<Record<string, string | undefined>> {
    const { env } = await this.image(image);
    const own = env.map((variable) => /^([^=]*)=(.*)$/s.exec(variable)?.slice(1) ?? [variable, '']);
    return { PATH: undefined, HOME: undefined, HOSTNAME: workerHost, ...Object.fromEntries(own) };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  private remember(name: string, image: ClusterImage, askedAt: number): ClusterImage {
    this.known.set(name, { ...image, askedAt });
    return image;
  }

  /** The registry first: nodes pull from there. An image of this machine alone is Docker's. */
  private async find(image: string): Promise<ClusterImage> {
    const built = this.built.has(image) && (await this.inDocker(image));
    if (built) return built;
    try {
      return this.ofRegistry(await findInRegistry(image, this.platform, this.options.registries));
    } catch (error) {
      if (!isPachError(error, 'not-found', 'unreachable', 'denied', 'failed')) throw error;
      const found = await this.inDocker(image);
      if (found) {
        this.note(
          `image ${image}: no registry gives it (${error.why}), so it is taken as Docker has it here; the nodes need it too`,
        );
        return found;
      }
      const { what, why, next } = error;
      throw new PachError(error.code, {
        what,
        why: `${why}; nor has the Docker engine of this machine got it`,
        next,
        cause: error,
      });
    }
  }

  private ofRegistry({ pinned, digest, config, problem, name }: RegistryImage): ClusterImage {
    if (config) return { ...ofConfig(config), name: pinned, isLocal: false };
    this.note(`image ${name.text}: ${problem}; its results are known by its digest, and are not shared with Docker`);
    return { fingerprint: digestFingerprint(digest), name: pinned, user: '', env: [], isLocal: false };
  }

  /** Undefined where there is no engine, or it has no such image. Throws `unsupported` for one of another platform. */
  private async inDocker(image: string): Promise<ClusterImage | undefined> {
    const found = await presentImage(this.engine, image).catch(() => undefined);
    if (!found) return undefined;
    const [has, wanted] = [{ os: found.Os, architecture: found.Architecture }, this.platform].map(platformText);
    if (has !== wanted) {
      throw new PachError('unsupported', {
        what: `image ${image}`,
        why: `it is not for ${wanted}: the Docker engine of this machine has it for ${has}`,
        next: `build it for ${wanted} (docker buildx build --platform ${wanted}), or say --platform ${has} for such nodes`,
      });
    }
    return { ...ofConfig(inspectedConfig(found)), name: image, isLocal: true };
  }

  private note(line: string): void {
    if (!this.noted.has(line)) this.options.note(line);
    this.noted.add(line);
  }
}

function ofConfig(config: ImageConfig): Pick<ClusterImage, 'fingerprint' | 'user' | 'env'> {
  const { user, env } = config;
  return { fingerprint: fingerprintOf(config), user, env };
}
