/**
 * What hooks have told, so that no engine tells it again (FORMAT.md sections 6 and 7).
 */
import type { CommitId } from './commit.ts';
import { decodeLease, encodeLease, type LeaseRecord } from './pipelines.ts';
import {
  count,
  defaulting,
  id16,
  listOf,
  optional,
  recordCodec,
  required,
  text,
  type Codec,
  type KeepsUnknown,
} from './record.ts';

/** A hook, wherever its file lies. Times are milliseconds since 1970. */
export interface HookRecord extends KeepsUnknown {
  /** Nothing that happened before is told. */
  readonly since: number;
}

/** The last message of a kind. */
export interface Told {
  readonly kind: string;
  /** The job that it was about, or the commit that waited. */
  readonly about: CommitId;
  /** When that began: what began later is not told yet. */
  readonly began: number;
  readonly time: number;
  /** No other message of the kind is sent for so long. */
  readonly pauseMs: number;
}

/** What a hook has told of a pipeline. */
export interface ToldRecord extends KeepsUnknown {
  /** One a kind. */
  readonly told: readonly Told[];
  /** The engine that is telling more. */
  readonly teller?: LeaseRecord | undefined;
}

const about = id16<CommitId>();

const told: Codec<Told> = {
  write(writer, value) {
    text.write(writer, value.kind);
    about.write(writer, value.about);
    count.write(writer, value.began);
    count.write(writer, value.time);
    count.write(writer, value.pauseMs);
  },
  read: (reader) => ({
    kind: text.read(reader),
    about: about.read(reader),
    began: count.read(reader),
    time: count.read(reader),
    pauseMs: count.read(reader),
  }),
};

const lease: Codec<LeaseRecord> = {
  write: (writer, value) => writer.bytes(encodeLease(value)),
  read: (reader) => decodeLease(reader.bytes()),
};

const hookCodec = recordCodec<HookRecord>({ since: required(1, count) });
const toldCodec = recordCodec<ToldRecord>({
  told: defaulting<readonly Told[]>(1, listOf(told, 256, 20), []),
  teller: optional(2, lease),
});

export const encodeHook = (record: HookRecord): Buffer => hookCodec.encode(record);
/** Throws `damaged` or `unsupported`, as the other one. */
export const decodeHook = (value: Buffer): HookRecord => hookCodec.decode(value, 'hook');

export const encodeTold = (record: ToldRecord): Buffer => toldCodec.encode(record);
export const decodeTold = (value: Buffer): ToldRecord => toldCodec.decode(value, 'what a hook has told');
