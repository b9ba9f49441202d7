/**
 * The record of a schedule's times that are done (FORMAT.md sections 6 and 7).
 */
import { listOf, recordCodec, required, type Codec, type KeepsUnknown } from './record.ts';

/** Times of a schedule, the first and the last: no time between them is left. Milliseconds since 1970. */
export interface Stretch {
  readonly first: number;
  readonly last: number;
}

export interface TicksRecord extends KeepsUnknown {
  /** Ascending. */
  readonly done: readonly Stretch[];
}

/** More than one comes of ticks that were left out, and of clocks that were set. */
export const stretchesMax = 64;

const stretch: Codec<Stretch> = {
  write(writer, { first, last }) {
    writer.varint(first);
    writer.varint(last);
  },
  read(reader) {
    const [first, last] = [reader.varint(), reader.varint()];
    return last < first ? reader.fail('a stretch ends before it begins') : { first, last };
  },
};

const ascending: Codec<readonly Stretch[]> = {
  ...listOf(stretch, stretchesMax, 2),
  read(reader) {
    const read = listOf(stretch, stretchesMax, 2).read(reader);
    const isAscending = read.every(({ first }, index) => index === 0 || (read[index - 1] as Stretch).last < first);
    return isAscending ? read : reader.fail('its stretches do not ascend');
  },
};

const codec = recordCodec<TicksRecord>({ done: required(1, ascending) });

export const encodeTicks = (record: TicksRecord): Buffer => codec.encode(record);
/** Throws `damaged` or `unsupported`. */
export const decodeTicks = (value: Buffer): TicksRecord => codec.decode(value, 'ticks');
