/**
 * What the engine and the workers of a job tell each other, wherever those are: a datum that is to
 * be run, who has taken it, and what came of it (FORMAT.md sections 7 and 11).
 */
import type { Reader, Writer } from '../bytes.ts';
import { nameOfText } from '../paths.ts';
import type { Hash, Ref } from '../refs.ts';
import { nameProblem, treeFormat, type TreeEntry } from '../tree.ts';
import type { CommitId } from './commit.ts';
import { outcomeField, type JobId, type Outcome } from './pipelines.ts';
import {
  count,
  defaulting,
  flag,
  hash32,
  id16,
  listOf,
  nodeRef,
  optional,
  recordCodec,
  required,
  text,
  textWithNames,
  type Codec,
  type KeepsUnknown,
} from './record.ts';

/** One file or directory of a planned datum. */
export interface PlannedFile {
  /** Number of the pfs input in the pipeline's spec, from 0. */
  readonly input: number;
  readonly commit: CommitId;
  /** Absolute, as text; `/` is the whole of the version. */
  readonly path: string;
  readonly entry: TreeEntry;
  readonly joinOn?: string | undefined;
  readonly groupBy?: string | undefined;
}

/** A datum that is to be run. */
export interface PlannedRecord extends KeepsUnknown {
  /** 64 hex digits, as all ids of datums here. */
  readonly datum: string;
  readonly key: Hash;
  readonly files: readonly PlannedFile[];
  /** It has a result, which stays; this run is compared with it. */
  readonly isRecheck: boolean;
}

/** A worker has taken a datum, and runs it from now on. */
export interface Claim extends KeepsUnknown {
  readonly job: JobId;
  readonly datum: string;
  /** The worker's name, one of a kind among those of the job. */
  readonly worker: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** The worker's process; see `LeaseRecord`. */
  readonly host?: string | undefined;
  readonly pid?: number | undefined;
  readonly pidStarted?: string | undefined;
  /** Grows with each renewal. */
  readonly beat?: number | undefined;
}

/** What came of a claimed datum. */
export interface Report extends KeepsUnknown {
  readonly job: JobId;
  readonly datum: string;
  readonly worker: string;
  readonly outcome: Outcome;
  /** The result's tree. */
  readonly tree: Ref;
  /** Why each of its tries failed, as JSON. */
  readonly failures?: readonly string[] | undefined;
}

const filesMax = 1_048_576;
const triesMax = 4096;
const fileBytesMin = 25;
const hasJoinOn = 1;
const hasGroupBy = 2;
/** How a file says what its entry refers to: nothing, a chunk or a node. */
const refTypes = [undefined, 'chunk', 'node'] as const;

export const datumId: Codec<string> = {
  write: (writer, value) => writer.raw(Buffer.from(value, 'hex')),
  read: (reader) => reader.raw(32).toString('hex'),
};

const commitId = id16<CommitId>();

const plannedFile: Codec<PlannedFile> = {
  write(writer, { input, commit, path, entry, joinOn, groupBy }) {
    writer.varint(input);
    commitId.write(writer, commit);
    textWithNames.write(writer, path);
    writer.u8((joinOn === undefined ? 0 : hasJoinOn) + (groupBy === undefined ? 0 : hasGroupBy));
    if (joinOn !== undefined) textWithNames.write(writer, joinOn);
    if (groupBy !== undefined) textWithNames.write(writer, groupBy);
    writeEntry(writer, entry);
  },
  read(reader) {
    const input = reader.varint();
    const commit = commitId.read(reader);
    const path = textWithNames.read(reader);
    // A worker makes files at this path.
    if (!isPath(path)) reader.fail('a path is none');
    const form = reader.u8();
    if (form > hasJoinOn + hasGroupBy) reader.fail('a file has an unknown form');
    const joinOn = (form & hasJoinOn) === 0 ? undefined : textWithNames.read(reader);
    const groupBy = (form & hasGroupBy) === 0 ? undefined : textWithNames.read(reader);
    return { input, commit, path, entry: readEntry(reader), joinOn, groupBy };
  },
};

function isPath(path: string): boolean {
  if (path === '/') return true;
  const [root, ...names] = path.split('/');
  return root === '' && names.length > 0 && names.every((name) => nameProblem(nameOfText(name)) === undefined);
}

function writeEntry(writer: Writer, entry: TreeEntry): void {
  const { content } = entry;
  const ref = 'ref' in content ? content.ref : undefined;
  writer.bytes(entry.name);
  writer.u8(refTypes.indexOf(ref?.type));
  if (ref) nodeRef.write(writer, ref);
  treeFormat.writeItem(writer, entry, []);
}

function readEntry(reader: Reader): TreeEntry {
  const name = reader.bytes();
  const number = reader.u8();
  if (number >= refTypes.length) reader.fail('a reference has an unknown type');
  const type = refTypes[number];
  let ref = type && { ...nodeRef.read(reader), type };
  const entry = treeFormat.readItem(reader, name, (wanted) => {
    if (!ref || ref.type !== wanted) return reader.fail('a reference is missing or of a wrong type');
    const taken = ref;
    ref = undefined;
    return taken;
  });
  if (ref) reader.fail('a reference is of no use');
  return entry;
}

const plannedCodec = recordCodec<PlannedRecord>({
  datum: required(1, datumId),
  key: required(2, hash32),
  files: required(3, listOf(plannedFile, filesMax, fileBytesMin)),
  isRecheck: defaulting(4, flag, false),
});

const claimCodec = recordCodec<Claim>({
  job: required(1, commitId),
  datum: required(2, datumId),
  worker: required(3, text),
  since: required(4, count),
  host: optional(5, text),
  pid: optional(6, count),
  pidStarted: optional(7, text),
  beat: optional(8, count),
});

const reportCodec = recordCodec<Report>({
  job: required(1, commitId),
  datum: required(2, datumId),
  worker: required(3, text),
  outcome: required(4, outcomeField),
  tree: required(5, nodeRef),
  failures: optional(6, listOf(text, triesMax, 1)),
});

export const encodePlanned = (record: PlannedRecord): Buffer => plannedCodec.encode(record);
export const decodePlanned = (bytes: Buffer): PlannedRecord => plannedCodec.decode(bytes, 'planned datum');

export const encodeClaim = (record: Claim): Buffer => claimCodec.encode(record);
export const decodeClaim = (bytes: Buffer): Claim => claimCodec.decode(bytes, 'claim');

export const encodeReport = (record: Report): Buffer => reportCodec.encode(record);
export const decodeReport = (bytes: Buffer): Report => reportCodec.decode(bytes, 'report');
