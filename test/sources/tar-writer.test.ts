/**
 * Members as they are written, against what reads archives here. GNU tar reads them in test/cli/diff.test.ts.
 */
import { expect, test } from 'vitest';
import { blockBytes, parsePax, parsePaxTime, parseTarHeader } from '../../src/sources/tar-header.ts';
import { tarMember, type TarMember } from '../../src/sources/tar-writer.ts';

function records(member: Partial<TarMember>): Record<string, string> {
  const bytes = tarMember({ path: 'a', type: 'file', mode: 0o644, size: 0, ...member });
  const header = parseTarHeader(bytes.subarray(0, blockBytes));
  if (header?.type !== 'x') return {};
  const pax = parsePax(bytes.subarray(blockBytes, blockBytes + header.size));
  return Object.fromEntries([...(pax ?? [])].map(([key, value]) => [key, value.toString('latin1')]));
}

test('what a header has no room for stands in a record before it', () => {
  expect(records({ size: 8 ** 11 - 1, path: 'p'.repeat(100) })).toEqual({});
  expect(records({ size: 8 ** 11 })).toEqual({ size: '8589934592' });
  expect(records({ size: 2 ** 50, path: 'p'.repeat(101) })).toEqual({ size: String(2 ** 50), path: 'p'.repeat(101) });
  const path = Buffer.concat([Buffer.from([0xff]), Buffer.alloc(100, 'p')]);
  expect(records({ path })).toEqual({ path: path.toString('latin1') });
  expect(records({ type: 'link', linkPath: 't'.repeat(101) })).toEqual({ linkpath: 't'.repeat(101) });
});

test.each([
  [0, 0],
  [5, 0],
  [5, 123_456_789],
  [-1, 0],
  [-1, 250_000_000],
  [-2, 999_999_999],
  [8 ** 11, 0],
])('the time %i s and %i ns is kept', (mtimeSeconds, mtimeNanoseconds) => {
  const time = { mtimeSeconds, mtimeNanoseconds };
  const { mtime } = records({ time });
  const header = parseTarHeader(tarMember({ path: 'a', type: 'file', mode: 0, size: 0, time }));
  const short = { mtimeSeconds: header?.mtimeSeconds, mtimeNanoseconds: 0 };
  expect(mtime === undefined ? short : parsePaxTime(mtime)).toEqual(time);
});
