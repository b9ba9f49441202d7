/**
 * Times of files.
 */
import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { fileTime, utimesTime } from '../../src/base/file-time.ts';

test('milliseconds, whole ones or not, are a time with less than a second of nanoseconds', () => {
  expect(fileTime(1_700_000_000_123)).toEqual({ mtimeSeconds: 1_700_000_000, mtimeNanoseconds: 123_000_000 });
  expect(fileTime(-1)).toEqual({ mtimeSeconds: -1, mtimeNanoseconds: 999_000_000 });
  // node:fs gives fractions of milliseconds: this one is the next second's.
  expect(fileTime(1_700_000_000_999.7)).toEqual({ mtimeSeconds: 1_700_000_001, mtimeNanoseconds: 0 });
  const ms = fc.double({ min: -1e14, max: 1e14, noNaN: true });
  fc.assert(
    fc.property(ms, (time) => {
      const { mtimeSeconds, mtimeNanoseconds } = fileTime(time);
      expect(mtimeNanoseconds).toBeGreaterThanOrEqual(0);
      expect(mtimeNanoseconds).toBeLessThan(1e9);
      expect(mtimeSeconds * 1000 + mtimeNanoseconds / 1e6).toBeCloseTo(Math.round(time));
    }),
  );
});

test('a time before 1970 can be set', () => {
  const folder = mkdtempSync(join(tmpdir(), 'file-time-'));
  try {
    const path = join(folder, 'file');
    writeFileSync(path, '');
    const time = utimesTime(fileTime(-1500));
    utimesSync(path, time, time);
    expect(statSync(path).mtimeMs).toBe(-1500);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
