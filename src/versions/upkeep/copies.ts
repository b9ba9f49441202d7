/**
 * Blobs by hash, from wherever there are good ones.
 */
import { isPachError } from '../../base/errors.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import type { Node } from '../../model/node.ts';
import type { Ref } from '../../model/refs.ts';

/** What they resolve to was verified; undefined where there is none that is good. */
export interface Copies {
  chunk(ref: Ref): Promise<Buffer | undefined>;
  node(ref: Ref): Promise<Node | undefined>;
}

/** What a reader can read. */
export function copiesOf(reader: BlobReader): Copies {
  const good = async <T>(read: Promise<T>): Promise<T | undefined> =>
    read.catch((error: unknown) => {
      if (!isPachError(error, 'damaged', 'not-found', 'unsupported')) throw error;
      return undefined;
    });
  return { chunk: (ref) => good(reader.plainChunk(ref)), node: (ref) => good(reader.node(ref)) };
}
