/**
 * Progress of verbs that write files of a version to a folder.
 */
import type { Output } from './output.ts';
import { countText, sizeText } from './text.ts';

/** Shows how many files and bytes there are by now; told of those that were added. */
export function filesProgress(output: Output): (bytes: number, files: number) => void {
  let bytes = 0;
  let count = 0;
  return (moreBytes, moreFiles) => {
    bytes += moreBytes;
    count += moreFiles;
    output.progress(`${countText(count, 'file')}, ${sizeText(bytes)}`);
  };
}
