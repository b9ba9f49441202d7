/**
 * A datum that is to be run, as the plan of a job gives it to the pool that runs it.
 */
import { damaged } from '../../model/bytes.ts';
import type { DatumRow } from '../../model/records/pipelines.ts';
import type { PlannedRecord } from '../../model/records/work.ts';
import type { Hash } from '../../model/refs.ts';
import { entryHash } from '../../model/tree.ts';
import type { Datum, DatumFile } from '../datums/datum.ts';
import type { PfsInput } from '../spec/spec.ts';

/** A datum that is to be run. */
export interface PlannedDatum {
  readonly datum: Datum;
  readonly key: Hash;
  /** One for each of the datum's files. */
  readonly rows: readonly DatumRow[];
  /** It has a result, which stays; this run is to be compared with it. */
  readonly isRecheck?: boolean;
}

/** More rows than this do not fit into a map's item. */
export const rowsBytesMax = 24 * 1024;

/** The rows of a datum of a pipeline with these pfs inputs. */
export function rowsFor({ files }: Datum, inputs: readonly PfsInput[]): DatumRow[] {
  return files.map(({ input, path, entry }) => ({ input: inputs.indexOf(input), path, hash: entryHash(entry) }));
}

/** A planned datum without the spec, which whoever gets it has already. */
export function recordOfPlanned({ datum, key, rows, isRecheck = false }: PlannedDatum): PlannedRecord {
  const files = datum.files.map((file, index) => ({ ...file, input: rows[index]?.input ?? 0 }));
  return { datum: datum.id, key, files, isRecheck };
}

/** The planned datum of a pipeline with these pfs inputs. Throws `damaged` for a record of another one. */
export function plannedOfRecord(record: PlannedRecord, inputs: readonly PfsInput[]): PlannedDatum {
  const { datum: id, key, isRecheck } = record;
  const files = record.files.map(({ input: number, ...file }): DatumFile => {
    const input = inputs[number];
    if (!input) throw damaged(`planned datum ${id}`, `the pipeline has no input ${number}`);
    return { ...file, input };
  });
  const datum = { id, files };
  return { datum, key, rows: rowsFor(datum, inputs), isRecheck };
}
