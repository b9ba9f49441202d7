/**
 * The objects by which a job's engine and workers reach each other through the store (FORMAT.md
 * section 11). All are sealed: no hash elsewhere names them.
 */
import type { Reader, Writer } from '../bytes.ts';
import { headPack, type HeadPack } from './head.ts';
import type { JobId } from './pipelines.ts';
import {
  count,
  defaulting,
  flag,
  id16,
  listOf,
  optional,
  recordCodec,
  required,
  seal,
  text,
  unseal,
  type Codec,
  type KeepsUnknown,
} from './record.ts';
import {
  datumId,
  decodeClaim,
  decodePlanned,
  decodeReport,
  encodeClaim,
  encodePlanned,
  encodeReport,
  type Claim,
  type PlannedRecord,
  type Report,
} from './work.ts';

/** An engine has a job whose datums others may run; it writes this anew while it lives. */
export interface Offer extends KeepsUnknown {
  readonly job: JobId;
  /** The engine's name. */
  readonly holder: string;
  /** Grows each time it is written. */
  readonly beat: number;
  /** Nobody is to work for the job any more. */
  readonly ended: boolean;
  /** Shards that nobody had when the engine looked; their first datums, which are their names. */
  readonly free: readonly string[];
  /** How many claims it saw then. */
  readonly claims: number;
}

/** Datums that one worker runs. */
export interface Shard extends KeepsUnknown {
  readonly job: JobId;
  readonly planned: readonly PlannedRecord[];
  /** Its datum is the check of the job's output. */
  readonly isCheck: boolean;
}

/** What a worker has done. */
export interface Delivery extends KeepsUnknown {
  readonly job: JobId;
  readonly worker: string;
  /** Of the head whose indexes its packs rely on. */
  readonly epoch: number;
  readonly packs: readonly HeadPack[];
  readonly reports: readonly Report[];
  /** For people. */
  readonly notes: readonly string[];
  /** The datum at which the worker broke. */
  readonly broken?: string | undefined;
  /** What starts its commands had gone then, and the worker can't know why. */
  readonly launcherLost?: true | undefined;
}

/** Which job the workers work for that were brought for one, and may outlive it. */
export interface CrewRecord extends KeepsUnknown {
  readonly job: JobId;
  /** Grows each time it is written. */
  readonly beat: number;
  /** Milliseconds since 1970: from then on whoever finds it may delete it. */
  readonly until: number;
}

const itemsMax = 65_536;
const notesMax = 4096;

const jobId = id16<JobId>();

function nested<T>(encode: (value: T) => Buffer, decode: (bytes: Buffer) => T): Codec<T> {
  return {
    write: (writer: Writer, value) => writer.bytes(encode(value)),
    read: (reader: Reader) => decode(reader.bytes()),
  };
}

const onlyTrue: Codec<true> = { write: () => undefined, read: () => true };

const offerCodec = recordCodec<Offer>({
  job: required(1, jobId),
  holder: required(2, text),
  beat: required(3, count),
  ended: defaulting(4, flag, false),
  free: defaulting<readonly string[]>(5, listOf(datumId, itemsMax, 32), []),
  claims: defaulting(6, count, 0),
});

const shardCodec = recordCodec<Shard>({
  job: required(1, jobId),
  planned: required(2, listOf(nested(encodePlanned, decodePlanned), itemsMax, 1)),
  isCheck: defaulting(3, flag, false),
});

const deliveryCodec = recordCodec<Delivery>({
  job: required(1, jobId),
  worker: required(2, text),
  epoch: required(3, count),
  packs: defaulting<readonly HeadPack[]>(4, listOf(headPack, itemsMax, 19), []),
  reports: defaulting<readonly Report[]>(5, listOf(nested(encodeReport, decodeReport), itemsMax, 1), []),
  notes: defaulting<readonly string[]>(6, listOf(text, notesMax, 1), []),
  broken: optional(7, datumId),
  launcherLost: optional(8, onlyTrue),
});

const crewCodec = recordCodec<CrewRecord>({
  job: required(1, jobId),
  beat: required(2, count),
  until: required(3, count),
});

export const encodeOffer = (record: Offer): Buffer => seal(offerCodec.encode(record));
export const encodeShard = (record: Shard): Buffer => seal(shardCodec.encode(record));
export const encodeShardClaim = (record: Claim): Buffer => seal(encodeClaim(record));
export const encodeDelivery = (record: Delivery): Buffer => seal(deliveryCodec.encode(record));
export const encodeCrew = (record: CrewRecord): Buffer => seal(crewCodec.encode(record));

// They throw `damaged` or `unsupported`; `what` names the object.

export const decodeOffer = (bytes: Buffer, what: string): Offer => offerCodec.decode(unseal(bytes, what), what);
export const decodeShard = (bytes: Buffer, what: string): Shard => shardCodec.decode(unseal(bytes, what), what);
export const decodeShardClaim = (bytes: Buffer, what: string): Claim => decodeClaim(unseal(bytes, what));
export const decodeDelivery = (bytes: Buffer, what: string): Delivery => {
  return deliveryCodec.decode(unseal(bytes, what), what);
};
export const decodeCrew = (bytes: Buffer, what: string): CrewRecord => crewCodec.decode(unseal(bytes, what), what);
