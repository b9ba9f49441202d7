/**
 * What the loop of development works on: pipelines in their order, and which of them a change touches.
 */
import { noCommit } from '../pipelines/jobs/jobs.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import { codeEntries, type Pipeline } from '../pipelines/pipelines.ts';
import type { PipelineSpec } from '../pipelines/spec/spec.ts';
import { Directories } from '../versions/directories.ts';
import { changesOf } from '../versions/reading/files.ts';
import type { Project } from '../versions/project.ts';
import type { Snapshot } from '../versions/snapshot.ts';
import type { DevCause } from './dev-events.ts';
import { graphFor } from './run-graph.ts';

/**
 * What becomes of a job that runs when a save touches its pipeline, or one that it depends on. A job
 * with other code or another spec computes what nobody wants any more. One with older inputs does
 * not: what it computes of the datums that stay is taken by the next job, and commits that come one
 * after another must not keep every job from its end.
 */
export const policy: Readonly<Record<DevCause, 'restart' | 'finish'>> = {
  code: 'restart',
  spec: 'restart',
  input: 'finish',
};

export interface DevGraph {
  /** What the specs are; others that they depend on come beside them. */
  readonly names: readonly string[];
  /** In the order in which they run. */
  readonly order: readonly Pipeline[];
  readonly upstream: ReadonlyMap<string, readonly string[]>;
}

export const emptyGraph: DevGraph = { names: [], order: [], upstream: new Map() };

/** The graph of pipelines as they are on a branch. */
export async function devGraph(snapshot: Snapshot, specs: readonly PipelineSpec[], branch: string): Promise<DevGraph> {
  const names = specs.map(({ name }) => name);
  return { names, ...(await graphFor(snapshot, names, branch)) };
}

export interface Saved {
  readonly cause: DevCause;
  /** Pipelines that are others now, or read something else. */
  readonly pipelines: readonly string[];
  /** The first of what was saved. */
  readonly files: readonly string[];
  readonly fileCount: number;
}

const filesTold = 20;

/** What is different in the pipelines of a graph, by cause; nothing for files that have the content that they had. */
export async function changedPipelines(project: Project, before: DevGraph, after: DevGraph): Promise<Saved[]> {
  const old = new Map(before.order.map((pipeline) => [pipeline.name, pipeline]));
  const specs: string[] = [];
  const code: string[] = [];
  const files: string[] = [];
  let fileCount = 0;
  for (const now of after.order) {
    const was = old.get(now.name);
    if (was?.version === now.version) continue;
    if (!was?.specRef.hash.equals(now.specRef.hash)) specs.push(now.name);
    else {
      code.push(now.name);
      for await (const file of changedCode(project, was, now)) {
        fileCount += 1;
        if (files.length < filesTold) files.push(file);
      }
    }
  }
  return [
    ...(specs.length > 0 ? [{ cause: 'spec', pipelines: specs, files: [], fileCount: 0 } as const] : []),
    ...(code.length > 0 ? [{ cause: 'code', pipelines: code, files, fileCount } as const] : []),
  ];
}

/** Paths on this machine of files that differ between two versions of a pipeline's code. */
async function* changedCode({ reader }: Project, was: Pipeline, now: Pipeline): AsyncGenerator<string> {
  const before = await codeEntries(reader, was);
  for (const [index, entry] of (await codeEntries(reader, now)).entries()) {
    const from = now.spec.code[index]?.from ?? '';
    for await (const { path } of changesOf(new Directories(reader), from, before[index], entry)) yield path;
  }
}

/** Pipelines whose settled jobs read other versions than there are now, of what no pipeline of the graph makes. */
export async function movedInputs(
  snapshot: Snapshot,
  { order }: DevGraph,
  settled: ReadonlyMap<string, Job>,
): Promise<Saved | undefined> {
  const pipelines = new Set<string>();
  const files = new Set<string>();
  for (const [name, job] of settled) {
    for (const { repo, branch, commit } of job.inputs) {
      if (order.some((made) => made.name === repo) || (await headOf(snapshot, repo, branch)) === commit) continue;
      pipelines.add(name);
      files.add(`${repo}@${branch}`);
    }
  }
  if (pipelines.size === 0) return undefined;
  return { cause: 'input', pipelines: [...pipelines], files: [...files].slice(0, filesTold), fileCount: files.size };
}

/** True when a pipeline that reads what an ended job made has to run again. */
export async function isOutdated(snapshot: Snapshot, job: Job, above: Job): Promise<boolean> {
  if (above.state !== 'success' || job.state === 'unrunnable') return true;
  for (const { repo, branch, commit } of job.inputs) {
    if (repo === above.pipeline && (await headOf(snapshot, repo, branch)) !== commit) return true;
  }
  return false;
}

/** These pipelines and all that depend on them. */
export function withReaders({ order, upstream }: DevGraph, names: Iterable<string>): Set<string> {
  const touched = new Set(names);
  for (const { name } of order) if (upstream.get(name)?.some((above) => touched.has(above))) touched.add(name);
  return touched;
}

async function headOf(snapshot: Snapshot, repo: string, branch: string): Promise<string> {
  const id = (await snapshot.maybeBranch(repo, branch))?.head?.id;
  return id ?? noCommit;
}
