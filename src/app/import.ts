/**
 * Bringing a project of another tool, with its history, into a repo: what reads it, and where its
 * objects lie.
 */
import { basename, isAbsolute, join, resolve } from 'node:path';
import { PachError } from '../base/errors.ts';
import { bucketPlace } from '../imports/bucket-place.ts';
import { readDvcConfig, dvcLayouts } from '../imports/dvc-config.ts';
import { DvcReader } from '../imports/dvc.ts';
import { GitHistory } from '../imports/git.ts';
import { importHistory, type ImportResult } from '../imports/import.ts';
import { LfsReader, lfsLayouts } from '../imports/lfs.ts';
import { folderPlace, Objects } from '../imports/objects.ts';
import type { DataReader, LeftOut } from '../imports/reader.ts';
import type { Project } from '../versions/project.ts';
import type { IngestOptions } from '../versions/writing/ingest.ts';
import { writeSpecs, type WrittenSpecs } from './import-specs.ts';

export interface ImportRequest {
  readonly from: 'dvc' | 'git-lfs';
  readonly folder: string;
  /** The branch, tag or commit of git. */
  readonly ref: string;
  readonly repo: string;
  readonly branch: string;
  /** Also the files that git itself holds. */
  readonly all: boolean;
  /** Where the specs of pipelines go that are made of stages. */
  readonly specs?: string | undefined;
  readonly dryRun: boolean;
  readonly watch: Pick<IngestOptions, 'progress' | 'signal'>;
}

export interface ImportReport extends ImportResult {
  /** The branch of git, where one was asked for. */
  readonly gitBranch: string | undefined;
  readonly gitHead: string;
  /** What is not brought along, each thing once. */
  readonly leftOut: readonly LeftOut[];
  /** Of DVC: its stages as specs. */
  readonly specs: WrittenSpecs | undefined;
  /** What else a person should know. */
  readonly notes: readonly string[];
}

export async function importProject(project: Project, request: ImportRequest): Promise<ImportReport> {
  const { folder, ref, from, watch } = request;
  const leftOut = new Map<string, LeftOut>();
  const tell = (what: LeftOut): void => {
    const key = `${what.path}\0${what.why}`;
    if (!leftOut.has(key)) leftOut.set(key, what);
  };
  await using git = await GitHistory.open({ folder, ref, environment: process.env });
  const notes = git.isShallow ? ['the clone is shallow: what was before its first commit is not there'] : [];
  const open = from === 'dvc' ? openDvc : openLfs;
  const { reader, objects: opened, notes: more } = await open(request, git, tell);
  using objects = opened;
  const name = from === 'dvc' ? 'DVC' : 'Git LFS';
  const description = `Imported from ${name}: ${basename(resolve(folder))}`;
  const result = await importHistory({ ...request, project, git, reader, objects, description, watch });
  const specs = reader instanceof DvcReader ? await writeSpecs(reader, request) : undefined;
  if (reader instanceof LfsReader && reader.leftCount > 0) {
    const files = `${reader.leftCount} files that git itself holds were left out`;
    notes.push(`${files}; --all brings them. Empty files are among them, as LFS leaves those to git`);
  }
  const { branch: gitBranch, head: gitHead } = git;
  return { ...result, gitBranch, gitHead, leftOut: [...leftOut.values()], specs, notes: [...notes, ...more] };
}

interface Opened {
  readonly reader: DataReader;
  readonly objects: Objects;
  readonly notes: readonly string[];
}

async function openDvc(
  { folder, watch: { signal } }: ImportRequest,
  git: GitHistory,
  leftOut: (what: LeftOut) => void,
): Promise<Opened> {
  const { folders, buckets, others } = await readDvcConfig(folder);
  const remote = buckets.map((each) => bucketPlace(each, dvcLayouts));
  const objects = new Objects([...folders.map((each) => folderPlace(each, dvcLayouts)), ...remote]);
  const notes = others.map(
    ({ name, url }) =>
      `the remote ${name} at ${url} was not looked into: \`dvc fetch --all-commits\` brings its objects into the cache`,
  );
  return { reader: new DvcReader({ git, objects, signal, leftOut }), objects, notes };
}

async function openLfs({ all }: ImportRequest, git: GitHistory, leftOut: (what: LeftOut) => void): Promise<Opened> {
  const given = await git.setting('lfs.storage');
  const storage = given === undefined ? 'lfs' : given;
  const folder = join(isAbsolute(storage) ? storage : join(git.gitFolder, storage), 'objects');
  return {
    reader: new LfsReader({ git, all, leftOut }),
    objects: new Objects([folderPlace(folder, lfsLayouts)]),
    notes: [],
  };
}

/** The repo for a folder of this name. Throws `usage` where nothing of it can be one. */
export function repoNameOf(folder: string): string {
  const name = basename(resolve(folder))
    .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  if (name !== '') return name;
  throw new PachError('usage', {
    what: folder,
    why: 'its name can not be that of a repo',
    next: 'name one: --repo NAME',
  });
}
