/**
 * The specs in a file, a folder or on standard input.
 */
import { readdir, stat } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';
import { PachError } from '../../base/errors.ts';
import { localBytes } from '../../sources/open.ts';
import type { PipelineSpec } from './spec.ts';
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

/** What a spec's file is called in a folder of specs. */
export const specExtensions: readonly string[] = ['.json', '.yaml', '.yml'];
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
    const text = await readText(file === '-' ? stdin() : localBytes(file, { signal }), file);
    const folder = file === '-' ? resolve('.') : dirname(resolve(file));
    for (const { value, lineOf } of await parseDocuments(text, file)) {
      if (specs.length === specsMax) throw wrong(path, `it has more than ${specsMax} pipelines`);
      specs.push(parseSpec(value, { file, folder, project, lineOf }));
    }
  }
  if (specs.length === 0) throw wrong(path, 'it has no pipeline');
  return specs;
}

async function specFiles(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined); // reading it tells what is wrong with it
  if (!found?.isDirectory()) return [path];
  const entries = await readdir(path, { withFileTypes: true }).catch((cause: unknown) => {
    throw new PachError('denied', { what: path, why: 'the folder cannot be read', cause });
  });
  return entries
    .filter((entry) => !entry.isDirectory() && specExtensions.includes(extname(entry.name).toLowerCase()))
    .map((entry) => join(path, entry.name))
    .sort();
}

function wrong(what: string, why: string): PachError {
  return new PachError('usage', { what, why });
}
