/**
 * The head of a project: its newest operation, the refs as they are now, and the indexes
 * (FORMAT.md sections 1 and 7). The one object of a project that moves.
 */
import type { PackKind } from '../keys.ts';
import type { PackId, Ref } from '../refs.ts';
import type { Reader } from '../bytes.ts';
import { encodeOperation, decodeOperation, type OperationRecord } from './operation.ts';
import {
  count,
  id16,
  listOf,
  nameText,
  nodeRef,
  recordCodec,
  required,
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

export interface Head extends KeepsUnknown {
  readonly project: string;
  readonly operation: OperationRecord;
  readonly operationRef: Ref;
  /** Root of the map of refs. */
  readonly refs: Ref;
  readonly indexes: { readonly segments: readonly HeadSegment[]; readonly fresh: readonly HeadPack[] };
  readonly epoch: number;
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

const pack: Codec<HeadPack> = {
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

const operation: Codec<OperationRecord> = {
  write: (writer, value) => writer.raw(encodeOperation(value)),
  read: (reader) => decodeOperation(reader.raw(reader.remaining)),
};

const codec = recordCodec<FlatHead>({
  project: required(1, nameText),
  operationRef: required(2, nodeRef),
  refs: required(3, nodeRef),
  segments: required(4, listOf(segment, 65_536, 18)),
  fresh: required(5, listOf(pack, 65_536, 19)),
  epoch: required(6, count),
  operation: required(7, operation),
});

export function encodeHead(head: Head): Buffer {
  const { indexes, ...rest } = head;
  return codec.encode({ ...rest, segments: indexes.segments, fresh: indexes.fresh });
}

/** Throws `damaged` or `unsupported`; `what` names the object. */
export function decodeHead(bytes: Buffer, what: string): Head {
  const { segments, fresh, ...rest } = codec.decode(bytes, what);
  return { ...rest, indexes: { segments, fresh } };
}
