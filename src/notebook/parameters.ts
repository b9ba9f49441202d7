/**
 * The cell that is tagged `parameters`, as papermill knows it: each name that is given a plain value
 * is read from the environment, with that value where there is none.
 */
import { literal, statementsOf, type Token } from './python.ts';

export interface Parameters {
  readonly source: string;
  /** Variables and their values. */
  readonly env: Readonly<Record<string, string>>;
  /** Names that stay as they are, since their values are no plain ones. */
  readonly left: readonly string[];
}

export function parametersOf(source: string): Parameters {
  const env: Record<string, string> = {};
  const left: string[] = [];
  let out = '';
  let done = 0;
  for (const statement of statementsOf(source)) {
    const [name, equals, ...value] = statement;
    if (name?.kind !== 'name' || equals?.text !== '=') continue;
    const [first, last] = [value[0], value.at(-1)];
    const variable = name.text.toUpperCase();
    const read = plainValue(value, variable);
    if (!read || !first || !last) {
      left.push(name.text);
      continue;
    }
    env[variable] = read.value;
    out += source.slice(done, first.start) + read.code;
    done = last.start + last.text.length;
  }
  return { source: out + source.slice(done), env, left };
}

/** The text of a value in the environment, and the code that reads it again. */
function plainValue(tokens: readonly Token[], variable: string): { value: string; code: string } | undefined {
  const [first, second] = tokens;
  const given = (value: string): string => `os.environ.get(${literal(variable)}, ${literal(value)})`;
  if (tokens.length === 1 && first?.kind === 'string' && first.value !== undefined) {
    return { value: first.value, code: given(first.value) };
  }
  if (tokens.length === 1 && (first?.text === 'True' || first?.text === 'False')) {
    const value = first.text.toLowerCase();
    return { value, code: `${given(value)}.lower() in ('1', 'true', 'yes')` };
  }
  const [sign, number] = first?.text === '-' ? ['-', second] : ['', first];
  if (tokens.length !== sign.length + 1 || number?.kind !== 'number' || /[jxob]/i.test(number.text)) return undefined;
  const value = sign + number.text.replaceAll('_', '');
  return { value, code: `${/[.eE]/.test(value) ? 'float' : 'int'}(${given(value)})` };
}
