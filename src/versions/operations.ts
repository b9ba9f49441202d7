/**
 * The log of operations: what was done to a project's refs, newest first, as far back as it is kept.
 */
import { PachError } from '../base/errors.ts';
import type { BlobReader } from '../cache/blobs.ts';
import type { KnownBlobs } from '../chunks/known.ts';
import type { Head } from '../model/records/head.ts';
import { shortId } from '../model/ids.ts';
import { decodeOperation, type OperationId, type OperationRecord } from '../model/records/operation.ts';
import type { Ref } from '../model/refs.ts';

export interface Operation extends OperationRecord {
  /** No person asked for it. */
  readonly isEngine: boolean;
  /** Root of the refs that it led to, which a collection may have deleted. */
  readonly root: Ref;
  readonly parent: Ref | undefined;
}

/** What a log is read from. */
export interface LogSource {
  readonly head: Head;
  readonly reader: BlobReader;
  readonly known: KnownBlobs;
}

/** What operations of engines said in programs that did not mark them. */
const enginesWords = /^(?:start job|job|results|keep the lease|restart datum) of |^stop job |^drop versions on branch /;

/** Operations, newest first. */
export async function* operationsOf({ head, reader, known }: LogSource): AsyncGenerator<Operation> {
  for (let ref: Ref | undefined = head.operationRef; ref && (await known.find(ref.hash));) {
    const operation: Operation = await operationAt(reader, ref);
    yield operation;
    ref = operation.parent;
  }
}

/** Reads an operation. Throws `damaged`. */
export async function operationAt(reader: BlobReader, ref: Ref): Promise<Operation> {
  const { kind, refs, body } = await reader.node(ref);
  const [root, parent] = refs;
  if (kind !== 'operation' || !root) {
    throw new PachError('damaged', { what: `operation ${ref.hash.toString('hex')}`, why: 'it is not an operation' });
  }
  const record = decodeOperation(body);
  const isEngine = record.isEngines === true || enginesWords.test(record.what);
  return { ...record, isEngine, root, parent: record.hasParent ? parent : undefined };
}

/** The operation that each was taken back by: of what lies newer than what is asked about, all. */
export class Reversals {
  private readonly by = new Map<OperationId, Operation>();

  /** Goes on to the next older operation. */
  add(operation: Operation): void {
    const reversed = operation.undoes ?? operation.redoes;
    if (reversed !== undefined) this.by.set(reversed, operation);
  }

  /** An operation, its undo, the redo of that, and so on. */
  chainOf(operation: Operation): readonly Operation[] {
    const chain = [operation];
    for (let next = this.by.get(operation.id); next; next = this.by.get(next.id)) chain.push(next);
    return chain;
  }

  /** True for an operation that was taken back, and stays so. */
  isReversed(operation: Operation): boolean {
    return this.chainOf(operation).length % 2 === 0;
  }
}

/** What was done in the first place, also for an undo or redo of it. */
export function wordsOf({
  what,
  undoes,
  redoes,
}: { [K in 'undoes' | 'redoes']?: string | null | undefined } & { readonly what: string }): string {
  return (undoes ?? redoes) ? what.replace(/^(?:undo|redo): /, '') : what;
}

/** An operation as people are told of it. */
export function operationText({ id, who, time, what }: Operation): string {
  return `${shortId(id)}, ${what}, by ${who} at ${new Date(time).toISOString().slice(0, 19)}Z`;
}
