/**
 * Drawings of pipelines: all that is there is drawn, arrows point to the right, and nothing lies
 * on something else.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { dotOf, svgOf, type DrawnPipeline } from '../../src/shown/draw.ts';
import { layersOf, type Arrow } from '../../src/shown/layers.ts';

function pipeline(name: string, reads: readonly string[], state?: string): DrawnPipeline {
  const inputs = reads.map((text) => {
    const [repo = '', branch = 'master'] = text.split('@');
    return { repo, branch };
  });
  return { name, inputs, state };
}

const opencv = [pipeline('montage', ['images', 'edges@dev', 'edges'], 'failure'), pipeline('edges', ['images'])];

test('dot', () => {
  expect(dotOf({ pipelines: opencv })).toBe(`digraph pipelines {
  rankdir=LR;
  "montage" [shape=box, label="montage\\nfailure"];
  "edges" [shape=box, label="edges"];
  "images" [shape=cylinder, label="images"];
  "images" -> "montage";
  "edges" -> "montage" [label="dev, master"];
  "images" -> "edges";
}
`);
  expect(dotOf({ pipelines: [pipeline('a"\\', [])] })).toContain('"a\\"\\\\" [shape=box');
});

test('SVG', () => {
  const svg = svgOf({ pipelines: [...opencv, pipeline('<&>', ['images'], 'running')] });
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="\d+" height="\d+"[\s\S]*<\/svg>\n$/);
  const titles = [...svg.matchAll(/<title>(.*?)<\/title>/g)].map(([, title]) => String(title));
  expect(new Set(titles)).toEqual(
    new Set(['pipeline &lt;&amp;&gt;', 'pipeline edges', 'pipeline montage', 'repo images']),
  );
  expect(svg.match(/marker-end/g)).toHaveLength(4);
  expect(svg).toContain('>dev, master</text>');
  expect(svg).toContain('>failure</text>');
  expect(svgOf({ pipelines: [] })).toMatch(/^<svg/);
});

test('every node and bend has its column, and arrows point to the right where they can', () => {
  const graphs = fc.array(fc.tuple(fc.nat(12), fc.nat(12)), { maxLength: 30 });
  const check = (pairs: readonly (readonly [number, number])[], acyclic: boolean): void => {
    const nodes = Array.from({ length: 13 }, (_, index) => `n${index}`);
    const kept = acyclic ? pairs.filter(([from, to]) => from < to) : pairs;
    const arrows = kept.map(([from, to]): Arrow => ({ from: `n${from}`, to: `n${to}` }));
    const { columns, routes } = layersOf(nodes, arrows);
    const columnOf = new Map(columns.flatMap((column, index) => column.map(({ id }) => [id, index] as const)));
    const bends = [...routes.values()].reduce((sum, route) => sum + route.length - 2, 0);
    expect(columns.flat()).toHaveLength(nodes.length + bends);
    expect(columnOf.size).toBe(nodes.length + bends);
    if (!acyclic) return;
    for (const route of routes.values()) {
      for (const [index, id] of route.slice(1).entries()) {
        expect(columnOf.get(id)).toBe(columnOf.get(route[index]!)! + 1);
      }
    }
  };
  fc.assert(fc.property(graphs, (pairs) => check(pairs, true)));
  fc.assert(fc.property(graphs, (pairs) => check(pairs, false)));
});

test('arrows that need not cross do not', () => {
  const arrows = ['ax', 'by', 'cz', 'xf', 'ye', 'zd'].map(([from = '', to = '']): Arrow => ({ from, to }));
  const { columns } = layersOf('abcxyzdef'.split(''), arrows);
  expect(columns.map((column) => column.map(({ id }) => id).join(''))).toEqual(['abc', 'xyz', 'fed']);
});
