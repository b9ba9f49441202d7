/**
 * What a verb is: a few of one subject in a file of `verbs/`, put together in `parsing/verbs.ts`.
 */
import type { Settings } from '../app/settings.ts';
import type { Output } from './output.ts';
import { checkValues, type Conflict, type Parameters, type ValuesOf } from './parameters.ts';

/** What every verb gets beside its own arguments. */
export interface VerbContext {
  readonly settings: Settings;
  readonly output: Output;
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
}

/** What the parser gives beside the values of arguments and options. */
interface Parsed {
  /** Words that no argument took: those after `--`. */
  readonly _: readonly (string | number)[];
  /** Of verbs that take a command: its words, those after `--`. */
  readonly '--'?: readonly string[];
  /** Of the options that all verbs have. */
  readonly verbose?: boolean;
  /** The output format as it was given. */
  readonly output?: string;
}

interface Told {
  /** The words that name it: `create repo`. */
  readonly name: string;
  /** The name and the arguments as people read them, where that differs from what is parsed. */
  readonly usage?: string;
  readonly summary: string;
  /** Pairs of a command line (without `pach`) and what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** Fields of the JSON that `-o json` prints, for `--help`. */
  readonly json?: string;
  /**
   * False for verbs where `-o` names a target instead of an output format; a list: formats that the verb
   * writes by itself, beside those that all have.
   */
  readonly formats?: boolean | readonly string[];
  /** True for verbs that take the command line of another program after `--`. */
  readonly takesCommand?: boolean;
  /** True for verbs that store nothing, and that may take long. */
  readonly reads?: boolean;
  readonly conflicts?: readonly Conflict[];
}

export interface Verb extends Told {
  /** The name and the arguments as yargs writes them: `create repo <repo>`. */
  readonly command: string;
  readonly arguments: Parameters;
  readonly options: Parameters;
  /** Resolves to the exit code, 0 when undefined. */
  run(args: Readonly<Record<string, unknown>>, context: VerbContext): Promise<number | void>;
}

interface Definition<A extends Parameters, O extends Parameters> extends Told {
  readonly arguments?: A;
  readonly options?: O;
  run(args: ValuesOf<A> & ValuesOf<O> & Parsed, context: VerbContext): Promise<number | void>;
}

/** A verb of its declaration. What `run` gets has been checked. */
export function verb<const A extends Parameters, const O extends Parameters>(definition: Definition<A, O>): Verb {
  const taken: Parameters = definition.arguments ?? {};
  const options: Parameters = definition.options ?? {};
  const words = Object.entries(taken).map(([name, argument]) => {
    const text = argument.type === 'list' ? `${name}..` : name;
    return 'required' in argument ? `<${text}>` : `[${text}]`;
  });
  return {
    ...definition,
    command: [definition.name, ...words].join(' '),
    arguments: taken,
    options,
    async run(args, context) {
      checkValues(args, options, definition.conflicts ?? []);
      return definition.run(args as ValuesOf<A> & ValuesOf<O> & Parsed, context);
    },
  };
}
