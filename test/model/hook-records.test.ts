/**
 * What hooks have told is stored as ever, and refused where it is none.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { CommitId } from '../../src/model/records/commit.ts';
import {
  decodeHook,
  decodeTold,
  encodeHook,
  encodeTold,
  type HookRecord,
  type ToldRecord,
} from '../../src/model/records/hooks.ts';
import { codeOf } from './nodes.ts';

const time = 1_700_000_000_000;
const hook: HookRecord = { since: time };
const teller = { holder: 'ada@here, process 7', host: 'here', pid: 7, pidStarted: '123', until: time };
const told: ToldRecord = {
  told: [
    { kind: 'failed', about: 'b'.repeat(32) as CommitId, began: time, time: time + 5000, pauseMs: 600_000 },
    { kind: 'größer', about: '0'.repeat(32) as CommitId, began: 0, time, pauseMs: 0 },
  ],
  teller,
};

const stored = { hook: encodeHook(hook), told: encodeTold(told), 'told nothing': encodeTold({ told: [] }) };

test('what hooks have told is stored as ever', () => {
  const path = 'fixtures/format/hooks.json';
  if (process.env['PACHMOUNT_WRITE_VECTORS']) {
    const hex = Object.fromEntries(Object.entries(stored).map(([name, bytes]) => [name, bytes.toString('hex')]));
    writeFileSync(path, `${JSON.stringify(hex, undefined, 1)}\n`);
  }
  const pinned = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  expect(Object.keys(pinned)).toEqual(Object.keys(stored));
  for (const [name, bytes] of Object.entries(stored)) expect(bytes.toString('hex')).toBe(pinned[name]);
});

test('records are read again, with what a newer program has put into them', () => {
  expect(decodeHook(stored.hook)).toEqual(hook);
  expect(decodeTold(stored.told)).toEqual(told);
  expect(decodeTold(stored['told nothing'])).toEqual({ told: [] });
  const newer = Buffer.concat([stored.told, Buffer.from([60 * 2, 1, 7])]);
  expect(encodeTold(decodeTold(newer)).equals(newer)).toBe(true);
  expect(codeOf(() => decodeTold(Buffer.concat([stored.told, Buffer.from([60 * 2 + 1, 1, 7])])))).toBe('unsupported');
  expect(codeOf(() => decodeTold(stored.told.subarray(0, -3)))).toBe('damaged');
});
