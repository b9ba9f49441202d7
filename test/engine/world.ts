/**
 * Pipelines run by the real engine in the memory of a test: an executor whose command is a function
 * of what lies in /pfs, and a project in a memory store.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parsePath } from '../../src/model/paths.ts';
import { setPipelines } from '../../src/pipelines/editing/edit-pipelines.ts';
import type { Ending, LocalExecutor, Task, Worker, WorkerOptions } from '../../src/execution/executor.ts';
import type { JobOptions } from '../../src/engine/job-run.ts';
import { runGraph, type GraphStep } from '../../src/engine/run-graph.ts';
import { LocalPool } from '../../src/execution/workers/local-pool.ts';
import { Session, type Sandbox } from '../../src/execution/workers/session.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import type { Store } from '../../src/store/store.ts';
import { newCommitId } from '../../src/versions/change.ts';
import { Directories, type Directory } from '../../src/versions/directories.ts';
import type { Project } from '../../src/versions/project.ts';
import { createRepo } from '../../src/versions/refs.ts';
import { rootOf } from '../../src/versions/snapshot.ts';
import { makeTestProject } from '../versions/project.ts';
import { fileEntry } from '../pipelines/datum-world.ts';

/** Text by path, without a slash in front; true for an empty folder. */
export type Tree = Readonly<Record<string, string | true>>;

/** What a command is: a function of what it sees in /pfs and of its arguments. */
export type Command = (seen: Tree, argv: readonly string[], task: Task) => Promise<Output> | Output;

export interface Output {
  readonly out?: Tree;
  readonly log?: string;
  readonly ending?: Ending;
}

const success: Ending = { kind: 'exit', code: 0 };

/** Runs such a command; counts what it ran. */
export class FunctionExecutor implements LocalExecutor {
  name = 'function';
  resultsClass: LocalExecutor['resultsClass'] = 'process';
  readonly inputMounts = 'none';
  /** The command, which a test may exchange. */
  command: Command;
  /** What every run saw, in order. */
  readonly ran: Tree[] = [];
  workers = 0;

  constructor(command: Command) {
    this.command = command;
  }

  fingerprint(): Promise<Record<string, string>> {
    return Promise.resolve({ executor: 'function' });
  }

  environment(): Promise<Record<string, string>> {
    return Promise.resolve({});
  }

  unused(): readonly string[] {
    return [];
  }

  open({ slot }: WorkerOptions): Promise<Worker> {
    this.workers += 1;
    return Promise.resolve({
      isCurrent: () => true,
      run: async (task: Task) => {
        const seen = await readFolder(join(slot, 'pfs'));
        this.ran.push(seen);
        const { out = {}, log = '', ending = success } = await this.command(seen, task.argv, task);
        if (log !== '') task.log(Buffer.from(log));
        await writeFolder(join(slot, 'out'), out);
        return { ending, wallMs: 1, cpuMs: 1, memoryBytesPeak: 1 };
      },
      [Symbol.asyncDispose]: () => {
        this.workers -= 1;
        return Promise.resolve();
      },
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

async function readFolder(dir: string, prefix = ''): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = `${prefix}${entry.name}`;
    if (path === 'out' || path === '.env') continue;
    if (entry.isDirectory()) Object.assign(found, await readFolder(join(dir, entry.name), `${path}/`));
    else found[path] = await readFile(join(dir, entry.name), 'utf8');
  }
  return found;
}

async function writeFolder(dir: string, tree: Tree): Promise<void> {
  for (const [path, text] of Object.entries(tree)) {
    const target = join(dir, path);
    await mkdir(text === true ? target : dirname(target), { recursive: true });
    if (text !== true) await writeFile(target, text);
  }
}

/** A spec as its author writes it. */
export interface SpecWords {
  readonly name: string;
  readonly cmd?: readonly string[];
  readonly input: object;
  readonly [field: string]: unknown;
}

/** How a test wants a pipeline to be run. */
export interface RunWords extends Partial<JobOptions> {
  readonly workers?: number;
}

export class EngineWorld implements AsyncDisposable {
  readonly project: Project;
  readonly store: Store;
  readonly executor: FunctionExecutor;
  readonly dir: string;
  private runs = 0;

  private constructor(project: Project, store: Store, executor: FunctionExecutor, dir: string) {
    this.project = project;
    this.store = store;
    this.executor = executor;
    this.dir = dir;
  }

  /** A project with the repos `data` and `more`. */
  static async make(command: Command, inner: Store = new MemoryStore()): Promise<EngineWorld> {
    const { project, store } = await makeTestProject(inner);
    await createRepo(project, 'more', '');
    const dir = await mkdtemp(join(tmpdir(), 'pach-engine-'));
    return new EngineWorld(project, store, new FunctionExecutor(command), dir);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.dir, { recursive: true, force: true });
  }

  /** Commits that a repo's branch holds just this. */
  async commit(repo: string, tree: Tree): Promise<void> {
    const begun = await this.project.begin();
    const directories = new Directories(this.project.reader, begun.upload.nodes);
    let root: Directory = await directories.apply(undefined, []);
    for (const [path, text] of Object.entries(tree)) {
      const names = parsePath(`/${path}`);
      root = await directories.set(root, names, fileEntry(names.at(-1) as Buffer, String(text)), 0);
    }
    await this.project.update(
      'put',
      async (change) => {
        const id = newCommitId();
        await change.commit({ id, repo, branch: 'master', tree: root, message: '', started: Date.now() });
      },
      begun,
    );
  }

  /** Makes or changes a pipeline. */
  async set({ name, cmd = ['f'], ...fields }: SpecWords, reprocess = false): Promise<void> {
    const document = { pipeline: { name }, transform: { cmd }, datum_tries: 1, ...fields };
    const spec = parseSpec(document, { file: 'spec', folder: this.dir, project: 'default' });
    const { signal } = new AbortController();
    await setPipelines(this.project, [spec], { update: true, reprocess, signal, skipped: () => undefined });
  }

  /** Runs a pipeline and what it depends on; resolves to the last one's step. */
  async run(name: string, more: RunWords = {}): Promise<GraphStep> {
    let last: GraphStep | undefined;
    for await (const step of this.graph(name, more)) last = step;
    return last as GraphStep;
  }

  graph(
    name: string,
    { branch, workers = 1, tell = () => undefined, ...more }: RunWords = {},
  ): AsyncGenerator<GraphStep> {
    const { project, executor } = this;
    return runGraph({
      project,
      names: [name],
      branch,
      pinned: new Map(),
      tell,
      jobOptions: async () => {
        const folder = join(this.dir, String((this.runs += 1)));
        await mkdir(join(folder, 'logs'), { recursive: true });
        return {
          executor,
          pool: this.pool(workers),
          logs: () => Promise.resolve(join(folder, 'logs')),
          recompute: 0,
          signal: new AbortController().signal,
          ...more,
        };
      },
    });
  }

  /** Workers for one job. */
  pool(count: number): LocalPool {
    const folder = join(this.dir, `pool-${(this.runs += 1)}`);
    const session = new Session({ executor: this.executor, folder, idleMax: 0, busyMax: Infinity });
    return new LocalPool({ session, count, sandbox, mount: undefined, masked: (text) => text });
  }

  /** The files of a branch's head; undefined where it has none. */
  async files(repo: string, branch = 'master'): Promise<Tree | undefined> {
    const snapshot = await this.project.snapshot();
    const head = (await snapshot.maybeBranch(repo, branch))?.head;
    return head && this.filesOf(rootOf(await snapshot.commitAt(head.commit)));
  }

  async filesOf(root: Directory, prefix = ''): Promise<Record<string, string | true>> {
    const found: Record<string, string | true> = {};
    for await (const { name, content } of new Directories(this.project.reader).reader(root).items()) {
      const path = `${prefix}${name.toString()}`;
      if (content.form === 'directory') Object.assign(found, await this.filesOf(content, `${path}/`));
      else found[path] = content.form === 'inline' ? content.bytes.toString() : `(${content.form})`;
    }
    if (prefix !== '' && Object.keys(found).length === 0) found[prefix.slice(0, -1)] = true;
    return found;
  }
}

export const sandbox: Sandbox = {
  code: [],
  secrets: [],
  env: {},
  processesMax: 10,
  network: 'default',
  memoryVolume: false,
  hidden: [],
};

/** Every file copied, under the name of its input. */
export const copy: Command = (seen) => ({ out: seen });
