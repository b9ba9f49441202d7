/**
 * The graph of pipelines: what is read comes first, and nothing reads itself.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { graphOf } from '../../src/pipelines/spec/graph.ts';
import { parseSpec } from '../../src/pipelines/spec/parse.ts';
import type { PipelineSpec } from '../../src/pipelines/spec/spec.ts';

function spec(name: string, reads: readonly string[], fields: object = {}): PipelineSpec {
  const cross = reads.map((text, index) => {
    const [repo, branch] = text.split('@');
    return { pfs: { repo, branch, glob: '/*', name: `in${index}` } };
  });
  const document = { pipeline: { name }, transform: { cmd: ['sh'] }, input: { cross }, ...fields };
  return parseSpec(document, { file: 'x', folder: '/', project: 'default' });
}

function order(...specs: readonly PipelineSpec[]): string[] {
  return graphOf(specs).order.map(({ name }) => name);
}

test('what a pipeline reads comes before it', () => {
  expect(order(spec('montage', ['images', 'edges']), spec('edges', ['images']))).toEqual(['edges', 'montage']);
  expect(order(spec('b', ['x']), spec('a', ['x']))).toEqual(['b', 'a']);
  const { upstream } = graphOf([spec('d', ['b', 'c', 'b']), spec('c', ['a']), spec('b', ['a']), spec('a', ['x'])]);
  expect(upstream).toEqual(
    new Map([
      ['d', ['b', 'c']],
      ['c', ['a']],
      ['b', ['a']],
      ['a', []],
    ]),
  );
});

test('a branch that nobody writes is no edge', () => {
  expect(order(spec('b', ['a']), spec('a', ['x'], { output_branch: 'dev' }))).toEqual(['b', 'a']);
  expect(order(spec('b', ['a@dev']), spec('a', ['x'], { output_branch: 'dev' }))).toEqual(['a', 'b']);
  expect(order(spec('a', ['a@hints']))).toEqual(['a']);
});

test('cycles and twins are errors', () => {
  expect(() => graphOf([spec('a', ['x', 'a'])])).toThrow('pipeline a: its results would be its own input');
  expect(() => graphOf([spec('z', ['c']), spec('a', ['c']), spec('b', ['a']), spec('c', ['b'])])).toThrow(
    'pipeline c: its results would become its own input: c → a → b → c',
  );
  expect(() => graphOf([spec('a', ['x']), spec('a', ['y'])])).toThrow(
    'pipeline a: there are two pipelines of this name',
  );
});

test('any graph without cycles has an order', () => {
  const arrows = fc.array(fc.array(fc.nat(30), { maxLength: 4 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(arrows, fc.infiniteStream(fc.nat()), (reads, keys) => {
      const specs = reads.map((above, index) =>
        spec(`p${index}`, ['x', ...above.filter((each) => each < index).map((each) => `p${each}`)]),
      );
      const shuffled = specs.map((each) => ({ each, key: keys.next().value as number })).sort((a, b) => a.key - b.key);
      const { order: found, upstream } = graphOf(shuffled.map(({ each }) => each));
      const place = new Map(found.map(({ name }, index) => [name, index]));
      expect(place.size).toBe(specs.length);
      for (const [name, above] of upstream) {
        for (const each of above) expect(place.get(each)!).toBeLessThan(place.get(name)!);
      }
    }),
    { numRuns: 200 },
  );
});

test('a long chain', () => {
  const chain = Array.from({ length: 5000 }, (_, index) => spec(`p${index}`, [`p${index + 1}`]));
  expect(graphOf(chain).order[0]?.name).toBe('p4999');
});
