/**
 * A command of a person in the environment of a datum: the executor, image, code, variables and input
 * with which a job ran it.
 */
import { PachError } from '../base/errors.ts';
import type { Exit, TaskStreams } from '../execution/executor.ts';
import { datumVariables, jobVariables } from '../execution/workers/environment.ts';
import { codeOfJob } from '../pipelines/editing/versions.ts';
import { readResult, type Job, type JobDatum } from '../pipelines/jobs/jobs.ts';
import { datumInPlan, pastDatum } from '../pipelines/jobs/past-datum.ts';
import { findPipeline, maybePipeline, readSpec } from '../pipelines/pipelines.ts';
import { compareOut, type ComparedOutput } from '../results/compare-out.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { ForwardedPorts, type ForwardedPort } from './forwarded-ports.ts';
import { withBuiltImage, type LocalExecutorName } from './executors.ts';
import type { OpenProject } from './open.ts';
import { executorOf, platformDifferences } from './platform.ts';
import { ownShell } from './own-shell.ts';
import { RunSession, type Bench, type RunPipeline, type ShownCode } from './run-session.ts';
import type { Settings } from './settings.ts';

/** The streams of whoever debugs, held from when it is made until it is disposed of. */
export interface Connection extends Disposable {
  readonly streams: TaskStreams;
  /** Variables that the command needs for them, where the pipeline does not set them. */
  readonly env: Readonly<Record<string, string>>;
}

export interface DebugRequest {
  readonly job: Job;
  /** One that the job has stored, or the beginning of the id of one that it has not, as it runs or was broken off. */
  readonly datum: JobDatum | string;
  /** Undefined: the one that the job ran with. */
  readonly executor: LocalExecutorName | undefined;
  readonly secretsFrom: readonly string[];
  readonly code: {
    /** The pipeline's present code, instead of the job's. */
    readonly isPresent: boolean;
    /** Shown in place of what lies there otherwise. */
    readonly shown: readonly ShownCode[];
  };
  /** Undefined: a shell. */
  readonly argv: readonly string[] | undefined;
  /** Of the command, for a debugger that waits there. */
  readonly ports: readonly ForwardedPort[];
  /** Called when the command is about to start. */
  connect(): Connection;
  /** Told of what is not as it was for the job. */
  note(line: string): void;
  readonly signal: AbortSignal;
}

/** Shells read no settings of this machine's user: the pipeline's command did not either. */
const shell = ['sh', '-c', 'command -v bash >/dev/null 2>&1 && exec bash --norc --noprofile; exec sh'];
/** Where an image without a shell sees ours. */
const shellPlace = '/.pach/busybox';

export interface Debugged {
  readonly exit: Exit;
  /** What it left in /pfs/out, or why a job could not store that. */
  readonly output: ComparedOutput | PachError;
}

/** Throws `not-found` for what is not there any more. Leaves nothing on this machine but caches. */
export async function debugDatum(settings: Settings, opened: OpenProject, request: DebugRequest): Promise<Debugged> {
  const { job, secretsFrom, signal } = request;
  const { project } = opened;
  const snapshot = await project.snapshot();
  const then = await pipelineOf(snapshot, request);
  const stored = typeof request.datum === 'string' ? undefined : request.datum;
  const { datum, inputs } =
    typeof request.datum === 'string'
      ? await datumInPlan(snapshot, job, then.spec, request.datum)
      : await pastDatum(snapshot, job, then.spec, request.datum);
  const executor = request.executor ?? executorOf(job);
  await using session = await RunSession.open(settings, opened, { executor, secretsFrom, idleWorkersMax: 0 });
  const watch = { log: (line: string) => request.note(line), signal };
  const spec = await withBuiltImage(session.executor, then.spec, watch);
  const isShared = executor === 'process' && spec.network !== 'none';
  await using ports = await ForwardedPorts.open(request.ports, isShared, (line) => request.note(line));
  const pipeline = { ...then, spec };
  const differing = await platformDifferences(snapshot.reader, job, session.executor, spec.transform.image);
  if (differing && differing.length > 0)
    request.note(`not all is as it was for job ${job.id}; it differs in: ${differing.join(', ')}`);
  const unused = (line: string): void => request.note(line);
  const { bench, argv } = await prepared(request, executor, (shown) =>
    session.bench(pipeline, { inputs, signal, unused }, shown),
  );
  await using _ = bench;
  const { worker, slot } = bench;
  const binds = await slot.fill(datum);
  const variables = datumVariables(datum);
  if (spec.transform.datumBatching) slot.writeEnvironment(variables);
  const names = { job: job.id, project: project.options.name, specHash: job.spec.hash.toString('hex') };
  signal.throwIfAborted();
  const exit = await (async () => {
    using connection = request.connect();
    return await worker.run({
      argv,
      env: { ...connection.env, ...jobVariables(spec, names), ...variables },
      binds,
      outputBytesMax: spec.devLimits.outputBytesMax,
      log: () => undefined,
      streams: connection.streams,
      ports,
      signal,
    });
  })();
  signal.throwIfAborted();
  const out = stored && (await readResult(snapshot.reader, stored.result)).out;
  const output = await compareOut({ reader: snapshot.reader, datum, folder: slot.out, signal }, out).catch(
    (error: unknown) => {
      if (error instanceof PachError) return error;
      throw error;
    },
  );
  return { exit, output };
}

interface Prepared {
  readonly bench: Bench;
  readonly argv: readonly string[];
}

/** Where the command runs, and what it is: where an image has no shell, one of this machine is shown in it. */
async function prepared(
  request: DebugRequest,
  executor: LocalExecutorName,
  open: (shown: readonly ShownCode[]) => Promise<Bench>,
): Promise<Prepared> {
  const { argv, signal } = request;
  const { shown } = request.code;
  const bench = await open(shown);
  try {
    if (argv || executor === 'process' || (await hasShell(bench, signal))) return { bench, argv: argv ?? shell };
  } catch (error) {
    await bench[Symbol.asyncDispose]();
    throw error;
  }
  await bench[Symbol.asyncDispose]();
  const from = await ownShell();
  request.note(`the image has no shell: this is ${from} of this machine`);
  return { bench: await open([...shown, { from, to: shellPlace }]), argv: [shellPlace, 'sh'] };
}

async function hasShell({ worker }: Bench, signal: AbortSignal): Promise<boolean> {
  const probe = { argv: ['sh', '-c', ':'], env: {}, binds: [], outputBytesMax: 0, log: () => undefined, signal };
  return (await worker.run(probe)).ending.kind !== 'not-started';
}

async function pipelineOf(snapshot: Snapshot, { job, code }: DebugRequest): Promise<RunPipeline> {
  const name = job.pipeline;
  if (!code.isPresent) return { name, ...(await codeOfJob(snapshot, job)) };
  const then = await readSpec(snapshot.reader, job.spec);
  const now = (await maybePipeline(snapshot, name, job.branch)) ?? (await findPipeline(snapshot, name));
  return { name, spec: { ...then, code: now.spec.code }, code: now.code };
}
