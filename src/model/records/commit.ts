/**
 * The commit record, body of a commit node (FORMAT.md section 7).
 */
import type { Hash } from '../refs.ts';
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
  type Codec,
  type KeepsUnknown,
} from './record.ts';

/** 32 lower-case hex digits. */
export type CommitId = string & { readonly brand: 'CommitId' };

/** A commit that another was computed from. */
export interface CommitProvenance {
  readonly repo: string;
  readonly branch: string;
  readonly commit: CommitId;
}

export interface CommitRecord extends KeepsUnknown {
  readonly id: CommitId;
  readonly repo: string;
  readonly branch: string;
  readonly parent?: CommitId | undefined;
  /** Milliseconds since 1970; `finished` is later than the parent's. */
  readonly started: number;
  readonly finished: number;
  readonly message: string;
  readonly author: string;
  readonly provenance: readonly CommitProvenance[];
  /** Content hash and totals of the root directory. */
  readonly contentHash: Hash;
  readonly files: number;
  readonly bytes: number;
  /** True where datums that failed are left out of it; else absent. */
  readonly incomplete?: boolean | undefined;
  /** True where its tree may have references; else absent. */
  readonly references?: boolean | undefined;
}

const commitId = id16<CommitId>();

export const commitProvenance: Codec<CommitProvenance> = {
  write(writer, value) {
    nameText.write(writer, value.repo);
    nameText.write(writer, value.branch);
    commitId.write(writer, value.commit);
  },
  read: (reader) => ({
    repo: nameText.read(reader),
    branch: nameText.read(reader),
    commit: commitId.read(reader),
  }),
};

const codec = recordCodec<CommitRecord>({
  id: required(1, commitId),
  repo: required(2, nameText),
  branch: required(3, nameText),
  parent: optional(4, commitId),
  started: required(5, count),
  finished: required(6, count),
  message: defaulting(7, text, ''),
  author: defaulting(8, text, ''),
  provenance: defaulting<readonly CommitProvenance[]>(9, listOf(commitProvenance, 65_536, 20), []),
  contentHash: required(10, hash32),
  files: required(11, count),
  bytes: required(12, count),
  incomplete: optional(13, flag),
  references: telling(14, flag),
});

export function encodeCommit(commit: CommitRecord): Buffer {
  return codec.encode(commit);
}

/** Throws `damaged` or `unsupported`. */
export function decodeCommit(body: Buffer): CommitRecord {
  return codec.decode(body, 'commit');
}
