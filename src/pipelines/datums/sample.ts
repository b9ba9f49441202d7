/**
 * A part of the datums of an input (`pach dev --sample`).
 */
import { compileGlob } from '../../model/glob.ts';
import type { PipelineSpec, Sample } from '../spec/spec.ts';
import { datumId } from './id.ts';
import { isChanged, isThere, type Files, type Pair, type Source, type Which } from './source.ts';

/** A spec that looks at a sample of its datums only. */
export function withSample(spec: PipelineSpec, sample: Sample): PipelineSpec {
  return { ...spec, input: { kind: 'sample', inputs: [spec.input], sample } };
}

/** What `source.pairs` gives, of the datums of a sample alone. */
export async function* sampled(source: Source, sample: Sample, which: Which): AsyncGenerator<Pair> {
  if (sample.kind === 'count') return yield* firstOnes(source, sample.count, which);
  const isIn = filterOf(sample);
  for await (const { before, after } of source.pairs(which)) {
    const pair = {
      before: before && isIn(before) ? before : undefined,
      after: after && isIn(after) ? after : undefined,
    };
    if (isThere(pair)) yield pair;
  }
}

/** Which datum is among the first ones depends on all before it. Reads no further than it must. */
async function* firstOnes(source: Source, count: number, which: Which): AsyncGenerator<Pair> {
  let [old, now] = [0, 0];
  for await (const { before, after } of source.pairs('all')) {
    if (before) old += 1;
    if (after) now += 1;
    const pair = { before: old <= count ? before : undefined, after: now <= count ? after : undefined };
    if (which === 'all' ? isThere(pair) : isChanged(pair)) yield pair;
    if (now >= count && (which === 'all' || old >= count)) return;
  }
}

function filterOf(sample: Exclude<Sample, { kind: 'count' }>): (files: Files) => boolean {
  if (sample.kind === 'datums') {
    const ids = new Set(sample.datums);
    return (files) => ids.has(datumId(files));
  }
  const glob = compileGlob(sample.glob);
  return (files) => files.some(({ path }) => glob.matches(path));
}
