/**
 * Undo as tests ask for it, and the refs of a project as text.
 */
import { expect } from 'vitest';
import { mayUndo } from '../../src/pipelines/editing/may-undo.ts';
import type { Project } from '../../src/versions/project.ts';
import { operationsOf, type Operation } from '../../src/versions/operations.ts';
import { checkProject } from '../../src/versions/upkeep/fsck.ts';
import { undo, type Undone } from '../../src/versions/undo/undo.ts';
import { openTestProject } from './project.ts';

/** `operation`: an id, or the last one. */
export function takeBack(project: Project, operation?: string, dryRun = false): Promise<Undone> {
  return undo(project, { wanted: { verb: 'undo', operation }, dryRun, mayUndo });
}

export function redo(project: Project, dryRun = false): Promise<Undone> {
  return undo(project, { wanted: { verb: 'redo' }, dryRun, mayUndo });
}

/** Entries of the refs whose keys begin with one of these; all but leases where none is given. */
export async function refsOf(project: Project, ...kinds: readonly string[]): Promise<Record<string, string>> {
  const snapshot = await project.snapshot();
  const found: Record<string, string> = {};
  for (const prefix of kinds.length > 0
    ? kinds
    : ['branch', 'commit', 'declared', 'job', 'pipeline', 'repo', 'result', 'used']) {
    for await (const { key, value, refs } of snapshot.items(Buffer.from(prefix))) {
      found[key.toString()] = [value, ...refs.map(({ hash }) => hash)].map((bytes) => bytes.toString('hex')).join(' ');
    }
  }
  return found;
}

/** All operations, newest first. */
export async function operations(project: Project): Promise<Operation[]> {
  const { head, known } = await project.load();
  const found: Operation[] = [];
  for await (const operation of operationsOf({ head, known, reader: project.reader })) found.push(operation);
  return found;
}

/** The newest operation. */
export async function lastOperation(project: Project): Promise<Operation> {
  return (await operations(project))[0] as Operation;
}

/** Another person at the same store. */
export function asAuthor(project: Project, author: string): Project {
  const other = openTestProject(project.options.store);
  return Object.assign(other, { options: { ...other.options, author } });
}

export async function expectSound(project: Project): Promise<void> {
  const other = openTestProject(project.options.store);
  const { findings } = await checkProject(other, { readShare: 1, random: Math.random, progress: () => undefined });
  expect(findings).toEqual([]);
}
