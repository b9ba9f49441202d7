/**
 * What names a datum: where its files come from, not what is in them.
 */
import { Writer } from '../../model/bytes.ts';
import { hashOf } from '../../model/canonical.ts';
import { nameOfText } from '../../model/paths.ts';
import type { DatumFile } from './datum.ts';

const context = 'pachmount 2026 datum v1';

/** 64 hex digits, the same for the same files in the same order. */
export function datumId(files: readonly DatumFile[]): string {
  const writer = new Writer(128 * files.length + context.length + 1);
  writer.str(context);
  for (const { input, path } of files) {
    for (const text of [input.name, input.repo, input.branch]) writer.str(text);
    writer.bytes(nameOfText(path));
  }
  return hashOf(writer.finish()).toString('hex');
}
