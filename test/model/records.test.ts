import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCommit, encodeCommit, type CommitId, type CommitRecord } from '../../src/model/records/commit.ts';
import { decodeHead, encodeHead, type Head } from '../../src/model/records/head.ts';
import { decodeOperation, encodeOperation, type OperationId } from '../../src/model/records/operation.ts';
import { decodeBranch, decodeRepo, encodeBranch, encodeCommitEntry, encodeRepo } from '../../src/model/records/refs.ts';
import { decodeStoreHeader, encodeStoreHeader } from '../../src/model/records/store-header.ts';
import type { PackId } from '../../src/model/refs.ts';
import { codeOf, chunkRef, hashOf, must, packA, renamed } from './nodes.ts';

const id = (digit: string): CommitId => digit.repeat(32) as CommitId;

const commit: CommitRecord = {
  id: id('a'),
  repo: 'images',
  branch: 'master',
  parent: id('b'),
  started: 1_700_000_000_000,
  finished: 1_700_000_000_001,
  message: 'größer',
  author: 'ada',
  provenance: [{ repo: 'raw', branch: 'dev', commit: id('c') }],
  contentHash: hashOf('content'),
  files: 3,
  bytes: 4096,
};

const head: Head = {
  project: 'default',
  operation: { id: id('d') as string as OperationId, hasParent: true, time: 5, who: 'ada', what: 'put' },
  operationRef: { ...chunkRef('o'), type: 'node' },
  refs: { type: 'node', hash: hashOf('r') },
  indexes: {
    segments: [{ id: packA, entries: 7, bytes: 900 }],
    fresh: [
      { kind: 'data', id: packA, bytes: 1234, blobs: 2 },
      { kind: 'meta', id: id('e') as string as PackId, bytes: 99, blobs: 1 },
    ],
  },
  epoch: 4,
  scrub: false,
};

/** A field as stored. */
function field(tag: number, required: boolean, value: string): Buffer {
  return Buffer.concat([Buffer.from([tag * 2 + (required ? 1 : 0), value.length]), Buffer.from(value)]);
}

describe('records', () => {
  it('round-trip', () => {
    expect(decodeCommit(encodeCommit(commit))).toEqual(commit);
    const first = { ...commit, parent: undefined, message: '', author: '', provenance: [] };
    expect(decodeCommit(encodeCommit(first))).toEqual(first);
    expect(decodeHead(encodeHead(head), 'head')).toEqual(head);
    expect(decodeOperation(encodeOperation({ ...head.operation, hasParent: false })).hasParent).toBe(false);
    expect(decodeRepo(encodeRepo({ created: 1, description: 'd' }))).toEqual({ created: 1, description: 'd' });
    const branch = { head: id('f'), provenance: [{ repo: 'a', branch: 'b' }] };
    expect(decodeBranch(encodeBranch(branch))).toEqual(branch);
    expect(decodeBranch(encodeBranch({ provenance: [] }))).toEqual({ provenance: [] });
    const header = { id: id('0') as string, created: 9 };
    expect(decodeStoreHeader(encodeStoreHeader(header), 'store')).toEqual(header);
    expect(encodeCommitEntry().toString('hex')).toBe('01');
  });

  it('keep optional fields that they do not know', () => {
    const newer = Buffer.concat([encodeRepo({ created: 1, description: 'd' }), field(9, false, 'new')]);
    const repo = decodeRepo(newer);
    expect(repo).toMatchObject({ created: 1, unknown: [{ tag: 9 }] });
    expect(encodeRepo({ ...repo, description: '' }).toString('hex')).toBe(
      Buffer.concat([encodeRepo({ created: 1, description: '' }), field(9, false, 'new')]).toString('hex'),
    );
  });

  it('refuse required fields that they do not know, and other versions', () => {
    const newer = Buffer.concat([encodeRepo({ created: 1, description: 'd' }), field(9, true, 'new')]);
    expect(codeOf(() => decodeRepo(newer))).toBe('unsupported');
    expect(() => decodeRepo(newer)).toThrow(/field 9/);
    expect(() => decodeHead(Buffer.from([7]), 'head')).toThrow(/version 7/);
    expect(codeOf(() => decodeHead(Buffer.from([7]), 'head'))).toBe('unsupported');
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a missing field', Buffer.from([1])],
    ['fields out of order', Buffer.concat([Buffer.from([1]), field(2, false, 'd'), field(1, true, '\u0001')])],
    ['a field twice', Buffer.concat([Buffer.from([1]), field(1, true, '\u0001'), field(1, true, '\u0001')])],
    ['a value too long', Buffer.concat([Buffer.from([1]), field(1, true, '\u0001\u0002')])],
    ['a field that became optional', Buffer.concat([Buffer.from([1]), field(1, false, '\u0001')])],
  ])('refuse %s', (_, bytes) => {
    expect(codeOf(() => decodeRepo(bytes))).toBe('damaged');
  });

  it('refuse names that are none', () => {
    expect(() => decodeCommit(renamed(encodeCommit(commit), commit.repo, '../up'))).toThrow(/damaged/);
    expect(() => decodeHead(renamed(encodeHead(head), head.project, ''), 'head')).toThrow(/damaged/);
    expect(() => encodeCommit({ ...commit, repo: '../up' })).toThrow(/assertion failed: "..\/up" is not a name/);
    expect(() => encodeHead({ ...head, project: '' })).toThrow(/assertion failed/);
    expect(() => encodeBranch({ provenance: [{ repo: 'a', branch: 'a b' }] })).toThrow(/assertion failed/);
  });

  it('with any bytes are read or refused', () => {
    const all = [encodeCommit(commit), encodeHead(head), encodeBranch({ provenance: [{ repo: 'a', branch: 'b' }] })];
    fc.assert(
      fc.property(fc.nat({ max: 2 }), fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (which, at, byte, cut) => {
        const bytes = Buffer.from(must(all[which]));
        bytes[at % bytes.length] = byte;
        const changed = cut ? bytes.subarray(0, at % bytes.length) : bytes;
        for (const decode of [decodeCommit, decodeBranch, (some: Buffer) => decodeHead(some, 'head')]) {
          expect([undefined, 'damaged', 'unsupported']).toContain(codeOf(() => decode(changed)));
        }
      }),
      { numRuns: 2000 },
    );
  });
});
