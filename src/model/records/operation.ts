/**
 * The operation record: one atomic change of a project's refs (FORMAT.md section 7). Body of an
 * operation node, and inline in the head.
 */
import {
  count,
  defaulting,
  flag,
  id16,
  optional,
  recordCodec,
  required,
  text,
  type Codec,
  type KeepsUnknown,
} from './record.ts';

/** 32 lower-case hex digits. */
export type OperationId = string & { readonly brand: 'OperationId' };

export interface OperationRecord extends KeepsUnknown {
  readonly id: OperationId;
  /** True when the node's second ref is the operation before. */
  readonly hasParent: boolean;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly who: string;
  readonly what: string;
  /** Set when no person made it: a job began, went on or ended. */
  readonly isEngines?: true | undefined;
  /** The operation that it takes back. */
  readonly undoes?: OperationId | undefined;
  /** The undo that it takes back again. */
  readonly redoes?: OperationId | undefined;
}

const operationId = id16<OperationId>();
const set: Codec<true> = { write: () => undefined, read: () => true };

const codec = recordCodec<OperationRecord>({
  id: required(1, operationId),
  hasParent: defaulting(2, flag, false),
  time: required(3, count),
  who: required(4, text),
  what: required(5, text),
  isEngines: optional(6, set),
  undoes: optional(7, operationId),
  redoes: optional(8, operationId),
});

export function encodeOperation(operation: OperationRecord): Buffer {
  return codec.encode(operation);
}

/** Throws `damaged` or `unsupported`. */
export function decodeOperation(body: Buffer): OperationRecord {
  return codec.decode(body, 'operation');
}
