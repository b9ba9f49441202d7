/**
 * How many bytes local sources have, to tell how long they take.
 */
import { stat } from 'node:fs/promises';
import { listFolder } from '../base/listing.ts';
import { placeBelow, rootPlace, type Place } from '../base/place.ts';
import { nameOfText } from '../model/paths.ts';

/** Bytes of the files at paths and below them; undefined when one is no file or folder, or can't be read. */
export async function localSize(paths: readonly string[], signal: AbortSignal): Promise<number | undefined> {
  let bytes = 0;
  try {
    for (const path of paths) {
      const found = await stat(nameOfText(path));
      if (found.isFile()) bytes += found.size;
      else bytes += await folderSize(rootPlace(Buffer.from(nameOfText(path))), signal);
    }
    return bytes;
  } catch {
    return undefined;
  }
}

async function folderSize(folder: Place, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const listing = await listFolder(folder);
  let bytes = 0;
  for (let at = 0; at < listing.count; at += 1) {
    const { kind, size, name } = listing.at(at);
    if (kind === 'directory') bytes += await folderSize(placeBelow(folder, name), signal);
    else if (kind === 'file') bytes += size;
  }
  return bytes;
}
