/**
 * The specs in a file, a folder or on standard input.
 */
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';
import { PachError } from '../../base/errors.ts';
import type { PipelineSpec } from '../spec.ts';
import { parseDocuments, readText } from './documents.ts';
import { parseSpec } from './parse.ts';

export interface SpecSource {
  /** A file, a folder with specs in it, or `-`. */
  readonly path: string;
  /** The project that the pipelines are made in. */
  readonly project: string;
  /** Standard input, asked for when the path is `-`. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

const extensions = ['.json', '.yaml', '.yml'];
const specsMax = 10_000;

/**
 * All specs of a source, at least one: of a file in its order, of a folder's `*.json`, `*.yaml`
 * and `*.yml` in the order of their names. Throws `usage` and `unsupported` naming file, line and
 * field, and `not-found`.
 */
export async function readSpecs({ path, project, stdin, signal }: SpecSource): Promise<PipelineSpec[]> {
  const specs: PipelineSpec[] = [];
  const files = path === '-' ? ['-'] : await specFiles(path);
  for (const file of files) {
    signal?.throwIfAborted();
    const chunks = file === '-' ? stdin() : createReadStream(file, { signal });
    const text = await readText(chunks, file).catch((error: unknown) => {
      throw fileError(error, file);
    });
    const folder = file === '-' ? resolve('.') : dirname(resolve(file));
    for (const { value, lineOf } of await parseDocuments(text, file)) {
      if (specs.length === specsMax) throw wrong(path, `it has more than ${specsMax} pipelines`);
      specs.push(parseSpec(value, { file, folder, project, lineOf }));
    }
  }
  if (specs.length === 0) throw wrong(path, 'there is no pipeline in it');
  return specs;
}

async function specFiles(path: string): Promise<string[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const entries = await readdir(path, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && extensions.includes(extname(entry.name).toLowerCase()))
      .map((entry) => join(path, entry.name))
      .sort();
  } catch (error) {
    throw fileError(error, path);
  }
}

function fileError(error: unknown, file: string): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new PachError('not-found', { what: file, why: 'there is no such file', cause: error });
  }
  if (code === 'EACCES') return new PachError('denied', { what: file, why: 'it may not be read', cause: error });
  if (code === 'EISDIR') return wrong(file, 'it is a folder');
  return error;
}

function wrong(what: string, why: string): PachError {
  return new PachError('usage', { what, why });
}
