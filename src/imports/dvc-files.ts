/**
 * DVC's own files, as their text: `.dvc` files and `dvc.lock` name outputs, objects `.dir` list the
 * files of a folder. Whatever is not as DVC writes it is told and left out.
 */
import { posix } from 'node:path';
import { isPachError } from '../base/errors.ts';
import { bytesOfText } from '../model/paths.ts';
import { nameProblem } from '../model/tree.ts';
import { parseDocuments } from '../pipelines/spec/documents.ts';
import { shownPath, type Path } from './git.ts';
import type { ObjectName } from './objects.ts';
import type { LeftOut, Wanted } from './reader.ts';

/** An output whose content is known by its hash. */
export interface Out {
  readonly path: Path;
  readonly object: ObjectName;
  /** The object lists the files of a folder. */
  readonly isFolder: boolean;
  readonly executable: boolean;
  readonly size: number | undefined;
}

/** What a file of DVC says: outputs, and what of it is not understood. */
export interface DvcFile {
  readonly outs: readonly Out[];
  readonly leftOut: readonly LeftOut[];
}

export type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** The one document of a text of YAML; nothing for an empty one. Throws `usage`. */
export async function yamlOf(text: string, file: string): Promise<unknown> {
  const [document] = await parseDocuments(text, file);
  return document?.value;
}

export function isDvcFile(path: Path): boolean {
  return path.endsWith('.dvc') || isLock(path);
}

export function isLock(path: Path): boolean {
  return posix.basename(path) === 'dvc.lock';
}

/** Reads a `.dvc` file or a `dvc.lock`, or says why it can't be read. */
export async function parseDvcFile(path: Path, text: string): Promise<DvcFile | { readonly why: string }> {
  let value: unknown;
  try {
    value = await yamlOf(text, shownPath(path));
  } catch (error) {
    if (!isPachError(error, 'usage')) throw error;
    return { why: `it is not valid YAML: ${error.why}` };
  }
  const document = fieldsOf(value) ?? {};
  const leftOut: LeftOut[] = [];
  const outs = isLock(path)
    ? Object.values(stagesOf(document)).flatMap((stage) => listOf(fieldsOf(stage)?.['outs']))
    : listOf(document['outs']);
  const folder = posix.join(posix.dirname(path), isLock(path) ? '.' : latin1(textOf(document['wdir']) ?? '.'));
  const source = isLock(path) ? undefined : importOf(document);
  const read = outs.flatMap((each) => {
    const out = outOf(fieldsOf(each) ?? {}, folder);
    if (!('why' in out)) return [out];
    leftOut.push({ ...out, why: source === undefined ? out.why : `${out.why} (it was imported from ${source})` });
    return [];
  });
  return { outs: read, leftOut };
}

/** The stages of a lock. Schema 1 has nothing but them. */
export function stagesOf(lock: Fields): Fields {
  return 'schema' in lock ? (fieldsOf(lock['stages']) ?? {}) : lock;
}

/** Where `dvc import` and `dvc import-url` had it from. */
function importOf(document: Fields): string | undefined {
  const [first] = listOf(document['deps']).map(fieldsOf);
  const from = textOf(fieldsOf(first?.['repo'])?.['url']) ?? textOf(first?.['path']);
  return from?.replace(/^([a-z+]+:\/\/)[^/@]*@/i, '$1');
}

function latin1(text: string): Path {
  return bytesOfText(text).toString('latin1');
}

function outOf(fields: Fields, folder: Path): Out | LeftOut {
  const given = textOf(fields['path']) ?? '';
  const hash = textOf(fields['md5']);
  if (/^[a-z][a-z0-9+]*:\/\//i.test(given) || given.startsWith('/')) {
    return { path: given, why: 'it lies outside of the project' };
  }
  const path = belowOf(folder, given);
  if (path === undefined) return { path: given, why: 'its path leads out of the project, or can not be stored' };
  const shown = shownPath(path);
  if (hash === undefined) {
    const other = ['etag', 'checksum', 'files'].find((name) => name in fields);
    const why = other === undefined ? 'DVC has noted no hash of it' : `DVC knows it by ${other}, not by its MD5`;
    return { path: shown, why };
  }
  const [, digits = '', dir] = /^([0-9a-f]{32})(\.dir)?$/.exec(hash) ?? [];
  if (digits === '') return { path: shown, why: `${JSON.stringify(hash)} is no MD5` };
  return {
    path,
    // Version 3 says which hash it is.
    object: {
      algorithm: 'md5',
      hash: digits,
      ...(dir !== undefined && { suffix: '.dir' }),
      ...(fields['hash'] !== 'md5' && { textToo: true }),
    },
    isFolder: dir !== undefined,
    executable: fields['isexec'] === true,
    size: typeof fields['size'] === 'number' ? fields['size'] : undefined,
  };
}

/** A path below a folder of the project; undefined where it leads out of it. */
export function belowOf(folder: Path, given: string): Path | undefined {
  if (given === '' || given.startsWith('/')) return undefined;
  const path = posix.normalize(posix.join(folder, latin1(given))).replace(/\/$/, '');
  return path !== '.' && arePathNames(path) ? path : undefined;
}

function arePathNames(path: Path): boolean {
  return path.split('/').every((name) => nameProblem(Buffer.from(name, 'latin1')) === undefined);
}

/** The files of a folder, by path below it. Throws with the reason when the list is none of DVC's. */
export function parseFolderList(bytes: Buffer, { textToo }: Pick<ObjectName, 'textToo'>): Map<Path, Wanted> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    throw new Error('its list of files is no JSON');
  }
  if (!Array.isArray(value)) throw new Error('its list of files is no list');
  const files = new Map<Path, Wanted>();
  for (const item of value) {
    const fields = fieldsOf(item) ?? {};
    const hash = textOf(fields['md5']) ?? '';
    const relpath = textOf(fields['relpath']) ?? '';
    const path = relpath === '' ? '' : latin1(relpath);
    if (!/^[0-9a-f]{32}$/.test(hash) || !arePathNames(path) || files.has(path)) {
      throw new Error(`its list of files has ${JSON.stringify(relpath)}, which can not be stored`);
    }
    const object: ObjectName = { algorithm: 'md5', hash, ...(textToo && { textToo }) };
    files.set(path, { kind: 'object', object, executable: fields['isexec'] === true });
  }
  const nested = nestedOf([...files.keys()]);
  if (nested !== undefined) throw new Error(`its list of files has ${shownPath(nested)} as a file and as a folder`);
  return files;
}

/** A path that is also above another one of these; undefined where there is none. */
export function nestedOf(paths: readonly Path[]): Path | undefined {
  const all = new Set(paths);
  for (const path of paths) {
    for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1)) {
      const above = path.slice(0, at);
      if (all.has(above)) return above;
    }
  }
  return undefined;
}
