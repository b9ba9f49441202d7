/**
 * What running pipelines keeps on this machine from one run to the next: an executor with its
 * workers, the pipelines' code, mounts of their inputs, and the folder in which all of it lies.
 */
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { storeHeaderKey } from '../model/keys.ts';
import type { BuildWatch, LocalExecutor, Worker, WorkerOptions } from '../execution/executor.ts';
import { LocalPool, type LocalPoolOptions } from '../execution/workers/local-pool.ts';
import { Session, type Sandbox } from '../execution/workers/session.ts';
import { Slot } from '../execution/workers/slot.ts';
import type { JobInputs } from '../pipelines/jobs/plan.ts';
import { codeEntries, type Pipeline } from '../pipelines/pipelines.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import type { Project } from '../versions/project.ts';
import { credentialsOfAll } from './credentials.ts';
import { openLocalExecutor, withBuiltImage, type ExecutorChoice, type LocalExecutorName } from './executors.ts';
import { InputsMounts, type InputsRead } from './inputs-mounts.ts';
import type { OpenProject } from './open.ts';
import { openRunFolder, type RunFolder } from './run-folder.ts';
import { asOptions, Secrets } from './secrets.ts';
import { showServices, withServices, type ServicesHere, type ShownServices } from './services-here.ts';
import type { Settings } from './settings.ts';

export interface SessionRequest extends ExecutorChoice {
  /** Sources of secrets, before this machine's own: `file:.env`, `dir:FOLDER`. */
  readonly secretsFrom: readonly string[];
  /** Workers that are kept for a next run at most; 0 where there is only one. */
  readonly idleWorkersMax: number;
  /** Workers in use at a time, which all pipelines share; not said where one pipeline runs at a time. */
  readonly busyWorkersMax?: number;
  /** Pods wait for the next job of their pipeline. */
  readonly keepsPods?: boolean;
  /** Told what a mount of a pipeline's inputs has asked of the store, when it ends. */
  readonly inputsRead?: InputsRead;
  /** Services that this machine gives to commands which have a network. */
  readonly services?: ServicesHere | undefined;
}

/** Of a session whose commands run on this machine. */
export type LocalSessionRequest = Omit<SessionRequest, 'executor' | 'cluster'> & {
  readonly executor: LocalExecutorName;
};

/** What the workers of a pipeline see. */
export interface BenchRequest {
  readonly inputs: JobInputs;
  readonly signal: AbortSignal;
  /** Told, once in a session, of fields of the spec that the executor has no use for. */
  unused(line: string): void;
}

/** How a run wants a pipeline's datums run. */
export interface PoolRequest extends BenchRequest {
  readonly workers: number;
}

/** What of a pipeline its workers see. */
export type RunPipeline = Pick<Pipeline, 'name' | 'spec' | 'code'>;

/** A worker with its slot, for whoever fills it. Disposing of it leaves nothing of the worker. */
export interface Bench extends AsyncDisposable {
  readonly worker: Worker;
  readonly slot: Slot;
}

/** A folder or file of this machine, shown to commands as it is. */
export type ShownCode = WorkerOptions['code'][number];

/** Runs of one pipeline use it one after another, those of several also at a time. Closing it leaves nothing on this machine but caches and logs. */
export class RunSession implements AsyncDisposable {
  readonly executor: LocalExecutor;
  readonly settings: Settings;
  readonly secrets: Secrets;
  private readonly opened: OpenProject;
  private readonly folder: RunFolder;
  private readonly workers: Session;
  private readonly mounts: InputsMounts;
  private readonly services: ShownServices | undefined;
  /** What was said once is not said again, run after run. */
  private readonly said = new Set<string>();

  private constructor(
    settings: Settings,
    opened: OpenProject,
    request: Omit<SessionRequest, 'executor' | 'secretsFrom'>,
    held: Held,
  ) {
    this.settings = settings;
    this.opened = opened;
    this.executor = held.executor;
    this.secrets = held.secrets;
    this.folder = held.folder;
    this.workers = new Session({
      executor: held.executor,
      folder: held.folder.dir,
      idleMax: request.idleWorkersMax,
      busyMax: request.busyWorkersMax ?? Infinity,
    });
    this.services = held.services;
    this.mounts = new InputsMounts(settings, join(held.folder.dir, 'inputs'), request.inputsRead);
  }

  /** `opened` stays open as long as the session. */
  static async open(settings: Settings, opened: OpenProject, request: LocalSessionRequest): Promise<RunSession> {
    const secrets = await Secrets.open(settings, request.secretsFrom);
    const executor = await openLocalExecutor(request.executor, settings);
    try {
      const folder = await openRunFolder(settings.home);
      const services = request.services && (await showServices(request.services, folder.dir));
      return new RunSession(settings, opened, request, { executor, folder, secrets, services });
    } catch (error) {
      await executor[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** With an executor whose commands have secrets from elsewhere. Whoever opened it closes it, too. */
  static async with(executor: LocalExecutor, settings: Settings, opened: OpenProject): Promise<RunSession> {
    const folder = await openRunFolder(settings.home);
    return new RunSession(settings, opened, { idleWorkersMax: 1 }, { executor, folder, secrets: Secrets.elsewhere() });
  }

  get project(): Project {
    return this.opened.project;
  }

  /**
   * Makes sure of secrets, unless commands run elsewhere, and of images that are built here. Resolves to the
   * pipelines with these images.
   */
  async prepare<P extends Pick<Pipeline, 'spec'>>(
    pipelines: readonly P[],
    watch: BuildWatch,
    isElsewhere = false,
  ): Promise<P[]> {
    for (const { spec } of isElsewhere ? [] : pipelines) await this.secrets.of(spec);
    const prepared: P[] = [];
    for (const pipeline of pipelines) {
      prepared.push({ ...pipeline, spec: await withBuiltImage(this.executor, pipeline.spec, watch) });
    }
    return prepared;
  }

  /** Workers for the next job of a pipeline, which see its code. None of the pipeline's jobs may run. */
  async pool(pipeline: RunPipeline, request: PoolRequest): Promise<LocalPool> {
    const placed = await this.place(pipeline, request);
    const masked = (text: string): string => this.secrets.maskedText(text);
    return new LocalPool({ session: this.workers, count: request.workers, masked, ...placed });
  }

  /** One worker as those of `pool`. What `code` shows comes in place of the pipeline's own at the same places. */
  async bench(pipeline: RunPipeline, request: BenchRequest, code: readonly ShownCode[]): Promise<Bench> {
    const { sandbox, mount } = await this.place(pipeline, request, code);
    const open = await this.workers.take(pipeline.name, sandbox, request.signal);
    return {
      worker: open.worker,
      slot: Slot.prepare({ dir: open.slot, reader: this.project.reader, mount }),
      [Symbol.asyncDispose]: () => this.workers.close(open),
    };
  }

  /** Closes what a pipeline has kept for its next job: workers, and the mount of its inputs. None of its jobs may run. */
  async rest(pipeline: string): Promise<void> {
    await this.workers.rest(pipeline);
    await this.mounts.rest(pipeline);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Workers show mounts, and these lie in the folder.
    try {
      await this.workers[Symbol.asyncDispose]();
    } finally {
      await this.mounts[Symbol.asyncDispose]();
      await this.folder[Symbol.asyncDispose]();
    }
  }

  private async place(
    pipeline: RunPipeline,
    request: BenchRequest,
    shown: readonly ShownCode[] = [],
  ): Promise<Pick<LocalPoolOptions, 'sandbox' | 'mount'>> {
    const { spec, name } = pipeline;
    const { inputs, signal } = request;
    const { reader } = this.project;
    const paths = await this.workers.code(name, reader, await codeEntries(reader, pipeline));
    const own = spec.code.map(({ to }, index) => ({ from: paths[index] ?? '', to }));
    const code = [...own.filter(({ to }) => shown.every((other) => other.to !== to)), ...shown];
    const plain = { ...(await this.sandbox(spec)), code };
    const sandbox = this.services && spec.network !== 'none' ? withServices(plain, this.services) : plain;
    for (const line of this.executor.unused({ ...sandbox, slot: this.folder.dir, name })) {
      if (!this.said.has(line)) request.unused(line);
      this.said.add(line);
    }
    const mount = this.executor.inputMounts === 'none' ? undefined : this.mounts.of(name, inputs, signal);
    return { sandbox, mount };
  }

  private async sandbox(spec: PipelineSpec): Promise<Omit<Sandbox, 'code'>> {
    const { transform, resourceLimits } = spec;
    const isNamed = 'image' in ((spec.document as { transform?: object }).transform ?? {});
    return {
      // A default that does not matter is not reported.
      image: isNamed || this.executor.resultsClass === 'docker' ? transform.image : undefined,
      ...asOptions(await this.secrets.of(spec)),
      user: transform.user,
      workingDir: transform.workingDir,
      memoryBytesMax: resourceLimits.memoryBytes,
      cpus: resourceLimits.cpu,
      gpus: resourceLimits.gpus,
      processesMax: spec.devLimits.processesMax,
      network: spec.network,
      memoryVolume: transform.memoryVolume,
      hidden: [
        ...(await hiddenPlaces(this.settings, this.opened.store)),
        ...(await this.secrets.places()),
        ...spec.hide.map((path) => path.replace(/^~/, () => homedir())),
      ],
    };
  }
}

interface Held {
  readonly executor: LocalExecutor;
  readonly folder: RunFolder;
  readonly secrets: Secrets;
  readonly services?: ShownServices | undefined;
}

/** What commands must not see of this machine, whatever their spec says. */
async function hiddenPlaces({ home, credentials = [] }: Settings, store: OpenProject['store']): Promise<string[]> {
  const header = store.localPath(storeHeaderKey);
  const places = [home.dir, ...credentials, ...(header === undefined ? [] : [dirname(header)])];
  const all = process.geteuid?.() === 0 ? await credentialsOfAll() : [];
  return [...new Set([...places, ...all].map((path) => resolve(path)))];
}
