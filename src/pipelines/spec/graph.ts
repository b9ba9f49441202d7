/**
 * Which pipeline reads what another one makes: the order to run them in.
 */
import { PachError } from '../../base/errors.ts';
import type { PipelineSpec } from './spec.ts';
import { branchRead, pfsInputs } from './input.ts';

export interface Graph {
  /** What a pipeline reads comes before it; otherwise as given. */
  readonly order: readonly PipelineSpec[];
  /** By name: the pipelines of the graph whose results it reads. */
  readonly upstream: ReadonlyMap<string, readonly string[]>;
}

/**
 * The graph of some pipelines, where their outputs go to branches of their own, or not. Throws `usage` for
 * two of one name, and for pipelines that read their own results, be it by a trigger.
 */
export function graphOf(specs: readonly PipelineSpec[], { isOwn = false }: { readonly isOwn?: boolean } = {}): Graph {
  const byName = new Map<string, PipelineSpec>();
  for (const spec of specs) {
    if (byName.has(spec.name)) throw wrong(spec.name, 'there are two pipelines of this name');
    byName.set(spec.name, spec);
  }
  const upstream = (own: boolean): Map<string, string[]> =>
    new Map(specs.map((spec) => [spec.name, upstreamOf(spec, byName, own)]));
  const all = upstream(true);
  for (const [name, above] of all) {
    if (above.includes(name)) throw wrong(name, 'its results would be its own input');
  }
  return { order: inOrder(specs, byName, all), upstream: isOwn ? all : upstream(false) };
}

/** A branch that no pipeline writes is an input like any other, also in the repo of one. */
function upstreamOf(spec: PipelineSpec, byName: ReadonlyMap<string, PipelineSpec>, isOwn: boolean): string[] {
  const read = pfsInputs(spec.input).filter((input) => {
    return byName.get(input.repo)?.outputBranch === branchRead(input, isOwn);
  });
  return [...new Set(read.map(({ repo }) => repo))];
}

function inOrder(
  specs: readonly PipelineSpec[],
  byName: ReadonlyMap<string, PipelineSpec>,
  upstream: ReadonlyMap<string, readonly string[]>,
): PipelineSpec[] {
  const order = new Set<PipelineSpec>();
  // Depth first, without recursion: a chain may be long. `trail` is what waits for what comes next.
  for (const { name: start } of specs) {
    const trail = [start];
    const waiting = new Set(trail);
    while (trail.length > 0) {
      const name = trail.at(-1) as string;
      const spec = byName.get(name) as PipelineSpec;
      const next = upstream.get(name)?.find((each) => !order.has(byName.get(each) as PipelineSpec));
      if (next === undefined) {
        order.add(spec);
        trail.pop();
        waiting.delete(name);
        continue;
      }
      if (waiting.has(next)) throw cycle([...trail.slice(trail.indexOf(next)), next]);
      trail.push(next);
      waiting.add(next);
    }
  }
  return [...order];
}

function cycle(names: readonly string[]): PachError {
  return wrong(names[0] as string, `its results would become its own input: ${names.toReversed().join(' → ')}`);
}

function wrong(name: string, why: string): PachError {
  return new PachError('usage', { what: `pipeline ${name}`, why });
}
