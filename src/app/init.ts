/**
 * Beginning a pipeline in a folder of this machine: from nothing, or from a notebook.
 */
import { execFile } from 'node:child_process';
import { lstat, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join } from 'node:path';
import { promisify } from 'node:util';
import { PachError } from '../base/errors.ts';
import { shellWord } from '../base/shell.ts';
import { errnoOf } from '../base/system-errors.ts';
import { convertNotebook, type ChangedLine, type ConvertOptions } from '../notebook/convert.ts';
import { modulesOf } from '../notebook/imports.ts';
import { newPipeline } from '../notebook/new-pipeline.ts';
import { parseNotebook } from '../notebook/notebook.ts';
import type { SourceRepo } from '../notebook/paths.ts';
import { slugOf } from '../notebook/stages.ts';

export interface InitOptions {
  /** Of the pipeline, and of the folder that is made; by default after the notebook, or this folder with nothing made. */
  readonly name: string | undefined;
  /** A notebook. */
  readonly from: string | undefined;
  readonly split: boolean;
  readonly keepPaths: boolean;
}

/** What is to be written, for a person to look at first. */
export interface InitPlan {
  readonly name: string;
  /** `.` for this folder. */
  readonly dir: string;
  /** By path below `dir`. */
  readonly files: ReadonlyMap<string, string>;
  readonly changes: readonly ChangedLine[];
  readonly notes: readonly string[];
  /** Commands that come next. */
  readonly next: readonly string[];
}

/** Reads the notebook and runs nothing of it. Throws `usage`, `not-found` and `unsupported`. */
export async function planInit(options: InitOptions): Promise<InitPlan> {
  const { from } = options;
  const name = options.name ?? slugOf(from === undefined ? basename(process.cwd()) : basename(from, extname(from)));
  if (!/^[A-Za-z0-9_-]{1,60}$/.test(name)) {
    throw new PachError('usage', { what: name, why: 'a pipeline has a name of letters, digits, - and _, at most 60' });
  }
  if (from === undefined) {
    const dir = options.name === undefined ? '.' : name;
    const repos = [{ repo: 'data', sources: [] }];
    return { name, dir, files: newPipeline(name), changes: [], notes: [], next: nextCommands(dir, name, repos) };
  }
  const notebook = parseNotebook(await notebookText(from), from);
  const modules = modulesOf(notebook.cells.map(({ source }) => source).join('\n'));
  const local = await localModules(dirname(from), modules);
  const installed = await installedPackages(modules.filter((module) => !local.has(module)));
  const convert: ConvertOptions = { ...options, name, from: basename(from), local, installed };
  const { files, changes, notes, repos } = convertNotebook(notebook, convert);
  const beside = repos.map(({ repo, sources }) => ({ repo, sources: sources.map((each) => resolveFrom(from, each)) }));
  return { name, dir: name, files, changes, notes, next: nextCommands(name, name, beside) };
}

/**
 * Writes all files or none: throws `conflict` naming those that are there already, and takes back what
 * it has written where one can't be.
 */
export async function writeInit({ dir, files }: InitPlan): Promise<void> {
  const paths = [...files.keys()].map((path) => join(dir, path));
  const there: string[] = [];
  for (const path of paths) if (await lstat(path).catch(() => undefined)) there.push(path);
  if (there.length > 0) {
    throw new PachError('conflict', {
      what: there.join(', '),
      why: `${there.length === 1 ? 'it is' : 'they are'} there already, and nothing was written`,
      next: 'give the pipeline another name, or move the files away',
    });
  }
  const written: string[] = [];
  for (const [path, text] of files) {
    const target = join(dir, path);
    try {
      await mkdir(dirname(target), { recursive: true });
      await writeNew(target, text, written);
    } catch (error) {
      for (const each of written) await rm(each, { force: true });
      throw new PachError(errnoOf(error) === 'ENOSPC' ? 'no-space' : 'failed', {
        what: target,
        why: `it can't be written (${errnoOf(error)}), so nothing was`,
        cause: error,
      });
    }
  }
}

/** Writes a file that must not be there; it is named in `written` as soon as it is. */
async function writeNew(path: string, text: string, written: string[]): Promise<void> {
  await using file = await open(path, 'wx');
  written.push(path);
  await file.writeFile(text);
}

/** Outputs are part of a notebook, pictures too. */
const notebookBytesMax = 256 * 1024 * 1024;

async function notebookText(path: string): Promise<string> {
  try {
    const found = await stat(path);
    // Reading a pipe may never end, and reading a device does not.
    if (!found.isFile()) throw new PachError('usage', { what: path, why: 'it is not a file' });
    const { size } = found;
    if (size > notebookBytesMax) {
      throw new PachError('usage', {
        what: path,
        why: 'it has more than 256 MiB',
        next: 'clear its outputs in Jupyter',
      });
    }
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof PachError) throw error;
    const isAbsent = errnoOf(error) === 'ENOENT';
    const why = isAbsent ? 'there is no such file' : `it can't be read (${errnoOf(error)})`;
    throw new PachError(isAbsent ? 'not-found' : 'failed', { what: path, why, cause: error });
  }
}

/** Modules that are files beside the notebook, and the modules that those need. */
async function localModules(folder: string, modules: readonly string[]): Promise<Map<string, string>> {
  const local = new Map<string, string>();
  const pending = [...modules];
  for (let module = pending.pop(); module !== undefined; module = pending.pop()) {
    if (local.has(module)) continue;
    const text = await readFile(join(folder, `${module}.py`), 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    local.set(module, text);
    pending.push(...modulesOf(text));
  }
  return local;
}

const pythonMsMax = 10_000;
/** Asks for names and versions only: imports nothing of what it is asked for. */
const question = `
import importlib.metadata, json, sys
given = importlib.metadata.packages_distributions()
print(json.dumps({m: [given[m][0], importlib.metadata.version(given[m][0])] for m in sys.argv[1:] if m in given}))
`;

/** What the python3 of this shell has; nothing where there is none, or one before 3.10. */
async function installedPackages(modules: readonly string[]): Promise<ConvertOptions['installed']> {
  if (modules.length === 0) return new Map();
  try {
    const { stdout } = await promisify(execFile)('python3', ['-c', question, ...modules], { timeout: pythonMsMax });
    const found = JSON.parse(stdout) as Record<string, [string, string]>;
    return new Map(Object.entries(found).map(([module, [name, version]]) => [module, { name, version }]));
  } catch {
    return new Map();
  }
}

function resolveFrom(notebook: string, path: string): string {
  return isAbsolute(path) || path.startsWith('~') ? path : join(dirname(notebook), path);
}

function nextCommands(dir: string, name: string, repos: readonly SourceRepo[]): string[] {
  const lines = repos.flatMap(({ repo, sources }) => [
    `pach create repo ${repo}`,
    ...(sources.length === 0 ? ['FOLDER/'] : sources.map((each) => shellWord(each))).map(
      (source) => `pach put file ${repo}@master:/ ${source.endsWith('/') ? '-r ' : ''}-f ${source}`,
    ),
  ]);
  return [...lines, `pach run pipeline -f ${shellWord(join(dir, `${name}.yaml`))}`];
}
