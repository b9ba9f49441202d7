/**
 * The files of a datum that has many, as they are stored beside its output (FORMAT.md section 6).
 */
import { Reader, Writer } from '../bytes.ts';
import { datumRow, type DatumRow } from './pipelines.ts';
import { listOf } from './record.ts';

const rowsCodec = listOf(datumRow, 1_048_576, 34);

/** The file `files` of a result's tree. */
export function encodeRows(rows: readonly DatumRow[]): Buffer {
  const writer = new Writer(4096);
  rowsCodec.write(writer, rows);
  return writer.finish();
}

/** Throws `damaged`. */
export function decodeRows(bytes: Buffer): readonly DatumRow[] {
  const reader = new Reader(bytes, "a datum's files");
  const rows = rowsCodec.read(reader);
  reader.done();
  return rows;
}
