/**
 * What a promotion has found and would change, as programs are shown it.
 */
import type { ChangeCounts } from '../engine/output-changes.ts';
import { canonicalJson } from '../model/canonical.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';
import { verifiedJson, type VerifiedInfo } from './verified.ts';

export interface Check {
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'failed';
  readonly says: string;
  readonly next: string | null;
}

export interface FieldDifference {
  /** `transform.cmd`. */
  readonly field: string;
  readonly old: unknown;
  readonly new: unknown;
}

/** A file of code as commands see it. */
export interface CodeFile {
  readonly path: string;
  readonly change: 'added' | 'changed' | 'removed';
  /** Bytes; null where there is none. */
  readonly old: number | null;
  readonly new: number | null;
}

export interface PipelineDifference {
  readonly pipeline: string;
  readonly change: 'added' | 'changed' | 'same';
  readonly fields: readonly FieldDifference[];
  readonly code: 'added' | 'changed' | 'same';
  /** The first files, and how many there are; null where the code is the same. */
  readonly codeFiles: (ChangeCounts & { readonly files: readonly CodeFile[] }) | null;
  readonly image: { readonly old: string | null; readonly new: string };
  readonly datums: {
    readonly total: number;
    readonly computed: number;
    /** Of those, results that were not made at the place, nor made again there to the same. */
    readonly elsewhere: number;
    /** What the others read. */
    readonly inputBytes: number;
    readonly seconds: number | null;
    readonly bytes: number | null;
  } | null;
  /** So many results of elsewhere are made again before it is moved. */
  readonly verify: number;
}

export interface PromotionInfo {
  readonly place: string;
  /** Of an experiment; null: production. */
  readonly branch: string | null;
  readonly dryRun: boolean;
  readonly changed: boolean;
  readonly checks: readonly Check[];
  readonly controller: readonly { readonly kind: string; readonly name: string; readonly change: string }[];
  readonly pipelines: readonly PipelineDifference[];
  /** The first jobs there, of those that were waited for. */
  readonly jobs: readonly {
    readonly pipeline: string;
    readonly job: string;
    readonly state: string;
    readonly datums: object;
  }[];
  readonly verified: readonly VerifiedInfo[];
}

export const promotionJson = `{place, branch, dryRun, changed, checks: [{check, state: ok|warning|failed, says, next}], controller: [{kind, name, change: added|changed|same}], pipelines: [{pipeline, change: added|changed|same, fields: [{field, old, new}], code: added|changed|same, codeFiles: {added, changed, removed, bytes, files: [{path, change, old, new}]} or null, image: {old, new}, datums: {total, computed, elsewhere, inputBytes, seconds, bytes} or null, verify}], jobs: [{pipeline, job, state, datums}], ${verifiedJson}}; branch: of an experiment, whose pipelines differ from production where they are new; changed: something was, or with --dry-run would be, changed; datums: of the next job; elsewhere: results that were not made there; verify: so many of these are made again first; inputBytes: what those not computed yet read; seconds, bytes: what they would take and write, as the others did, or those of a job before, null where there are none; codeFiles: the first 200 files, old, new: their bytes; verified: results of elsewhere that were made again there, old, new as in list file, of the first 100 datums; jobs: the first ones there`;

/** What differs between two specs as their authors wrote them, by fields; undefined: nothing. */
export function specDifferences(old: unknown, now: unknown, field = ''): FieldDifference[] {
  if (isObject(old) && isObject(now)) {
    const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
    return names.flatMap((name) => specDifferences(old[name], now[name], field === '' ? name : `${field}.${name}`));
  }
  if (old === undefined && isObject(now)) return specDifferences({}, now, field);
  if (now === undefined && isObject(old)) return specDifferences(old, {}, field);
  if (canonicalJson({ value: old }).equals(canonicalJson({ value: now }))) return [];
  return [{ field, old: old ?? null, new: now ?? null }];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What of a plan programs are shown. */
export interface ShownPlan {
  readonly place: string;
  readonly branch: string | undefined;
  readonly checks: readonly Check[];
  readonly objects: readonly {
    readonly object: { readonly kind: string; readonly metadata: { readonly name?: string } };
    readonly change: string;
  }[];
  readonly pipelines: readonly { readonly difference: PipelineDifference }[];
}

export function promotionInfo(
  { place, branch, checks, objects, pipelines }: ShownPlan,
  {
    dryRun,
    changed,
    jobs,
    verified,
  }: Pick<PromotionInfo, 'dryRun' | 'changed' | 'verified'> & { readonly jobs: readonly Job[] },
): PromotionInfo {
  return {
    place,
    branch: branch ?? null,
    dryRun,
    changed,
    checks,
    controller: objects.map(({ object: { kind, metadata }, change }) => ({ kind, name: metadata.name ?? '', change })),
    pipelines: pipelines.map(({ difference }) => difference),
    jobs: jobs.map(({ pipeline, id: job, state, counts: datums }) => ({ pipeline, job, state, datums })),
    verified,
  };
}
