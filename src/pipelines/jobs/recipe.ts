/**
 * A datum's key: the hash of all that can influence what its command writes (FORMAT.md section 6).
 * Two documents make it, the recipe of the pipeline and the input of the datum; they are kept, so
 * that it can be said later which part of a key differs.
 */
import type { Hash } from '../../model/refs.ts';
import type { TreeEntry } from '../../model/tree.ts';
import { entryHash } from '../../model/tree.ts';
import { canonicalJson, hashOf } from '../../model/canonical.ts';
import type { PipelineSpec } from '../spec/spec.ts';

const context = Buffer.from('pachmount 2026 datum v1');

/** 1 had no names of pipelines and projects. A result under the key of another version is never found. */
const recipeVersion = 2;

/** What is needed to name the results of commands: all that decides what a command does, but for its task. */
export interface Fingerprint {
  /** Names and values, of text only; equal ones mean equal behaviour. */
  readonly [name: string]: string;
}

export interface Recipe {
  readonly bytes: Buffer;
  readonly hash: Hash;
}

export interface RecipeParts {
  readonly spec: PipelineSpec;
  /** The project's name. */
  readonly project: string;
  /** Of the executor. Its name is not part of the recipe: another one of the class finds the same results. */
  readonly resultsClass: 'process' | 'docker';
  readonly fingerprint: Fingerprint;
  /** What lies at each place of `spec.code`. */
  readonly code: readonly TreeEntry[];
  readonly salt: string;
}

/**
 * What decides how a command behaves, but for its input: all that it can see and that stays the same
 * from run to run, its pipeline's name too. Left out is what changes by itself (ids of jobs and
 * commits), parallelism, limits of time and memory, and values of secrets. ARCHITECTURE.md has the
 * table of all that a command is given.
 */
export function recipeOf({ spec, project, resultsClass, fingerprint, code, salt }: RecipeParts): Recipe {
  const { transform } = spec;
  const bytes = canonicalJson({
    version: recipeVersion,
    pipeline: spec.name,
    project,
    executor: resultsClass,
    platform: fingerprint,
    cmd: transform.cmd,
    stdin: transform.stdin,
    errCmd: transform.errCmd,
    errStdin: transform.errStdin,
    acceptReturnCode: [...transform.acceptReturnCode].sort((a, b) => a - b),
    env: transform.env,
    secrets: transform.secrets,
    user: transform.user,
    workingDir: transform.workingDir,
    datumBatching: transform.datumBatching,
    memoryVolume: transform.memoryVolume,
    network: spec.network,
    hide: spec.hide.length > 0 ? spec.hide : undefined,
    gpu: (spec.resourceLimits.gpus ?? 0) > 0,
    code: codeDocument(spec, code),
    salt: [spec.salt ?? '', salt],
  });
  return { bytes, hash: hashOf(bytes) };
}

/** What of a pipeline's code decides what it does: places, names, bytes and executable bits; no times. */
export function codeDocument(spec: PipelineSpec, code: readonly TreeEntry[]): readonly object[] {
  return code.map((entry, index) => ({
    to: spec.code[index]?.to,
    kind: entry.kind,
    executable: entry.executable,
    hash: entryHash(entry).toString('hex'),
  }));
}

/** `input` is what `inputDocument` says of the datum. */
export function datumKey(recipe: Recipe, input: object): Hash {
  return hashOf(context, recipe.hash, hashOf(canonicalJson(input)));
}
