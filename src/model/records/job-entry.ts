/**
 * The record of a job among those of its pipeline by time (FORMAT.md section 7). Programs before wrote
 * no bytes there.
 */
import type { Hash } from '../refs.ts';
import { defaulting, flag, hash32, optional, recordCodec, type KeepsUnknown } from './record.ts';

export interface JobEntry extends KeepsUnknown {
  /** The commit that it made, where it made one, is entered under each commit that was used for it. */
  readonly entered: boolean;
  /** Names the map of datums that its index of paths is of: the entry's one reference is that index. */
  readonly indexed?: Hash | undefined;
}

const codec = recordCodec<JobEntry>({
  entered: defaulting(1, flag, false),
  indexed: optional(2, hash32),
});

export const encodeJobEntry = (entry: JobEntry): Buffer => codec.encode(entry);

/** Throws `damaged` or `unsupported`. */
export function decodeJobEntry(value: Buffer): JobEntry {
  return value.length === 0 ? { entered: false } : codec.decode(value, 'job by its time');
}
