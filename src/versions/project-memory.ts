/**
 * What the projects of a store keep in memory of what they have read.
 */
import { BlobMemory } from '../cache/blobs.ts';
import { IndexCache } from '../chunks/index-cache.ts';

export class ProjectMemory {
  readonly blobs: BlobMemory;
  readonly indexes = new IndexCache();

  /** Bytes for what is read, at most; the indexes have their own. */
  constructor(bytesMax: number) {
    this.blobs = new BlobMemory(bytesMax);
  }
}
