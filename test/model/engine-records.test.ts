/**
 * The record of an engine is stored as ever, and refused where it is none.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodeEngine, encodeEngine, type EngineRecord } from '../../src/model/records/engine.ts';
import { codeOf } from './nodes.ts';

const time = 1_700_000_000_000;
const engine: EngineRecord = {
  holder: 'ada@here, process 7',
  host: 'here pid:[4026531836]',
  pid: 7,
  pidStarted: '123',
  since: time,
  until: time + 300_000,
  version: '0.1.0',
  only: ['edges', 'montage'],
};
const stored = { engine: encodeEngine(engine), 'engine of all': encodeEngine({ ...engine, only: [] }) };

test('an engine is stored as ever', () => {
  const path = 'fixtures/format/engines.json';
  if (process.env['PACHMOUNT_WRITE_VECTORS']) {
    const hex = Object.fromEntries(Object.entries(stored).map(([name, bytes]) => [name, bytes.toString('hex')]));
    writeFileSync(path, `${JSON.stringify(hex, undefined, 1)}\n`);
  }
  const pinned = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  expect(Object.keys(pinned)).toEqual(Object.keys(stored));
  for (const [name, bytes] of Object.entries(stored)) expect(bytes.toString('hex')).toBe(pinned[name]);
});

test('it is read as it was stored, and no damaged one is', () => {
  expect(decodeEngine(stored.engine, 'it')).toEqual(engine);
  expect(decodeEngine(stored['engine of all'], 'it')).toEqual({ ...engine, only: [] });
  for (let length = 0; length < stored.engine.length; length += 1) {
    expect(codeOf(() => decodeEngine(stored.engine.subarray(0, length), 'it'))).toBe('damaged');
  }
});
