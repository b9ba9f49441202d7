/**
 * A datum that is to be run, as the plan of a job gives it to who runs it.
 */
import type { DatumRow } from '../../model/records/pipelines.ts';
import type { Hash } from '../../model/refs.ts';
import type { Datum } from '../datums/datum.ts';

/** A datum that is to be run. */
export interface PlannedDatum {
  readonly datum: Datum;
  readonly key: Hash;
  readonly rows: readonly DatumRow[];
  /** It has a result, which stays; this run is to be compared with it. */
  readonly isRecheck?: boolean;
}

/** More rows than this do not fit into a map's item. */
export const rowsBytesMax = 24 * 1024;
