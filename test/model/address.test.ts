import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { checkName, formatAddress, parseAddress } from '../../src/model/address.ts';
import { nameOfText, parsePath, textOfName, typedPath } from '../../src/model/paths.ts';

const parent = (n: number): { kind: string; n: number } => ({ kind: 'parent', n });
const nth = (n: number): { kind: string; n: number } => ({ kind: 'nth', n });

describe('bytes that are not UTF-8, as people type them', () => {
  it.each([
    [String.raw`/caf\udce9`, '/caf\udce9'],
    [String.raw`/\uDC80\udcff`, '/\udc80\udcff'],
    [String.raw`/a\\udce9`, String.raw`/a\udce9`],
    [String.raw`/a\\\udce9`, '/a\\\udce9'],
    [String.raw`/a\\\\udce9`, String.raw`/a\\udce9`],
    [String.raw`/\udc7f\ud800\u0041\\x`, String.raw`/\udc7f\ud800\u0041\\x`],
  ])('%s', (typed, path) => {
    expect(typedPath(typed)).toBe(path);
    const address = parseAddress(`images:${typed}`);
    expect(address.path).toBe(path);
    expect(parseAddress(formatAddress(address))).toEqual(address);
  });
});

describe('addresses', () => {
  it.each([
    ['images', { repo: 'images', ancestry: [] }],
    ['vision/images@dev', { project: 'vision', repo: 'images', ref: 'dev', ancestry: [] }],
    ['images:/a/b.png', { repo: 'images', path: '/a/b.png', ancestry: [] }],
    ['images:a.png', { repo: 'images', path: '/a.png', ancestry: [] }],
    ['images@master:', { repo: 'images', ref: 'master', path: '/', ancestry: [] }],
    ['images@master:/', { repo: 'images', ref: 'master', path: '/', ancestry: [] }],
    ['images^', { repo: 'images', ancestry: [parent(1)] }],
    ['images@master^^:/x', { repo: 'images', ref: 'master', ancestry: [parent(2)], path: '/x' }],
    ['images@master^3', { ref: 'master', ancestry: [parent(3)] }],
    ['images@master~3', { ref: 'master', ancestry: [parent(3)] }],
    ['images@master.2^', { ref: 'master', ancestry: [nth(2), parent(1)] }],
    ['images@0123abcd', { ref: '0123abcd' }],
    ['images@dev=0123abcd~', { ref: 'dev=0123abcd', ancestry: [parent(1)] }],
    ['images@master:/a:b@c^d', { ref: 'master', path: '/a:b@c^d' }],
    ['images@2026-11-01', { ref: '2026-11-01', time: Date.UTC(2026, 10, 1) }],
    ['images@2026-11-01T12:00', { ref: '2026-11-01T12:00', time: Date.UTC(2026, 10, 1, 12) }],
    ['images@2026-11-01T12:00:30', { time: Date.UTC(2026, 10, 1, 12, 0, 30) }],
    ['images@2026-11-01T12:00Z:/a', { time: Date.UTC(2026, 10, 1, 12), path: '/a' }],
    ['images@2026-11-01T12:00+02:00^', { time: Date.UTC(2026, 10, 1, 10), ancestry: [parent(1)] }],
    ['images@2026-11-01T12:00:/a', { time: Date.UTC(2026, 10, 1, 12), path: '/a' }],
    ['images@2026-11-01.2', { time: Date.UTC(2026, 10, 1), ancestry: [nth(2)] }],
    ['images@2026-11-01-fix', { ref: '2026-11-01-fix', time: undefined }],
  ])('%s is understood', (text, expected) => {
    const address = parseAddress(text);
    expect(address).toMatchObject(expected);
    expect(parseAddress(formatAddress(address))).toEqual(address);
  });

  it.each([
    '',
    '@master',
    ':/a',
    'im ages',
    'images@',
    'images@@master',
    'images@ma ster',
    'images@master^x',
    'images@master.0',
    'images@master.',
    'images/@x',
    'a/b/c',
    'images@dev=xyz',
    'images@2026-02-30',
    'images@2026-13-01',
    'images@2026-11-01T25:00',
    'images@2026-11-01T12:00+2',
    'images@2026-11-01T12:00:5',
    'images@2026-11-01:a',
    `${'x'.repeat(101)}@master`,
    `images@master${'^.1'.repeat(100)}`,
  ])('%s is refused', (text) => {
    expect(() => parseAddress(text)).toThrow(expect.toSatisfy((error: unknown) => isPachError(error, 'usage')));
  });

  it('with any text are read or refused', () => {
    const characters = fc.constantFrom(...'ab1-_@:/^~.=TZ+0 é'.split(''));
    fc.assert(
      fc.property(fc.string({ unit: characters }), (text) => {
        try {
          const address = parseAddress(text);
          expect(parseAddress(formatAddress(address))).toEqual(address);
        } catch (error) {
          if (!isPachError(error, 'usage')) throw error;
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('have names of a few characters', () => {
    checkName('repo', 'Aa0_-');
    for (const name of ['', 'a b', 'a/b', 'é', '.', 'a'.repeat(101)]) {
      expect(() => checkName('repo', name)).toThrow(/names have/);
    }
  });
});

describe('names as text', () => {
  it.each([
    ['61c3a9', 'aé'],
    ['ff', '\udcff'],
    ['61ff62', 'a\udcffb'],
    ['c3', '\udcc3'],
    ['eda080', '\udced\udca0\udc80'],
    ['f09f9880ff', '😀\udcff'],
    ['e282', '\udce2\udc82'],
  ])('%s is %j', (hex, text) => {
    expect(textOfName(Buffer.from(hex, 'hex'))).toBe(text);
    expect(nameOfText(text).toString('hex')).toBe(hex);
  });

  it('come back as the same bytes', () => {
    const bytes = fc.array(fc.constantFrom(0x61, 0x2f, 0xc3, 0xa9, 0xff, 0x80, 0xf0, 0x9f, 0x98, 0xed, 0xa0, 0xe2));
    fc.assert(
      fc.property(bytes, (some) => {
        expect([...nameOfText(textOfName(Buffer.from(some)))]).toEqual(some);
      }),
      { numRuns: 2000 },
    );
  });

  it('have no half characters', () => {
    expect(() => nameOfText('\ud800')).toThrow(/Unicode/);
    expect(() => nameOfText('\udc41')).toThrow(/Unicode/);
  });
});

describe('paths', () => {
  it.each([
    ['', []],
    ['/', []],
    ['/a/b', ['a', 'b']],
    ['a/b/', ['a', 'b']],
    ['/...', ['...']],
  ])('%j has names %j', (text, names) => {
    expect(parsePath(text).map(String)).toEqual(names);
  });

  it.each(['..', '/a/../b', '/./a', '/a//b', '//', '/a\0', `/${'é'.repeat(128)}`])('%j is refused', (text) => {
    expect(() => parsePath(text)).toThrow(expect.toSatisfy((error: unknown) => isPachError(error, 'usage')));
  });
});
