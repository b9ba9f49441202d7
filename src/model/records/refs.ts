/**
 * The records in a project's map of refs (FORMAT.md sections 6 and 7).
 */
import type { CommitId } from './commit.ts';
import {
  count,
  defaulting,
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
}

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

const branchCodec = recordCodec<BranchRecord>({
  head: optional(1, id16<CommitId>()),
  provenance: defaulting<readonly BranchProvenance[]>(2, listOf(provenance, 4096, 4), []),
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

/** The value under a commit's id: it has no fields yet. */
export function encodeCommitEntry(): Buffer {
  return commitEntryCodec.encode({});
}
