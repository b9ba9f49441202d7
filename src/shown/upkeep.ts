/**
 * What keeping a store in order gives, as programs are shown it. What the functions of
 * versions/upkeep and cache return is shown as it is; here are the texts that tell its fields.
 */
import type { FsckResult } from '../versions/upkeep/fsck.ts';
import type { RepairResult } from '../versions/upkeep/repair.ts';
import type { GcResult } from '../versions/upkeep/gc-result.ts';

export const statsJson =
  '{project, files, logicalBytes, historyBytes, storedBytes, dedupRatio, objects, packs, smallPacks, segments, chunks, reclaimableBytes, condemnedBytes, leftoverBytes, epoch, references?: {files, bytes}, repos: [{repo, branches, commits, files, logicalBytes}]}; references: files of the newest commits whose bytes lie in other buckets, logicalBytes: newest commits, historyBytes: all commits';

export interface GcInfo extends GcResult {
  readonly leftoverFiles: number;
  readonly leftoverBytes: number;
}

export const gcJson =
  '{objectsBefore, objectsAfter, bytesBefore, bytesAfter, copiedBytes, condemnedObjects, condemnedBytes, deletedObjects, deletedBytes, leftoverFiles, leftoverBytes}; leftover: what killed writers left in a folder store';

/** `left`: what killed writers left in the folder of the store. */
export function gcInfo(result: GcResult, left: { readonly files: number; readonly bytes: number }): GcInfo {
  return { ...result, leftoverFiles: left.files, leftoverBytes: left.bytes };
}

/** What stands after the findings of a check. */
export interface FsckSummary extends Omit<FsckResult, 'findings'> {
  readonly mended?: RepairResult['mended'] | undefined;
  readonly errors: number;
  readonly warnings: number;
}

export const fsckJson =
  'one object a finding: {severity: "error"|"warning"|"repaired", what, why, affects: [address], next?}; at the end {checked: {commits, nodes, chunks, packs, bytesRead, references?}, garbage: {objects, bytes}, mended?: {blobs, bytes}, errors, warnings}; mended: with --repair, chunks and nodes that can be read again; exit code 6 when there are errors: with --repair, when something stays lost';

export function fsckSummary({ findings, checked, garbage, mended }: FsckResult & Partial<RepairResult>): FsckSummary {
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const warnings = findings.filter(({ severity }) => severity === 'warning').length;
  return { checked, garbage, ...(mended && { mended }), errors, warnings };
}

export const purgeJson =
  '{commits, computed: [{repo, branch, commit}], sameBytes: [{repo, commit, path, whole}], references?: [url]}; computed: commits made from those, sameBytes: other files that keep some of the bytes in the store, references: objects of other buckets that were referred to, and stay there';

export const cacheStatsJson =
  '{dir, bytes, files, extents}; files: large files, whole or in part; extents: parts of packs';

export const cacheClearedJson =
  '{dir, bytes, files, left}; bytes and files that were removed; left: paths that pach did not create and did not touch';

export const cacheVerifiedJson = '{dir, items, checkedBytes, damagedItems, damagedBytes}';

export const checkJson =
  '{check, state: "ok"|"warn"|"fail", value, advice?}. Exit code 1 when a check failed, 5 when the store does not answer';
