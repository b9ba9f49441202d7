/**
 * Running pipelines as the command does it: the engine with this machine's executors, mounts,
 * secrets and folders.
 */
import { mkdir, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { PachError } from '../base/errors.ts';
import { removeTreeAsync } from '../base/remove.ts';
import { storeHeaderKey } from '../model/keys.ts';
import { parseAddress } from '../model/address.ts';
import type { Counting } from '../engine/counts.ts';
import type { WorkerOptions } from '../execution/executor.ts';
import { maybeJob } from '../pipelines/jobs/jobs.ts';
import { codeEntries, type Pipeline } from '../pipelines/pipelines.ts';
import { graphFor, runGraph, type GraphOptions, type GraphStep } from '../engine/run-graph.ts';
import { pfsInputs } from '../pipelines/spec/input.ts';
import { LocalPool } from '../execution/workers/local-pool.ts';
import type { InputsMount } from '../execution/workers/slot.ts';
import { letRead } from '../execution/workers/readable.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import { extractFile, extractFolder } from '../versions/reading/extract.ts';
import { FileBytes, Files } from '../versions/reading/files.ts';
import { resolveCommit } from '../versions/resolve.ts';
import type { Commit } from '../versions/snapshot.ts';
import { credentialsOfAll } from './credentials.ts';
import { openExecutor, type ExecutorName } from './executors.ts';
import { mountLogPath } from '../local/mounts.ts';
import { unmountAll } from '../mount/kernel-mount.ts';
import { whereOf } from './mount-plan.ts';
import { mountProject } from './mount.ts';
import type { OpenProject } from './open.ts';
import { jobsWithLogs, openRunFolder } from './run-folder.ts';
import { secretsOf } from './secrets.ts';
import type { Settings } from './settings.ts';

export interface RunRequest {
  /** Pipelines to run, after those that they depend on. */
  readonly names: readonly string[];
  /** Where all output goes: a name that a branch may have. */
  readonly branch: string | undefined;
  /** Addresses of versions to read: `images@ID`. */
  readonly inputs: readonly string[];
  readonly executor: ExecutorName;
  /** Instead of what the specs say. */
  readonly workers: number | undefined;
  readonly recompute: number;
  readonly signal: AbortSignal;
  begins(pipeline: Pipeline): void;
  progress(pipeline: Pipeline, counting: Counting): void;
  /** Something worth knowing that is not a result. */
  note(line: string): void;
}

const mountMemoryBytes = 256e6;
const mountTimeoutMs = 60_000;
const unwatched = { progress: () => undefined };

/** Runs a graph, a step a pipeline. Leaves nothing on this machine but caches. */
export async function* runPipelines(
  settings: Settings,
  { project, store }: OpenProject,
  request: RunRequest,
): AsyncGenerator<GraphStep> {
  const pinned = await pinnedVersions(project, request);
  await using executor = await openExecutor(request.executor, settings);
  await using folder = await openRunFolder(settings.home);
  await using mounts = new Mounts();
  const hidden = await hiddenPlaces(settings, store);
  const said = new Set<string>();
  let number = 0;
  const options: GraphOptions = {
    project,
    names: request.names,
    branch: request.branch,
    pinned,
    begins: (pipeline) => request.begins(pipeline),
    async jobOptions(pipeline) {
      const { spec } = pipeline;
      const dir = join(folder.dir, String((number += 1)));
      await mkdir(dir);
      const sandbox = {
        ...(await sandboxOf(settings, { spec, executor: request.executor }, hidden)),
        code: await writeCode(project.reader, pipeline, join(dir, 'code')),
      };
      for (const line of executor.unused({ ...sandbox, slot: dir, name: spec.name })) {
        if (!said.has(line)) request.note(line);
        said.add(line);
      }
      const mount =
        executor.inputMounts !== 'none' ? lazyMount(settings, join(dir, 'mnt'), mounts, request.signal) : undefined;
      return {
        executor,
        pool: new LocalPool({ executor, count: request.workers ?? spec.parallelism, sandbox, folder: dir, mount }),
        logs: (job) => settings.home.make(join(settings.home.logs, job)),
        recompute: request.recompute,
        signal: request.signal,
        progress: (counting) => request.progress(pipeline, counting),
        note: (line) => request.note(line),
      };
    },
  };
  for await (const step of runGraph(options)) {
    await clearLogs(settings, project);
    yield step;
  }
}

/** Removes the local logs of jobs that ended: the store has them now. Those of an interrupted job are nowhere else. */
async function clearLogs({ home }: Settings, project: OpenProject['project']): Promise<void> {
  const snapshot = await project.snapshot();
  for (const name of await jobsWithLogs(home)) {
    const job = await maybeJob(snapshot, name);
    if (job?.datums) await removeTreeAsync(join(home.logs, name));
  }
}

/** Versions named on the command line, by repo. Throws `usage` where no pipeline of the graph reads the repo. */
async function pinnedVersions(
  project: OpenProject['project'],
  { names, branch, inputs }: RunRequest,
): Promise<Map<string, Commit>> {
  const pinned = new Map<string, Commit>();
  if (inputs.length === 0) return pinned;
  const snapshot = await project.snapshot();
  const { order } = await graphFor(snapshot, names, branch);
  for (const text of inputs) {
    const address = parseAddress(text);
    if (!order.some(({ spec }) => pfsInputs(spec.input).some(({ repo }) => repo === address.repo))) {
      throw new PachError('usage', { what: `--input ${text}`, why: `${names[0]} does not read ${address.repo}` });
    }
    pinned.set(address.repo, await resolveCommit(snapshot, address));
  }
  return pinned;
}

/** What commands must not see of this machine, whatever their spec says. */
async function hiddenPlaces({ home, credentials = [] }: Settings, store: OpenProject['store']): Promise<string[]> {
  const header = store.localPath(storeHeaderKey);
  const places = [home.dir, ...credentials, ...(header === undefined ? [] : [dirname(header)])];
  const all = process.geteuid?.() === 0 ? await credentialsOfAll() : [];
  return [...new Set([...places, ...all].map((path) => resolve(path)))];
}

async function sandboxOf(
  settings: Settings,
  { spec, executor }: { readonly spec: PipelineSpec; readonly executor: ExecutorName },
  hidden: readonly string[],
): Promise<Omit<WorkerOptions, 'slot' | 'name' | 'code'>> {
  const { transform, resourceLimits } = spec;
  const { files, env } = await secretsOf(settings.home, spec);
  const isNamed = 'image' in ((spec.document as { transform?: object }).transform ?? {});
  return {
    // A default that does not matter is not reported.
    image: isNamed || executor === 'docker' ? transform.image : undefined,
    secrets: files,
    env,
    user: transform.user,
    workingDir: transform.workingDir,
    memoryBytesMax: resourceLimits.memoryBytes,
    cpus: resourceLimits.cpu,
    gpus: resourceLimits.gpus,
    processesMax: spec.devLimits.processesMax,
    network: spec.network,
    memoryVolume: transform.memoryVolume,
    hidden: [...hidden, ...spec.hide.map((path) => path.replace(/^~/, () => homedir()))],
  };
}

/** Writes a pipeline's code out, as its version has it. */
async function writeCode(
  reader: OpenProject['project']['reader'],
  pipeline: Pipeline,
  dir: string,
): Promise<WorkerOptions['code']> {
  const entries = await codeEntries(reader, pipeline);
  if (entries.length > 0) await mkdir(dir);
  for (const [index, entry] of entries.entries()) {
    const target = join(dir, String(index));
    if (entry.content.form === 'directory') {
      await extractFolder(new Files(reader, entry.content, 'code'), { path: '/', entry }, target, unwatched);
    } else await extractFile(new FileBytes(reader), { path: `/${index}`, entry }, target, unwatched);
    letRead(target);
  }
  return pipeline.spec.code.map(({ to }, index) => ({ from: join(dir, String(index)), to }));
}

/** A mount of the project as it is when the first datum needs it, and anew when it has broken; gone with `mounts`. */
function lazyMount(
  settings: Settings,
  mountpoint: string,
  mounts: Mounts,
  signal: AbortSignal,
): () => Promise<InputsMount> {
  let opened: Promise<InputsMount> | undefined;
  const open = async (): Promise<InputsMount> => {
    const plan = {
      ...whereOf(settings),
      mountpoint,
      sources: [],
      memoryBytesMax: mountMemoryBytes,
      timeoutMs: mountTimeoutMs,
    };
    // A command may be another user than the engine, which only root can let in without asking.
    const manner = { allowOther: process.geteuid?.() === 0, noExec: false, signal };
    const { ended } = await mountProject(settings, plan, manner);
    void ended.then(() => {
      opened = undefined;
      unmountAll([mountpoint]);
    });
    const mount: InputsMount = {
      pathOf: (repo, commit, path) => `${mountpoint}/${repo}@${commit}${path === '/' ? '' : path}`,
      async [Symbol.asyncDispose]() {
        unmountAll([mountpoint]);
        await ended;
        await rm(await mountLogPath(settings.home, mountpoint), { force: true });
      },
    };
    mounts.opened.push(mount);
    return mount;
  };
  return () => {
    opened ??= open().catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
}

/** Mounts that go when the run ends. */
class Mounts implements AsyncDisposable {
  readonly opened: InputsMount[] = [];

  async [Symbol.asyncDispose](): Promise<void> {
    for (const mount of this.opened) await mount[Symbol.asyncDispose]();
  }
}
