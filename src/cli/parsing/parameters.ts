/**
 * The parameters of verbs, put together, and as yargs takes them.
 */
import type { Options } from 'yargs';
import { commonOptions, formatOption, type Parameter, type Parameters } from '../parameters.ts';
import type { Verb } from '../verb.ts';

/** The options of a verb beside those that all have. */
export function ownOptions({ options, formats }: Verb): Parameters {
  if (formats === false) return options;
  const more = Array.isArray(formats) ? formats : [];
  return { ...options, output: { ...formatOption, choices: [...formatOption.choices, ...more] } };
}

/** All that a verb takes: the options of all verbs, its arguments and its own options. */
export function parametersOf(verb: Verb): Parameters {
  return { ...commonOptions, ...verb.arguments, ...ownOptions(verb) };
}

/** The words of options whose value is the next word: `--store`, `-o`. */
export function takingWords(options: Parameters): ReadonlySet<string> {
  return new Set(
    Object.entries(options).flatMap(([name, { type, alias }]) =>
      type === 'flag' ? [] : [`--${name}`, ...(alias === undefined ? [] : [`-${alias}`])],
    ),
  );
}

export function yargsOptions(options: Parameters): Record<string, Options> {
  return Object.fromEntries(Object.entries(options).map(([name, option]) => [name, yargsOption(option)]));
}

function yargsOption(option: Parameter): Options {
  return {
    ...yargsArgument(option),
    ...(option.alias !== undefined && { alias: option.alias }),
    // One value each time it is given: what follows that is an argument.
    ...(option.type === 'list' && { nargs: 1, default: [] }),
  };
}

export function yargsArgument(parameter: Parameter): Options {
  const { describe } = parameter;
  switch (parameter.type) {
    case 'flag': {
      const { default: without = false, hidden = false } = parameter;
      return { describe, type: 'boolean', hidden, ...(without !== null && { default: without }) };
    }
    case 'count':
      return { describe, type: 'number', default: parameter.default };
    case 'list':
      return {
        describe,
        type: 'string',
        array: true,
        ...(parameter.required ? { demandOption: true } : { default: [] }),
      };
    case 'text': {
      const { choices, required, default: without } = parameter;
      return {
        describe,
        ...(choices === undefined ? { type: 'string' } : { choices }),
        ...(required && { demandOption: true }),
        ...(without !== undefined && { default: without }),
      };
    }
  }
}
