/**
 * The records of what stands beside a commit that a job made (FORMAT.md sections 6 and 7).
 */
import { count, recordCodec, required, type KeepsUnknown } from './record.ts';

/** Beside a commit that failed datums are left out of. Its one reference is the map of these. */
export interface FailedRecord extends KeepsUnknown {
  readonly datums: number;
}

const failedCodec = recordCodec<FailedRecord>({ datums: required(1, count) });
const checkCodec = recordCodec<KeepsUnknown>({});

export const encodeFailed = (record: FailedRecord): Buffer => failedCodec.encode(record);
export const decodeFailed = (value: Buffer): FailedRecord => failedCodec.decode(value, 'failed datums');

/** Beside a job whose output was checked by a command: the one reference is that command's result. */
export const encodeCheck = (record: KeepsUnknown): Buffer => checkCodec.encode(record);
export const decodeCheck = (value: Buffer): KeepsUnknown => checkCodec.decode(value, 'check');
