/**
 * The record of an engine that stays up (FORMAT.md sections 1 and 7).
 */
import {
  count,
  defaulting,
  listOf,
  optional,
  recordCodec,
  required,
  seal,
  text,
  unseal,
  type KeepsUnknown,
} from './record.ts';

export interface EngineRecord extends KeepsUnknown {
  readonly holder: string;
  /** Where `pid` counts; see `LeaseRecord`. */
  readonly host: string;
  readonly pid: number;
  readonly pidStarted: string;
  /** Milliseconds since 1970, as `until`. */
  readonly since: number;
  /** It is taken for gone after this time. */
  readonly until: number;
  /** Of the program. */
  readonly version: string;
  /** The pipelines that it runs; all where there are none. */
  readonly only: readonly string[];
  /** It runs what pipelines are on this branch, beside production. */
  readonly branch?: string | undefined;
}

const codec = recordCodec<EngineRecord>({
  holder: required(1, text),
  host: required(2, text),
  pid: required(3, count),
  pidStarted: required(4, text),
  since: required(5, count),
  until: required(6, count),
  version: required(7, text),
  only: defaulting<readonly string[]>(8, listOf(text, 65_536, 1), []),
  branch: optional(9, text),
});

export const encodeEngine = (record: EngineRecord): Buffer => seal(codec.encode(record));

/** Throws `damaged` or `unsupported`; `what` names the object. */
export function decodeEngine(bytes: Buffer, what: string): EngineRecord {
  return codec.decode(unseal(bytes, what), what);
}
