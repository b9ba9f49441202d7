/**
 * A pod without a cluster: a worker's process, and beside it a container of a Docker engine with the
 * launcher, which see the same folder as the containers of a pod do.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type Docker from 'dockerode';
import type { TestEngine } from '../support/docker.ts';
import type { PipelinePlace } from '../pipelines/cli-world.ts';

export interface PodParts {
  readonly image: string;
  readonly job: string;
  /** Where the container sees each code, by number. */
  readonly code?: readonly string[];
  /** It waits for the next job when one has ended. */
  readonly isWarm?: boolean;
  /** Of the worker. */
  readonly env?: Readonly<Record<string, string>>;
}

let pods = 0;

export class TestPod implements AsyncDisposable {
  readonly dir: string;
  readonly name: string;
  readonly uid: string;
  readonly worker: ChildProcess;
  private readonly engine: TestEngine;
  private readonly parts: PodParts;
  private readonly containers: Docker.Container[] = [];
  /** What the worker has said on stdout and stderr. */
  said = '';

  private constructor(engine: TestEngine, parts: PodParts, dir: string, worker: ChildProcess) {
    this.engine = engine;
    this.parts = parts;
    this.dir = dir;
    this.name = `edges-${pods}`;
    this.uid = `uid-${pods}`;
    this.worker = worker;
    worker.stdout?.on('data', (bytes: Buffer) => (this.said += bytes.toString()));
  }

  /** Starts the worker, and a container once the launcher lies there, as the probe of a pod would. */
  static async start({ place }: PipelinePlace, engine: TestEngine, parts: PodParts): Promise<TestPod> {
    pods += 1;
    const dir = join(place.dir, `pod-${pods}`);
    await mkdir(join(dir, 'bin'), { recursive: true });
    const env = { PACH_POD_NAME: `edges-${pods}`, PACH_POD_UID: `uid-${pods}`, ...parts.env };
    const words = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const own = [`PACH_STORE=${place.store}`, `PACH_HOME=${dir}/home`, ...words];
    const script = `exec pach worker -j "$1" --pod "$2" ${parts.isWarm ? '--warm' : ''} 2>&1`;
    const worker = place.start(['env', ...own, 'sh', '-c', script, 'sh', parts.job, dir]);
    const pod = new TestPod(engine, parts, dir, worker);
    const launcher = join(dir, 'bin/launcher');
    const ended = once(worker, 'exit');
    await Promise.race([appears(launcher), ended]);
    if (!existsSync(launcher)) throw new Error(`the worker has ended: ${pod.said}`);
    await pod.launch();
    return pod;
  }

  /** Starts a launcher in a new container, as when a pod's container is started again. */
  async launch(): Promise<Docker.Container> {
    const { image, code = [] } = this.parts;
    const bind = (from: string, to: string, mode = 'ro'): string => `${join(this.dir, from)}:${to}:${mode}`;
    const container = await this.engine.docker.createContainer({
      Image: image,
      Entrypoint: ['/pach-bin/launcher'],
      Cmd: ['--socket', '/pach-run/socket'],
      HostConfig: {
        NetworkMode: 'none',
        CapDrop: ['ALL'],
        Binds: [
          bind('bin', '/pach-bin'),
          bind('run', '/pach-run', 'rw'),
          bind('slot/pfs', '/pfs'),
          bind('slot/out', '/pfs/out', 'rw'),
          ...code.map((to, index) => bind(`code/${index}`, to)),
        ],
      },
    });
    this.containers.push(container);
    await container.start();
    return container;
  }

  get container(): Docker.Container {
    const last = this.containers.at(-1);
    if (!last) throw new Error('there is no container');
    return last;
  }

  /** The exit code of the last container. */
  async launcherEnded(): Promise<number> {
    const { StatusCode } = (await this.container.wait()) as { StatusCode: number };
    return StatusCode;
  }

  /** The exit code of the worker, or its signal. */
  async workerEnded(): Promise<number | string | null> {
    const { worker } = this;
    if (worker.exitCode === null && worker.signalCode === null) await once(worker, 'exit');
    return worker.exitCode ?? worker.signalCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.worker.kill('SIGKILL');
    for (const container of this.containers) await container.remove({ force: true }).catch(() => undefined);
  }
}

async function appears(path: string): Promise<void> {
  for await (const _ of watching(join(path, '..'))) if (existsSync(path)) return;
}

/** Yields at first, and after each change in a folder. */
async function* watching(dir: string): AsyncGenerator<undefined> {
  let wake = (): void => undefined;
  const watcher = watch(dir, () => wake());
  try {
    for (;;) {
      const changed = new Promise<void>((go) => (wake = go));
      yield undefined;
      await changed;
    }
  } finally {
    watcher.close();
  }
}
