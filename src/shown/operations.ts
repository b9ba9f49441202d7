/**
 * The log of operations, and what an undo takes back, as programs are shown them.
 */
import type { MovedPipeline } from '../pipelines/editing/places.ts';
import { operationsOf, Reversals, type LogSource, type Operation } from '../versions/operations.ts';
import type { Undone } from '../versions/undo/undo.ts';

export interface OperationInfo {
  readonly operation: string;
  readonly time: string;
  readonly who: string;
  readonly what: string;
  readonly kind: 'person' | 'engine';
  /** True for what was taken back, and stays so. */
  readonly undone: boolean;
  readonly undoes: string | null;
  readonly redoes: string | null;
}

export const operationJson = '{operation, time, who, what, kind: person|engine, undone, undoes, redoes}';

function operationInfo(operation: Operation, undone: boolean): OperationInfo {
  const { id, time, who, what, isEngine, undoes = null, redoes = null } = operation;
  const kind = isEngine ? 'engine' : 'person';
  return { operation: id, time: new Date(time).toISOString(), who, what, kind, undone, undoes, redoes };
}

/** Newest first; what engines did only where `all` is true. */
export async function* operationInfos(source: LogSource, all: boolean): AsyncGenerator<OperationInfo> {
  const reversals = new Reversals();
  for await (const operation of operationsOf(source)) {
    if (all || !operation.isEngine) yield operationInfo(operation, reversals.isReversed(operation));
    reversals.add(operation);
  }
}

export interface UndoneInfo {
  /** What was taken back. */
  readonly operation: OperationInfo;
  readonly dryRun: boolean;
  readonly changes: Undone['changes'];
  readonly kept: readonly string[];
  readonly places: readonly MovedPipeline[];
}

export const undoneJson =
  '{operation, dryRun, changes: [{kind, name, change: added|removed|changed, count?, old?, new?}], kept: [repo], places: [{pipeline, branch, from, to, version}]}; operation as in op log; kept: output that engines computed and that stays; places: of pipelines that were promoted or demoted, where they ran before and run now, null for nowhere, and in which version; branch: of an experiment, else null';

export function undoneInfo(
  { operation, changes, kept }: Undone,
  dryRun: boolean,
  places: readonly MovedPipeline[],
): UndoneInfo {
  return { operation: operationInfo(operation, !dryRun), dryRun, changes, kept, places };
}
