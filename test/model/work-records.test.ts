/**
 * What engine and workers tell each other: written, read again, and refused where it is none.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CommitId } from '../../src/model/records/commit.ts';
import {
  decodeClaim,
  decodePlanned,
  decodeReport,
  encodeClaim,
  encodePlanned,
  encodeReport,
  type Claim,
  type PlannedFile,
  type PlannedRecord,
  type Report,
} from '../../src/model/records/work.ts';
import { seal } from '../../src/model/records/record.ts';
import {
  decodeCrew,
  decodeDelivery,
  decodeOffer,
  decodeShard,
  decodeShardClaim,
  encodeCrew,
  encodeDelivery,
  encodeOffer,
  encodeShard,
  encodeShardClaim,
  type CrewRecord,
  type Delivery,
  type Offer,
  type Shard,
} from '../../src/model/records/work-objects.ts';
import type { TreeEntry } from '../../src/model/tree.ts';
import { codeOf, chunkRef, hashOf, must, packA } from './nodes.ts';

const id = (digit: string): CommitId => digit.repeat(32) as CommitId;
const datum = hashOf('datum').toString('hex');
const worker = 'edges-0';
const time = 1_700_000_000_000;
const nodeRef = { type: 'node', hash: hashOf('node'), place: { pack: packA, offset: 8, length: 100 } } as const;

function entry(name: string, content: TreeEntry['content'], more: Partial<TreeEntry> = {}): TreeEntry {
  const times = { mtimeSeconds: -3, mtimeNanoseconds: 999_999_999 };
  const kind = content.form === 'directory' ? 'directory' : 'file';
  return { name: Buffer.from(name), kind, executable: false, ...times, content, ...more };
}

function file(input: number, path: string, of: TreeEntry, more: Partial<PlannedFile> = {}): PlannedFile {
  return { input, commit: id('b'), path, entry: of, joinOn: undefined, groupBy: undefined, ...more };
}

const inline = entry('a.png', { form: 'inline', bytes: Buffer.from('few') }, { executable: true });
const files: PlannedFile[] = [
  file(0, '/a.png', inline),
  file(1, '/größe/\udc80', entry('\udc80', { form: 'chunk', size: 5000, ref: chunkRef('chunk') }), { joinOn: 'a' }),
  file(1, '/l', entry('l', { form: 'list', size: 9e9, ref: { type: 'node', hash: hashOf('list') } }), { groupBy: '' }),
  file(2, '/', entry('', { form: 'directory', contentHash: hashOf('d'), files: 2, bytes: 7, ref: nodeRef }), {
    joinOn: 'x\udcff',
    groupBy: 'y',
  }),
];
const planned: PlannedRecord = { datum, key: hashOf('key'), files, isRecheck: true };
const claim: Claim = { job: id('a'), datum, worker, since: time };
const report: Report = {
  job: id('a'),
  datum,
  worker,
  outcome: {
    state: 'failed',
    job: id('a'),
    pipeline: 'edges',
    reason: 'the command ended with exit code 1',
    stats: {
      startedMs: time,
      downloadMs: 1,
      processMs: 2,
      uploadMs: 3,
      cpuMs: 4,
      inputBytes: 5,
      outputBytes: 6,
      memoryBytesPeak: 7,
    },
    outside: { links: 3, one: '/pfs/out/\udcfe -> /tmp/x' },
    mayHaveEmptyFolders: true,
  },
  tree: nodeRef,
};

const ofProcess = { host: 'one pid:[4026531836]', pid: 77, pidStarted: '12345', beat: 3 };
const failures = ['{"cause":"said"}', '{"cause":"ending","ending":{"kind":"timeout"}}'];
const pack = { kind: 'meta', id: packA, bytes: 500, blobs: 3 } as const;
const offer: Offer = { job: id('a'), holder: 'me@one, process 77', beat: 9, ended: true, free: [], claims: 0 };
const shard: Shard = { job: id('a'), planned: [planned, { ...planned, files: [], isRecheck: false }], isCheck: true };
const delivery: Delivery = {
  job: id('a'),
  worker,
  epoch: 4,
  packs: [pack, { ...pack, kind: 'data' }],
  reports: [report, { ...report, failures }],
  notes: ['a line'],
  broken: datum,
};

const crew: CrewRecord = { job: id('a'), beat: 9, until: time };

const cases: readonly {
  readonly name: string;
  readonly value: object;
  readonly encode: (value: never) => Buffer;
  readonly decode: (bytes: Buffer) => object;
}[] = [
  { name: 'planned datum', value: planned, encode: encodePlanned, decode: decodePlanned },
  {
    name: 'planned datum without files',
    value: { ...planned, files: [], isRecheck: false },
    encode: encodePlanned,
    decode: decodePlanned,
  },
  { name: 'claim', value: claim, encode: encodeClaim, decode: decodeClaim },
  { name: 'report', value: report, encode: encodeReport, decode: decodeReport },
  {
    name: 'report without a place',
    value: { ...report, tree: { type: 'node', hash: hashOf('node') } },
    encode: encodeReport,
    decode: decodeReport,
  },
  { name: 'claim of a process', value: { ...claim, ...ofProcess }, encode: encodeClaim, decode: decodeClaim },
  { name: 'report with tries', value: { ...report, failures }, encode: encodeReport, decode: decodeReport },
  unsealed('offer', offer, encodeOffer, decodeOffer),
  unsealed('offer that goes on', { ...offer, ended: false }, encodeOffer, decodeOffer),
  unsealed('offer of shards', { ...offer, ended: false, free: [datum], claims: 300 }, encodeOffer, decodeOffer),
  unsealed('shard', shard, encodeShard, decodeShard),
  unsealed('claim of a shard', claim, encodeShardClaim, decodeShardClaim),
  unsealed('delivery', delivery, encodeDelivery, decodeDelivery),
  unsealed('delivery of a lost launcher', { ...delivery, launcherLost: true }, encodeDelivery, decodeDelivery),
  unsealed(
    'empty delivery',
    { ...delivery, packs: [], reports: [], notes: [], broken: undefined },
    encodeDelivery,
    decodeDelivery,
  ),
  unsealed('crew', crew, encodeCrew, decodeCrew),
];

/** A sealed record without its seal, which covers all the rest. */
function unsealed<T extends object>(
  name: string,
  value: T,
  encode: (value: T) => Buffer,
  decode: (bytes: Buffer, what: string) => T,
) {
  return {
    name,
    value,
    encode: (each: T) => encode(each).subarray(0, -16),
    decode: (bytes: Buffer) => decode(seal(bytes), name),
  };
}

const bytesOf = ({ value, encode }: (typeof cases)[number]): Buffer => encode(value as never);

describe('records of work', () => {
  it.each(cases)('round-trip: $name', ({ value, encode, decode }) => {
    expect(decode(encode(value as never))).toEqual(value);
  });

  it('have the same bytes as ever', () => {
    const path = 'fixtures/format/work.json';
    if (process.env['PACHMOUNT_WRITE_VECTORS']) {
      const hex = Object.fromEntries(cases.map((each) => [each.name, bytesOf(each).toString('hex')]));
      writeFileSync(path, `${JSON.stringify(hex, undefined, 1)}\n`);
    }
    const pinned = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
    expect(Object.keys(pinned)).toEqual(cases.map(({ name }) => name));
    for (const each of cases) expect(bytesOf(each).toString('hex')).toBe(pinned[each.name]);
  });

  it.each(cases)('keep optional fields that they do not know, and refuse required ones: $name', (each) => {
    const field = (required: number): Buffer => Buffer.from([60 * 2 + required, 1, 7]);
    const newer = Buffer.concat([bytesOf(each), field(0)]);
    const read = each.decode(newer);
    expect(read).toMatchObject({ unknown: [{ tag: 60 }] });
    expect(each.encode(read as never).toString('hex')).toBe(newer.toString('hex'));
    expect(codeOf(() => each.decode(Buffer.concat([bytesOf(each), field(1)])))).toBe('unsupported');
  });

  it.each(['', 'a', 'a/b', '/a/', '//a', '/a//b', '/../x', '/a/..', '/./a', `/${'n'.repeat(256)}`, '/a\0'])(
    'refuse the path %j, at which a worker would make a file',
    (path) => {
      const bytes = encodePlanned({ ...planned, files: [file(0, path, inline)] });
      expect(codeOf(() => decodePlanned(bytes))).toBe('damaged');
    },
  );

  it('refuse a reference that the content does not have, or of another type', () => {
    const bytes = encodePlanned({ ...planned, files: files.slice(1, 2) });
    const at = bytes.indexOf(Buffer.concat([Buffer.from([1]), chunkRef('chunk').hash]));
    expect(at).toBeGreaterThan(0);
    for (const type of [2, 3]) {
      const changed = Buffer.from(bytes);
      changed[at] = type;
      expect(codeOf(() => decodePlanned(changed))).toBe('damaged');
    }
    const inlineBytes = encodePlanned({ ...planned, files: [file(0, '/a.png', inline)] });
    const name = inlineBytes.indexOf(Buffer.concat([Buffer.from([5]), inline.name]));
    expect(inlineBytes[name + 6]).toBe(0);
    inlineBytes[name + 6] = 3;
    expect(codeOf(() => decodePlanned(inlineBytes))).toBe('damaged');
  });

  it('that are objects are refused where a byte of them is another', () => {
    const bytes = encodeDelivery(delivery);
    for (let at = 1; at < bytes.length; at += 7) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(codeOf(() => decodeDelivery(changed, 'it'))).toBe('damaged');
    }
  });

  it('with any bytes are read or refused', () => {
    const all = cases.map(bytesOf);
    fc.assert(
      fc.property(
        fc.nat({ max: all.length - 1 }),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        (which, changes, cut) => {
          const bytes = Buffer.from(must(all[which]));
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          const changed = cut ? bytes.subarray(0, must(changes[0])[0] % bytes.length) : bytes;
          for (const { decode } of cases) {
            expect([undefined, 'damaged', 'unsupported']).toContain(codeOf(() => decode(changed)));
          }
        },
      ),
      { numRuns: 1500 },
    );
  });
});
