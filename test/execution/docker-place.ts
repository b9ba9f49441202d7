/** What tests of the Docker executor share: an executor, slots, tasks, and what is left of them. */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connectDocker } from '../../src/execution/executors/docker.ts';
import type { LocalExecutor, Exit, Task, Worker, WorkerOptions } from '../../src/execution/executor.ts';
import { dockerForTests, type TestEngine } from '../support/docker.ts';

/** Others can neither start an engine nor mount. */
export const isRoot = process.getuid?.() === 0;
const built = resolve(import.meta.dirname, '../../native/build');
export const programs = { launcher: join(built, 'launcher'), binder: join(built, 'binder') };

export interface Ran extends Exit {
  readonly log: string;
}

export class DockerPlace implements AsyncDisposable {
  readonly engine: TestEngine;
  readonly executor: LocalExecutor;
  readonly dir: string;
  private slots = 0;

  private constructor(engine: TestEngine, executor: LocalExecutor, dir: string) {
    this.engine = engine;
    this.executor = executor;
    this.dir = dir;
  }

  static async make(engine?: TestEngine): Promise<DockerPlace> {
    const used = engine ?? (await dockerForTests());
    const executor = await connectDocker({ host: used.host, ...programs });
    return new DockerPlace(used, executor, await mkdtemp(join(tmpdir(), 'pach docker-')));
  }

  /** A slot of its own, and otherwise what a small pipeline wants. */
  async options(image: string, more: Partial<WorkerOptions> = {}): Promise<WorkerOptions> {
    this.slots += 1;
    const slot = join(this.dir, `slot ${this.slots}`);
    for (const folder of ['pfs/out', 'out']) await mkdir(join(slot, folder), { recursive: true });
    const name = `test-${process.pid}-${this.slots}`;
    const plain = { code: [], secrets: [], env: {}, memoryVolume: false, hidden: [] };
    return { slot, name, image, processesMax: 64, network: 'none', ...plain, ...more };
  }

  async open(
    image: string,
    more: Partial<WorkerOptions> = {},
  ): Promise<{ worker: Worker; slot: string; name: string }> {
    const options = await this.options(image, more);
    return { worker: await this.executor.open(options), slot: options.slot, name: options.name };
  }

  /** All containers whose worker has this name, running or not. */
  async containers(name: string): Promise<string[]> {
    const label = [`dev.pachmount.worker=${name}`];
    const found = await this.engine.docker.listContainers({ all: true, filters: { label } });
    return found.map(({ Id }) => Id);
  }

  /** Mount points below this place. */
  async mounts(): Promise<string[]> {
    const lines = (await readFile('/proc/self/mountinfo', 'utf8')).replaceAll(String.raw`\040`, ' ').split('\n');
    return lines.filter((line) => line.includes(this.dir));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.executor[Symbol.asyncDispose]();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Runs a command; with a text, that shell script. */
export async function run(worker: Worker, command: string | readonly string[], more: Partial<Task> = {}): Promise<Ran> {
  const pieces: Buffer[] = [];
  const argv = typeof command === 'string' ? ['sh', '-c', command] : command;
  const exit = await worker.run({
    argv,
    env: {},
    binds: [],
    outputBytesMax: 2 ** 30,
    log: (bytes) => pieces.push(Buffer.from(bytes)),
    ...more,
  });
  return { ...exit, log: Buffer.concat(pieces).toString() };
}
