/**
 * Images on their way into a cluster: by a registry that its nodes pull from, or without one, by the
 * way that the user's context names.
 */
import { execFile } from 'node:child_process';
import { access, mkdtemp, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PachError } from '../base/errors.ts';
import { dockerEngine } from '../execution/executors/docker-engine.ts';
import { pushImage } from '../execution/executors/docker-push.ts';
import { saveImage } from '../execution/executors/docker-save.ts';
import { pushArchive, tryPush } from '../images/archive.ts';
import { ownPlatform, platformText } from '../images/platform.ts';
import type { KubernetesExecutor } from '../kubernetes/executor.ts';
import type { PodImages } from '../kubernetes/pool.ts';
import type { ClusterFields } from '../local/config.ts';
import type { Settings } from './settings.ts';
import { version } from './version.ts';

const ownArchive = fileURLToPath(new URL('../../dist/pachmount-image.tar', import.meta.url));
const ownImage = `localhost/pachmount:${version}`;
/** What a load command prints of its failure. */
const saidMax = 400;

export type ImageWays = Pick<ClusterFields, 'imageRegistry' | 'load' | 'workerImage'>;

export class ClusterImages {
  private readonly settings: Settings;
  private readonly ways: ImageWays;
  private readonly executor: KubernetesExecutor;
  /** By name: an image is brought once. */
  private readonly brought = new Map<string, Promise<string>>();

  constructor(settings: Settings, ways: ImageWays, executor: KubernetesExecutor) {
    this.settings = settings;
    this.ways = ways;
    this.executor = executor;
  }

  /** The name by which nodes have an image, and the user that it names. */
  async find(image: string): Promise<{ readonly image: string; readonly imageUser: string }> {
    const { name, user, isLocal } = await this.executor.image(image);
    return { image: isLocal ? await this.once(name, () => this.bring(name)) : name, imageUser: user };
  }

  /** For pods of an image, as soon as the names are known: then the images may still be on their way. */
  async forPods(image: string): Promise<PodImages> {
    const { imageRegistry, workerImage = ownImage } = this.ways;
    const arrived = Promise.all([this.find(image), this.worker()]);
    arrived.catch(() => undefined); // told to whoever waits for it
    if (imageRegistry === undefined) {
      const { name, user } = await this.executor.image(image);
      return { image: name, imageUser: user, workerImage, arrived };
    }
    // The registry names what it was given.
    const [found, worker] = await arrived;
    return { ...found, workerImage: worker, arrived };
  }

  /** How pach's own image would get there. Throws as `worker`, and brings nothing. */
  async workerWay(): Promise<string> {
    const { load, imageRegistry } = this.ways;
    if (load === undefined && imageRegistry === undefined) throw noWorkerImage();
    await this.archiveFits();
    return (await this.way(ownImage)) ?? ownImage;
  }

  /** How an image of this machine would get there, if it is to be brought; brings nothing. Throws where its registry would not take it. */
  async way(image: string): Promise<string | undefined> {
    const { load, imageRegistry } = this.ways;
    const { dockerConfig = '' } = this.settings;
    if (imageRegistry === undefined) return load === undefined ? undefined : `${image}, by ${load}`;
    await tryPush(image, { registry: imageRegistry, dockerConfig });
    return `${image}, to be pushed to ${imageRegistry}`;
  }

  /** The name of pach's own image. Throws `usage` where nothing says where that is to come from. */
  worker(): Promise<string> {
    const { workerImage, load, imageRegistry } = this.ways;
    if (workerImage !== undefined) return Promise.resolve(workerImage);
    return this.once(ownImage, async () => {
      if (load === undefined && imageRegistry === undefined) throw noWorkerImage();
      await this.archiveFits();
      const { dockerConfig = '' } = this.settings;
      if (imageRegistry !== undefined) return pushArchive(ownArchive, { registry: imageRegistry, dockerConfig });
      if (load !== undefined) await loadArchive(load, ownArchive);
      return ownImage;
    });
  }

  /** Throws where our own image is for other nodes, or is not there. */
  private async archiveFits(): Promise<void> {
    const [nodes, own] = [this.executor.platform, ownPlatform()].map(platformText);
    if (nodes !== own) {
      const why = `pods need pach's own image for ${nodes}, and \`make image\` makes it for ${own}`;
      const next = `name one that was built there: --worker-image`;
      throw new PachError('unsupported', { what: `--platform ${nodes}`, why, next });
    }
    await access(ownArchive).catch(() => {
      throw new PachError('not-found', { what: ownArchive, why: 'the image was not made yet', next: 'make image' });
    });
  }

  private once(name: string, bring: () => Promise<string>): Promise<string> {
    const before = this.brought.get(name);
    if (before) return before;
    const brought = bring();
    this.brought.set(name, brought);
    brought.catch(() => this.brought.delete(name));
    return brought;
  }

  /** Brings an image that only the Docker engine of this machine has; without a way it may be on the nodes all the same. */
  private async bring(name: string): Promise<string> {
    const { imageRegistry, load } = this.ways;
    const { docker, dockerConfig = '' } = this.settings;
    const engine = dockerEngine({ host: docker });
    if (imageRegistry !== undefined) return pushImage(engine, name, { registry: imageRegistry, dockerConfig });
    if (load === undefined) return name;
    const folder = await mkdtemp(join(tmpdir(), 'pach-image-'));
    const archive = join(folder, 'image.tar');
    try {
      await saveImage(engine, name, archive);
      await loadArchive(load, archive);
    } finally {
      await rm(archive, { force: true });
      await rmdir(folder);
    }
    return name;
  }
}

/** Throws `failed` with what the program said. */
function loadArchive(way: string, archive: string): Promise<void> {
  const known: Readonly<Record<string, readonly string[]>> = {
    minikube: ['minikube', 'image', 'load', archive],
    kind: ['kind', 'load', 'image-archive', archive],
  };
  const [program = '', ...words] = known[way] ?? ['sh', '-c', `${way} "$1"`, 'sh', archive];
  return new Promise((resolve, reject) => {
    execFile(program, words, { maxBuffer: 16 << 20 }, (error, output, errors) => {
      if (!error) return resolve();
      const said = `${errors}${output}`
        .trim()
        .slice(-saidMax)
        .replaceAll(/\s*\n\s*/g, '; ');
      const why = error.code === 'ENOENT' ? `there is no program ${program}` : said || error.message;
      reject(new PachError('failed', { what: `--load ${way}`, why }));
    });
  });
}

function noWorkerImage(): PachError {
  return new PachError('usage', {
    what: '--executor kubernetes',
    why: "pods need pach's own image, and nothing says where it comes from",
    next: 'name a registry that nodes pull from: --image-registry, or a way without one: --load minikube',
  });
}
