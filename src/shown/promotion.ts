/**
 * What a promotion has found and would change, as programs are shown it.
 */
import { canonicalJson } from '../model/canonical.ts';
import type { Job } from '../pipelines/jobs/jobs.ts';

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

export interface PipelineDifference {
  readonly pipeline: string;
  readonly change: 'added' | 'changed' | 'same';
  readonly fields: readonly FieldDifference[];
  readonly code: 'added' | 'changed' | 'same';
  readonly image: { readonly old: string | null; readonly new: string };
  readonly datums: {
    readonly total: number;
    readonly computed: number;
    readonly seconds: number | null;
    readonly bytes: number | null;
  } | null;
}

export interface PromotionInfo {
  readonly place: string;
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
}

export const promotionJson =
  '{place, dryRun, changed, checks: [{check, state: ok|warning|failed, says, next}], controller: [{kind, name, change: added|changed|same}], pipelines: [{pipeline, change: added|changed|same, fields: [{field, old, new}], code: added|changed|same, image: {old, new}, datums: {total, computed, seconds, bytes} or null}], jobs: [{pipeline, job, state, datums}]}; changed: something was, or with --dry-run would be, changed; datums: of the next job; seconds, bytes: what those not computed yet would take, as the others did, null where there are none; jobs: the first ones there';

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
  readonly checks: readonly Check[];
  readonly objects: readonly {
    readonly object: { readonly kind: string; readonly metadata: { readonly name?: string } };
    readonly change: string;
  }[];
  readonly pipelines: readonly { readonly difference: PipelineDifference }[];
}

export function promotionInfo(
  { place, checks, objects, pipelines }: ShownPlan,
  { dryRun, changed, jobs }: { readonly dryRun: boolean; readonly changed: boolean; readonly jobs: readonly Job[] },
): PromotionInfo {
  return {
    place,
    dryRun,
    changed,
    checks,
    controller: objects.map(({ object: { kind, metadata }, change }) => ({ kind, name: metadata.name ?? '', change })),
    pipelines: pipelines.map(({ difference }) => difference),
    jobs: jobs.map(({ pipeline, id: job, state, counts: datums }) => ({ pipeline, job, state, datums })),
  };
}
