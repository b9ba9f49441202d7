/**
 * The record of a pipeline in a project's map of refs (FORMAT.md 6, 7).
 */
import {
  count,
  defaulting,
  flag,
  listOf,
  nameText,
  optional,
  recordCodec,
  required,
  text,
  type Codec,
  type KeepsUnknown,
} from './record.ts';

export interface PipelineRecord extends KeepsUnknown {
  /** 1, and one more with every update. */
  readonly version: number;
  /** Milliseconds since 1970, as all times here. */
  readonly created: number;
  readonly updated: number;
  readonly stopped: boolean;
  /** Changed by `--reprocess`: part of every datum key while it is not empty. */
  readonly salt: string;
  /** Where the code came from (remote, commit, whether it was changed), as text; empty where there is none. */
  readonly codeOrigin: string;
  /** From when on its cron inputs tick, by their repos; absent where it has none. */
  readonly ticksSince?: readonly TicksSince[] | undefined;
  /** Where it runs, once it is promoted: an engine of that place runs it, and no other. */
  readonly place?: string | undefined;
  /** The image that it was promoted with, as text, where it names or builds one. */
  readonly pinned?: string | undefined;
}

/** Ticks of a schedule come after this time. */
export interface TicksSince {
  readonly repo: string;
  readonly since: number;
}

const ticksSince: Codec<TicksSince> = {
  write(writer, { repo, since }) {
    nameText.write(writer, repo);
    writer.varint(since);
  },
  read: (reader) => ({ repo: nameText.read(reader), since: reader.varint() }),
};

/** Programs from before know no place, and must not run what belongs to one: for these it is stopped. */
interface StoredPipeline extends PipelineRecord {
  /** That one with a place is stopped. */
  readonly stoppedToo?: boolean | undefined;
}

const pipelineCodec = recordCodec<StoredPipeline>({
  version: required(1, count),
  created: required(2, count),
  updated: required(3, count),
  stopped: defaulting(4, flag, false),
  salt: defaulting(5, text, ''),
  codeOrigin: defaulting(6, text, ''),
  ticksSince: optional(7, listOf(ticksSince, 4096, 3)),
  place: optional(8, text),
  stoppedToo: optional(9, flag),
  pinned: optional(10, text),
});

export function encodePipeline(record: PipelineRecord): Buffer {
  const { place, stopped } = record;
  const stoppedToo = (place !== undefined && stopped) || undefined;
  return pipelineCodec.encode({ ...record, stopped: stopped || place !== undefined, stoppedToo });
}

/** Throws `damaged` or `unsupported`, as the others here. */
export function decodePipeline(value: Buffer): PipelineRecord {
  const { stoppedToo = false, ...record } = pipelineCodec.decode(value, 'pipeline');
  if (record.place === undefined) return record;
  // Somebody has started it with an older program: then it runs wherever that does.
  if (!record.stopped) return { ...record, place: undefined, pinned: undefined };
  return { ...record, stopped: stoppedToo };
}
