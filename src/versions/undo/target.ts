/**
 * Which operation an undo or redo takes back. An operation is in effect unless it was undone, an undo
 * unless it was redone; what is taken back is always the last of such a chain.
 */
import { PachError } from '../../base/errors.ts';
import { candidatesMax, severalBegin } from '../../model/ids.ts';
import type { Ref } from '../../model/refs.ts';
import { operationAt, operationsOf, operationText, Reversals, type LogSource, type Operation } from '../operations.ts';

/** `undo` without an id: the newest that `who` made. */
export type Wanted =
  | { readonly verb: 'undo'; readonly id?: string | undefined; readonly who: string }
  | { readonly verb: 'redo'; readonly who: string };

export interface Target {
  /** What is taken back: an operation of a person, an undo or a redo. */
  readonly operation: Operation;
  /** Root of the refs before it. */
  readonly before: Ref;
  /** Operations of people after it, newest first. */
  readonly later: readonly Operation[];
}

/** Throws `not-found` where there is none, or where a collection has deleted what it takes. */
export async function findTarget(source: LogSource, wanted: Wanted): Promise<Target> {
  const people: Operation[] = [];
  const reversals = new Reversals();
  const named: Operation[] = [];
  const id = wanted.verb === 'undo' ? wanted.id : undefined;
  let oldest: Operation | undefined;
  for await (const operation of operationsOf(source)) {
    oldest = operation;
    if (id !== undefined) {
      if (operation.id.startsWith(id)) named.push(operation);
    } else if (!operation.isEngine && operation.who === wanted.who) {
      if (wanted.verb === 'redo' && isRoot(operation)) break;
      const chosen =
        wanted.verb === 'redo' ? lastUndo(operation, reversals) : await lastDone(source, operation, reversals);
      if (chosen) return targetOf(source, chosen, people);
    }
    if (!operation.isEngine) people.push(operation);
    reversals.add(operation);
    if (id?.length === 32 && named.length > 0) break;
  }
  if (id === undefined) throw nothing(wanted, people, oldest);
  return targetOf(source, namedBy(id, named, reversals), people);
}

/** What a person did, other than to take something back. */
function isRoot({ undoes, redoes }: Operation): boolean {
  return undoes === undefined && redoes === undefined;
}

function lastUndo(operation: Operation, reversals: Reversals): Operation | undefined {
  return operation.undoes !== undefined && reversals.chainOf(operation).length === 1 ? operation : undefined;
}

/** The end of the chain of an operation that is in effect and did something. */
async function lastDone(source: LogSource, operation: Operation, reversals: Reversals): Promise<Operation | undefined> {
  if (!isRoot(operation) || reversals.isReversed(operation) || !operation.parent) return undefined;
  const { root } = await operationAt(source.reader, operation.parent);
  return root.hash.equals(operation.root.hash) ? undefined : reversals.chainOf(operation).at(-1);
}

function namedBy(id: string, named: readonly Operation[], reversals: Reversals): Operation {
  const [operation, second] = named;
  const ids = named.slice(0, candidatesMax + 1).map((each) => each.id);
  if (!operation || second) {
    const why = second ? severalBegin('operations', id, ids) : 'there is no such operation';
    throw new PachError('not-found', { what: `operation ${id}`, why, next: 'pach op log --all' });
  }
  const what = `operation ${operationText(operation)}`;
  if (operation.isEngine) {
    throw new PachError('usage', { what, why: 'an engine made it, and only what people did can be undone' });
  }
  if (reversals.isReversed(operation)) {
    const [, by] = reversals.chainOf(operation) as [Operation, Operation];
    const why = `it was taken back already, by ${operationText(by)}`;
    throw new PachError('conflict', { what, why, next: `pach undo ${by.id}` });
  }
  return reversals.chainOf(operation).at(-1) as Operation;
}

async function targetOf(source: LogSource, operation: Operation, people: readonly Operation[]): Promise<Target> {
  const what = `operation ${operationText(operation)}`;
  const at = people.findIndex(({ id }) => id === operation.id);
  const later = at < 0 ? people : people.slice(0, at);
  if (!operation.parent) {
    const why = operation.what.startsWith('purge ')
      ? 'a purge can never be undone, and neither can what was done before it'
      : 'it made the project';
    throw new PachError('not-found', { what, why, next: 'pach op log' });
  }
  const { root: before } = await operationAt(source.reader, operation.parent);
  // What an index knows has all that is below it (FORMAT.md section 8).
  const known = await source.known.findAll([before.hash, operation.root.hash]);
  if (known.every(Boolean)) return { operation, before, later };
  throw new PachError('not-found', {
    what,
    why: 'a garbage collection has forgotten what was there before it; operations can be undone for the grace period of the collections',
    next: 'pach op log',
  });
}

function nothing(wanted: Wanted, people: readonly Operation[], oldest: Operation | undefined): PachError {
  const { verb, who } = wanted;
  if (verb === 'redo') {
    const why = `${who} has undone nothing since the last change`;
    return new PachError('not-found', { what: 'redo', why, next: 'pach op log' });
  }
  const other = people.find((operation) => operation.who !== who && isRoot(operation) && operation.parent);
  if (other) {
    const why = `there is nothing left that ${who} did; the last change is ${operationText(other)}`;
    return new PachError('not-found', { what: 'undo', why, next: `pach undo ${other.id}` });
  }
  const why = oldest?.what.startsWith('purge ')
    ? 'there is nothing left to undo: what was done before a purge is forgotten'
    : 'there is nothing left to undo';
  return new PachError('not-found', { what: 'undo', why, next: 'pach op log' });
}
