/**
 * Taking back what people did to a project's refs: by the inverse of the keys that an operation
 * changed, on top of what is there now. An undo is an operation itself, so that it can be undone (redo).
 * Published as every change, by one move of the head.
 */
import { PachError } from '../../base/errors.ts';
import { Change } from '../change.ts';
import { operationText, wordsOf, type LogSource, type Operation } from '../operations.ts';
import type { Project } from '../project.ts';
import { kindOf, lastPart, nameOf } from '../ref-keys.ts';
import { branchOf } from '../snapshot.ts';
import { Inverse } from './inverse.ts';
import { LaterChanges } from './later.ts';
import { findTarget, type Wanted } from './target.ts';

/** A check of the caller: throws when something above this room forbids the change. */
export type MayUndo = (change: Change, later: LaterChanges) => Promise<void>;

export interface UndoRequest {
  /** What is to be undone, by its id or the beginning of one; without it the last change of the project's author. */
  readonly wanted: { readonly verb: 'undo'; readonly operation?: string | undefined } | { readonly verb: 'redo' };
  readonly dryRun: boolean;
  readonly mayUndo: MayUndo;
}

/** What becomes of a repo, branch or pipeline, or of how many commits, jobs or results of one. */
export interface RefChange {
  readonly kind: string;
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  /** Absent for what is single. */
  readonly count?: number;
  /** Heads of a branch, where it had and gets one. */
  readonly old?: string | undefined;
  readonly new?: string | undefined;
}

export interface Undone {
  /** What was taken back: an operation of a person, an undo or a redo. */
  readonly operation: Operation;
  readonly changes: readonly RefChange[];
  /** Repos that stay, because engines have computed what is in them. */
  readonly kept: readonly string[];
}

/**
 * Takes an operation back. Throws `conflict` when a person has changed the same since, and `not-found`
 * when there is nothing to take back or it is not kept any more; then nothing is changed.
 */
export async function undo(project: Project, request: UndoRequest): Promise<Undone> {
  const { wanted, dryRun, mayUndo } = request;
  const { author } = project.options;
  const base = await project.load();
  const source = { head: base.head, known: base.known, reader: project.reader };
  const first: Wanted =
    wanted.verb === 'redo' ? { ...wanted, who: author } : { verb: 'undo', who: author, id: wanted.operation };
  const { operation } = await findTarget(source, first);
  // Others may be first: what they do does not make this take back something else.
  const exactly: Wanted = { verb: 'undo', who: author, id: operation.id };
  const apply = (change: Change): Promise<Undone> => invert(change, exactly, mayUndo);
  if (dryRun) {
    await using begun = await project.begin();
    return await apply(new Change(begun.snapshot, { ...begun, known: begun.base.known }));
  }
  const words = wordsOf(operation);
  const deed =
    operation.undoes === undefined
      ? { what: `undo: ${words}`, undoes: operation.id }
      : { what: `redo: ${words}`, redoes: operation.id };
  return project.update(deed, apply);
}

async function invert(change: Change, wanted: Wanted, mayUndo: MayUndo): Promise<Undone> {
  const { snapshot, known } = change;
  const source: LogSource = { head: snapshot.head, reader: snapshot.reader, known };
  const target = await findTarget(source, wanted);
  const { operation } = target;
  const later = new LaterChanges(source, target);
  const inverse = new Inverse(change, target, later);
  await inverse.run();
  if (change.edits.size === 0) {
    const why = 'nothing of it is left to take back: engines have gone on since';
    throw new PachError('conflict', { what: `operation ${operationText(operation)}`, why, next: 'pach op log --all' });
  }
  await mayUndo(change, later);
  return { operation, changes: await changesOf(change), kept: inverse.keptRepos };
}

/** Commits, jobs and results are many, and are counted. */
const counted: Readonly<Record<string, string>> = {
  commit: 'commits',
  declared: 'declarations',
  job: 'jobs',
  result: 'results',
};

async function changesOf(change: Change): Promise<RefChange[]> {
  const changes = new Map<string, RefChange>();
  for (const [text, item] of [...change.edits].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const key = Buffer.from(text, 'latin1');
    const kind = kindOf(key);
    if (['jobs', 'used', 'failed', 'check', 'promoted'].includes(kind)) continue;
    const before = await change.snapshot.item(key);
    const how = !item ? 'removed' : before ? 'changed' : 'added';
    const many = counted[kind];
    if (many !== undefined) {
      const name = kind === 'commit' || kind === 'declared' ? nameOf(key) : '';
      const of = `${many} ${name} ${how}`;
      const count = (changes.get(of)?.count ?? 0) + 1;
      changes.set(of, { kind: many, name, change: how, count });
    } else if (kind === 'branch') {
      const [old, now] = [before, item].map((each) => each && branchOf(each).head?.id);
      changes.set(text, { kind, name: `${nameOf(key)}@${lastPart(key)}`, change: how, old, new: now });
    } else changes.set(text, { kind, name: lastPart(key), change: how });
  }
  return [...changes.values()];
}
