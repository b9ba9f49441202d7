/**
 * The specs of pipelines that an import makes of stages, written for a person to look through. What is
 * there already stays as it is.
 */
import { lstat, mkdir, open, readFile, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { errnoOf } from '../base/system-errors.ts';
import type { DvcReader } from '../imports/dvc.ts';
import { readStages, type Untold } from '../imports/dvc-stages.ts';
import { specsOf } from '../imports/stage-spec.ts';

export interface WrittenSpec {
  /** As DVC calls it. */
  readonly stage: string;
  readonly pipeline: string;
  readonly file: string;
  /** `kept`: another file of that name was there before. */
  readonly state: 'written' | 'unchanged' | 'kept' | 'not written';
  readonly notes: readonly string[];
}

export interface SpecsRequest {
  /** The project's. */
  readonly folder: string;
  readonly repo: string;
  readonly branch: string;
  /** Where the specs go; by default a folder in the project's. */
  readonly specs?: string | undefined;
  readonly dryRun: boolean;
}

export interface WrittenSpecs {
  readonly pipelines: readonly WrittenSpec[];
  /** Stages that no spec was made of. */
  readonly untold: readonly Untold[];
  /** Why the specs could not be written. */
  readonly problem: string | undefined;
}

/** Makes a spec of each stage of the commit that `reader` has come to. */
export async function writeSpecs(
  reader: DvcReader,
  { folder, specs: given, repo, branch, dryRun }: SpecsRequest,
): Promise<WrittenSpecs> {
  const specs = given ?? join(folder, 'pach-pipelines');
  const { stages, untold } = await readStages(await reader.stageFiles());
  const project = relative(resolve(specs), resolve(folder)) || '.';
  const isInGit = reader.isInGit.bind(reader);
  const made = specsOf(stages, { repo, branch, data: reader.data, isInGit, project });
  const problem = dryRun || made.length === 0 ? undefined : await problemOf(specs, given === undefined ? lstat : stat);
  const pipelines: WrittenSpec[] = [];
  for (const { name, stage, text, notes } of made) {
    const file = join(specs, `${name}.yaml`);
    const state = dryRun || problem !== undefined ? 'not written' : await write(file, text);
    pipelines.push({ stage, pipeline: name, file, state, notes });
  }
  return { pipelines, untold, problem };
}

/** Makes the folder. Why nothing can be written to it: a link in a project may lead anywhere. */
async function problemOf(folder: string, look: typeof stat): Promise<string | undefined> {
  try {
    await mkdir(folder, { recursive: true });
    return (await look(folder)).isDirectory() ? undefined : `${folder} is not a folder`;
  } catch (error) {
    return `${folder} can't be made (${errnoOf(error)})`;
  }
}

async function write(file: string, text: string): Promise<WrittenSpec['state']> {
  try {
    await using handle = await open(file, 'wx');
    await handle.writeFile(text);
    return 'written';
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') return 'not written';
    const isSame = (await lstat(file)).isFile() && (await readFile(file, 'utf8')) === text;
    return isSame ? 'unchanged' : 'kept';
  }
}
