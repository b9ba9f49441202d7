/**
 * The records of jobs in a project's map of refs, and of datums in a job's own map (FORMAT.md 6, 7).
 */
import type { Hash, Ref } from '../refs.ts';
import { damaged, type Reader } from '../bytes.ts';
import { commitProvenance, type CommitId, type CommitProvenance } from './commit.ts';
import {
  count,
  defaulting,
  flag,
  hash32,
  id16,
  listOf,
  nameText,
  optional,
  recordCodec,
  required,
  telling,
  text,
  textWithNames,
  type Codec,
  type KeepsUnknown,
} from './record.ts';

/** 32 lower-case hex digits. A job that made a commit has that commit's. */
export type JobId = CommitId;

/** `rejected`: all was computed, but its output did not meet an expectation. */
export type JobState = StoredState | 'rejected';
type StoredState = 'running' | 'success' | 'failure' | 'killed' | 'unrunnable';

export interface DatumCounts {
  readonly total: number;
  readonly processed: number;
  readonly skipped: number;
  readonly failed: number;
  readonly recovered: number;
}

export interface JobRecord extends KeepsUnknown {
  readonly id: JobId;
  readonly pipeline: string;
  readonly pipelineVersion: number;
  readonly branch: string;
  readonly state: JobState;
  readonly started: number;
  /** Absent while it runs. */
  readonly finished?: number | undefined;
  readonly reason: string;
  readonly counts: DatumCounts;
  /** The version of every pfs input, in their order. */
  readonly inputs: readonly CommitProvenance[];
  readonly output?: CommitId | undefined;
  readonly executor: string;
  /** Somebody wants it to end. */
  readonly stopping: boolean;
  /** Where the code came from, as text; empty where there is none. */
  readonly codeOrigin: string;
  /** True when the datums' map is among the references. */
  readonly hasDatums: boolean;
  /** The result of a datum of it is not to be taken any more: the next job looks at all of them. */
  readonly restarted: boolean;
  /** True when the code that it ran is among the references. */
  readonly hasCode: boolean;
  /** How many datums have empty folders in their outputs. Absent where its own output has none for them. */
  readonly withEmptyFolders?: number | undefined;
  /** True where it succeeded without datums that failed: the next job looks at all of them. Else absent. */
  readonly incomplete?: boolean | undefined;
  /** How many jobs in a row did the same, all but this one in vain; absent for the first. */
  readonly tries?: number | undefined;
  /** Who ran it, as leases name engines; absent where an older program did. */
  readonly engine?: string | undefined;
  /** For which place its engine ran it; absent for pipelines that were promoted nowhere. */
  readonly place?: string | undefined;
}

/** What a job's entry refers to. */
export interface JobRefs {
  readonly spec: Ref;
  readonly recipe: Ref;
  /** The map of its datums, once they are known. */
  readonly datums: Ref | undefined;
  /** The tree of its code; undefined where it had none, or where an older program did not keep it. */
  readonly code: Ref | undefined;
}

/** Times in milliseconds, sizes in bytes. */
export interface DatumStats {
  readonly startedMs: number;
  readonly downloadMs: number;
  readonly processMs: number;
  readonly uploadMs: number;
  readonly cpuMs: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly memoryBytesPeak: number;
}

/** Links in a datum's output that lead out of /pfs, so that what they lead to is not stored. */
export interface OutsideLinks {
  readonly links: number;
  /** One of them, for people. */
  readonly one: string;
}

/**
 * What came of a datum: stored under its key when it succeeded, and in its job's map. Its one
 * reference is a tree: `out` (directory), `log` (file), and `files` where the datum has many.
 */
export interface Outcome extends KeepsUnknown {
  readonly state: 'success' | 'failed' | 'recovered';
  /** The job that ran it. */
  readonly job: JobId;
  readonly pipeline: string;
  /** How the command ended, or why it did not begin. */
  readonly reason: string;
  readonly stats: DatumStats;
  readonly outside?: OutsideLinks | undefined;
  /** False when no folder of its output is empty. */
  readonly mayHaveEmptyFolders: boolean;
  /** True where its output may have references; else absent. */
  readonly references?: boolean | undefined;
  /** The place whose engine made it, or had it made again to the same output; absent for all others. */
  readonly place?: string | undefined;
}

/** What a datum of a job reads: which of the job's inputs, where. */
export interface DatumRow {
  /** Number of the pfs input, from 0. */
  readonly input: number;
  readonly path: string;
  readonly hash: Hash;
}

export interface DatumRecord extends KeepsUnknown {
  readonly key: Hash;
  /** Empty where there are too many to be here: then the result's tree has them. */
  readonly files: readonly DatumRow[];
  readonly outcome: Outcome;
}

/** Who runs a pipeline, and until when nobody else may. */
export interface LeaseRecord extends KeepsUnknown {
  readonly holder: string;
  readonly host: string;
  /** Of the engine on that host, with the time it started in the kernel's clock ticks. */
  readonly pid: number;
  readonly pidStarted: string;
  readonly until: number;
}

const id = id16<CommitId>();

function oneOf<T extends string>(values: readonly T[]): Codec<T> {
  return {
    write: (writer, value) => writer.u8(values.indexOf(value) + 1),
    read: (reader: Reader) => values[reader.u8() - 1] ?? reader.fail('it has an unknown state'),
  };
}

/** Numbers of an object, in the order of these names. */
function counts<T extends { readonly [K in keyof T]: number }>(names: readonly (keyof T & string)[]): Codec<T> {
  return {
    write(writer, value) {
      for (const name of names) writer.varint(Math.max(0, Math.round(value[name])));
    },
    read: (reader) => Object.fromEntries(names.map((name) => [name, reader.varint()])) as unknown as T,
  };
}

export const datumRow: Codec<DatumRow> = {
  write(writer, { input, path, hash }) {
    writer.varint(input);
    textWithNames.write(writer, path);
    writer.raw(hash);
  },
  read: (reader) => ({ input: reader.varint(), path: textWithNames.read(reader), hash: hash32.read(reader) }),
};

/**
 * Programs from before know no job that was rejected, which is one that failed for these, nor one whose
 * commit is incomplete: there they see a datum that was restarted, and look at all of them too.
 */
interface StoredJob extends Omit<JobRecord, 'state'> {
  readonly state: StoredState;
  readonly rejected?: boolean | undefined;
  /** That a datum of an incomplete one was restarted. */
  readonly restartedToo?: boolean | undefined;
}

const jobCodec = recordCodec<StoredJob>({
  id: required(1, id),
  pipeline: required(2, nameText),
  pipelineVersion: required(3, count),
  branch: required(4, nameText),
  state: required(5, oneOf<StoredState>(['running', 'success', 'failure', 'killed', 'unrunnable'])),
  started: required(6, count),
  finished: optional(7, count),
  reason: defaulting(8, textWithNames, ''),
  counts: required(9, counts<DatumCounts>(['total', 'processed', 'skipped', 'failed', 'recovered'])),
  inputs: defaulting<readonly CommitProvenance[]>(10, listOf(commitProvenance, 4096, 20), []),
  output: optional(11, id),
  executor: required(12, text),
  stopping: defaulting(13, flag, false),
  codeOrigin: defaulting(14, text, ''),
  hasDatums: defaulting(15, flag, false),
  restarted: defaulting(16, flag, false),
  hasCode: defaulting(17, flag, false),
  withEmptyFolders: optional(18, count),
  rejected: optional(19, flag),
  incomplete: optional(20, flag),
  restartedToo: optional(21, flag),
  tries: optional(22, count),
  engine: optional(23, text),
  place: optional(24, text),
});

const outsideLinks: Codec<OutsideLinks> = {
  write(writer, { links, one }) {
    writer.varint(links);
    textWithNames.write(writer, one);
  },
  read: (reader) => ({ links: reader.varint(), one: textWithNames.read(reader) }),
};

const outcomeCodec = recordCodec<Outcome>({
  state: required(1, oneOf<Outcome['state']>(['success', 'failed', 'recovered'])),
  job: required(2, id),
  pipeline: required(3, nameText),
  reason: defaulting(4, textWithNames, ''),
  stats: required(
    5,
    counts<DatumStats>([
      'startedMs',
      'downloadMs',
      'processMs',
      'uploadMs',
      'cpuMs',
      'inputBytes',
      'outputBytes',
      'memoryBytesPeak',
    ]),
  ),
  outside: optional(6, outsideLinks),
  mayHaveEmptyFolders: defaulting(7, flag, false),
  references: telling(8, flag),
  place: optional(9, text),
});

export const outcomeField: Codec<Outcome> = {
  write: (writer, value) => writer.raw(outcomeCodec.encode(value)),
  read: (reader) => outcomeCodec.decode(reader.raw(reader.remaining), 'outcome'),
};

const datumCodec = recordCodec<DatumRecord>({
  key: required(1, hash32),
  files: defaulting<readonly DatumRow[]>(2, listOf(datumRow, 65_536, 34), []),
  outcome: required(3, outcomeField),
});

const leaseCodec = recordCodec<LeaseRecord>({
  holder: required(1, text),
  host: required(2, text),
  pid: required(3, count),
  pidStarted: required(4, text),
  until: required(5, count),
});

export function encodeJob(record: JobRecord): Buffer {
  const { state, incomplete = false, restarted } = record;
  const rejected = state === 'rejected';
  return jobCodec.encode({
    ...record,
    state: rejected ? 'failure' : state,
    rejected: rejected || undefined,
    incomplete: incomplete || undefined,
    restarted: restarted || incomplete,
    restartedToo: (restarted && incomplete) || undefined,
  });
}

export function decodeJob(value: Buffer): JobRecord {
  const stored = jobCodec.decode(value, 'job');
  // Lists have thousands of these, and nearly none is of the kinds below: no copy for them.
  if (!stored.rejected && !stored.incomplete && !stored.restartedToo) return stored;
  const { rejected, restartedToo = false, ...job } = stored;
  return {
    ...job,
    state: rejected && job.state === 'failure' ? 'rejected' : job.state,
    restarted: job.incomplete ? restartedToo : job.restarted,
  };
}

/** The references of a job's entry, as its record says which are there. Throws `damaged`. */
export function jobRefs({ id: job, hasDatums, hasCode }: JobRecord, refs: readonly Ref[]): JobRefs {
  const [spec, recipe, ...more] = refs;
  const datums = hasDatums ? more.shift() : undefined;
  const code = hasCode ? more.shift() : undefined;
  const isWhole = more.length === 0 && hasDatums === Boolean(datums) && hasCode === Boolean(code);
  if (!spec || !recipe || !isWhole) throw damaged(`job ${job}`, 'its references are not those that it names');
  return { spec, recipe, datums, code };
}

/** The references of a job's entry, in their order. */
export function jobRefList({ spec, recipe, datums, code }: JobRefs): Ref[] {
  return [spec, recipe, datums, code].flatMap((ref) => ref ?? []);
}

export const encodeOutcome = (outcome: Outcome): Buffer => outcomeCodec.encode(outcome);
export const decodeOutcome = (value: Buffer): Outcome => outcomeCodec.decode(value, 'result');

export const encodeDatum = (record: DatumRecord): Buffer => datumCodec.encode(record);
export const decodeDatum = (value: Buffer): DatumRecord => datumCodec.decode(value, 'datum');

export const encodeLease = (record: LeaseRecord): Buffer => leaseCodec.encode(record);
export const decodeLease = (value: Buffer): LeaseRecord => leaseCodec.decode(value, 'lease');
