/**
 * Listing again what lost indexes listed, from the packs' own indexes.
 */
import { isPachError } from '../../base/errors.ts';
import type { BlobReader } from '../../cache/blobs.ts';
import { BlobTable, type BlobRows } from '../../chunks/blob-table.ts';
import type { KnownBlobs } from '../../chunks/known.ts';
import type { Hash, PackId } from '../../model/refs.ts';
import type { Found } from './fsck-damage.ts';

/** Adds what a pack's own index says, if that can be read. True when it can. */
export async function addOwnIndex(
  packs: KnownBlobs,
  { kind, id }: { readonly kind: 'data' | 'meta'; readonly id: PackId },
  to: BlobRows,
): Promise<boolean> {
  try {
    await packs.addPack({ kind, id }, to);
    return true;
  } catch (error) {
    // There is one version of packs for ever, so another number is damage.
    if (!isPachError(error, 'damaged', 'unsupported')) throw error;
    return false;
  }
}

/**
 * Adds all chunks of packs that are there to the table, and those nodes of them of which nothing is
 * missing: what an index knows is whole (FORMAT.md section 8). What is condemned may be gone at any moment.
 */
export async function relist(
  { table, objects, condemned }: Found,
  packs: KnownBlobs,
  reader: BlobReader,
): Promise<void> {
  const leaving = new Set(condemned.map(({ id }) => id));
  const nodes = new BlobTable();
  for (const { kind, id } of objects.values()) {
    if ((kind !== 'data' && kind !== 'meta') || leaving.has(id)) continue;
    await addOwnIndex(packs, { kind, id }, kind === 'data' ? table : nodes);
  }
  /** Looked at already; not whole unless the table has it. */
  const seen = new Uint8Array(nodes.size);
  const isWhole = async (hash: Hash): Promise<boolean> => {
    if (table.find(hash) >= 0) return true;
    const row = nodes.find(hash);
    if (row < 0 || seen[row] === 1) return false;
    seen[row] = 1;
    const place = nodes.placeAt(row);
    const node = await reader.node({ type: 'node', hash, place }).catch((error: unknown) => {
      if (!isPachError(error, 'damaged', 'not-found', 'unsupported')) throw error;
      return undefined;
    });
    if (!node) return false;
    if (node.kind !== 'operation') for (const ref of node.refs) if (!(await isWhole(ref.hash))) return false;
    table.add(hash, table.pack('meta', place.pack), place.offset, place.length, nodes.plainLengthAt(row));
    return true;
  };
  for (let row = 0; row < nodes.size; row += 1) await isWhole(Buffer.from(nodes.hashAt(row)) as Hash);
}
