/**
 * Arguments and options of verbs as data: from one declaration come the parser, the help, the types
 * of the values, the checks, and what the Tab key offers.
 */
import { executorNames, localExecutorNames } from '../app/executors.ts';
import { PachError } from '../base/errors.ts';
import { clusterOptions } from './cluster-options.ts';

/** Names that the store or this machine has; `local`: a file or folder of this machine. */
export type Kind =
  | 'repo'
  | 'branch'
  | 'commit'
  | 'file'
  | 'project'
  | 'pipeline'
  | 'job'
  | 'operation'
  | 'context'
  | 'mountpoint'
  | 'local';

interface Described {
  readonly describe: string;
  /** One letter. */
  readonly alias?: string;
  /** What the Tab key offers; nothing where it is not said. */
  readonly names?: readonly Kind[];
}

/** Given or not. */
export interface Flag extends Described {
  readonly type: 'flag';
  /** False where it is not said; null: then it has no value. */
  readonly default?: boolean | null;
  readonly hidden?: boolean;
}

export interface Text extends Described {
  readonly type: 'text';
  readonly required?: true;
  readonly default?: string;
  /** The only values it may have. */
  readonly choices?: readonly string[];
}

/** An option that may be given several times, or an argument of several words. */
export interface List extends Described {
  readonly type: 'list';
  readonly required?: true;
}

/** A whole number. */
export interface Count extends Described {
  readonly type: 'count';
  readonly least: number;
  readonly default?: number;
}

export type Parameter = Flag | Text | List | Count;

/** By name, in the order in which help shows them. */
export type Parameters = Readonly<Record<string, Parameter>>;

type ValueOf<P extends Parameter> = P extends Flag
  ? boolean
  : P extends List
    ? string[]
    :
        | (P extends Count ? number : P extends { readonly choices: readonly (infer C)[] } ? C : string)
        | (P extends { readonly required: true } | { readonly default: string | number } ? never : undefined);

/** The values of parameters, by name; none where it is not known which they are. */
export type ValuesOf<P extends Parameters> = string extends keyof P
  ? unknown
  : { readonly [Name in keyof P]: ValueOf<P[Name]> };

/** An option that is not to be given with some others, and why. */
export interface Conflict {
  readonly option: string;
  readonly others: readonly string[];
  readonly why: string;
}

/** The only values that a parameter may have, where they are few. */
export function choicesOf(parameter: Parameter | undefined): readonly string[] | undefined {
  return parameter?.type === 'text' ? parameter.choices : undefined;
}

/** Throws `usage` for values that are not what their declaration says, and for options that do not go together. */
export function checkValues(
  values: Readonly<Record<string, unknown>>,
  parameters: Parameters,
  conflicts: readonly Conflict[],
): void {
  for (const [name, parameter] of Object.entries(parameters)) {
    const value = values[name];
    if (parameter.type !== 'count' || value === undefined) continue;
    if (Number.isInteger(value) && (value as number) >= parameter.least) continue;
    const why = `give a whole number of at least ${parameter.least}`;
    throw new PachError('usage', { what: `--${name}`, why });
  }
  for (const { option, others, why } of conflicts) {
    if (values[option] === true && others.some((other) => values[other] === true)) {
      throw new PachError('usage', { what: `--${option}`, why });
    }
  }
}

/** Options of every verb. */
export const commonOptions = {
  store: { type: 'text', names: ['local'], describe: 'Where the store is: a folder or s3://bucket/prefix' },
  project: { type: 'text', names: ['project'], describe: 'The project to work in' },
  'single-writer': {
    type: 'flag',
    default: null,
    describe: 'Write to an S3 server that lacks conditional writes; safe only if you are the only writer',
  },
  quiet: { type: 'flag', alias: 'q', default: null, describe: 'Print only results: no progress, no notes' },
  verbose: { type: 'flag', alias: 'v', default: null, describe: 'Print more, and stack traces of errors' },
  color: { type: 'flag', default: true, hidden: true, describe: '' },
} as const satisfies Parameters;

/** Of verbs that print a result: `-o` names a target where they do not. */
export const formatOption = {
  type: 'text',
  alias: 'o',
  choices: ['table', 'json', 'yaml'],
  default: 'table',
  describe: 'How to print the result',
} as const satisfies Parameter;

// What several verbs take.

export const repoArgument = { type: 'text', required: true, names: ['repo'], describe: '[project/]repo' } as const;
export const branchArgument = { type: 'text', required: true, names: ['branch'], describe: 'repo@branch' } as const;
export const commitArgument = { type: 'text', required: true, names: ['commit'], describe: 'repo[@ref]' } as const;
export const fileArgument = { type: 'text', required: true, names: ['file'], describe: 'repo[@ref][:/path]' } as const;
export const pipelineArgument = {
  type: 'text',
  required: true,
  names: ['pipeline'],
  describe: 'Name of a pipeline',
} as const;
export const jobArgument = {
  type: 'text',
  required: true,
  names: ['job', 'pipeline'],
  describe: 'Id of a job, or its beginning',
} as const;
export const jobOrPipeline = { ...jobArgument, describe: 'Id of a job, or a pipeline: its newest job' } as const;
export const datumArgument = { type: 'text', required: true, describe: 'Id of a datum, or its beginning' } as const;

export const recursiveOption = { type: 'flag', alias: 'r', describe: 'Include everything below' } as const;
export const messageOption = { type: 'text', alias: 'm', default: '', describe: 'Message of the commit' } as const;
export const provenanceOption = {
  type: 'list',
  names: ['file'],
  describe: 'What it was made of, repo[@ref][:/path]; may be given several times',
} as const;
export const dryRunOption = { type: 'flag', describe: 'Change nothing; show what would happen' } as const;
export const unreadableOption = {
  type: 'flag',
  describe:
    "Skip files and folders that can't be read, and commit the rest. The branch keeps its versions of skipped files. Exit code 1",
} as const;
export const executorOption = {
  type: 'text',
  choices: executorNames,
  default: 'process',
  describe: 'What runs the commands',
} as const;
/** Of verbs whose commands run on this machine. */
export const localExecutorOption = { ...executorOption, choices: localExecutorNames } as const;
export const secretsFromOption = {
  type: 'list',
  describe:
    "Take secrets from file:.env, dir:FOLDER or context=CONTEXT,namespace=NAMESPACE first, then from this machine's",
} as const;
/** How pipelines are run, of all verbs that run them. */
export const runOptions = {
  executor: executorOption,
  ...clusterOptions,
  'secrets-from': secretsFromOption,
  'explain-env': {
    type: 'flag',
    describe: 'Run nothing; show the variables and secret files that commands would see, and where each comes from',
  },
  workers: {
    type: 'count',
    least: 1,
    describe: 'Number of datums to run at a time, instead of the number in the spec',
  },
} as const;
export const cacheOption = { type: 'text', names: ['local'], describe: 'Folder of the disk cache' } as const;
export const cacheSizeOption = { type: 'text', describe: 'Largest size of the disk cache' } as const;
export const pipelineOption = { type: 'text', alias: 'p', names: ['pipeline'], describe: '' } as const;
