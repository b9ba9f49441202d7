/**
 * Which files a program reads and writes, told from the calls in its text. Only paths that stand
 * there as plain text are taken; what is put together while it runs is told of, and left alone.
 */
import { statementsOf, type Token } from './python.ts';

export type Access = 'read' | 'write';

export interface FileUse {
  readonly path: string;
  readonly access: Access;
  /** The literal's place in the source. */
  readonly start: number;
  readonly end: number;
  /** Where the call stands. */
  readonly at: number;
  /** As the source calls it: `pd.read_csv`. */
  readonly by: string;
}

/** A call that opens something whose path only running it would tell. */
export interface UnknownUse {
  readonly at: number;
  readonly by: string;
}

export interface FileUses {
  readonly uses: readonly FileUse[];
  readonly unknown: readonly UnknownUse[];
}

/** The number of the argument that is the path. */
const reading: Readonly<Record<string, number>> = {
  ...numbered(0, 'read_csv read_table read_fwf read_json read_parquet read_excel read_feather read_pickle read_hdf'),
  ...numbered(0, 'read_orc read_stata read_sas read_spss read_xml scan_csv scan_parquet imread imread_collection'),
  ...numbered(
    0,
    'load loadtxt genfromtxt fromfile loadmat load_model load_weights glob iglob listdir walk scandir exists isfile isdir getsize',
  ),
  ...numbered(0, 'ImageFolder ZipFile read_file read_wav image_dataset_from_directory'),
};
const writing: Readonly<Record<string, number>> = {
  ...numbered(0, 'to_csv to_json to_parquet to_excel to_pickle to_feather to_hdf to_file savefig imwrite imsave'),
  ...numbered(0, 'savetxt savez savez_compressed save_pretrained save_model save_weights makedirs mkdir write_image'),
  ...numbered(0, 'write_html write_csv write_parquet write_json'),
};
/** Whose `save` and `dump` take the path after what is saved. */
const pathSecond = new Set(['torch', 'joblib']);
/** Whose `load` and `dump` take a file that is open already. */
const takesFile = new Set(['json', 'pickle', 'yaml', 'toml', 'tomllib', 'csv']);
/** Whose `open` takes a path; that of an object takes the mode. */
const opening = new Set([
  'gzip',
  'bz2',
  'lzma',
  'tarfile',
  'zipfile',
  'io',
  'codecs',
  'Image',
  'rasterio',
  'wave',
  'xr',
]);
/** Methods of a `Path("…")`. */
const pathMethods: Readonly<Record<string, Access>> = {
  read_text: 'read',
  read_bytes: 'read',
  iterdir: 'read',
  glob: 'read',
  rglob: 'read',
  write_text: 'write',
  write_bytes: 'write',
  mkdir: 'write',
};

function numbered(argument: number, names: string): Record<string, number> {
  return Object.fromEntries(names.split(' ').map((name) => [name, argument]));
}

interface Call {
  /** `pd.read_csv`; the last part alone decides, mostly. */
  readonly name: string;
  readonly start: number;
  /** Tokens of each argument, without the name of a keyword argument. */
  readonly arguments: { readonly keyword: string | undefined; readonly tokens: readonly Token[] }[];
  /** What is called on the result: `Path("x").read_text` gives `read_text`. */
  readonly method: string | undefined;
}

/** In the order of the calls; a constant's literal may stand long before. */
export function filesOf(source: string): FileUses {
  const uses: FileUse[] = [];
  const unknown: UnknownUse[] = [];
  const statements = statementsOf(source);
  const constants = constantsOf(statements);
  for (const call of statements.flatMap(callsOf)) {
    const wanted = pathOf(call);
    if (!wanted) continue;
    const [only, ...more] = wanted.tokens;
    const literal = only?.kind === 'name' && more.length === 0 ? constants.get(only.text) : only;
    if (literal?.kind === 'string' && literal.value !== undefined && more.length === 0) {
      const { start, text, value } = literal;
      if (isPath(value))
        uses.push({
          path: value,
          access: wanted.access,
          start,
          end: start + text.length,
          at: call.start,
          by: call.name,
        });
    } else if (only) unknown.push({ at: call.start, by: call.name });
  }
  // What stands in an f-string is no literal that could be replaced.
  for (const { kind, text, start } of statements.flat()) {
    if (kind !== 'string' || !/^[rR]?[fF]/.test(text)) continue;
    const inner = [...text.matchAll(/\{([^{}]*)\}/g)].map((match) => match[1] ?? '').join('\n');
    if (filesOf(inner).uses.length > 0) unknown.push({ at: start, by: 'an f-string' });
  }
  return { uses, unknown };
}

/** Names that are given a plain text once, and nothing else. */
function constantsOf(statements: readonly (readonly Token[])[]): Map<string, Token> {
  const constants = new Map<string, Token | undefined>();
  for (const statement of statements) {
    const [name, equals, value, ...more] = statement;
    if (name?.kind !== 'name' || equals?.text !== '=' || !value) continue;
    const isPlain = value.kind === 'string' && more.length === 0 && !constants.has(name.text);
    constants.set(name.text, isPlain ? value : undefined);
  }
  return new Map([...constants].filter((each): each is [string, Token] => each[1] !== undefined));
}

/** The argument that is a path, where the call is one that opens files. */
function pathOf(call: Call): { access: Access; tokens: readonly Token[] } | undefined {
  const parts = call.name.split('.');
  const last = parts.at(-1) ?? '';
  const argument = (number: number): readonly Token[] => {
    const names = ['path', 'file', 'filename', 'fname', 'filepath_or_buffer', 'path_or_buf', 'f'];
    const positional = call.arguments.filter(({ keyword }) => keyword === undefined);
    const named = call.arguments.find(({ keyword }) => keyword !== undefined && names.includes(keyword));
    return (positional[number] ?? named)?.tokens ?? [];
  };
  const [owner = ''] = parts;
  if (call.name === 'open' || last === 'File' || (last === 'open' && opening.has(owner))) {
    const mode = call.arguments.find(
      ({ keyword }, index) => keyword === 'mode' || (keyword === undefined && index === 1),
    );
    const [text] = mode?.tokens ?? [];
    const isWriting = text?.kind === 'string' && /[wax+]/.test(text.value ?? '');
    return { access: isWriting ? 'write' : 'read', tokens: argument(0) };
  }
  if ((call.name === 'Path' || call.name === 'pathlib.Path') && call.method !== undefined) {
    const access = pathMethods[call.method];
    return access && { access, tokens: argument(0) };
  }
  if (takesFile.has(owner)) return undefined;
  if (last === 'save' || last === 'dump') return { access: 'write', tokens: argument(pathSecond.has(owner) ? 1 : 0) };
  const read = Object.hasOwn(reading, last) ? reading[last] : undefined;
  if (read !== undefined) return { access: 'read', tokens: argument(read) };
  const write = Object.hasOwn(writing, last) ? writing[last] : undefined;
  return write === undefined ? undefined : { access: 'write', tokens: argument(write) };
}

function callsOf(statement: readonly Token[]): Call[] {
  const calls: Call[] = [];
  for (const [index, token] of statement.entries()) {
    if (token.text !== '(' || token.kind !== 'operator') continue;
    const name = calleeAt(statement, index);
    // What follows `def` or `class` is no call.
    if (!name || ['def', 'class'].includes(statement[name.index - 1]?.text ?? '')) continue;
    const end = closing(statement, index);
    const after = statement[end + 1]?.text === '.' ? statement[end + 2]?.text : undefined;
    const given = argumentsOf(statement.slice(index + 1, end));
    calls.push({ name: name.text, start: statement[name.index]?.start ?? 0, arguments: given, method: after });
  }
  return calls;
}

/** The dotted name before a bracket. */
function calleeAt(statement: readonly Token[], bracket: number): { text: string; index: number } | undefined {
  let index = bracket;
  const parts: string[] = [];
  while (statement[index - 1]?.kind === 'name') {
    parts.unshift(statement[index - 1]?.text ?? '');
    index -= 1;
    if (statement[index - 1]?.text !== '.') break;
    index -= 1;
  }
  if (parts.length === 0) return undefined;
  // A method of something that is no name, as in `f().to_csv(…)`: its own name is enough.
  return { text: parts.join('.'), index: Math.min(index, bracket - 1) };
}

function closing(statement: readonly Token[], bracket: number): number {
  let depth = 0;
  for (let at = bracket; at < statement.length; at += 1) {
    const { text, kind } = statement[at] as Token;
    if (kind !== 'operator') continue;
    if ('([{'.includes(text)) depth += 1;
    if (')]}'.includes(text)) depth -= 1;
    if (depth === 0) return at;
  }
  return statement.length;
}

function argumentsOf(tokens: readonly Token[]): Call['arguments'] {
  const parts: Token[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    if (token.kind === 'operator' && '([{'.includes(token.text)) depth += 1;
    if (token.kind === 'operator' && ')]}'.includes(token.text)) depth -= 1;
    if (depth === 0 && token.text === ',') parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts
    .filter((part) => part.length > 0)
    .map((part) => {
      const isNamed = part[0]?.kind === 'name' && part[1]?.text === '=';
      return isNamed ? { keyword: part[0]?.text, tokens: part.slice(2) } : { keyword: undefined, tokens: part };
    });
}

/** Addresses and the like are left as they are. */
function isPath(text: string): boolean {
  return text !== '' && text !== '-' && !/^[a-z][a-z0-9+.-]*:\/\//i.test(text) && !text.includes('\n');
}
