/**
 * The stored bytes of version 1, pinned. With PACHMOUNT_WRITE_VECTORS=1 what is stored is computed
 * anew from the values in the files: only before the format is frozen.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { buildList, listRange, type ListItem, type ListPiece } from '../../src/model/list.ts';
import { mapFormat, type MapItem } from '../../src/model/map.ts';
import { decodeNode, encodeNode, type Node } from '../../src/model/node.ts';
import { applyEdits } from '../../src/model/ordered-edit.ts';
import { OrderedReader } from '../../src/model/ordered.ts';
import { decodeCommit, encodeCommit, type CommitRecord } from '../../src/model/records/commit.ts';
import { decodeHead, encodeHead, type Head } from '../../src/model/records/head.ts';
import { decodeOperation, encodeOperation, type OperationRecord } from '../../src/model/records/operation.ts';
import {
  decodeBranch,
  decodeRepo,
  decodeUpkeep,
  encodeBranch,
  encodeRepo,
  encodeUpkeep,
} from '../../src/model/records/refs.ts';
import type { BranchRecord, RepoRecord } from '../../src/model/records/refs.ts';
import { decodeScrub, encodeScrub, type ScrubRecord } from '../../src/model/records/scrub.ts';
import { decodeStoreHeader, encodeStoreHeader, type StoreHeader } from '../../src/model/records/store-header.ts';
import { decodeOutcome, encodeOutcome, type Outcome } from '../../src/model/records/pipelines.ts';
import { referenceOf, type OutsideObject } from '../../src/model/reference.ts';
import type { Hash } from '../../src/model/refs.ts';
import { entryHash, treeFormat, type TreeEntry } from '../../src/model/tree.ts';
import { chunkRef, collect, hashOf, MemoryNodes, must } from './nodes.ts';

interface Vector {
  readonly name: string;
  readonly value: unknown;
  stored: unknown;
}

/** Bytes appear as {"hex": …} in the files. */
function load(file: string): Vector[] {
  return JSON.parse(readFileSync(path(file), 'utf8'), (_, value: unknown) =>
    typeof value === 'object' && value !== null && 'hex' in value ? Buffer.from(String(value.hex), 'hex') : value,
  ) as Vector[];
}

function path(file: string): string {
  return `fixtures/format/${file}.json`;
}

function save(file: string, vectors: readonly Vector[]): void {
  const plain = (value: unknown): unknown => {
    if (Buffer.isBuffer(value)) return { hex: value.toString('hex') };
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  };
  writeFileSync(path(file), `${JSON.stringify(plain(vectors), undefined, 1)}\n`);
}

/** Tests that values are stored as they are in a file, and read back: `read` gives what is read and what it must be. */
function pinned(
  file: string,
  store: (value: never) => unknown,
  read: (vector: Vector) => Promise<unknown[]> | unknown[] = () => [0, 0],
): void {
  const vectors = load(file);
  it.each(vectors)('$name', async (vector) => {
    const stored = await store(vector.value as never);
    if (process.env['PACHMOUNT_WRITE_VECTORS']) {
      vector.stored = stored;
      save(file, vectors);
    }
    expect(stored).toEqual(vector.stored);
    const [found, expected] = await read(vector);
    expect(found).toEqual(expected);
  });
}

describe('nodes', () => {
  pinned(
    'nodes',
    (node: Node) => encodeNode(node),
    ({ value, stored }) => {
      const { bytes, hash } = stored as { bytes: Buffer; hash: Hash };
      return [decodeNode(bytes, hash), value];
    },
  );
});

interface Sequence {
  readonly kind: 'tree' | 'map' | 'list';
  readonly items: readonly never[];
}

/** Root, totals and the bytes of all nodes of a sequence of items. */
async function storeSequence({ kind, items }: Sequence): Promise<unknown> {
  const nodes = new MemoryNodes();
  const io = { source: nodes, sink: nodes };
  const entries = items as readonly TreeEntry[];
  const mapped = items as readonly MapItem[];
  const { ref, ...totals } =
    kind === 'tree'
      ? await applyEdits(
          io,
          treeFormat,
          undefined,
          entries.map((item) => ({ key: item.name, item })),
        )
      : kind === 'map'
        ? await applyEdits(
            io,
            mapFormat,
            undefined,
            mapped.map((item) => ({ key: item.key, item })),
          )
        : await buildList(nodes, items as readonly ListItem[]);
  return { root: ref.hash, ...totals, nodes: [...nodes.stored.values()] };
}

describe('trees, maps and lists', () => {
  pinned('sequences', storeSequence, async ({ value, stored }) => {
    const { kind, items } = value as Sequence;
    const { root, nodes: bytes, size } = stored as { root: Hash; nodes: Buffer[]; size: number };
    const nodes = new MemoryNodes();
    const last = bytes.at(-1) ?? Buffer.alloc(0);
    nodes.stored.set(root.toString('latin1'), last);
    const ref = { type: 'node' as const, hash: root };
    const found =
      kind === 'tree'
        ? new OrderedReader(nodes, treeFormat, ref).items()
        : kind === 'map'
          ? new OrderedReader(nodes, mapFormat, ref).items()
          : listRange(nodes, ref, 0, size);
    const all = await collect<ListPiece | TreeEntry | MapItem>(found);
    return [all.map((item) => ('offset' in item ? { length: item.length, ref: item.ref } : item)), items];
  });
});

describe('references', () => {
  pinned(
    'references',
    async ({ objects, commit, outcome }: References) => {
      const times = { mtimeSeconds: 1_700_000_000, mtimeNanoseconds: 5 };
      const entries = objects.map(({ object, size }, index): TreeEntry => {
        const name = Buffer.from(String(index));
        return { name, kind: 'file', executable: false, ...times, content: referenceOf(object, size) };
      });
      return {
        hashes: entries.map((entry) => entryHash(entry)),
        tree: await storeSequence({ kind: 'tree', items: entries as never[] }),
        commit: encodeCommit(commit),
        outcome: encodeOutcome(outcome),
      };
    },
    async ({ value, stored }) => {
      const { tree, commit, outcome } = stored as {
        tree: { root: Hash; nodes: Buffer[] };
        commit: Buffer;
        outcome: Buffer;
      };
      const { objects, ...records } = value as References;
      const nodes = new MemoryNodes();
      nodes.stored.set(tree.root.toString('latin1'), tree.nodes.at(-1) as Buffer);
      const entries = await collect(new OrderedReader(nodes, treeFormat, { type: 'node', hash: tree.root }).items());
      const found = entries.map(({ content }) =>
        content.form === 'reference' ? { object: content.object, size: content.size } : content.form,
      );
      const read = { objects: found, commit: decodeCommit(commit), outcome: decodeOutcome(outcome) };
      return [read, { objects, ...records }];
    },
  );
});

it('a program that does not know references refuses the records that tell of them', () => {
  const { stored } = must(load('references')[0]) as { stored: { commit: Buffer; outcome: Buffer } };
  const decoders = [[stored.commit, decodeCommit, 14, 15] as const, [stored.outcome, decodeOutcome, 8, 10] as const];
  for (const [bytes, decode, tag, unknownTag] of decoders) {
    // The last field, without a value, is required: to a program without it, it is what a tag that nobody has is to us.
    expect([...bytes.subarray(-2)]).toEqual([tag * 2 + 1, 0]);
    const unknown = Buffer.concat([bytes.subarray(0, -2), Buffer.from([unknownTag * 2 + 1, 0])]);
    expect(() => decode(unknown)).toThrow(`knows field ${unknownTag}`);
  }
});

interface References {
  readonly objects: readonly { readonly object: OutsideObject; readonly size: number }[];
  readonly commit: CommitRecord;
  readonly outcome: Outcome;
}

interface Long {
  readonly kind: 'tree' | 'map' | 'list';
  readonly count: number;
}

/** The root of a long sequence that is made from numbers. */
async function storeLong({ kind, count }: Long): Promise<Hash> {
  const digits = Array.from({ length: count }, (_, index) => String(index).padStart(6, '0'));
  const items = digits.map((text, index): unknown => {
    const bytes = Buffer.from(text);
    const content = { form: 'inline', bytes };
    const times = { mtimeSeconds: index, mtimeNanoseconds: 0 };
    if (kind === 'tree') return { name: bytes, kind: 'file', executable: false, ...times, content };
    if (kind === 'map') return { key: bytes, value: bytes, refs: [] };
    return index % 100 === 99 ? { length: 1_048_576 } : { length: 262_144 + index, ref: chunkRef(text) };
  });
  return ((await storeSequence({ kind, items: items as never[] })) as { root: Hash }).root;
}

describe('long sequences', () => {
  pinned('shapes', storeLong);
});

describe('records', () => {
  const codecs = {
    header: [encodeStoreHeader, (bytes: Buffer) => decodeStoreHeader(bytes, 'store')],
    head: [encodeHead, (bytes: Buffer) => decodeHead(bytes, 'head')],
    operation: [encodeOperation, decodeOperation],
    repo: [encodeRepo, decodeRepo],
    branch: [encodeBranch, decodeBranch],
    upkeep: [encodeUpkeep, decodeUpkeep],
    scrub: [encodeScrub, decodeScrub],
    commit: [encodeCommit, decodeCommit],
  } as const;
  type Any = ScrubRecord & StoreHeader & Head & OperationRecord & RepoRecord & BranchRecord & CommitRecord;
  pinned(
    'records',
    ({ record, fields }: { record: keyof typeof codecs; fields: Any }) => codecs[record][0](fields),
    ({ value, stored }) => {
      const { record, fields } = value as { record: keyof typeof codecs; fields: unknown };
      return [codecs[record][1](stored as Buffer), fields];
    },
  );
});

it('hashes are those of the specification', () => {
  expect(hashOf('').toString('hex')).toBe('af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262');
});
