/**
 * Objects that nothing refers to and that will be deleted (FORMAT.md sections 7 and 10).
 */
import type { ObjectKind } from '../keys.ts';
import type { PackId } from '../refs.ts';
import type { Reader } from '../bytes.ts';
import { id16, listOf, recordCodec, required, type Codec, type KeepsUnknown } from './record.ts';

export interface Condemned {
  readonly kind: ObjectKind;
  readonly id: PackId;
  /** Size of the object. */
  readonly bytes: number;
  /** When it was condemned, in milliseconds since 1970. */
  readonly since: number;
  /** True once it may be gone at any moment: nobody can take it back. */
  readonly deleting: boolean;
}

const kinds: readonly ObjectKind[] = ['data', 'meta', 'segment'];
const packId = id16<PackId>();

const condemned: Codec<Condemned> = {
  write(writer, { kind, id, bytes, since, deleting }) {
    writer.u8(kinds.indexOf(kind) + 1 + (deleting ? 128 : 0));
    packId.write(writer, id);
    writer.varint(bytes);
    writer.varint(since);
  },
  read(reader: Reader) {
    const number = reader.u8();
    const kind = kinds[(number % 128) - 1] ?? reader.fail('an object has an unknown kind');
    return {
      kind,
      id: packId.read(reader),
      bytes: reader.varint(),
      since: reader.varint(),
      deleting: number >= 128,
    };
  },
};

interface CondemnedList extends KeepsUnknown {
  readonly objects: readonly Condemned[];
}

const codec = recordCodec<CondemnedList>({ objects: required(1, listOf(condemned, 1_048_576, 19)) });

export function encodeCondemned(objects: readonly Condemned[]): Buffer {
  return codec.encode({ objects });
}

/** Throws `damaged` or `unsupported`; `what` names the object. */
export function decodeCondemned(bytes: Buffer, what: string): readonly Condemned[] {
  return codec.decode(bytes, what).objects;
}
