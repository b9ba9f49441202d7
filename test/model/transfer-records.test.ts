/**
 * What a project knows of other stores, and of what was purged, is stored as ever.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  decodePurged,
  decodeRemote,
  encodePurged,
  encodeRemote,
  type PurgedRecord,
  type RemoteRecord,
} from '../../src/model/records/transfer.ts';
import { codeOf } from './nodes.ts';

const remote: RemoteRecord = { url: 's3://team/größe?class=STANDARD', project: 'default', storeId: 'ab'.repeat(16) };
const purged: PurgedRecord = { time: 1_700_000_000_000, who: 'ada', olderResults: false };
const stored = {
  remote: encodeRemote(remote),
  purged: encodePurged(purged),
  'purged by nobody': encodePurged({ ...purged, who: '' }),
  'purged, with older results': encodePurged({ ...purged, olderResults: true }),
};

test('remotes and purges are stored as ever', () => {
  const path = 'fixtures/format/transfer.json';
  if (process.env['PACHMOUNT_WRITE_VECTORS']) {
    const hex = Object.fromEntries(Object.entries(stored).map(([name, bytes]) => [name, bytes.toString('hex')]));
    writeFileSync(path, `${JSON.stringify(hex, undefined, 1)}\n`);
  }
  const pinned = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  expect(Object.keys(pinned)).toEqual(Object.keys(stored));
  for (const [name, bytes] of Object.entries(stored)) expect(bytes.toString('hex')).toBe(pinned[name]);
});

test('they are read again, with what a newer program has put into them', () => {
  expect(decodeRemote(stored.remote)).toEqual(remote);
  expect(decodePurged(stored.purged)).toEqual(purged);
  expect(decodePurged(stored['purged by nobody'])).toEqual({ ...purged, who: '' });
  expect(decodePurged(stored['purged, with older results'])).toEqual({ ...purged, olderResults: true });
  const newer = (bytes: Buffer, required: number): Buffer =>
    Buffer.concat([bytes, Buffer.from([60 * 2 + required, 1, 7])]);
  const read = decodeRemote(newer(stored.remote, 0));
  expect(read).toMatchObject({ ...remote, unknown: [{ tag: 60 }] });
  expect(encodeRemote(read).equals(newer(stored.remote, 0))).toBe(true);
  expect(encodePurged(decodePurged(newer(stored.purged, 0))).equals(newer(stored.purged, 0))).toBe(true);
  expect(codeOf(() => decodeRemote(newer(stored.remote, 1)))).toBe('unsupported');
  expect(codeOf(() => decodePurged(newer(stored.purged, 1)))).toBe('unsupported');
});
