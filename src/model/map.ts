/**
 * Maps from keys to small values with references (FORMAT.md section 5, kind 3).
 */
import { assert, PachError } from '../base/errors.ts';
import type { Inner, OrderedFormat, Summary } from './ordered-format.ts';
import { addTotals } from './bytes.ts';
import type { Ref } from './refs.ts';

export interface MapItem {
  /** 1 to 1024 bytes. */
  readonly key: Buffer;
  readonly value: Buffer;
  readonly refs: readonly Ref[];
}

const keyBytesMax = 1024;
const valueBytesMax = 32 * 1024;
const refsMax = 16;

export const mapFormat: OrderedFormat<MapItem> = {
  kind: 'map',
  min: 16,
  avg: 64,
  max: 256,
  keyBytesMax,
  keyOf: (item) => item.key,
  keyProblem: (key) => (key.length === 0 ? 'it is empty' : undefined),
  writeItem(writer, item, refs) {
    if (item.value.length > valueBytesMax) {
      throw new PachError('usage', {
        what: item.key.toString(),
        why: `its properties have ${item.value.length} bytes, more than ${valueBytesMax}`,
      });
    }
    assert(item.refs.length <= refsMax, 'a map item has few refs');
    writer.bytes(item.value);
    writer.varint(item.refs.length);
    refs.push(...item.refs);
  },
  readItem(reader, key, takeRef) {
    const value = reader.bytes(valueBytesMax);
    const count = reader.varint();
    if (count > refsMax) reader.fail('an item has too many references');
    return { key, value, refs: Array.from({ length: count }, () => takeRef()) };
  },
  writeSummary: (writer, { entries }) => writer.varint(entries),
  readSummary: (reader) => ({ entries: reader.varint() }),
  summarizeItems: (items) => ({ entries: items.length }),
  summarizeNodes: (_level, nodes: readonly Inner<Summary>[]) => ({
    entries: nodes.reduce((sum, { summary }) => addTotals('map', sum, summary.entries), 0),
  }),
};
