/**
 * How far reading all data of a project has come, a part at a time (FORMAT.md sections 6 and 7).
 */
import type { PackId } from '../refs.ts';
import {
  count,
  defaulting,
  flag,
  id16,
  listOf,
  optional,
  recordCodec,
  required,
  text,
  type KeepsUnknown,
} from './record.ts';

export interface ScrubRecord extends KeepsUnknown {
  /** When a part was last begun, in milliseconds since 1970. */
  readonly time: number;
  /** When the round was begun in which each data pack is read once. */
  readonly began: number;
  /** Packs with smaller ids were read in this round, and this one. */
  readonly after?: PackId | undefined;
  /** All of the round was read. */
  readonly done: boolean;
  /** What was found damaged and not seen whole since: objects, and what is wrong with each. */
  readonly damage: readonly string[];
}

export const damageMax = 64;

const codec = recordCodec<ScrubRecord>({
  time: required(1, count),
  began: required(2, count),
  after: optional(3, id16<PackId>()),
  done: defaulting(4, flag, false),
  damage: defaulting<readonly string[]>(5, listOf(text, damageMax, 1), []),
});

export const encodeScrub = (record: ScrubRecord): Buffer => codec.encode(record);
/** Throws `damaged` or `unsupported`. */
export const decodeScrub = (value: Buffer): ScrubRecord => codec.decode(value, 'scrub');
