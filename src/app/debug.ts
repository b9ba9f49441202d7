/**
 * A command of a person in the environment of a datum: the executor, image, code, variables and input
 * with which a job ran it.
 */
import { PachError } from '../base/errors.ts';
import { canonicalJson } from '../model/canonical.ts';
import type { Exit, TaskStreams } from '../execution/executor.ts';
import { datumVariables, jobVariables } from '../execution/workers/environment.ts';
import { codeOfJob } from '../pipelines/editing/versions.ts';
import { readResult, type Job, type JobDatum } from '../pipelines/jobs/jobs.ts';
import { pastDatum } from '../pipelines/jobs/past-datum.ts';
import { findPipeline, maybePipeline, readSpec } from '../pipelines/pipelines.ts';
import { compareOut, type ComparedOutput } from '../results/compare-out.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { ForwardedPorts, type ForwardedPort } from './forwarded-ports.ts';
import { executorNames, withBuiltImage, type ExecutorName } from './executors.ts';
import type { OpenProject } from './open.ts';
import { RunSession, type RunPipeline, type ShownCode } from './run-session.ts';
import type { Settings } from './settings.ts';

/** The streams of whoever debugs, held from when it is made until it is disposed of. */
export interface Connection extends Disposable {
  readonly streams: TaskStreams;
  /** Variables that the command needs for them, where the pipeline does not set them. */
  readonly env: Readonly<Record<string, string>>;
}

export interface DebugRequest {
  readonly job: Job;
  readonly datum: JobDatum;
  /** Undefined: the one that the job ran with. */
  readonly executor: ExecutorName | undefined;
  readonly secretsFrom: readonly string[];
  readonly code: {
    /** The pipeline's present code, instead of the job's. */
    readonly isPresent: boolean;
    /** Shown in place of what lies there otherwise. */
    readonly shown: readonly ShownCode[];
  };
  readonly argv: readonly string[];
  /** Of the command, for a debugger that waits there. */
  readonly ports: readonly ForwardedPort[];
  /** Called when the command is about to start. */
  connect(): Connection;
  /** Told of what is not as it was for the job. */
  note(line: string): void;
  readonly signal: AbortSignal;
}

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
  const { datum, inputs } = await pastDatum(snapshot, job, then.spec, request.datum);
  const executor = request.executor ?? executorOf(job);
  await using session = await RunSession.open(settings, opened, { executor, secretsFrom, idleWorkersMax: 0 });
  const watch = { log: (line: string) => request.note(line), signal };
  const spec = await withBuiltImage(session.executor, then.spec, watch);
  const isShared = executor === 'process' && spec.network !== 'none';
  await using ports = await ForwardedPorts.open(request.ports, isShared, (line) => request.note(line));
  const pipeline = { ...then, spec };
  for (const line of await differences(snapshot, job, session.executor.fingerprint(spec.transform.image), session)) {
    request.note(line);
  }
  await using bench = await session.bench(
    pipeline,
    { inputs, signal, unused: (line) => request.note(line) },
    request.code.shown,
  );
  const { worker, slot } = bench;
  const binds = await slot.fill(datum);
  const variables = datumVariables(datum);
  if (spec.transform.datumBatching) slot.writeEnvironment(variables);
  const names = { job: job.id, project: project.options.name, specHash: job.spec.hash.toString('hex') };
  signal.throwIfAborted();
  const exit = await (async () => {
    using connection = request.connect();
    return await worker.run({
      argv: request.argv,
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
  const { out } = await readResult(snapshot.reader, request.datum.result);
  const output = await compareOut({ reader: snapshot.reader, datum, folder: slot.out, signal }, out).catch(
    (error: unknown) => {
      if (error instanceof PachError) return error;
      throw error;
    },
  );
  return { exit, output };
}

async function pipelineOf(snapshot: Snapshot, { job, code }: DebugRequest): Promise<RunPipeline> {
  const name = job.pipeline;
  if (!code.isPresent) return { name, ...(await codeOfJob(snapshot, job)) };
  const then = await readSpec(snapshot.reader, job.spec);
  const now = (await maybePipeline(snapshot, name, job.branch)) ?? (await findPipeline(snapshot, name));
  return { name, spec: { ...then, code: now.spec.code }, code: now.code };
}

function executorOf({ id, executor }: Job): ExecutorName {
  const found = executorNames.find((name) => name === executor);
  if (found) return found;
  throw new PachError('unsupported', {
    what: `job ${id}`,
    why: `it ran with the executor ${executor}, which this machine does not have`,
    next: `choose another one: --executor ${executorNames.join('|')}`,
  });
}

/** What the recipe of the job says of the machine or image, and is not so now. */
async function differences(
  snapshot: Snapshot,
  job: Job,
  fingerprint: ReturnType<RunSession['executor']['fingerprint']>,
  { executor }: RunSession,
): Promise<string[]> {
  const recipe = JSON.parse((await snapshot.reader.plainChunk(job.recipe)).toString()) as {
    readonly executor: string;
    readonly platform: Readonly<Record<string, unknown>>;
  };
  const now: Readonly<Record<string, unknown>> = await fingerprint;
  if (recipe.executor !== executor.resultsClass) return [];
  const names = [...new Set([...Object.keys(recipe.platform), ...Object.keys(now)])].filter(
    (name) => !canonicalJson({ is: recipe.platform[name] }).equals(canonicalJson({ is: now[name] })),
  );
  if (names.length === 0) return [];
  return [`not all is as it was for job ${job.id}; it differs in: ${names.join(', ')}`];
}
