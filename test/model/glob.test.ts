import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPachError } from '../../src/base/errors.ts';
import { compileGlob } from '../../src/model/glob.ts';

const paths = ['/', '/a', '/a/1', '/a/2', '/b', '/b/1', '/c', '/d/e/f.png', '/g.png', '/h.PNG', '/.x', '/d', '/d/e'];

describe('patterns', () => {
  it.each([
    ['/', ['/']],
    ['/*', ['/a', '/b', '/c', '/g.png', '/h.PNG', '/.x', '/d']],
    ['*', ['/a', '/b', '/c', '/g.png', '/h.PNG', '/.x', '/d']],
    ['/*/', ['/a', '/b', '/c', '/g.png', '/h.PNG', '/.x', '/d']],
    ['/*/*', ['/a/1', '/a/2', '/b/1', '/d/e']],
    ['/a', ['/a']],
    ['/a/**', ['/a/1', '/a/2']],
    ['/**', paths.slice(1)],
    ['/**/*.png', ['/d/e/f.png', '/g.png']],
    ['/d**', ['/d/e/f.png', '/d', '/d/e']],
    ['/**f.png', ['/d/e/f.png']],
    ['/?', ['/a', '/b', '/c', '/d']],
    ['/[a-c]', ['/a', '/b', '/c']],
    ['/[!a-c]', ['/d']],
    ['/[^a-c]', ['/d']],
    ['/*/[[:digit:]]', ['/a/1', '/a/2', '/b/1']],
    ['/*.{png,PNG}', ['/g.png', '/h.PNG']],
    ['/{a/1,b}', ['/a/1', '/b']],
    ['/@(a|b)', ['/a', '/b']],
    ['/(a|b)/1', ['/a/1', '/b/1']],
    ['/!(a|b)', ['/c', '/g.png', '/h.PNG', '/.x', '/d']],
    ['/!(*.*)', ['/a', '/b', '/c', '/d']],
    ['/?(a)b', ['/b']],
    ['/+([a-z]).png', ['/g.png']],
    ['/*(a|b)', ['/a', '/b']],
    ['/\\a', ['/a']],
    ['/**/e', ['/d/e']],
    ['/d/**/f.png', ['/d/e/f.png']],
    ['/**/**/1', ['/a/1', '/b/1']],
  ])('%s', (pattern, expected) => {
    const glob = compileGlob(pattern);
    expect(paths.filter((path) => glob.matches(path))).toEqual(expected);
  });

  it.each([
    ['/[]]', '/]'],
    ['/[a\\]]', '/]'],
    ['/[a-]', '/-'],
    ['/[[:alpha:][:digit:]_]', '/_'],
    ['/\\*', '/*'],
    ['/a\\{b', '/a{b'],
    ['/a)b}|,', '/a)b}|,'],
    ['/+@!a', '/+@!a'],
    ['/?', '/😀'],
    ['/[😀-😂]', '/😁'],
    ['/?', '/\udcff'],
    ['/!()', '/a'],
    ['/a()b', '/ab'],
    ['/**(b)', '/abb'],
  ])('%s matches %s', (pattern, path) => {
    expect(compileGlob(pattern).matches(path)).toBe(true);
  });

  it.each([
    ['/[!a]', '/'],
    ['/a[/]b', '/a/b'],
    ['/a[!x]b', '/a/b'],
    ['/a?b', '/a/b'],
    ['/!(a)', '/b/c'],
    ['/!()', '/'],
    ['/a', '/ab'],
  ])('%s does not match %s', (pattern, path) => {
    expect(compileGlob(pattern).matches(path)).toBe(false);
  });

  it.each([
    ['/(*).txt', '/1.txt', ['1']],
    ['/(*)-(*).log', '/a-b-c.log', ['a-b', 'c']],
    ['/@(a|b)/+([0-9])', '/a/42', ['a', '42']],
    ['/*(ab)?(c)', '/abab', ['abab', '']],
    ['/((a)|(b))', '/b', ['b', '', 'b']],
    ['/!(x)/(*)', '/y/z', ['y', 'z']],
    ['/{a,(b)}', '/a', ['']],
    ['/(**).png', '/d/e/f.png', ['d/e/f']],
    ['/(*).txt', '/1.csv', undefined],
  ])('%s takes from %s %j', (pattern, path, expected) => {
    expect(compileGlob(pattern).captures(path)).toEqual(expected);
  });

  it.each([
    ['/', [], false],
    ['/a/b/c', ['a', 'b', 'c'], false],
    ['/a/b*/c', ['a'], false],
    ['/a/**', ['a'], true],
    ['/a/\\*/x', ['a', '*', 'x'], false],
    ['/\udcff/*', ['\udcff'], false],
    ['**', [], true],
  ])('%s begins with %j', (pattern, prefix, filesOnly) => {
    const glob = compileGlob(pattern);
    expect(glob.prefix.map((name) => (name.length === 1 && name[0] === 0xff ? '\udcff' : name.toString()))).toEqual(
      prefix,
    );
    expect(glob.filesOnly).toBe(filesOnly);
  });

  it('tell which directories need no look', () => {
    const glob = compileGlob('/a/*/c{1,2}');
    expect(['/', '/a', '/a/x'].filter((path) => glob.couldMatchUnder(path))).toEqual(['/', '/a', '/a/x']);
    expect(['/b', '/a/x/y', '/a/x/c1', '/ab'].filter((path) => glob.couldMatchUnder(path))).toEqual([]);
    expect(compileGlob('/a/**/z').couldMatchUnder('/a/b/c/d')).toBe(true);
    expect(compileGlob('/a/**/z').couldMatchUnder('/b')).toBe(false);
  });

  it('never hide a match below a directory that needs no look', () => {
    const piece = fc.constantFrom('/', 'a', 'b', '*', '**', '?', '!(a)', '@(a|b)', '{a,b/a}', '+(ab)', '[!a]', '/**/');
    const name = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 6 }),
        fc.array(name, { minLength: 1, maxLength: 4 }),
        (pieces, names) => {
          const pattern = `/${pieces.join('')}`.replace(/\/{2,}/g, '/');
          const glob = compileGlob(pattern);
          const path = `/${names.join('/')}`;
          if (!glob.matches(path)) return;
          expect(glob.couldMatchUnder('/')).toBe(true);
          for (let depth = 1; depth < names.length; depth += 1) {
            expect(glob.couldMatchUnder(`/${names.slice(0, depth).join('/')}`)).toBe(true);
          }
          expect(names.slice(0, glob.prefix.length)).toEqual(glob.prefix.map(String));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it.each([
    '/[',
    '/[a',
    '/{a',
    '/(a',
    '/@(a|b',
    '/a\\',
    '/[z-a]',
    '/[[:nope:]]',
    '/a//b',
    '/../a',
    '/./a',
    '/['.padEnd(5000, 'a'),
  ])('%s is refused', (pattern) => {
    expect(() => compileGlob(pattern)).toThrow(expect.toSatisfy((error: unknown) => isPachError(error, 'usage')));
  });

  it('take bounded time, whatever they are', () => {
    const name = 'a'.repeat(255);
    const path = `/${Array.from({ length: 16 }, () => name).join('/')}`;
    const start = performance.now();
    for (const pattern of [
      `/${'*a'.repeat(100)}b`,
      `/${'**a'.repeat(100)}b`,
      `/*(*(*(*(a)*)*)*)b`,
      `/+(+(+(a|a)|a)|a)b`,
      `/${'!(b)'.repeat(20)}c`,
      `/!(!(!(!(*a))))b`,
      `/${'?(a)'.repeat(200)}${'a'.repeat(200)}c`,
      `/${'{a,**}'.repeat(100)}c`,
    ]) {
      const glob = compileGlob(pattern);
      expect(glob.matches(path)).toBe(false);
      expect(glob.matches(`/${name}`)).toBe(false);
      expect(glob.captures(`/${name}`)).toBeUndefined();
    }
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(() => compileGlob(`/${'('.repeat(1000)}`)).toThrow(/nested/);
  });

  it('with any text are read or refused', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'ab/*?!@+(|){},[]^-:\\'.split('')) }),
        fc.string(),
        (pattern, path) => {
          const outcome = outcomeOf(() => compileGlob(pattern).matches(`/${path}`));
          expect(typeof outcome === 'boolean' || isPachError(outcome, 'usage')).toBe(true);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

/** What `body` returns or throws. */
function outcomeOf(body: () => unknown): unknown {
  try {
    return body();
  } catch (error) {
    return error;
  }
}
