/**
 * A pipeline's code (`dev.code`): taken into the project when the pipeline is made or updated, so
 * that every run of a version runs the same, wherever it runs.
 */
import { execFile } from 'node:child_process';
import { realpath, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { rootPlace, type Place } from '../base/place.ts';
import type { FolderMemory } from '../local/folder-memory.ts';
import { nameOfText, textOfName } from '../model/paths.ts';
import type { Ref } from '../model/refs.ts';
import { directoryOf, type TreeEntry } from '../model/tree.ts';
import { Directories } from '../versions/directories.ts';
import { ingestFile, ingestFolder, type IngestOptions } from '../versions/writing/ingest.ts';
import { OwnFolders } from '../versions/writing/own-folders.ts';
import type { Project } from '../versions/project.ts';
import type { Upload } from '../versions/upload.ts';
import { timesSettleMs } from '../versions/writing/unread.ts';
import { CodeIgnore, type LeftOut } from './code-ignore.ts';
import { codeEntries, type Pipeline } from './pipelines.ts';
import type { CodeUse } from './spec/spec.ts';

const gitMsMax = 5000;

export interface StoreCodeOptions extends Pick<IngestOptions, 'signal' | 'skipped'> {
  /** What is remembered of folders of code, and the version of the pipeline that is there now: only files that look otherwise are read. */
  readonly known?: { readonly memory: FolderMemory; readonly version: Pick<Pipeline, 'spec' | 'code'> | undefined };
}

/** Stores the code; undefined where there is none. Throws what can't be read, by name. */
export async function storeCode(
  project: Project,
  upload: Upload,
  code: readonly CodeUse[],
  watch: StoreCodeOptions,
): Promise<Ref | undefined> {
  if (code.length === 0) return undefined;
  const { reader } = project;
  const own = new OwnFolders(project.options.store);
  const directories = new Directories(reader, upload.nodes);
  const options: IngestOptions = {
    sink: { data: upload.data, nodes: upload.nodes },
    directories,
    progress: () => undefined,
    own,
    skipped: watch.skipped,
    signal: watch.signal,
    deleteOthers: true,
    seen: watch.known && { cache: watch.known.memory, settledMs: Date.now() - timesSettleMs },
  };
  const version = watch.known?.version;
  const before = version ? await codeEntries(reader, version) : [];
  const entries: TreeEntry[] = [];
  for (const [index, { from }] of code.entries()) {
    const name = Buffer.from(String(index));
    const path = nameOfText(from);
    await own.refuse(from, textOfName(await realpath(path, { encoding: 'buffer' })));
    const times = { mtimeSeconds: 0, mtimeNanoseconds: 0 };
    if ((await stat(path)).isDirectory()) {
      const ignored = await CodeIgnore.open(from);
      const leaveOut = (folder: Place): Promise<LeftOut> => ignored.of(folder);
      const at = version?.spec.code.findIndex((each) => each.from === from) ?? -1;
      const content = await ingestFolder({ ...options, leaveOut }, rootPlace(path), directoryOf(before[at]));
      entries.push({ name, kind: 'directory', executable: false, ...times, content });
    } else entries.push({ name, kind: 'file', ...(await ingestFile(options, rootPlace(path))), ...times });
  }
  const sorted = entries.sort((a, b) => a.name.compare(b.name));
  return (await directories.apply(undefined, sorted)).ref;
}

/** Where code comes from, for people: remote, commit, and whether it was changed since. Empty when git does not know, or not in time. */
export async function originOf(code: readonly CodeUse[], signal?: AbortSignal): Promise<string> {
  const [first] = code;
  if (!first) return '';
  const folder = (await stat(first.from)).isDirectory() ? first.from : `${first.from}/..`;
  const git = async (...words: string[]): Promise<string | undefined> => {
    const how = { timeout: gitMsMax, killSignal: 'SIGKILL', signal } as const;
    const { stdout } = await promisify(execFile)('git', ['-C', folder, ...words], how);
    return stdout.trim();
  };
  const commit = await git('rev-parse', 'HEAD').catch(() => undefined);
  if (commit === undefined) return '';
  const remote = await git('remote', 'get-url', 'origin').catch(() => undefined);
  const changed = await git('status', '--porcelain', '--', '.').catch(() => undefined);
  return [remote && withoutSecrets(remote), commit, changed ? 'changed since' : undefined].filter(Boolean).join(' ');
}

/** A remote's URL may carry a password. */
function withoutSecrets(url: string): string {
  return url.replace(/^([a-z+]+:\/\/)[^/@]*@/i, '$1');
}
