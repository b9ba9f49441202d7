/**
 * Projects as programs are shown them.
 */
import { listPipelines } from '../pipelines/pipelines.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import { repoInfos } from './repos.ts';

export interface ProjectInfo {
  readonly project: string;
  readonly repos: readonly string[];
  readonly pipelines: readonly string[];
  /** Bytes at the heads of all branches together. */
  readonly bytes: number;
  /** The newest operation, be it an engine's. */
  readonly last: { readonly operation: string; readonly time: string; readonly who: string; readonly what: string };
}

export const projectInfoJson = '{project, repos, pipelines, bytes, last: {operation, time, who, what}}';

export async function projectInfo(snapshot: Snapshot): Promise<ProjectInfo> {
  const repos: string[] = [];
  let bytes = 0;
  for await (const repo of repoInfos(snapshot)) {
    repos.push(repo.repo);
    bytes += repo.bytes;
  }
  const pipelines = (await listPipelines(snapshot)).map(({ name }) => name);
  const { project, operation } = snapshot.head;
  const { id, time, who, what } = operation;
  return { project, repos, pipelines, bytes, last: { operation: id, time: new Date(time).toISOString(), who, what } };
}
