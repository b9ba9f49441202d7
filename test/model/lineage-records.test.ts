/**
 * What lineage is stored as: records and keys, as ever, and refused where they are none.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CommitId } from '../../src/model/records/commit.ts';
import { decodeDeclared, encodeDeclared, type DeclaredRecord } from '../../src/model/records/declared.ts';
import { decodeJobEntry, encodeJobEntry, type JobEntry } from '../../src/model/records/job-entry.ts';
import { belowPrefix, datumOfPathKey, pathKey, pathKeyProblem, pathPrefix } from '../../src/model/path-index.ts';
import { codeOf, hashOf } from './nodes.ts';

const commit = 'b'.repeat(32) as CommitId;
const datum = '0123456789abcdef'.repeat(4);
const declared: DeclaredRecord = {
  declarations: [
    { path: '/', from: { repo: 'images', branch: 'master', commit }, fromPath: '/' },
    { path: '/größe/\udcfe', from: { repo: 'raw', branch: 'dev', commit }, fromPath: '/a\u0007.png' },
  ],
  spec: '{"tool": "größer"}',
  who: 'ada',
  time: 1_700_000_000_000,
};
const entry: JobEntry = { entered: true, indexed: hashOf('datums') };
const long = Buffer.from(`/${'x'.repeat(250)}`.repeat(5));

const stored = {
  declared: encodeDeclared(declared),
  'declared, without what was done': encodeDeclared({ ...declared, spec: '' }),
  'job entry': encodeJobEntry(entry),
  'job entry without an index': encodeJobEntry({ entered: true }),
  'key of a path that was written': pathKey('written', Buffer.from('/a/b.png'), datum),
  'key of a path that was read': pathKey({ input: 258 }, Buffer.from('/'), datum),
  'key of a long path': pathKey('written', long, datum),
};

test('lineage is stored as ever', () => {
  const path = 'fixtures/format/lineage.json';
  if (process.env['PACHMOUNT_WRITE_VECTORS']) {
    const hex = Object.fromEntries(Object.entries(stored).map(([name, bytes]) => [name, bytes.toString('hex')]));
    writeFileSync(path, `${JSON.stringify(hex, undefined, 1)}\n`);
  }
  const pinned = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  expect(Object.keys(pinned)).toEqual(Object.keys(stored));
  for (const [name, bytes] of Object.entries(stored)) expect(bytes.toString('hex')).toBe(pinned[name]);
});

test('records are read again, with what a newer program has put into them', () => {
  expect(decodeDeclared(stored.declared)).toEqual(declared);
  expect(decodeJobEntry(stored['job entry'])).toEqual(entry);
  // Programs before stored no bytes.
  expect(decodeJobEntry(Buffer.alloc(0))).toEqual({ entered: false });
  for (const bytes of [stored.declared, stored['job entry']]) {
    const decode = bytes === stored.declared ? decodeDeclared : decodeJobEntry;
    const newer = Buffer.concat([bytes, Buffer.from([60 * 2, 1, 7])]);
    const read = decode(newer);
    expect(read).toMatchObject({ unknown: [{ tag: 60 }] });
    const again = bytes === stored.declared ? encodeDeclared(read as DeclaredRecord) : encodeJobEntry(read as JobEntry);
    expect(again.equals(newer)).toBe(true);
    expect(codeOf(() => decode(Buffer.concat([bytes, Buffer.from([60 * 2 + 1, 1, 7])])))).toBe('unsupported');
  }
});

test('keys lead to datums, from a path and from a folder above it', () => {
  for (const path of ['/a', '/a/b', '/a/\u0001', long.toString()]) {
    const bytes = Buffer.from(path);
    const key = pathKey('written', bytes, datum);
    expect(key.length).toBeLessThanOrEqual(1024);
    expect(key.indexOf(pathPrefix('written', bytes))).toBe(0);
    expect(datumOfPathKey(key)).toBe(datum.slice(0, 32));
    expect(pathKeyProblem(key)).toBeUndefined();
    expect(key.indexOf(belowPrefix('written', Buffer.from('/')))).toBe(0);
    const folder = path.slice(0, path.lastIndexOf('/')) || '/';
    expect(key.indexOf(belowPrefix('written', Buffer.from(folder)))).toBe(0);
  }
  // A neighbour with a longer name is none of them.
  const neighbour = pathKey('written', Buffer.from('/ab'), datum);
  expect(neighbour.indexOf(pathPrefix('written', Buffer.from('/a')))).toBe(-1);
  expect(neighbour.indexOf(belowPrefix('written', Buffer.from('/a')))).toBe(-1);
  // Two long paths that begin alike have keys of their own.
  const other = Buffer.concat([long.subarray(0, -1), Buffer.from('y')]);
  expect(pathPrefix('written', other).equals(pathPrefix('written', long))).toBe(false);
});

test('any bytes are read or refused', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(stored)),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
      (bytes, changes) => {
        const changed = Buffer.from(bytes);
        for (const [at, byte] of changes) changed[at % changed.length] = byte;
        for (const decode of [decodeDeclared, decodeJobEntry]) {
          expect([undefined, 'damaged', 'unsupported']).toContain(codeOf(() => decode(changed)));
        }
        pathKeyProblem(changed);
      },
    ),
    { numRuns: 500 },
  );
});
