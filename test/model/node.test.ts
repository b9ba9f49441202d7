import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { native } from '../../src/base/native.ts';
import { buildList, listRange } from '../../src/model/list.ts';
import { mapFormat } from '../../src/model/map.ts';
import { decodeNode, encodeNode, type Node } from '../../src/model/node.ts';
import { OrderedReader } from '../../src/model/ordered.ts';
import { applyEdits } from '../../src/model/ordered-edit.ts';
import type { Hash, PackId, Ref } from '../../src/model/refs.ts';
import { treeFormat, type TreeEntry } from '../../src/model/tree.ts';
import { chunkRef, collect, hashOf, MemoryNodes, must } from './nodes.ts';

const packB = 'fedcba9876543210fedcba9876543210' as PackId;
const place = fc.record({
  pack: fc.constantFrom('0123456789abcdef0123456789abcdef' as PackId, packB),
  offset: fc.integer({ min: 8, max: 40_000_000 }),
  length: fc.integer({ min: 1, max: 4_000_000 }),
});
const ref: fc.Arbitrary<Ref> = fc
  .tuple(fc.constantFrom('chunk' as const, 'node' as const), fc.string(), fc.option(place, { nil: undefined }))
  .map(([type, text, at]) => ({ type, hash: hashOf(text), ...(at ? { place: at } : {}) }));
const node: fc.Arbitrary<Node> = fc.record({
  kind: fc.constantFrom('list' as const, 'tree' as const, 'map' as const),
  level: fc.integer({ min: 0, max: 255 }),
  refs: fc.array(ref),
  body: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});

describe('nodes', () => {
  it('round-trip', () => {
    fc.assert(
      fc.property(node, (value) => {
        const { bytes, hash } = encodeNode(value);
        expect(decodeNode(bytes, hash)).toEqual(value);
      }),
    );
  });

  it('have one name wherever their refs lie', () => {
    const here = chunkRef('a');
    const { place: _, ...nowhere } = here;
    const value = { kind: 'list' as const, level: 0, body: Buffer.alloc(0) };
    const hashes = [here, nowhere].map((one) => encodeNode({ ...value, refs: [one] }).hash.toString('hex'));
    expect(hashes[0]).toBe(hashes[1]);
  });

  it('need a program that knows their version', () => {
    const { bytes, hash } = encodeNode({ kind: 'map', level: 0, refs: [], body: Buffer.alloc(1) });
    bytes[0] = 2;
    expect(() => decodeNode(bytes, hash)).toThrow(/version 2/);
    expect(() => decodeNode(bytes, hash)).toThrow(
      expect.toSatisfy((error: unknown) => isPachError(error, 'unsupported')),
    );
  });

  it.each([
    ['a place before the first blob', { offset: 7, length: 1 }],
    ['a place without bytes', { offset: 8, length: 0 }],
    ['a place beyond any pack', { offset: 64 * 1024 * 1024, length: 1 }],
  ])('are refused with %s', (_, where) => {
    const refs = [{ ...chunkRef('a'), place: { pack: packB, ...where } }];
    const { bytes, hash } = encodeNode({ kind: 'list', level: 0, refs, body: Buffer.alloc(0) });
    expect(() => decodeNode(bytes, hash)).toThrow(/outside of its pack/);
  });

  it('are refused when a byte is changed, lost or added', () => {
    fc.assert(
      fc.property(node, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, bits) => {
        const { bytes, hash } = encodeNode(value);
        const flipped = Buffer.from(bytes);
        flipped[at % bytes.length] = must(flipped[at % bytes.length]) ^ bits;
        for (const changed of [
          flipped,
          bytes.subarray(0, at % bytes.length),
          Buffer.concat([bytes, Buffer.alloc(1)]),
        ]) {
          onlyPachErrors(() => {
            // A hint may become another one; what is hashed may not change.
            const { refs: _refs, ...found } = decodeNode(changed, hash);
            const { refs: _same, ...said } = value;
            expect(found).toEqual(said);
          });
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('bodies', () => {
  it('with any bytes are read or refused', async () => {
    const nodes = new MemoryNodes();
    const bodies = await samples(nodes);
    const index = fc.nat({ max: bodies.length - 1 });
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.constantFrom('set', 'cut', 'insert')), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(index, changes, fc.nat({ max: 2 }), async (which, list, level) => {
        const sample = must(bodies[which]);
        let body = Buffer.from(sample.body);
        for (const [position, byte, how] of list) {
          const at = position % (body.length + 1);
          if (how === 'set' && at < body.length) body[at] = byte;
          else if (how === 'cut') body = body.subarray(0, at);
          else body = Buffer.concat([body.subarray(0, at), Buffer.from([byte]), body.subarray(at)]);
        }
        const made = nodes.add({ ...sample, body, level: level === 2 ? sample.level : level });
        const read = async (): Promise<unknown> => {
          if (sample.kind === 'list') return collect(listRange(nodes, made, 0, 1_000_000));
          if (sample.kind === 'map') return collect(new OrderedReader(nodes, mapFormat, made).items());
          return collect(new OrderedReader(nodes, treeFormat, made).items());
        };
        const outcome: unknown = await read().catch((error: unknown) => error);
        expect(Array.isArray(outcome) || isPachError(outcome, 'damaged', 'not-found')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

async function samples(nodes: MemoryNodes): Promise<Node[]> {
  const io = { source: nodes, sink: nodes };
  const common = { kind: 'file' as const, executable: false, mtimeSeconds: 1_600_000_000, mtimeNanoseconds: 7 };
  const entries = Array.from({ length: 40 }, (_, i): TreeEntry => {
    const name = Buffer.from(`name-${String(i).padStart(3, '0')}`);
    const directory = { form: 'directory', contentHash: hashOf('c'), files: 3, bytes: 9, ref: nodeRef('d') } as const;
    if (i % 4 === 0) return { ...common, name, content: { form: 'chunk', size: 5000, ref: chunkRef(String(i)) } };
    if (i % 4 === 1) return { ...common, name, kind: 'directory', content: directory };
    if (i % 4 === 2)
      return { ...common, name, kind: 'symlink', content: { form: 'inline', bytes: Buffer.from('../x') } };
    return { ...common, name, executable: true, content: { form: 'list', size: 1e9, ref: nodeRef(String(i)) } };
  });
  const tree = await applyEdits(
    io,
    treeFormat,
    undefined,
    entries.map((item) => ({ key: item.name, item })),
  );
  const items = Array.from({ length: 900 }, (_, i) => ({
    key: Buffer.from(`branch/repo/${String(i).padStart(4, '0')}`),
    value: Buffer.from(`value ${i}`),
    refs: i % 3 === 0 ? [chunkRef('a'), nodeRef('b')] : [],
  }));
  const map = await applyEdits(
    io,
    mapFormat,
    undefined,
    items.map((item) => ({ key: item.key, item })),
  );
  const list = await buildList(
    nodes,
    Array.from({ length: 2000 }, (_, i) =>
      i % 9 === 0 ? { length: 5000 } : { length: 70 + i, ref: chunkRef(String(i)) },
    ),
  );
  const roots = await Promise.all([tree.ref, map.ref, list.ref].map((root) => nodes.node(root)));
  const below = await Promise.all(
    roots
      .map(({ refs }) => refs[0])
      .filter(isStored)
      .map((root) => nodes.node(root)),
  );
  return [...roots, ...below];

  function isStored(one: Ref | undefined): one is Ref {
    return one?.type === 'node' && nodes.stored.has(one.hash.toString('latin1'));
  }
}

function nodeRef(text: string): Ref {
  return { type: 'node', hash: native().hash('plain', Buffer.from(text)) as Hash };
}

function onlyPachErrors(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!isPachError(error, 'damaged', 'unsupported')) throw error;
  }
}
