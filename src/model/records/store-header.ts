/**
 * The header of a store (FORMAT.md sections 1 and 7).
 */
import { count, id16, recordCodec, required, seal, unseal, type KeepsUnknown } from './record.ts';

export interface StoreHeader extends KeepsUnknown {
  /** 32 lower-case hex digits, random: tells one store from another that lies at the same URL. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly created: number;
}

const codec = recordCodec<StoreHeader>({
  id: required(1, id16<string>()),
  created: required(2, count),
});

export function encodeStoreHeader(header: StoreHeader): Buffer {
  return seal(codec.encode(header));
}

/** Throws `damaged` or `unsupported`; `what` names the object. */
export function decodeStoreHeader(bytes: Buffer, what: string): StoreHeader {
  return codec.decode(unseal(bytes, what), what);
}
