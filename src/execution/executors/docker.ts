/**
 * Runs commands in containers of a Docker engine: one warm container per worker, in which a small
 * static helper, the launcher, starts a command in about a millisecond.
 */
import { assert, PachError } from '../../base/errors.ts';
import type { ImageBuild } from '../../pipelines/spec/spec.ts';
import type { BuildWatch, LocalExecutor, Worker, WorkerOptions } from '../executor.ts';
import type { Fingerprint } from '../../pipelines/jobs/recipe.ts';
import { buildImage } from './docker-build.ts';
import { workerHost } from './docker-container.ts';
import { ask, dockerEngine, sharesMounts, type DockerAddress, type DockerEngine } from './docker-engine.ts';
import { fingerprintOf } from '../../images/config.ts';
import { findImage, inspectedConfig, knownImage, type KnownImage } from './docker-image.ts';
import { removeLeftovers, removeOwn } from './docker-leftovers.ts';
import { endOwner, newOwner } from './docker-owner.ts';
import { openDockerWorker } from './docker-worker.ts';

export interface DockerExecutorOptions extends DockerAddress {
  /** Absolute: the program that runs commands within a container, native/launcher. */
  readonly launcher: string;
  /** Absolute: the one that mounts on this host, native/binder. */
  readonly binder: string;
}

/** Throws `unreachable` when no engine answers, `denied` when it must not be used, `unsupported` elsewhere than on Linux. */
export async function connectDocker(options: DockerExecutorOptions): Promise<LocalExecutor> {
  if (process.platform !== 'linux') {
    // There containers live in a virtual machine, into which no socket of this one reaches.
    throw new PachError('unsupported', { what: 'the docker executor', why: 'it works on Linux only' });
  }
  const engine = dockerEngine(options);
  const { NCPU: processors } = (await ask(engine, 'Docker', () => engine.calls.info())) as { NCPU: number };
  return new DockerExecutor(engine, options, processors);
}

class DockerExecutor implements LocalExecutor {
  readonly name = 'docker';
  readonly resultsClass = 'docker';
  readonly inputMounts: 'inserted' | 'none';
  private readonly engine: DockerEngine;
  private readonly program: string;
  private readonly binder: string;
  private readonly processors: number;
  private readonly owner = newOwner();
  private readonly inUse = new Set<string>();
  /** What an image was when it was asked for its fingerprint: that is what runs, though its tag may have moved. */
  private readonly known = new Map<string, KnownImage>();

  constructor(engine: DockerEngine, { launcher, binder }: DockerExecutorOptions, processors: number) {
    this.engine = engine;
    this.program = launcher;
    this.binder = binder;
    this.processors = processors;
    this.inputMounts = sharesMounts(engine) ? 'inserted' : 'none';
  }

  async fingerprint(image: string): Promise<Fingerprint> {
    const found = await findImage(this.engine, image);
    this.known.set(image, knownImage(found));
    return fingerprintOf(inspectedConfig(found));
  }

  build(use: ImageBuild, watch: BuildWatch): Promise<string> {
    return buildImage(this.engine, use, watch);
  }

  async environment({ image }: Pick<WorkerOptions, 'image'>): Promise<Record<string, string | undefined>> {
    const { Config: config } = await findImage(this.engine, image ?? '');
    const own = (config?.Env ?? []).map((variable) => /^([^=]*)=(.*)$/s.exec(variable)?.slice(1) ?? [variable, '']);
    // The engine gives PATH to all containers, and the launcher the home of the command's user.
    return { PATH: undefined, HOME: undefined, HOSTNAME: workerHost, ...Object.fromEntries(own) };
  }

  unused(): readonly string[] {
    return [];
  }

  async open(worker: WorkerOptions): Promise<Worker> {
    const { engine, owner, inUse, program, binder, processors } = this;
    const image = await this.image(worker);
    await removeLeftovers(engine, worker.name, { owner, inUse });
    const showsMounts = this.inputMounts === 'inserted';
    const isCurrent = (): boolean => this.known.get(worker.image ?? '')?.id === image.id;
    const same = { engine, owner, inUse, program, binder, processors, showsMounts };
    return openDockerWorker({ ...same, worker, image, isCurrent });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Those that could not be removed with their workers. Whoever comes next finds what is left even now.
    await removeOwn(this.engine, this.owner).catch(() => undefined);
    endOwner(this.owner);
  }

  private async image({ name, image }: WorkerOptions): Promise<KnownImage> {
    if (image === undefined) {
      throw new PachError('usage', { what: name, why: 'it has no image', next: 'give transform.image' });
    }
    if (!this.known.has(image)) await this.fingerprint(image);
    const known = this.known.get(image);
    assert(known, 'an image with a fingerprint is known');
    return known;
  }
}
