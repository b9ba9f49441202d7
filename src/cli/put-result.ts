/**
 * What a put or sync has stored, as people read it.
 */
import { putInfo } from '../shown/stored.ts';
import type { PutResult } from '../versions/writing/put.ts';
import type { Output } from './output.ts';
import { countText, sizeText } from './text.ts';

/** One line for people; the commit's id alone in a pipe; all of it as JSON. */
export async function printPut(output: Output, result: PutResult): Promise<void> {
  const { isUnchanged, savedBytes, commit, files, bytes } = result;
  await output.document(putInfo(result), () => {
    if (!output.isForPeople) return commit;
    const read = `${countText(files, 'file')}, ${sizeText(bytes)}`;
    if (isUnchanged) return `${read}: nothing has changed since commit ${output.id(commit)}`;
    const stored = `${sizeText(bytes - savedBytes)} new, ${sizeText(savedBytes)} saved by deduplication`;
    return `${read} (${stored}): commit ${output.id(commit)}`;
  });
}
