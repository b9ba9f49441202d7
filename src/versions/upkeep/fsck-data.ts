/**
 * Reading a pack whole, and holding every blob in it against its hash and its form.
 */
import { isPachError, PachError } from '../../base/errors.ts';
import { native } from '../../base/native.ts';
import type { PackName } from '../../chunks/blob-table.ts';
import { packEntry, packIndexBytesOf, parsePackIndex, type PackEntry, type PackIndex } from '../../chunks/pack.ts';
import { packKey, type PackKind } from '../../model/keys.ts';
import { listLength } from '../../model/list.ts';
import { mapFormat } from '../../model/map.ts';
import { decodeNode, type Node } from '../../model/node.ts';
import { loadOrdered } from '../../model/ordered-format.ts';
import { decodeCommit } from '../../model/records/commit.ts';
import { decodeOperation } from '../../model/records/operation.ts';
import { chunkBytesMax, nodeBytesMax, type Hash } from '../../model/refs.ts';
import { treeFormat } from '../../model/tree.ts';
import type { Store } from '../../store/store.ts';

export interface PackWatch {
  /** Told of every node that is what was stored. */
  node(hash: Hash, node: Node): Promise<void>;
  /** Told of every blob that is not; `why`: of one that a newer program may have written. */
  damaged(entry: PackEntry, why?: string): void;
}

/** The index of a pack of `size` bytes. Throws `damaged` when it has none that can be read. */
export async function readPack(
  store: Store,
  project: string,
  { kind, id, size }: PackName & { readonly size: number },
  watch: PackWatch,
): Promise<PackIndex> {
  const key = packKey(project, kind, id);
  const bytes = Buffer.from(await store.read(key, 0, size));
  const index = parsePackIndex(kind, bytes.subarray(-packIndexBytesOf(bytes, key)), bytes.length, key);
  for (let n = 0; n < index.count; n += 1) {
    const entry = packEntry(index, n);
    const { offset, storedLength, hash } = entry;
    let found = await decoded(kind, bytes.subarray(offset, offset + storedLength), entry);
    // Bytes that came wrong may come right the next time.
    if (isWrong(found)) found = await decoded(kind, Buffer.from(await store.read(key, offset, storedLength)), entry);
    if (isWrong(found)) watch.damaged(entry, found?.why);
    else if (found !== 'chunk') await watch.node(hash, found);
  }
  return index;
}

type Decoded = Node | 'chunk' | PachError | undefined;

function isWrong(found: Decoded): found is PachError | undefined {
  return found === undefined || found instanceof PachError;
}

/** Undefined for what is damaged; the error for what only a newer program may understand. */
async function decoded(kind: PackKind, stored: Buffer, entry: PackEntry): Promise<Decoded> {
  const { hash, plainLength } = entry;
  try {
    const bytes =
      kind === 'data'
        ? await native().decodeBlob(stored, chunkBytesMax, 'plain', hash)
        : native().decodeBlobSync(stored, nodeBytesMax, 'node', hash);
    if (bytes.length !== plainLength) return undefined;
    return kind === 'data' ? 'chunk' : decodeNode(bytes, hash);
  } catch (error) {
    return isPachError(error, 'unsupported') ? error : undefined;
  }
}

/** Decodes what a node says. Throws `damaged` or `unsupported` when it is not of the form of its kind. */
export async function checkForm(hash: Hash, node: Node): Promise<void> {
  const ref = { type: 'node' as const, hash };
  const source = { node: () => Promise.resolve(node) };
  switch (node.kind) {
    case 'list':
      await listLength(source, ref);
      return;
    case 'tree':
      await loadOrdered(source, treeFormat, ref);
      return;
    case 'map':
      await loadOrdered(source, mapFormat, ref);
      return;
    case 'commit':
      decodeCommit(node.body);
      return;
    case 'operation':
      decodeOperation(node.body);
  }
}
