/**
 * The records of what a project knows of other stores, and of what was purged (FORMAT.md section 7).
 */
import { count, defaulting, flag, id16, nameText, recordCodec, required, text, type KeepsUnknown } from './record.ts';

/** Where a repo was cloned from, or is pushed to. */
export interface RemoteRecord extends KeepsUnknown {
  /** Without credentials. */
  readonly url: string;
  readonly project: string;
  /** Of the store, as its header has it: 32 hex digits. */
  readonly storeId: string;
}

/** That a commit has other content than it once had. Says neither what is gone nor where it was. */
export interface PurgedRecord extends KeepsUnknown {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly who: string;
  /** It was told by another store, and results here may be older, and hold what was purged there. */
  readonly olderResults: boolean;
}

const remoteCodec = recordCodec<RemoteRecord>({
  url: required(1, text),
  project: required(2, nameText),
  storeId: required(3, id16()),
});

const purgedCodec = recordCodec<PurgedRecord>({
  time: required(1, count),
  who: defaulting(2, text, ''),
  olderResults: defaulting(3, flag, false),
});

export const encodeRemote = (record: RemoteRecord): Buffer => remoteCodec.encode(record);
/** Throws `damaged` or `unsupported`, as the other one. */
export const decodeRemote = (value: Buffer): RemoteRecord => remoteCodec.decode(value, 'remote');

export const encodePurged = (record: PurgedRecord): Buffer => purgedCodec.encode(record);
export const decodePurged = (value: Buffer): PurgedRecord => purgedCodec.decode(value, 'purged');
