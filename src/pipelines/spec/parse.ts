/**
 * A pipeline's spec from a document: read by the table of fields, checked, with its defaults.
 */
import type { PipelineSpec } from './spec.ts';
import { buildCode, buildOf } from './code.ts';
import { buildExpect } from './expect.ts';
import { Fault, withErrors, type LineOf } from './fault.ts';
import { specFields } from './fields.ts';
import { timezoneOf } from './cron.ts';
import { buildInput } from './input.ts';
import { checkName, hiddenPlaceOf } from './names.ts';
import { readFields } from './read.ts';
import { buildPod, gpusOf } from './pod.ts';
import { buildTransform } from './transform.ts';
import type { ValuesOf } from './values.ts';

/** Where a document comes from, and where its pipeline is made. */
export interface Where {
  /** Names it in errors. */
  readonly file: string;
  /** Absolute: paths of `dev.code` are relative to it. */
  readonly folder: string;
  /** The project that the pipeline is made in. */
  readonly project: string;
  readonly lineOf?: LineOf | undefined;
}

type SpecValues = ValuesOf<typeof specFields>;

/** As Kubernetes must be able to name its pods after it. */
const nameLengthMax = 51;
const outputBytesDefault = 100e9;
const logBytesDefault = 16e6;
const processesDefault = 1024;
const retryPauseMs = 30_000;

/** The spec that a parsed JSON or YAML document is. Throws `usage`, or `unsupported` for a field that is refused. */
export function parseSpec(document: unknown, where: Where): PipelineSpec {
  return withErrors(() => buildSpec(document, where), where.file, document, where.lineOf);
}

function buildSpec(document: unknown, where: Where): PipelineSpec {
  const values = readFields(specFields, document, []);
  const { dev } = values;
  checkPipeline(values, where.project);
  buildPod(values); // its faults are told now; whoever makes pods reads it again
  checkName(values.outputBranch ?? 'master', ['outputBranch']);
  const timezone = timezoneOf(dev?.timezone, ['dev', 'timezone']);
  return {
    name: values.pipeline.name,
    description: values.description ?? '',
    transform: buildTransform(values.transform, ['transform']),
    input: buildInput(values.input, ['input'], { pipeline: values.pipeline.name, project: where.project, timezone }),
    parallelism: values.parallelismSpec?.constant ?? 1,
    datumTimeoutMs: values.datumTimeout,
    jobTimeoutMs: values.jobTimeout,
    datumTries: values.datumTries ?? 3,
    reprocess: values.reprocessSpec ?? 'until_success',
    salt: values.salt === '' ? undefined : values.salt,
    outputBranch: values.outputBranch ?? 'master',
    resourceLimits: {
      // None of something is as good as nothing said, as on Kubernetes.
      cpu: values.resourceLimits?.cpu || undefined,
      memoryBytes: values.resourceLimits?.memory || undefined,
      gpus: gpusOf(values),
    },
    code: buildCode(dev?.code ?? [], ['dev', 'code'], where.folder),
    build: dev?.build && buildOf(dev.build, ['dev', 'build'], where.folder),
    devLimits: {
      outputBytesMax: dev?.limits?.output ?? outputBytesDefault,
      logBytesMax: dev?.limits?.log ?? logBytesDefault,
      processesMax: dev?.limits?.processes ?? processesDefault,
    },
    network: dev?.network ?? 'default',
    expect:
      dev?.expect &&
      buildExpect(dev.expect, ['dev', 'expect'], { name: values.pipeline.name, datumTimeoutMs: values.datumTimeout }),
    onDatumFailure: dev?.onDatumFailure === 'skip' ? 'skip' : undefined,
    retry: dev?.retry && { tries: dev.retry.tries ?? 3, pauseMs: dev.retry.pause ?? retryPauseMs },
    hide: (dev?.hide ?? []).map((each, index) => hiddenPlaceOf(each, ['dev', 'hide', index])),
    trust: dev?.trust === 'recompute' ? 'recompute' : undefined,
    verify: dev?.verify || undefined,
    deadlineMs: dev?.deadline,
    keptJobs: dev?.keep?.jobs,
    keptTicks: dev?.keep?.ticks,
    timezone,
    missedTicks: dev?.missedTicks ?? 'one',
    document: document as object,
  };
}

function checkPipeline({ pipeline }: SpecValues, project: string): void {
  const { name } = pipeline;
  const path = ['pipeline', 'name'];
  checkName(name, path);
  if (!/^[A-Za-z0-9]/.test(name)) throw new Fault(path, 'pipeline names must start with an alphanumeric character');
  if (name.length > nameLengthMax) {
    throw new Fault(path, `it has ${name.length} characters, but must have at most ${nameLengthMax}`);
  }
  if (pipeline.project !== undefined && pipeline.project !== '' && pipeline.project !== project) {
    throw new Fault(['pipeline', 'project'], `it differs from the current project ${project}`, {
      next: `--project ${pipeline.project}`,
    });
  }
}
