/**
 * The records in a project's map of refs (FORMAT.md sections 6 and 7).
 */
import type { CommitId } from './commit.ts';
import {
  count,
  defaulting,
  flag,
  id16,
  listOf,
  nameText,
  optional,
  recordCodec,
  required,
  text,
  type Codec,
  type KeepsUnknown,
} from './record.ts';

export interface RepoRecord extends KeepsUnknown {
  /** Milliseconds since 1970. */
  readonly created: number;
  readonly description: string;
  /** Engines alone commit to it: the ticks of this pipeline. */
  readonly ticksOf?: string | undefined;
}

/** A branch that another follows. */
export interface BranchProvenance {
  readonly repo: string;
  readonly branch: string;
}

export interface BranchRecord extends KeepsUnknown {
  /** Absent while the branch has no commits. */
  readonly head?: CommitId | undefined;
  readonly provenance: readonly BranchProvenance[];
  readonly trigger?: TriggerRecord | undefined;
}

/** When a branch takes the head of another one. At least one condition is there. */
export interface TriggerConditions {
  /** All conditions are needed; otherwise one of them is enough. */
  readonly all: boolean;
  /** So many more bytes than the own head has. */
  readonly bytes?: number | undefined;
  /** So many commits that the own head does not follow. */
  readonly commits?: number | undefined;
  /** A cron expression: one of its times has come since the last move. */
  readonly rateLimit?: string | undefined;
  /** A cron expression: one of its times has come since the last move, and since the commit. */
  readonly cron?: string | undefined;
  /** Of both expressions; UTC where it is not said. */
  readonly timezone?: string | undefined;
}

export interface TriggerRecord extends TriggerConditions, KeepsUnknown {
  /** The branch of the same repo that triggers; it need not be there. */
  readonly branch: string;
  /** When the head was last moved, or the trigger set; milliseconds since 1970. */
  readonly since: number;
  /** The pipeline for whose input the branch was made, and with which it goes. */
  readonly pipeline?: string | undefined;
}

const triggerCodec = recordCodec<TriggerRecord>({
  branch: required(1, nameText),
  all: defaulting(2, flag, false),
  bytes: optional(3, count),
  commits: optional(4, count),
  rateLimit: optional(5, text),
  cron: optional(6, text),
  since: required(7, count),
  pipeline: optional(8, nameText),
  timezone: optional(9, text),
});

const trigger: Codec<TriggerRecord> = {
  write: (writer, value) => writer.raw(triggerCodec.encode(value)),
  read: (reader) => triggerCodec.decode(reader.raw(reader.remaining), 'trigger'),
};

const provenance: Codec<BranchProvenance> = {
  write(writer, value) {
    nameText.write(writer, value.repo);
    nameText.write(writer, value.branch);
  },
  read: (reader) => ({ repo: nameText.read(reader), branch: nameText.read(reader) }),
};

const repoCodec = recordCodec<RepoRecord>({
  created: required(1, count),
  description: defaulting(2, text, ''),
  ticksOf: optional(3, nameText),
});

/** What an engine does by itself from time to time. */
export interface UpkeepRecord extends KeepsUnknown {
  /** When it was last begun, in milliseconds since 1970. */
  readonly time: number;
}

const upkeepCodec = recordCodec<UpkeepRecord>({ time: required(1, count) });

const branchCodec = recordCodec<BranchRecord>({
  head: optional(1, id16<CommitId>()),
  provenance: defaulting<readonly BranchProvenance[]>(2, listOf(provenance, 4096, 4), []),
  trigger: optional(3, trigger),
});

const commitEntryCodec = recordCodec<KeepsUnknown>({});

export function encodeRepo(repo: RepoRecord): Buffer {
  return repoCodec.encode(repo);
}

/** Throws `damaged` or `unsupported`, as the others here. */
export function decodeRepo(value: Buffer): RepoRecord {
  return repoCodec.decode(value, 'repo');
}

export function encodeBranch(branch: BranchRecord): Buffer {
  return branchCodec.encode(branch);
}

export function decodeBranch(value: Buffer): BranchRecord {
  return branchCodec.decode(value, 'branch');
}

export function encodeUpkeep(upkeep: UpkeepRecord): Buffer {
  return upkeepCodec.encode(upkeep);
}

export function decodeUpkeep(value: Buffer): UpkeepRecord {
  return upkeepCodec.decode(value, 'upkeep');
}

/** The value under a commit's id: it has no fields yet. */
export function encodeCommitEntry(): Buffer {
  return commitEntryCodec.encode({});
}
