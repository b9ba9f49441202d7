/**
 * What a verb is: one file of `verbs/` each, put together in `verbs.ts`.
 */
import type { Argv, ArgumentsCamelCase } from 'yargs';
import type { Settings } from '../app/settings.ts';
import type { Output } from './output.ts';

/** What every verb gets beside its own arguments. */
export interface VerbContext {
  readonly settings: Settings;
  readonly output: Output;
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
}

export interface Verb<A = object> {
  /** The command with its positional arguments as yargs writes them: `create repo <repo>`. */
  readonly command: string;
  /** The same as people read it, where yargs can't take it so. */
  readonly usage?: string;
  readonly summary: string;
  /** Further forms of the first words that are understood: `ls`. */
  readonly aliases?: readonly string[];
  /** Pairs of a command line (without `pach`) and what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Fields of the JSON that `-o json` prints, for `--help`. */
  readonly json?: string;
  /** False for verbs where `-o` names a target instead of an output format. */
  readonly formats?: boolean;
  /** True for verbs that store nothing, and that may take long. */
  readonly reads?: boolean;
  options?(yargs: Argv): Argv<A>;
  /** Resolves to the exit code, 0 when undefined. */
  run(args: ArgumentsCamelCase<A>, context: VerbContext): Promise<number | void>;
}

/** Keeps the type of a verb's arguments while verbs of all types lie in one list. */
export function verb<A>(definition: Verb<A>): Verb {
  return definition;
}
