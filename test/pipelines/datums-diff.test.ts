/**
 * The difference between two plans, applied to the first, gives the second, whatever the input.
 */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Datum } from '../../src/pipelines/datums/datum.ts';
import { inputDocument } from '../../src/pipelines/datums/document.ts';
import { diffDatums } from '../../src/pipelines/datums/plan.ts';
import type { Input, PfsInput } from '../../src/pipelines/spec/spec.ts';
import { collect } from '../model/nodes.ts';
import { pfs, readsFrom, World, type Contents } from './datum-world.ts';

const name = fc.constantFrom('a', 'b', 'b-', 'ä', '\udcff');
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `/${names.join('/')}`);
const text = fc.constantFrom('x', 'y', true as const);

/** Files and empty directories before and after; what would lie in a file is left out. */
const contents = fc
  .record({
    before: fc.dictionary(path, text, { maxKeys: 10 }),
    set: fc.dictionary(path, text, { maxKeys: 3 }),
    removed: fc.array(path, { maxLength: 3 }),
  })
  .map(({ before, set, removed }) => {
    const kept = Object.entries(before).filter(([at]) => !removed.includes(at));
    return { before: withoutClashes(before), after: withoutClashes({ ...Object.fromEntries(kept), ...set }) };
  });

function withoutClashes(all: Contents): Contents {
  return Object.fromEntries(Object.entries(all).filter(([at]) => isFree(all, at)));
}

function isFree(all: Contents, at: string): boolean {
  const others = Object.keys(all).filter((other) => other !== at);
  return !others.some((other) => other.startsWith(`${at}/`) || (at.startsWith(`${other}/`) && all[other] !== true));
}

// All take the first name, so that a path has one key whatever pattern it matched.
const globs = ['/', '/(*)', '/(a|b)', '/(*)/*', '/(*)/**', '/(?)/(*)', '/(*)/a'];

type Shape =
  | { readonly leaf: Pick<PfsInput, 'repo' | 'glob' | 'outerJoin' | 'emptyFiles' | 'reference' | 'lazy'> }
  | { readonly kind: 'cross' | 'union' | 'join' | 'group'; readonly sides: readonly Shape[] };

const shape = fc.letrec<{ shape: Shape; leaf: Shape; node: Shape }>((tie) => ({
  shape: fc.oneof({ depthSize: 'small', withCrossShrink: true }, tie('leaf'), tie('node')),
  leaf: fc.record({
    leaf: fc.record({
      repo: fc.constantFrom('in', 'more'),
      glob: fc.constantFrom(...globs),
      outerJoin: fc.boolean(),
      emptyFiles: fc.boolean(),
      reference: fc.boolean(),
      lazy: fc.boolean(),
    }),
  }),
  node: fc.record({
    kind: fc.constantFrom('cross' as const, 'union' as const, 'join' as const, 'group' as const),
    sides: fc.array(tie('shape'), { minLength: 1, maxLength: 3 }),
  }),
})).shape;

/** Names are unique but for sides of unions, as specs have them. */
function inputOf(from: Shape, keys: Pick<PfsInput, 'joinOn' | 'groupBy'>, prefix = 'i'): Input {
  if ('leaf' in from) return pfs(from.leaf.repo, from.leaf.glob, { ...from.leaf, ...keys, name: prefix });
  const { kind, sides } = from;
  const inputs = sides.map((side, index) => inputOf(side, keys, kind === 'union' ? prefix : `${prefix}${index}`));
  return { kind, inputs };
}

const keys = fc.record({
  joinOn: fc.constantFrom(undefined, '$1', 'all'),
  groupBy: fc.constantFrom(undefined, '$1', 'all'),
});
const scenario = fc.record({
  shape,
  keys,
  first: contents,
  second: contents,
  isEmpty: fc.record({ before: fc.boolean(), after: fc.boolean() }),
});

async function documented(world: World, datums: readonly Datum[]): Promise<Map<string, string>> {
  const documents = new Map<string, string>();
  for (const datum of datums) documents.set(datum.id, await textOf(world, datum));
  expect(documents.size).toBe(datums.length);
  return documents;
}

async function textOf(world: World, datum: Datum): Promise<string> {
  return JSON.stringify(await inputDocument(world.nodes, datum));
}

test('differences add up', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ shape: from, keys: templates, first, second, isEmpty }) => {
      const world = new World();
      const input = inputOf(from, templates);
      const versions = async (when: 'before' | 'after') => ({
        in: await world.version(first[when]),
        more: isEmpty[when] ? undefined : await world.version(second[when]),
      });
      const [before, after] = [await versions('before'), await versions('after')];
      const datums = await documented(world, await world.plan(input, before));
      const planned = await world.plan(input, after);
      expect((await world.plan(input, after)).map(({ id }) => id)).toEqual(planned.map(({ id }) => id));

      const changes = await collect(diffDatums(world.nodes, input, readsFrom(before), readsFrom(after)));
      expect(new Set(changes.map((change) => (change.after ?? change.before)?.id)).size).toBe(changes.length);
      for (const change of changes) {
        const id = (change.after ?? change.before)?.id ?? '';
        expect(datums.get(id)).toBe(change.before && (await textOf(world, change.before)));
        expect(change.before?.id ?? id).toBe(id);
        if (change.after) datums.set(id, await textOf(world, change.after));
        else datums.delete(id);
      }
      expect(datums).toEqual(await documented(world, planned));
      expect(await collect(diffDatums(world.nodes, input, readsFrom(after), readsFrom(after)))).toEqual([]);
    }),
    { numRuns: 400 },
  );
});
