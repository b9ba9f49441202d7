/**
 * The head of a project: its newest operation, the refs as they are now, and the indexes
 * (FORMAT.md sections 1 and 7). The one object of a project that moves.
 */
import type { PackKind } from '../keys.ts';
import type { Hash, PackId, Ref } from '../refs.ts';
import type { Reader } from '../bytes.ts';
import { encodeOperation, decodeOperation, type OperationRecord } from './operation.ts';
import {
  count,
  defaulting,
  flag,
  hash32,
  id16,
  listOf,
  nameText,
  nodeRef,
  optional,
  recordCodec,
  required,
  seal,
  unseal,
  type Codec,
  type KeepsUnknown,
} from './record.ts';

export interface HeadSegment {
  readonly id: PackId;
  readonly entries: number;
  /** Size of the object in bytes. */
  readonly bytes: number;
}

/** A pack that no segment covers yet. */
export interface HeadPack {
  readonly kind: PackKind;
  readonly id: PackId;
  /** Size of the object in bytes. */
  readonly bytes: number;
  readonly blobs: number;
}

/** Where the list of condemned objects lies, and the hash of its bytes. */
export interface CondemnedRef {
  readonly id: PackId;
  readonly bytes: number;
  readonly hash: Hash;
}

export interface Head extends KeepsUnknown {
  readonly project: string;
  readonly operation: OperationRecord;
  readonly operationRef: Ref;
  /** Root of the map of refs. */
  readonly refs: Ref;
  readonly indexes: { readonly segments: readonly HeadSegment[]; readonly fresh: readonly HeadPack[] };
  /** Grows whenever something is condemned or indexes lose entries. */
  readonly epoch: number;
  /** Objects that are to be deleted; absent when there are none. */
  readonly condemned?: CondemnedRef | undefined;
  /** True after a purge: the next collection leaves no dead bytes in packs. */
  readonly scrub: boolean;
}

interface FlatHead extends Omit<Head, 'indexes'> {
  readonly segments: readonly HeadSegment[];
  readonly fresh: readonly HeadPack[];
}

const packId = id16<PackId>();

const segment: Codec<HeadSegment> = {
  write(writer, { id, entries, bytes }) {
    packId.write(writer, id);
    writer.varint(entries);
    writer.varint(bytes);
  },
  read: (reader) => ({ id: packId.read(reader), entries: reader.varint(), bytes: reader.varint() }),
};

/** A fresh pack; also one that is handed from process to process. */
export const headPack: Codec<HeadPack> = {
  write(writer, { kind, id, bytes, blobs }) {
    writer.u8(kind === 'data' ? 1 : 2);
    packId.write(writer, id);
    writer.varint(bytes);
    writer.varint(blobs);
  },
  read(reader: Reader) {
    const kind = reader.u8();
    if (kind !== 1 && kind !== 2) reader.fail('a pack has an unknown kind');
    return {
      kind: kind === 1 ? 'data' : 'meta',
      id: packId.read(reader),
      bytes: reader.varint(),
      blobs: reader.varint(),
    };
  },
};

const condemnedRef: Codec<CondemnedRef> = {
  write(writer, { id, bytes, hash }) {
    packId.write(writer, id);
    writer.varint(bytes);
    hash32.write(writer, hash);
  },
  read: (reader) => ({ id: packId.read(reader), bytes: reader.varint(), hash: hash32.read(reader) }),
};

const operation: Codec<OperationRecord> = {
  write: (writer, value) => writer.raw(encodeOperation(value)),
  read: (reader) => decodeOperation(reader.raw(reader.remaining)),
};

const codec = recordCodec<FlatHead>({
  project: required(1, nameText),
  operationRef: required(2, nodeRef),
  refs: required(3, nodeRef),
  segments: required(4, listOf(segment, 65_536, 18)),
  fresh: required(5, listOf(headPack, 65_536, 19)),
  epoch: required(6, count),
  operation: required(7, operation),
  condemned: optional(8, condemnedRef),
  scrub: defaulting(9, flag, false),
});

export function encodeHead(head: Head): Buffer {
  const { indexes, ...rest } = head;
  return seal(codec.encode({ ...rest, segments: indexes.segments, fresh: indexes.fresh }));
}

/** Throws `damaged` or `unsupported`; `what` names the object. */
export function decodeHead(bytes: Buffer, what: string): Head {
  const { segments, fresh, ...rest } = codec.decode(unseal(bytes, what), what);
  return { ...rest, indexes: { segments, fresh } };
}
