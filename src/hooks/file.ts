/**
 * The file of hooks: a list in JSON or YAML, checked as specs are.
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { PachError } from '../base/errors.ts';
import { errnoOf } from '../base/system-errors.ts';
import { parseDocuments, readText } from '../pipelines/spec/documents.ts';
import { Fault, withErrors } from '../pipelines/spec/fault.ts';
import { readFields } from '../pipelines/spec/read.ts';
import { listOf, mapped, needed, oneOf, text, texts } from '../pipelines/spec/shape.ts';
import type { ValuesOf } from '../pipelines/spec/values.ts';
import { localBytes } from '../sources/open.ts';

export const hookKinds = ['failed', 'recovered', 'late', 'expectation', 'empty', 'trouble'] as const;
export type HookKind = (typeof hookKinds)[number];

/** Who is told, and of what. */
export interface Hook {
  /** 16 hex digits, the same for the same target on every machine: by it engines share what was told. */
  readonly id: string;
  /** For people: where it stands in the file, and its target without what may be secret. */
  readonly name: string;
  readonly on: readonly HookKind[];
  /** Undefined for all. */
  readonly pipelines: readonly string[] | undefined;
  readonly target: HookTarget;
}

export type HookTarget =
  | { readonly kind: 'command'; readonly argv: readonly string[] }
  /** `url` may be as good as a password: messages show its scheme and host alone. */
  | { readonly kind: 'url'; readonly url: URL; readonly secretFile: string | undefined };

const hookFields = {
  on: needed(listOf(oneOf(...hookKinds)), 'What it tells of', 'it must say what it tells of'),
  pipelines: mapped(texts, 'Of which pipelines; all by default'),
  command: mapped(texts, 'Program and arguments; no shell. It gets the message on its standard input'),
  url: mapped(text, 'An address that gets the message by POST'),
  secretFile: mapped(text, 'A file with the key of the signature, relative to the file of hooks'),
};

const hooksMax = 100;
const secretBytesMax = 4096;

/** All hooks of a file, at least one. Throws `usage` naming file, line and field, and `not-found`. */
export async function readHooks(path: string, signal: AbortSignal): Promise<Hook[]> {
  const written = await readText(localBytes(path, { signal }), path);
  const hooks: Hook[] = [];
  for (const { value, lineOf } of await parseDocuments(written, path)) {
    const hook = withErrors(() => hookOf(value, dirname(resolve(path))), path, value, lineOf);
    const line = lineOf([]);
    const name = `${basename(path)}${line === undefined ? '' : `:${line}`} (${hook.name})`;
    hooks.push({ ...hook, id: idOf(hook, hooks), name });
    if (hooks.length > hooksMax)
      throw new PachError('usage', { what: path, why: `it has more than ${hooksMax} hooks` });
  }
  if (hooks.length === 0) throw new PachError('usage', { what: path, why: 'it has no hook' });
  for (const { target } of hooks)
    if (target.kind === 'url' && target.secretFile) await readSecretFile(target.secretFile);
  return hooks;
}

function hookOf(document: unknown, folder: string): Omit<Hook, 'id'> {
  const values = readFields(hookFields, document, []);
  const { on, pipelines } = values;
  if (on.length === 0) throw new Fault(['on'], 'it is empty', { next: `name some of ${hookKinds.join(', ')}` });
  if (pipelines?.length === 0)
    throw new Fault(['pipelines'], 'it is empty', { next: 'leave it out for all pipelines' });
  return { on, pipelines, ...targetOf(values, folder) };
}

function targetOf(values: ValuesOf<typeof hookFields>, folder: string): Pick<Hook, 'name' | 'target'> {
  const { command, url, secretFile } = values;
  if ((command === undefined) === (url === undefined)) throw new Fault([], 'it must have one of command and url');
  if (command !== undefined) {
    const [program] = command;
    if (!program) throw new Fault(['command'], 'it names no program');
    if (secretFile !== undefined) throw new Fault(['secretFile'], 'only messages to a url are signed');
    return { name: basename(program), target: { kind: 'command', argv: command } };
  }
  const address = URL.canParse(url ?? '') ? new URL(url ?? '') : undefined;
  if (!address || !/^https?:$/.test(address.protocol)) {
    throw new Fault(['url'], 'it is not the address of a web server', { next: 'write it as https://host/path' });
  }
  const secret = secretFile === undefined ? undefined : resolve(folder, secretFile);
  return { name: address.origin, target: { kind: 'url', url: address, secretFile: secret } };
}

/** Hooks with one target are told apart by their order. */
function idOf({ target }: Omit<Hook, 'id'>, before: readonly Hook[]): string {
  const called = target.kind === 'command' ? JSON.stringify(target.argv) : target.url.href;
  for (let n = 0; ; n += 1) {
    const id = createHash('sha256').update(`${target.kind} ${n} ${called}`).digest('hex').slice(0, 16);
    if (before.every((other) => other.id !== id)) return id;
  }
}

/**
 * The key of a signature, without a line break at its end. It is read for each message, so it may be
 * changed while the engine runs. Throws `denied` where others may read it.
 */
export async function readSecretFile(path: string): Promise<Buffer> {
  const wrong = (why: string, next: string, cause?: unknown): PachError =>
    new PachError('denied', { what: `secret file ${path}`, why, next, cause });
  try {
    await using file = await open(path);
    const { mode, size } = await file.stat();
    if ((mode & 0o007) !== 0) throw wrong('everybody on this machine may use it', `chmod o= ${path}`);
    if (size > secretBytesMax)
      throw wrong(`it has more than ${secretBytesMax} bytes`, 'name a file with the key alone');
    const key = (await file.readFile('latin1')).replace(/\r?\n$/, '');
    if (key === '') throw wrong('it is empty', 'write the key into it');
    return Buffer.from(key, 'latin1');
  } catch (error) {
    if (error instanceof PachError) throw error;
    throw wrong(`it can't be read (${errnoOf(error)})`, 'check secretFile, and who may read that file', error);
  }
}
