/**
 * Nodes: the one form of all metadata (FORMAT.md section 5). What a node says is named by its
 * hash; where the things it refers to lie is beside that, a hint.
 */
import { assert } from '../base/errors.ts';
import { native } from '../base/native.ts';
import { damaged, Reader, unsupported, Writer } from './bytes.ts';
import { nodeBytesMax, type Hash, type PackId, type Place, type Ref, type RefType } from './refs.ts';

const nodeKinds = ['list', 'tree', 'map', 'commit', 'operation'] as const;
const refTypes: readonly RefType[] = ['chunk', 'node'];
const version = 1;
const levelOffset = 2;
const hashBytes = 32;
const packHeaderBytes = 8;
/** More than any pack has. */
const packBytesMax = 64 * 1024 * 1024;

export type NodeKind = (typeof nodeKinds)[number];

export interface Node {
  readonly kind: NodeKind;
  /** Height in its tree; 0 for leaves and for what is no tree. */
  readonly level: number;
  readonly refs: readonly Ref[];
  readonly body: Buffer;
}

/** Reads nodes. What it resolves to was verified against the ref's hash. */
export interface NodeSource {
  node(ref: Ref): Promise<Node>;
}

/** Reads the plain bytes of nodes, verified but not decoded. */
export interface PlainNodeSource {
  nodeBytes(ref: Ref): Promise<Buffer>;
}

/** The height of the node whose plain bytes these are. */
export function levelOfNode(bytes: Buffer): number | undefined {
  return bytes[levelOffset];
}

/** Takes new nodes; the ref says where the node will lie. */
export interface NodeSink {
  add(node: Node): Promise<Ref> | Ref;
}

/** The plain bytes of a node and its name. */
export function encodeNode(node: Node): { bytes: Buffer; hash: Hash } {
  const { kind, level, refs, body } = node;
  const writer = new Writer(64 + refs.length * 48 + body.length);
  writer.u8(version);
  writer.u8(nodeKinds.indexOf(kind) + 1);
  writer.u8(level);
  writer.varint(refs.length);
  for (const ref of refs) {
    writer.u8(refTypes.indexOf(ref.type));
    writer.raw(ref.hash);
  }
  writer.bytes(body);
  const namedLength = writer.length;
  writeHints(writer, refs);
  const bytes = writer.finish();
  assert(bytes.length <= nodeBytesMax, `a ${kind} node has ${bytes.length} bytes`);
  return { bytes, hash: native().hash('node', bytes.subarray(0, namedLength)) as Hash };
}

function writeHints(writer: Writer, refs: readonly Ref[]): void {
  const packs = new Map<PackId, number>();
  for (const { place } of refs) if (place && !packs.has(place.pack)) packs.set(place.pack, packs.size + 1);
  writer.varint(packs.size);
  for (const pack of packs.keys()) writer.raw(Buffer.from(pack, 'hex'));
  for (const { place } of refs) {
    writer.varint(place ? (packs.get(place.pack) ?? 0) : 0);
    if (!place) continue;
    writer.varint(place.offset);
    writer.varint(place.length);
  }
}

/**
 * The node whose plain bytes these are. It keeps `bytes`, which must not change. Throws
 * `unsupported` for another version, `damaged` when they are not a node of that hash.
 */
export function decodeNode(bytes: Buffer, expected: Hash): Node {
  const what = `node ${expected.toString('hex')}`;
  if (bytes.length > nodeBytesMax) throw damaged(what, 'they are too many');
  const reader: Reader = new Reader(bytes, what);
  const found = reader.u8();
  // A zero is what a crashed disk leaves of lost bytes: damage, not another version.
  if (found === 0) reader.fail('they do not begin with a version');
  if (found !== version) throw unsupported(what, `version ${found} of the node format`);
  const kind = nodeKinds[reader.u8() - 1] ?? reader.fail('its kind is unknown');
  const level = reader.u8();
  if (level > 0 && (kind === 'commit' || kind === 'operation')) reader.fail(`a ${kind} has no level`);
  const count = reader.count(nodeBytesMax, 1 + hashBytes);
  const bare: { type: RefType; hash: Hash }[] = [];
  for (let i = 0; i < count; i += 1) {
    const type = refTypes[reader.u8()] ?? reader.fail('a reference has an unknown type');
    bare.push({ type, hash: reader.raw(hashBytes) as Hash });
  }
  const body = reader.bytes();
  const hash = native().hash('node', bytes.subarray(0, reader.offset));
  if (!hash.equals(expected)) reader.fail('they do not match its hash');
  return { kind, level, refs: readHints(reader, bare), body };
}

function readHints(reader: Reader, bare: readonly { type: RefType; hash: Hash }[]): Ref[] {
  const packs = Array.from({ length: reader.count(bare.length, 16) }, () => reader.raw(16).toString('hex') as PackId);
  const refs = bare.map((ref): Ref => {
    const number = reader.varint();
    if (number === 0) return ref;
    const pack = packs[number - 1] ?? reader.fail('a reference names a pack that is not listed');
    return { ...ref, place: readPlace(reader, pack) };
  });
  reader.done();
  return refs;
}

/** Offset and length of a place in `pack`. */
export function readPlace(reader: Reader, pack: PackId): Place {
  const offset = reader.varint();
  const length = reader.varint();
  if (offset < packHeaderBytes || length === 0 || offset + length > packBytesMax) {
    reader.fail('a place lies outside of its pack');
  }
  return { pack, offset, length };
}
